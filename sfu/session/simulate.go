package session

import "time"

// armedFor is how long a simulated cut waits for a resume.
const armedFor = 5 * time.Second

// disconnectOnResume cuts the next connection that takes a participant over.
type disconnectOnResume struct {
	until  time.Time
	silent bool // before any message
}

// simulate behaves badly at a participant's own request, and towards that participant only.
func (s *Session) simulate(p *participant, r Simulate) {
	switch r.Scenario {
	case SimulateSpeaker:
		s.simulateSpeech(p, true)
		seconds := min(max(r.Seconds, 1), 60)
		s.alarms.set(&p.silence, s.now.Add(time.Duration(seconds)*time.Second))
	case SimulateNodeFailure:
		// As if the focus had lost its memory: no goodbye, and a resume will find nobody.
		s.tell(p, Hangup{})
		p.sink = nil
		s.remove(p, UnknownReason)
	case SimulateMigration:
		s.tell(p, Hangup{})
		p.sink, p.heard = nil, s.now
	case SimulateServerLeave:
		s.farewell(p, ServerShutdown, ActionDisconnect)
	case SimulateDisconnectOnResume, SimulateDisconnectOnResumeNoMessages:
		p.disconnect = disconnectOnResume{
			until: s.now.Add(armedFor), silent: r.Scenario == SimulateDisconnectOnResumeNoMessages,
		}
	case SimulateFullReconnect:
		s.farewell(p, StateMismatch, ActionReconnect)
	case SimulateSwitchProtocol, SimulateBandwidth:
		s.do(Simulated{p.id, r})
	}
}

// cutOnResume carries out an armed cut; it reports whether there was one.
func (s *Session) cutOnResume(p *participant, sink Sink) bool {
	armed := s.now.Before(p.disconnect.until)
	silent := p.disconnect.silent
	p.disconnect = disconnectOnResume{}
	if !armed {
		return false
	}
	if p.sink != nil && p.sink != sink {
		s.tell(p, Hangup{})
	}
	if !silent {
		s.do(Tell{sink, Resumed{LastSeq: p.inbound.last}})
	}
	s.do(Tell{sink, Hangup{}})
	p.sink, p.heard = nil, s.now
	return true
}
