package session

import (
	"slices"
	"time"
)

const (
	batchPeriod = 3 * time.Second // between updates that nobody waits for
	countsDelay = 5 * time.Second // the session's counts reach participants within this
)

// identityReconnect is the lowest protocol whose clients replace a participant by identity: they must not be told
// that the older stay is gone (livekit.md section 5).
const identityReconnect = 12

// updates collects changes that may wait.
type updates struct {
	waiting []*participant
	last    time.Time // of the last batch
	alarm   alarm
}

// changed tells everybody that p is not as it was. Publishers and urgent changes go at once; others at most every
// batchPeriod, the first after a pause at once.
func (s *Session) changed(p *participant, urgent bool) {
	p.touch()
	s.recount()
	s.announce(p, urgent, nil)
}

func (s *Session) announce(p *participant, urgent bool, except *participant) {
	switch {
	case s.closing:
	case p.hidden():
		if p != except {
			s.tell(p, Update{[]ParticipantView{p.info()}})
		}
	case urgent || p.info().IsPublisher:
		s.unbatch(p)
		s.broadcast([]*participant{p}, except)
	case !p.batched && s.updates.alarm.place == 0 && s.now.Sub(s.updates.last) >= batchPeriod:
		s.updates.last = s.now
		s.broadcast([]*participant{p}, except)
	case !p.batched:
		p.batched = true
		s.updates.waiting = append(s.updates.waiting, p)
		s.alarms.setOnce(&s.updates.alarm, s.updates.last.Add(batchPeriod))
	}
}

func (s *Session) unbatch(p *participant) {
	if !p.batched {
		return
	}
	p.batched = false
	if i := slices.Index(s.updates.waiting, p); i >= 0 {
		s.updates.waiting = slices.Delete(s.updates.waiting, i, i+1)
	}
}

func (s *Session) flushUpdates() {
	waiting := s.updates.waiting
	s.updates.waiting, s.updates.last = nil, s.now
	kept := waiting[:0]
	for _, p := range waiting {
		p.batched = false
		if !p.hidden() {
			kept = append(kept, p)
		}
	}
	s.broadcast(kept, nil)
}

// broadcast tells everybody but except about ps, none of whom is hidden.
func (s *Session) broadcast(ps []*participant, except *participant) {
	var all, current []ParticipantView
	for _, p := range ps {
		v := p.info()
		all = append(all, v)
		if !s.replaced(p) {
			current = append(current, v)
		}
	}
	var full, modern Message = Update{all}, Update{current}
	for _, q := range s.order {
		switch {
		case q == except || q.sink == nil:
		case q.software.Protocol < identityReconnect && len(all) > 0:
			s.tell(q, full)
		case q.software.Protocol >= identityReconnect && len(current) > 0:
			s.tell(q, modern)
		}
	}
}

// recount plans a SessionUpdate if its numbers changed, and starts or stops the clock of an empty session.
func (s *Session) recount() {
	if s.count() {
		s.alarms.setOnce(&s.countsAlarm, s.now.Add(countsDelay))
	}
	s.watchVacancy()
}
