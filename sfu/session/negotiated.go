package session

import (
	"slices"

	"weir/sfu"
)

// offer hands a client's offer to its transport, with what may be in it.
func (s *Session) offer(p *participant, d Description) {
	s.do(ApplyOffer{ID: p.id, Sink: p.sink, Offer: d, Pending: s.pending(p)})
	for _, pub := range p.pubs {
		s.answered(pub)
	}
}

// pending lists every publication of p by the client track ids it announced: new ones, and with their mid those
// that an earlier offer carried.
func (s *Session) pending(p *participant) []PendingPublication {
	var list []PendingPublication
	for _, pub := range p.pubs {
		for i, c := range pub.view.Codecs {
			if c.CID == "" {
				continue // a backup that nobody asked for yet
			}
			list = append(list, PendingPublication{
				Publication: pub.id, CID: c.CID, Kind: pub.view.Kind, Codecs: s.acceptable(pub, i), Layers: c.Layers,
				Stereo: pub.view.Stereo, DisableDTX: pub.view.DisableDTX, DisableRED: pub.view.DisableRED,
				Backup: i > 0, Mid: c.Mid,
			})
		}
	}
	return list
}

// acceptable are the codecs for the i-th codec's section: that one first. A backup is that codec or nothing.
func (s *Session) acceptable(pub *publication, i int) []sfu.Codec {
	first := pub.codec(i)
	codecs := []sfu.Codec{first}
	if i > 0 {
		return codecs
	}
	for _, c := range s.encodings() {
		if c != first && c.Kind() == pub.view.Kind && !(c == sfu.RED && pub.view.DisableRED) {
			codecs = append(codecs, c)
		}
	}
	return codecs
}

// negotiated publishes what an offer carried and ends what it dropped.
func (s *Session) negotiated(ev Negotiated) {
	p := s.byID[ev.ID]
	if p == nil {
		return
	}
	var fresh, backed []*publication
	altered := false
	for _, b := range ev.Bound {
		pub := p.publication(b.Publication)
		if pub == nil {
			continue
		}
		i := s.bind(pub, b)
		switch {
		case i < 0:
		case !pub.published && !slices.Contains(fresh, pub):
			fresh = append(fresh, pub)
		case i > 0:
			backed = append(backed, pub)
			altered = true
		default:
			altered = true
		}
	}
	for _, id := range ev.Ended {
		if pub := p.publication(id); pub != nil && pub.published {
			s.unpublish(pub)
		}
	}
	if len(fresh) > 0 {
		s.publish(p, fresh)
	} else if altered {
		s.changed(p, true)
	}
	for _, pub := range backed {
		s.backupArrived(pub)
	}
}

// bind notes where an announced codec was found. It returns the codec's place, or -1 if nothing is new.
func (s *Session) bind(pub *publication, b Bound) int {
	i := pub.place(b.Codec)
	v := pub.view.Codecs[i]
	mime := v.Mime
	if i == 0 && b.Codec != sfu.NoCodec && b.Codec.Kind() == pub.view.Kind {
		mime = b.Codec.Mime() // the client cannot send what it announced
	}
	cid := b.SDPCID
	if cid == v.CID || len(cid) > maxName {
		cid = ""
	}
	if pub.published && v.Mid == b.Mid && v.Mime == mime && v.SDPCID == cid {
		return -1
	}
	pub.change(s.now, func(view *PublicationView) {
		c := &view.Codecs[i]
		c.Mid, c.SDPCID, c.Mime = b.Mid, cid, mime
		if i == 0 {
			view.Mid, view.Mime = b.Mid, mime
		}
	})
	return i
}

// streamSeen notes the first media of a layer. Media rules over what was announced.
func (s *Session) streamSeen(ev StreamSeen) {
	pub := s.publications[ev.Publication]
	if pub == nil {
		return
	}
	i := pub.place(ev.Codec)
	switch {
	case ev.Codec == sfu.NoCodec || ev.Codec.Kind() != pub.view.Kind:
	case i == 0 && pub.codec(0) != ev.Codec:
		pub.change(s.now, func(v *PublicationView) {
			v.Codecs[0].Mime, v.Mime = ev.Codec.Mime(), ev.Codec.Mime()
		})
		s.changed(pub.owner, true)
	case i > 0:
		s.backupArrived(pub)
		s.regress(pub, i)
	}
}
