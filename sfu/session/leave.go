package session

// farewell tells p to go, or to come again, and removes it.
func (s *Session) farewell(p *participant, why LeaveReason, action LeaveAction) {
	s.tell(p, Goodbye{why, action})
	s.tell(p, Hangup{})
	p.sink = nil
	s.remove(p, why)
}

// remove takes p out with all it offers and receives. Its connection is the caller's business.
func (s *Session) remove(p *participant, why LeaveReason) {
	active, publisher := p.state == Active, p.isPublisher()
	p.state, p.reason = Disconnected, why
	p.sink = nil
	for len(p.pubs) > 0 {
		s.withdraw(p.pubs[len(p.pubs)-1])
	}
	for len(p.tracks) > 0 {
		s.withdrawData(p.tracks[len(p.tracks)-1])
	}
	s.forgetSubscriptions(p)
	s.forgetData(p)
	s.speakers.Remove(p.id)
	s.alarms.clear(&p.patience)
	s.alarms.clear(&p.silence)
	s.do(CloseTransports{p.id})

	p.touch()
	s.drop(p)
	s.recount()
	kind := ParticipantLeft
	if !active {
		kind = ParticipantAborted
	}
	s.notify(kind, p, nil, why)
	s.remember(p)
	if why == DuplicateIdentity {
		s.unbatch(p)
		s.announceReplaced(p)
	} else {
		s.announce(p, publisher, nil)
	}
}

// remember keeps the departure for those whose connection is down now.
func (s *Session) remember(p *participant) {
	if p.hidden() {
		return
	}
	if len(s.gone) == maxGone {
		copy(s.gone, s.gone[1:])
		s.gone = s.gone[:maxGone-1]
	}
	v := p.info()
	v.Metadata, v.Attributes = "", nil // nobody needs them of one who is gone, and they may be large
	s.gone = append(s.gone, departure{s.now, v})
}

// announceReplaced tells only old clients that a stay has ended whose identity is about to be here again.
func (s *Session) announceReplaced(p *participant) {
	if p.hidden() || s.closing {
		return
	}
	var m Message = Update{[]ParticipantView{p.info()}}
	for _, q := range s.order {
		if q.software.Protocol < identityReconnect {
			s.tell(q, m)
		}
	}
}

// leave is a participant's own wish.
func (s *Session) leave(p *participant, r Leave) {
	why := ClientInitiated
	switch r.Reason {
	case UserUnavailable, UserRejected, AgentError:
		why = r.Reason
	}
	s.tell(p, Hangup{})
	s.remove(p, why)
}

// connectionLost keeps a participant whose media once worked, for it may resume.
func (s *Session) connectionLost(ev ConnectionLost) {
	p := s.byID[ev.ID]
	if p == nil || p.sink == nil || p.sink != ev.Sink {
		return
	}
	p.sink = nil
	p.heard = s.now
	if !p.everConnected {
		s.remove(p, SignalClose)
	}
}
