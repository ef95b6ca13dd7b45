package media

import (
	"sync"
	"time"

	"weir/sfu/session"
)

const (
	// gateHigh of unacknowledged reliable data put a receiver behind, gateLow end that. Between gateHigh and
	// reliableQueue is room for what is on its way: the inbox, and one message of each sender.
	gateHigh = 512 << 10
	gateLow  = 128 << 10
	// A receiver that takes less than gateStep in gatePatience holds nobody back: 22 kB/s, past SCTP's repeated timeouts.
	gateStep     = 64 << 10
	gatePatience = 3 * time.Second
	gatePeriod   = 5 * time.Millisecond
)

// gate slows senders of reliable data down to what receivers take. A sender waits on the goroutine that reads its
// channel, so that SCTP's window tells it; its media and the other channels' messages go on. One gate serves a session.
type gate struct {
	inbox *inbox

	mu     sync.Mutex
	behind map[*channels]progress
}

// progress of a receiver that is behind.
type progress struct {
	waiting uint64 // bytes, when it last had taken a step
	at      time.Time
	stuck   bool // holds nobody back until it has caught up
}

func newGate(in *inbox) *gate { return &gate{inbox: in, behind: map[*channels]progress{}} }

// sent looks at a receiver after something was queued for it.
func (g *gate) sent(now time.Time, d *channels) {
	waiting := d.waiting()
	if waiting < gateHigh {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.behind[d]; !known {
		g.behind[d] = progress{waiting: waiting, at: now}
	}
}

// open says whether a sender may go on.
func (g *gate) open(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	free := true
	for d, p := range g.behind {
		next, done := p.step(d.waiting(), now)
		if done {
			delete(g.behind, d)
			continue
		}
		g.behind[d] = next
		free = free && next.stuck
	}
	return free
}

// step brings a receiver's progress up to date; done: it has caught up.
func (p progress) step(waiting uint64, now time.Time) (next progress, done bool) {
	switch {
	case waiting <= gateLow:
		return p, true
	case waiting+gateStep <= p.waiting:
		p.waiting, p.at = waiting, now
	case now.Sub(p.at) >= gatePatience:
		p.stuck = true
	}
	return p, false
}

// forget drops a receiver that is gone.
func (g *gate) forget(d *channels) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.behind, d)
}

// wait holds a sender until the gate is open and the session's inbox has room, or done is closed.
func (g *gate) wait(done <-chan struct{}) {
	if !g.inbox.crowded() && g.open(time.Now()) {
		return
	}
	tick := time.NewTicker(gatePeriod)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			if !g.inbox.crowded() && g.open(now) {
				return
			}
		}
	}
}

// waiting is how much reliable data the far side has not acknowledged; 0 when the channel is closed.
func (d *channels) waiting() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.open[session.Reliable]; c != nil && !d.t.closed.Load() {
		return c.stream.BufferedAmount()
	}
	return 0
}
