package session

import (
	"slices"
	"time"

	"weir/sfu"
)

// publication is one source a participant announced; published once an offer carried it.
type publication struct {
	id        sfu.PublicationID
	owner     *participant
	cid       string
	view      PublicationView // slices are replaced, never changed
	announced time.Time
	published bool
	since     time.Time // of publishing

	subs       []*subscription // open ones, in no order
	subscribed bool            // the publisher was told that somebody receives it

	demand    demand
	regressed bool // moved to its backup codec for good
}

// codec is the i-th codec, NoCodec if it is not known.
func (pub *publication) codec(i int) sfu.Codec {
	if i < len(pub.view.Codecs) {
		return sfu.ParseCodec(pub.view.Codecs[i].Mime)
	}
	return sfu.NoCodec
}

// place is where c stands among the codecs; 0 if it is not among them.
func (pub *publication) place(c sfu.Codec) int {
	for i := range pub.view.Codecs {
		if c != sfu.NoCodec && pub.codec(i) == c {
			return i
		}
	}
	return 0
}

// change gives fn a view whose codecs may be changed, and stamps the version.
func (pub *publication) change(now time.Time, fn func(v *PublicationView)) {
	pub.view.Codecs = slices.Clone(pub.view.Codecs)
	fn(&pub.view)
	pub.view.Version = now
}

// publication finds an announced or published publication of p.
func (p *participant) publication(id sfu.PublicationID) *publication {
	for _, pub := range p.pubs {
		if pub.id == id {
			return pub
		}
	}
	return nil
}

// publicationOf finds the one that uses a client track id.
func (p *participant) publicationOf(cid string) *publication {
	for _, pub := range p.pubs {
		if pub.cid == cid || slices.ContainsFunc(pub.view.Codecs, func(c CodecView) bool {
			return c.CID == cid || c.SDPCID == cid
		}) {
			return pub
		}
	}
	return nil
}

// publish makes announced publications of p known, whose sections an offer carried.
func (s *Session) publish(p *participant, pubs []*publication) {
	for _, pub := range pubs {
		pub.published, pub.since = true, s.now
		pub.view.Version = s.now
		s.publications[pub.id] = pub
		s.do(OpenPublication{ID: p.id, Track: pub.view})
	}
	s.changed(p, true) // ahead of the media (livekit.md section 5)
	for _, pub := range pubs {
		s.notify(TrackPublished, p, pub, UnknownReason)
		s.startDemand(pub)
		for _, q := range s.order {
			s.offered(q, pub)
		}
	}
}

// unpublish ends a publication and tells everybody.
func (s *Session) unpublish(pub *publication) {
	p, published := pub.owner, pub.published
	s.withdraw(pub)
	if published {
		s.changed(p, true)
	}
	s.dequeue(p, pub.cid)
}

// withdraw takes a publication out without telling of it.
func (s *Session) withdraw(pub *publication) {
	p := pub.owner
	p.pubs = slices.DeleteFunc(p.pubs, func(q *publication) bool { return q == pub })
	if !pub.published {
		return
	}
	pub.published = false
	delete(s.publications, pub.id)
	for len(pub.subs) > 0 {
		s.shut(pub.subs[len(pub.subs)-1])
	}
	for _, q := range s.order {
		if sub := q.subs[pub.id]; sub != nil {
			s.forget(sub)
		}
	}
	s.stopDemand(pub)
	s.hush(pub)
	s.do(ClosePublication{pub.id})
	s.notify(TrackUnpublished, p, pub, UnknownReason)
}

// mute sets whether an own publication sends.
func (s *Session) mute(p *participant, r Mute) {
	pub := p.publication(r.Publication)
	if pub == nil {
		s.refuse(p, NotFound, "unknown track", r)
		return
	}
	s.setMuted(pub, r.Muted)
}

func (s *Session) setMuted(pub *publication, muted bool) {
	if pub.view.Muted == muted {
		return
	}
	pub.change(s.now, func(v *PublicationView) { v.Muted = muted })
	if !pub.published {
		return
	}
	s.do(MuteMedia{pub.id, muted})
	if muted {
		s.hush(pub)
	}
	s.changed(pub.owner, true)
	if !muted && pub.view.Kind == sfu.Video {
		s.do(RequestKeyframe{pub.id})
	}
}

func (s *Session) updateAudio(p *participant, r UpdateAudio) {
	pub := p.publication(r.Publication)
	if pub == nil || pub.view.Kind != sfu.Audio {
		s.refuse(p, NotFound, "unknown audio track", r)
		return
	}
	features := slices.Clone(r.Features[:min(len(r.Features), maxFeatures)])
	pub.change(s.now, func(v *PublicationView) { v.AudioFeatures = features })
	if pub.published {
		s.changed(p, true)
	}
}

func (s *Session) updateVideo(p *participant, r UpdateVideo) {
	pub := p.publication(r.Publication)
	if pub == nil || pub.view.Kind != sfu.Video {
		s.refuse(p, NotFound, "unknown video track", r)
		return
	}
	pub.change(s.now, func(v *PublicationView) { v.Width, v.Height = r.Width, r.Height })
	if !pub.published {
		return
	}
	s.changed(p, true)
	for _, sub := range pub.subs {
		s.retarget(sub)
	}
}
