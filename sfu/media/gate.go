package media

import (
	"sync"
	"time"

	"weir/sfu/session"
)

const (
	// gateHigh of unacknowledged reliable data put a receiver behind, gateLow end that. Between gateHigh and
	// reliableQueue is room for what is on its way: the inbox, and what senders may send at any time.
	gateHigh = 512 << 10
	gateLow  = 128 << 10
	// A receiver that takes less than gateStep in gatePatience holds nobody back: 64 kB/s, past SCTP's repeated timeouts.
	// Its queue overflows, and it is sent away: one slow reader must not block others (livekit.md section 7).
	gateStep     = 192 << 10
	gatePatience = 3 * time.Second
	gatePeriod   = 5 * time.Millisecond
	// freeBurst and freeRate of reliable data pass at any time: calls and chat do not wait behind somebody's file.
	freeBurst = 128 << 10
	freeRate  = 64 << 10 // bytes per second
)

// gate slows senders of much reliable data down to what receivers take. A sender waits on the goroutine that reads its
// channel, so that SCTP's window tells it; its media goes on. One gate serves a session.
type gate struct {
	inbox *inbox

	mu     sync.Mutex
	behind map[*channels]progress
	looked time.Time // when free was found
	free   bool
}

// progress of a receiver that is behind.
type progress struct {
	taken uint64 // bytes, at its last step
	at    time.Time
	stuck bool // holds nobody back until it has caught up
}

func newGate(in *inbox) *gate { return &gate{inbox: in, behind: map[*channels]progress{}} }

// sent looks at a receiver after something was queued for it.
func (g *gate) sent(now time.Time, d *channels) {
	waiting, taken := d.backlog()
	if waiting < gateHigh {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.behind[d]; !known {
		g.behind[d] = progress{taken: taken, at: now}
		g.looked = time.Time{}
	}
}

// open says whether senders of much may go on. Many may ask: they share an answer for a while.
func (g *gate) open(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.looked) < gatePeriod/2 {
		return g.free
	}
	g.looked, g.free = now, true
	for d, p := range g.behind {
		waiting, taken := d.backlog()
		next, done := p.step(waiting, taken, now)
		if done {
			delete(g.behind, d)
			continue
		}
		g.behind[d] = next
		g.free = g.free && next.stuck
	}
	return g.free
}

// step brings a receiver's progress up to date; done: it has caught up.
func (p progress) step(waiting, taken uint64, now time.Time) (next progress, done bool) {
	switch {
	case waiting <= gateLow:
		return p, true
	case taken >= p.taken+gateStep:
		p.taken, p.at = taken, now
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
	g.looked = time.Time{}
}

// wait holds a sender of n bytes until the inbox has room for it and the gate is open, or done is closed.
func (g *gate) wait(from *share, n int, done <-chan struct{}) {
	pass := func(now time.Time) bool {
		return g.inbox.room(from) && (from.free.take(now, n) || g.open(now))
	}
	if pass(time.Now()) {
		return
	}
	tick := time.NewTicker(gatePeriod)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			if pass(now) {
				return
			}
		}
	}
}

// allowance is what a sender may send while receivers are behind: a token bucket that begins full.
type allowance struct {
	mu   sync.Mutex // a sender has a goroutine for each of its channels
	used float64    // bytes
	at   time.Time
}

func (a *allowance) take(now time.Time, n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = max(0, a.used-now.Sub(a.at).Seconds()*freeRate)
	a.at = now
	if a.used+float64(n) > freeBurst {
		return false
	}
	a.used += float64(n)
	return true
}

// backlog is how much reliable data the far side has yet to acknowledge, and how much it ever did; 0 waits when the
// channel is closed.
func (d *channels) backlog() (waiting, taken uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	queued := d.queued.Load()
	if c := d.open[session.Reliable]; c != nil && !d.t.closed.Load() {
		waiting = c.stream.BufferedAmount()
	}
	return waiting, queued - min(waiting, queued)
}
