package session

import (
	"maps"

	"weir/sfu"
)

// earlySubscriber is the lowest protocol whose clients take subscriptions before they are Active.
const earlySubscriber = 8

// defaultCodecs are what the focus forwards, in the order it likes them (livekit.md section 5).
var defaultCodecs = Encodings{
	sfu.VP8, sfu.H264, sfu.VP9, sfu.AV1, sfu.H265, sfu.Opus, sfu.RED, sfu.PCMU, sfu.PCMA,
}

func (s *Session) encodings() Encodings {
	if s.cfg.Encoding == nil {
		return defaultCodecs
	}
	return s.cfg.Encoding
}

// join brings a participant in: Welcome first, then what it asked along with the join.
func (s *Session) join(ev Join) {
	if why, ok := s.admits(ev); !ok {
		s.do(Tell{ev.Sink, Goodbye{why, ActionDisconnect}})
		s.do(Tell{ev.Sink, Hangup{}})
		return
	}
	old := s.byIdentity[ev.Identity]
	if old != nil {
		s.supersede(old)
	}
	p := s.newParticipant(ev)
	s.add(p)
	s.patient(p, becauseNotActive, joinPatience)

	s.do(OpenTransports{ID: p.id, Sink: p.sink, Identity: p.identity, Software: p.software, Settings: p.settings, Grant: p.grant})
	p.state = Joined
	p.touch()
	s.recount()
	s.tell(p, s.welcome(p))
	s.announce(p, old != nil, p) // to others a new stay takes the place of the old one

	for _, r := range ev.Publish {
		s.addTrack(p, r)
	}
	if p.software.Protocol >= earlySubscriber {
		s.subscribeToAll(p) // ahead of the offer, so that the first answer may already carry them
	}
	if ev.Offer != nil {
		s.offer(p, *ev.Offer)
	}
}

// admits says whether the join may go on, and if not, why.
func (s *Session) admits(ev Join) (LeaveReason, bool) {
	if until, ok := s.blocked[ev.Identity]; ok {
		if s.now.Before(until) {
			return ParticipantRemoved, false
		}
		delete(s.blocked, ev.Identity)
	}
	if s.byID[ev.ID] != nil {
		return JoinFailure, false
	}
	if s.cfg.MaxParticipants == 0 || ev.Grant.Recorder || ev.Kind == Agent || ev.Kind == Egress {
		return UnknownReason, true
	}
	n := s.counting
	if old := s.byIdentity[ev.Identity]; old != nil && old.counts() {
		n-- // it makes room
	}
	return JoinFailure, n < s.cfg.MaxParticipants
}

// supersede evicts the older stay of an identity that joins again.
func (s *Session) supersede(old *participant) {
	s.tell(old, Goodbye{DuplicateIdentity, ActionDisconnect})
	s.tell(old, Hangup{})
	old.sink = nil
	s.remove(old, DuplicateIdentity)
}

func (s *Session) newParticipant(ev Join) *participant {
	p := &participant{
		id: ev.ID, identity: ev.Identity, kind: ev.Kind, region: ev.Region, settings: ev.Settings, joined: s.now,
		sink: ev.Sink, software: ev.Software, heard: s.now,
		name: ev.Name, metadata: ev.Metadata, attributes: maps.Clone(ev.Attributes), grant: ev.Grant,
		subs:      map[sfu.PublicationID]*subscription{},
		dataSubs:  map[sfu.PublicationID]*dataSubscription{},
		handles:   map[uint16]DataHandle{},
		following: map[*participant]int{}, followers: map[*participant]int{},
	}
	if ev.Settings.Dual && ev.Grant.Subscribe {
		p.primary = Subscriber
	}
	p.patience.participant = p
	p.silence = alarm{why: becauseSimulated, participant: p}
	p.outlet.from = s.packets.count
	return p
}

func (s *Session) welcome(p *participant) Welcome {
	w := Welcome{
		Session: s.View(), Self: p.info(),
		SubscriberPrimary: p.primary == Subscriber,
		SIFTrailer:        s.trailer,
		Publish:           s.encodings(),
		FastPublish:       p.grant.Publish,
	}
	for _, q := range s.order {
		if q != p && !q.hidden() {
			w.Others = append(w.Others, q.info())
		}
	}
	return w
}

// transportChanged moves a participant to Active, or starts to give it up.
func (s *Session) transportChanged(ev TransportChanged) {
	p := s.byID[ev.ID]
	if p == nil {
		return
	}
	switch ev.State {
	case TransportConnected:
		p.everConnected, p.failed = true, false
		if p.state == Active {
			s.alarms.clear(&p.patience)
		} else if ev.Target == p.primary {
			s.activate(p)
		}
	case TransportFailed:
		p.failed, p.heard = true, s.now
		s.tell(p, Goodbye{ConnectionTimeout, ActionResume})
		s.tell(p, Hangup{})
		p.sink = nil
		s.patient(p, becauseFailed, failurePatience)
	}
}

func (s *Session) activate(p *participant) {
	s.alarms.clear(&p.patience)
	p.state = Active
	s.changed(p, false)
	s.notify(ParticipantJoined, p, nil, UnknownReason)
	s.subscribeToAll(p)
	s.subscribeToAllData(p)
	s.replay(p)
}
