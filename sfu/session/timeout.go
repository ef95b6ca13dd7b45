package session

import "time"

const (
	defaultEmpty     = 300 * time.Second
	defaultDeparture = 20 * time.Second
	joinPatience     = time.Minute      // to become Active
	failurePatience  = 5 * time.Second  // to resume after a transport failed
	resumePatience   = 20 * time.Second // for the transport to come back after a resume: ICE takes 10 to 20 s
)

func (s *Session) emptyTimeout() time.Duration {
	if s.cfg.EmptyTimeout > 0 {
		return time.Duration(s.cfg.EmptyTimeout) * time.Second
	}
	return defaultEmpty
}

func (s *Session) departureTimeout() time.Duration {
	if s.cfg.DepartureTimeout > 0 {
		return time.Duration(s.cfg.DepartureTimeout) * time.Second
	}
	return defaultDeparture
}

// watchVacancy stops the clock of an empty session when somebody is here, and starts it when the last has left.
func (s *Session) watchVacancy() {
	if s.counting > 0 {
		s.populated = true
		s.alarms.clear(&s.vacancy)
	} else {
		s.alarms.setOnce(&s.vacancy, s.now.Add(s.departureTimeout()))
	}
}

// finish ends the session for whoever is still in it.
func (s *Session) finish(why LeaveReason) {
	s.dismiss(why)
	s.end(why)
}

// dismiss sends everybody away. Nobody is told of the others' going.
func (s *Session) dismiss(why LeaveReason) {
	s.closing = true
	action := ActionDisconnect
	if why == ServerShutdown {
		action = ActionReconnect // the call is not over: a restarted focus, or another, takes them in again
	}
	for len(s.order) > 0 {
		s.farewell(s.order[len(s.order)-1], why, action)
	}
	s.notify(SessionFinished, nil, nil, why)
}

func (s *Session) end(why LeaveReason) {
	s.ended = true
	s.alarms = alarms{}
	s.do(Ended{why})
}

// patient gives p some time before why is acted upon.
func (s *Session) patient(p *participant, why reason, d time.Duration) {
	s.alarms.clear(&p.patience)
	p.patience.why = why
	s.alarms.set(&p.patience, s.now.Add(d))
}
