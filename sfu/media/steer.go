package media

import (
	"sync"
	"time"
)

// steered is the first of several sockets that share a port.
type steered interface {
	// steer gives all input to this socket, or spreads it over all by the far side's address.
	steer(spread bool) error
}

// Input is spread over the sockets only while one goroutine would have too much of it: together, packets of different
// publishers share wake-ups and messages, and what forwarding touches stays in the caches of one core.
const (
	steerWindow = 200 * time.Millisecond // a reader's load is measured over this long
	steerHold   = 5 * time.Second        // after a change: what moves to another socket may be overtaken once
	spreadAbove = 0.5                    // of one core, by the one reader
	gatherBelow = 0.25                   // of one core, by all readers together
)

// steering decides whether input is spread. All readers of an endpoint share it.
type steering struct {
	to steered

	mu      sync.Mutex // under it: the rest
	spread  bool
	changed int64 // ns on the endpoint's clock
	loads   []readerLoad
}

// readerLoad is how busy one reader is.
type readerLoad struct {
	cores float64
	at    int64 // when it was measured; a reader that gets nothing measures nothing
}

// newSteering begins with one reader; nil: there is only one, or the sockets cannot be steered.
func newSteering(sockets []Socket) *steering {
	to, ok := sockets[0].(steered)
	if !ok || len(sockets) < 2 || to.steer(false) != nil {
		return nil
	}
	return &steering{to: to, changed: -int64(steerHold), loads: make([]readerLoad, len(sockets))}
}

// loaded takes the load of a reader.
func (s *steering) loaded(reader int, cores float64, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads[reader] = readerLoad{cores, now}
	if now-s.changed < int64(steerHold) {
		return
	}
	var all float64
	for _, l := range s.loads {
		if now-l.at < 2*int64(steerWindow) {
			all += l.cores
		}
	}
	want := s.spread
	switch {
	case !s.spread && cores > spreadAbove:
		want = true
	case s.spread && all < gatherBelow:
		want = false
	}
	if want != s.spread && s.to.steer(want) == nil {
		s.spread, s.changed = want, now
		clear(s.loads)
	}
}
