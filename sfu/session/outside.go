package session

import (
	"slices"
	"time"

	"weir/sfu"
)

// outside serves the outside API; each event is answered by a Result.
func (s *Session) outside(ev Event) {
	var err error
	switch ev := ev.(type) {
	case Evict:
		err = s.evict(ev)
	case Withhold:
		err = s.withhold(ev)
	case MutePublication:
		err = s.mutePublication(ev)
	case UpdateParticipant:
		err = s.updateParticipant(ev)
	case UpdateSubscriptions:
		if p := s.byIdentity[ev.Identity]; p != nil {
			s.subscribe(p, ev.Subscribe)
		} else {
			err = ErrNoParticipant
		}
	case Send:
		err = s.send(ev)
	case SetMetadata:
		err = s.setMetadata(ev.Metadata)
	case Configure:
		err = s.configure(ev.Config)
	case Close:
		s.dismiss(ev.Reason)
		s.do(Result{})
		s.end(ev.Reason)
		return
	default:
		return
	}
	s.do(Result{err})
}

func (s *Session) evict(ev Evict) error {
	if ev.Block > 0 {
		s.block(ev.Identity, s.now.Add(ev.Block))
	}
	p := s.byIdentity[ev.Identity]
	if p == nil {
		return ErrNoParticipant
	}
	why := ev.Reason
	if why == UnknownReason {
		why = ParticipantRemoved
	}
	s.farewell(p, why, ActionDisconnect)
	return nil
}

func (s *Session) withhold(ev Withhold) error {
	p := s.byIdentity[ev.Identity]
	if p == nil {
		return ErrNoParticipant
	}
	p.withheld = ev.On
	s.reviewPublications(p)
	s.reviewData(p)
	return nil
}

// block keeps an identity out. When the list is full, those that are free again go first, then it takes no more.
func (s *Session) block(id sfu.Identity, until time.Time) {
	if len(s.blocked) >= maxBlocked {
		for other, t := range s.blocked {
			if !s.now.Before(t) {
				delete(s.blocked, other)
			}
		}
	}
	if len(s.blocked) < maxBlocked {
		s.blocked[id] = until
	}
}

func (s *Session) mutePublication(ev MutePublication) error {
	p := s.byIdentity[ev.Identity]
	if p == nil {
		return ErrNoParticipant
	}
	pub := p.publication(ev.Publication)
	if pub == nil {
		return ErrNoPublication
	}
	if !ev.Muted && !s.cfg.RemoteUnmute {
		return ErrRemoteUnmute
	}
	if pub.view.Muted == ev.Muted {
		return nil
	}
	s.tell(p, MuteOwn{Publication: pub.id, Muted: ev.Muted})
	s.setMuted(pub, ev.Muted)
	return nil
}

// updateParticipant changes a participant from outside; rights act at once.
func (s *Session) updateParticipant(ev UpdateParticipant) error {
	p := s.byIdentity[ev.Identity]
	if p == nil {
		return ErrNoParticipant
	}
	attributes := p.attributes
	if len(ev.Attributes) > 0 {
		attributes = merged(p.attributes, ev.Attributes)
	}
	if (ev.Name != nil && len(*ev.Name) > maxName) || (ev.Metadata != nil && len(*ev.Metadata) > maxMetadata) ||
		attributesSize(attributes) > maxAttributes {
		return ErrTooLarge
	}
	if ev.Name != nil {
		p.name = *ev.Name
	}
	if ev.Metadata != nil {
		p.metadata = *ev.Metadata
	}
	p.attributes = attributes
	if ev.Grant != nil {
		s.setGrant(p, *ev.Grant)
	}
	s.regrant(p)
	s.changed(p, true)
	return nil
}

// setGrant lets changed rights act: what is no longer permitted ends, what is permitted now may begin.
func (s *Session) setGrant(p *participant, g Grant) {
	old := p.grant
	g.Sources = slices.Clone(g.Sources)
	if g.Hidden && !old.Hidden {
		s.vanish(p)
	}
	p.grant = g
	for _, pub := range slices.Clone(p.pubs) {
		if !g.mayPublish(pub.view.Source) {
			s.tell(p, Unpublished{pub.id})
			p.queued = slices.DeleteFunc(p.queued, func(r AddTrack) bool { return r.CID == pub.cid })
			s.unpublish(pub)
		}
	}
	if old.PublishData && !g.PublishData {
		for _, t := range slices.Clone(p.tracks) {
			s.endData(t)
		}
	}
	if old.Subscribe != g.Subscribe {
		s.reviewReceipts(p)
	}
	if old.Hidden != g.Hidden {
		s.reviewPublications(p)
		s.reviewData(p)
	}
	if old.Hidden && !g.Hidden {
		for _, pub := range p.pubs {
			for _, q := range s.order {
				if pub.published {
					s.offered(q, pub)
				}
			}
		}
	}
}

// vanish tells the others that p is gone: from now on it is hidden.
func (s *Session) vanish(p *participant) {
	v := p.info()
	v.State, v.Version, v.Publications, v.DataTracks = Disconnected, v.Version+1, nil, nil
	p.version++
	s.unbatch(p)
	var m Message = Update{[]ParticipantView{v}}
	for _, q := range s.order {
		if q != p {
			s.tell(q, m)
		}
	}
}

// reviewReceipts settles everything p receives.
func (s *Session) reviewReceipts(p *participant) {
	if p.grant.Subscribe {
		s.subscribeToAll(p)
	}
	for _, q := range s.order {
		for _, pub := range q.pubs {
			if sub := p.subs[pub.id]; sub != nil && pub.published {
				s.settle(sub)
			}
		}
		for _, t := range q.tracks {
			if sub := p.dataSubs[t.view.ID]; sub != nil {
				s.settleData(sub)
			}
		}
	}
}

func (s *Session) setMetadata(metadata string) error {
	if len(metadata) > maxMetadata {
		return ErrTooLarge
	}
	s.cfg.Metadata = metadata
	s.tellAll(SessionUpdate{s.View()})
	return nil
}

// configure takes a new configuration. It acts on who joins and what is announced from now on.
func (s *Session) configure(cfg Config) error {
	if len(cfg.Metadata) > maxMetadata {
		return ErrTooLarge
	}
	told := cfg.Metadata != s.cfg.Metadata
	s.cfg = cfg
	if !s.populated {
		s.alarms.set(&s.vacancy, s.now.Add(s.emptyTimeout()))
	}
	if told {
		s.tellAll(SessionUpdate{s.View()})
	}
	return nil
}
