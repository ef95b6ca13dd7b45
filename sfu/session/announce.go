package session

import (
	"slices"
	"strings"
	"time"

	"weir/sfu"
)

const (
	pendingPatience = 30 * time.Second // without media, then a pending publication may be released for another
	maxLayers       = 3                // spatial layers of one codec
	maxDeclared     = 16               // layers that are read of an announcement; a quality counts once
	maxCodecs       = 4                // per publication: primary and backups
	maxFeatures     = 16
	successTold     = 15 // lowest protocol that is told of a request's success
)

// mayPublish says whether the grant permits a publication of that source.
func (g *Grant) mayPublish(source sfu.Source) bool {
	return g.Publish && (len(g.Sources) == 0 || slices.Contains(g.Sources, source))
}

// refuse answers a request that failed.
func (s *Session) refuse(p *participant, why Outcome, text string, r Request) {
	s.respond(p, Response{Outcome: why, Text: text, Request: r})
}

func (s *Session) respond(p *participant, r Response) {
	if p.knowsResponses() && (r.Outcome != OK || p.software.Protocol >= successTold) {
		s.tell(p, r)
	}
}

// knowsResponses is false for Rust SDKs of protocol 9 and older (livekit.md section 10).
func (p *participant) knowsResponses() bool {
	return p.software.SDK != "rust" || p.software.Protocol >= 10
}

// addTrack announces a publication (livekit.md section 6, request 4).
func (s *Session) addTrack(p *participant, r AddTrack) {
	r.Codecs, r.Layers = r.Codecs[:min(len(r.Codecs), maxCodecs)], r.Layers[:min(len(r.Layers), maxDeclared)]
	switch {
	case !p.grant.mayPublish(r.Source) && r.Publication == "", !p.grant.Publish:
		s.refuse(p, NotAllowed, "no permission to publish this source", r)
	case r.Kind != sfu.Audio && r.Kind != sfu.Video:
		s.refuse(p, UnsupportedType, "neither audio nor video", r)
	case r.tooLong():
		s.refuse(p, LimitExceeded, "name too long", r)
	case r.Publication != "":
		s.addBackup(p, r)
	case r.CID == "":
		s.refuse(p, InvalidRequest, "no cid", r)
	case p.publicationOf(r.CID) != nil:
		s.queue(p, r)
	case !s.pendingRoom(p):
		s.refuse(p, LimitExceeded, "too many pending tracks", r)
	default:
		s.announceTrack(p, r)
	}
}

// tooLong says that a name in it is: all of them are told to everybody.
func (r *AddTrack) tooLong() bool {
	long := func(layers []Encoding) bool {
		return slices.ContainsFunc(layers, func(e Encoding) bool { return len(e.RID) > maxID })
	}
	return len(r.CID) > maxName || len(r.Name) > maxName || len(r.Stream) > maxName || long(r.Layers) ||
		slices.ContainsFunc(r.Codecs, func(c CodecOffer) bool { return len(c.CID) > maxName || len(c.Mime) > maxID || long(c.Layers) })
}

func (s *Session) announceTrack(p *participant, r AddTrack) {
	pub := s.newPublication(p, r)
	if len(pub.view.Codecs) == 0 {
		s.refuse(p, UnsupportedType, "no codec of this kind is enabled", r)
		return
	}
	p.pubs = append(p.pubs, pub)
	s.tell(p, Published{CID: r.CID, Track: pub.view})
}

// queue keeps an announcement until the publication that uses its client track id has ended.
func (s *Session) queue(p *participant, r AddTrack) {
	n := 0
	for _, q := range p.queued {
		if q.CID == r.CID {
			n++
		}
	}
	if n >= maxQueued || len(p.queued) >= maxPending*maxQueued {
		s.refuse(p, LimitExceeded, "too many tracks with this cid", r)
		return
	}
	r.Codecs, r.Layers = slices.Clone(r.Codecs), slices.Clone(r.Layers) // not the rest of a long list
	for i := range r.Codecs {
		c := &r.Codecs[i]
		c.Layers = slices.Clone(c.Layers[:min(len(c.Layers), maxDeclared)])
	}
	p.queued = append(p.queued, r)
	s.refuse(p, Queued, "track id in use", r)
}

// dequeue announces the next that waited for cid.
func (s *Session) dequeue(p *participant, cid string) {
	for i, r := range p.queued {
		if r.CID == cid {
			p.queued = slices.Delete(p.queued, i, i+1)
			s.addTrack(p, r)
			return
		}
	}
}

// pendingRoom says whether one more publication may be announced, if need be in place of those without media for long.
func (s *Session) pendingRoom(p *participant) bool {
	pending := 0
	for _, pub := range p.pubs {
		if !pub.published {
			pending++
		}
	}
	if pending >= maxPending {
		p.pubs = slices.DeleteFunc(p.pubs, func(pub *publication) bool {
			stale := !pub.published && s.now.Sub(pub.announced) >= pendingPatience
			if stale {
				pending--
			}
			return stale
		})
	}
	return pending < maxPending && len(p.pubs) < maxPublications
}

// addBackup names the client track of a backup codec of a publication that exists.
func (s *Session) addBackup(p *participant, r AddTrack) {
	pub := p.publication(r.Publication)
	if pub == nil {
		s.refuse(p, NotFound, "unknown track", r)
		return
	}
	pub.change(s.now, func(v *PublicationView) {
		for _, offer := range r.Codecs {
			for i := range v.Codecs {
				if sfu.ParseCodec(v.Codecs[i].Mime) == offer.Codec && v.Codecs[i].CID == "" {
					v.Codecs[i].CID = offer.CID
					if len(offer.Layers) > 0 {
						v.Codecs[i].Layers = fillLayers(offer.Layers, v.Codecs[i].Mode)
					}
				}
			}
		}
	})
	s.tell(p, Published{CID: r.CID, Track: pub.view})
}

func (s *Session) newPublication(p *participant, r AddTrack) *publication {
	pub := &publication{
		id: s.publicationID(r.Kind, r.Source), owner: p, cid: r.CID, announced: s.now,
		view: PublicationView{
			Kind: r.Kind, Name: r.Name, Source: r.Source, Muted: r.Muted, Width: r.Width, Height: r.Height,
			DisableDTX: r.DisableDTX, DisableRED: r.DisableRED, Stereo: r.Stereo, Stream: r.Stream,
			Encryption: r.Encryption, Backup: r.Backup,
			AudioFeatures: slices.Clone(r.AudioFeatures[:min(len(r.AudioFeatures), maxFeatures)]),
			Trailer:       slices.Clone(r.Trailer[:min(len(r.Trailer), maxFeatures)]),
			Version:       s.now,
		},
	}
	pub.view.ID = pub.id
	pub.demand.init(pub)
	pub.view.Codecs = s.chooseCodecs(r)
	if len(pub.view.Codecs) > 0 {
		first := pub.view.Codecs[0]
		pub.view.Mime, pub.view.Layers = first.Mime, first.Layers
		pub.view.Simulcast = len(first.Layers) > 1 && first.Mode == ModeOneLayerPerStream
	}
	return pub
}

// chooseCodecs are the codecs of an announcement; one that is off becomes the first enabled of the kind.
func (s *Session) chooseCodecs(r AddTrack) []CodecView {
	offers := r.Codecs
	if len(offers) == 0 {
		offers = []CodecOffer{{CID: r.CID}}
	}
	var views []CodecView
	for i, o := range offers[:min(len(offers), maxCodecs)] {
		c := s.enabled(o.Codec, r.Kind)
		taken := slices.ContainsFunc(views, func(v CodecView) bool { return v.Mime == c.Mime() })
		if c == sfu.NoCodec || taken || len(o.CID) > maxName {
			continue
		}
		v := CodecView{Mime: c.Mime(), CID: o.CID, Mode: layerMode(c, o.Mode)}
		if i == 0 && v.CID == "" {
			v.CID = r.CID
		}
		layers := o.Layers
		if len(layers) == 0 {
			layers = r.Layers
		}
		if r.Kind == sfu.Video {
			v.Layers = fillLayers(layers, v.Mode)
		}
		views = append(views, v)
	}
	return views
}

// enabled is c if the session accepts it for that kind, else the first it does accept.
func (s *Session) enabled(c sfu.Codec, kind sfu.Kind) sfu.Codec {
	codecs := s.encodings()
	if c.Kind() == kind && slices.Contains(codecs, c) {
		return c
	}
	for _, e := range codecs {
		if e.Kind() == kind {
			return e
		}
	}
	return sfu.NoCodec
}

// layerMode is how layers are carried: as declared, else as the codec does by habit (livekit.md section 8, SVC).
func layerMode(c sfu.Codec, declared LayerMode) LayerMode {
	switch {
	case c.Kind() == sfu.Audio:
		return ModeUnused
	case declared != ModeUnused:
		return declared
	case c == sfu.VP9 || c == sfu.AV1:
		return ModeManyLayersPerStream
	}
	return ModeOneLayerPerStream
}

// fillLayers gives declared layers their spatial number and RID: both count the declared qualities, so that
// LOW and HIGH alone are q and h (livekit.md section 8, simulcast). A quality declared twice counts once.
func fillLayers(declared []Encoding, mode LayerMode) []Encoding {
	var out []Encoding
	for q := sfu.Low; q <= sfu.High; q++ {
		i := slices.IndexFunc(declared, func(e Encoding) bool { return e.Quality == q })
		if i < 0 {
			continue
		}
		e := declared[i]
		e.Spatial = len(out)
		e.RID = strings.TrimSpace(e.RID)
		if mode == ModeManyLayersPerStream {
			e.RID = ""
		} else if e.RID == "" || len(e.RID) > 16 { // RFC 8851 section 10 sets no limit; ours keeps updates small
			e.RID = [maxLayers]string{"q", "h", "f"}[e.Spatial]
		}
		out = append(out, e)
	}
	return out
}
