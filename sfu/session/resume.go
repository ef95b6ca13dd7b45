package session

import (
	"maps"
	"time"

	"weir/sfu"
)

// goneSlack is how much before the last sign of life a departure is told again (livekit.md section 3).
const goneSlack = 3 * time.Second

// goneTold is the lowest protocol whose clients take departures on a resume.
const goneTold = 9

// resume gives a participant a new connection. Resumed comes before everything else: clients discard what is earlier.
func (s *Session) resume(ev Resume) {
	p := s.byID[ev.ID]
	if p == nil || p.identity != ev.Identity {
		s.do(Tell{ev.Sink, Goodbye{StateMismatch, ActionReconnect}})
		s.do(Tell{ev.Sink, Hangup{}})
		return
	}
	if s.cutOnResume(p, ev.Sink) {
		return
	}
	if p.sink != nil && p.sink != ev.Sink {
		s.tell(p, Hangup{})
	}
	since := p.heard.Add(-goneSlack)
	p.sink, p.heard = ev.Sink, s.now
	if ev.Software.Protocol != 0 {
		p.software = ev.Software
		p.view = nil
	}
	if p.failed {
		s.patient(p, becauseFailed, resumePatience)
	}
	s.tell(p, Resumed{LastSeq: p.inbound.last})
	s.catchUp(p, since)
	s.do(RestartICE{p.id, p.sink})
}

// catchUp tells p what it may have missed since then.
func (s *Session) catchUp(p *participant, since time.Time) {
	var gone []ParticipantView
	for _, d := range s.gone {
		replaced := s.byIdentity[d.view.Identity] != nil
		if !d.at.Before(since) && (!replaced || p.software.Protocol < identityReconnect) {
			gone = append(gone, d.view)
		}
	}
	if len(gone) > 0 && p.software.Protocol >= goneTold {
		s.tell(p, Update{gone})
	}
	var here []ParticipantView
	for _, q := range s.order {
		if q == p || !q.hidden() {
			here = append(here, q.info())
		}
	}
	s.tell(p, Update{here})
	s.tell(p, SessionUpdate{s.View()})
	if p.regranted {
		s.regrant(p)
	}
	for _, q := range s.order {
		for _, pub := range q.pubs {
			if sub := p.subs[pub.id]; sub != nil && pub.published {
				s.settle(sub)
			}
		}
	}
	for _, pub := range p.pubs {
		if pub.published && pub.demand.told[0] < pub.top(0) && pub.view.Kind == sfu.Video {
			s.tellDemand(pub)
		}
	}
	if len(p.handles) > 0 {
		s.tell(p, DataHandles{maps.Clone(p.handles)})
	}
}

// sync compares what a resuming client believes with what is.
func (s *Session) sync(p *participant, r Sync) {
	if !s.agrees(p, r) {
		s.farewell(p, StateMismatch, ActionReconnect)
		return
	}
	for _, id := range r.Disabled {
		s.trackSetting(p, TrackSetting{Publications: []sfu.PublicationID{id}, Disabled: true})
	}
	if r.Subscription != nil {
		s.subscribe(p, *r.Subscription)
	}
}

// agrees is false if the client holds a publication without knowing which, or one that is not here.
func (s *Session) agrees(p *participant, r Sync) bool {
	for _, pub := range r.Publications {
		if pub.Publication == "" || p.publication(pub.Publication) == nil {
			return false
		}
	}
	for _, t := range r.DataTracks {
		if known := s.dataTracks[t.ID]; t.ID == "" || known == nil || known.owner != p {
			return false
		}
	}
	return true
}
