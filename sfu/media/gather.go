package media

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"weir/sfu"
)

// Audio of large calls is gathered across publishers (performance.md section 3, decision 5): a packet alone costs a message
// of its own, two for one receiver share one.
const (
	// gatherSpan is how long a packet may wait.
	gatherSpan = 4 * time.Millisecond
	// gatherLeast is how many subscriptions a publication has before it is worth waiting: in small calls latency comes first.
	gatherLeast = 8
	// gatherMemory is how long it counts that a receiver was sent audio of another publication too.
	gatherMemory = 100e6 // ns
	// gatherBytes bounds what waits; what does not fit is forwarded at once.
	gatherBytes = 128 << 10
)

// gather holds audio packets back. Any socket's goroutine puts in; its own goroutine releases.
type gather struct {
	kick chan struct{} // has a token when the first packet was put in

	mu      sync.Mutex // under it: both batches, until one is taken out to be released
	filling *gathered
	spare   *gathered

	// the goroutine's own
	legs   []*Leg
	header [512]byte
}

// gathered is what waits.
type gathered struct {
	runs []run
	buf  []byte // the packets; never moves while they wait
}

// run is the waiting packets of one publication.
type run struct {
	pub   *Publication
	batch []arrival
}

// pick is what one leg gets of a run.
type pick struct {
	sub *Subscription
	run int
}

func newGather() *gather {
	batch := func() *gathered { return &gathered{buf: make([]byte, 0, gatherBytes)} }
	return &gather{kick: make(chan struct{}, 1), filling: batch(), spare: batch()}
}

// worth says whether a publication's packets should wait for others: only where a receiver could get two in one message.
func (g *gather) worth(p *Publication, subs []*Subscription, now int64) bool {
	if g == nil || p.kind != sfu.Audio || len(subs) < gatherLeast {
		return false
	}
	for _, s := range subs[:4] {
		if at := s.leg.mixedAt.Load(); at != 0 && now-at < gatherMemory {
			return true
		}
	}
	return false
}

// hold takes the pending packets of a publication, whose leg is locked; false: there is no room.
func (g *gather) hold(p *Publication) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.filling
	size := 0
	for i := range p.pending {
		size += len(p.pending[i].Raw)
	}
	if len(b.buf)+size > cap(b.buf) {
		return false
	}
	first := len(b.runs) == 0
	r := b.run(p)
	for i := range p.pending {
		a := p.pending[i]
		at := len(b.buf)
		b.buf = append(b.buf, a.Raw...)
		a.Raw = b.buf[at:len(b.buf):len(b.buf)]
		var e elements
		e.find(&p.leg.kinds, &a.Packet)
		a.dependency, a.level, a.captureAt = nil, e[extAudioLevel], e[extCaptureTime]
		r.batch = append(r.batch, a)
	}
	if first {
		select {
		case g.kick <- struct{}{}:
		default:
		}
	}
	return true
}

// run finds or makes the run of a publication.
func (b *gathered) run(p *Publication) *run {
	for i := range b.runs {
		if b.runs[i].pub == p {
			return &b.runs[i]
		}
	}
	if n := len(b.runs); n < cap(b.runs) { // its batch keeps its memory
		b.runs = b.runs[:n+1]
	} else {
		b.runs = append(b.runs, run{})
	}
	r := &b.runs[len(b.runs)-1]
	r.pub = p
	return r
}

func (b *gathered) reset() {
	for i := range b.runs {
		clear(b.runs[i].batch)
		b.runs[i].batch = b.runs[i].batch[:0]
		b.runs[i].pub = nil
	}
	b.runs, b.buf = b.runs[:0], b.buf[:0]
}

// work is the gather's goroutine.
func (g *gather) work(now func() int64, out *Burst, done <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-g.kick:
			timer.Reset(gatherSpan)
		case <-timer.C:
			g.release(now(), out)
		}
	}
}

// release forwards what waits, receiver by receiver. Larger packets go first: in a message only the last may be shorter.
func (g *gather) release(now int64, out *Burst) {
	g.mu.Lock()
	b := g.filling
	g.filling, g.spare = g.spare, nil
	g.mu.Unlock()
	slices.SortFunc(b.runs, func(x, y run) int { return cmp.Compare(len(y.batch[0].Raw), len(x.batch[0].Raw)) })
	for i := range b.runs {
		p := b.runs[i].pub
		if p.muted.Load() {
			continue
		}
		for _, s := range p.subscriptions() {
			l := s.leg
			if len(l.picks) == 0 {
				g.legs = append(g.legs, l)
			}
			l.picks = append(l.picks, pick{s, i})
		}
	}
	for _, l := range g.legs {
		for _, x := range l.picks {
			x.sub.forward(now, b.runs[x.run].batch, out, g.header[:0])
		}
		clear(l.picks)
		l.picks = l.picks[:0]
	}
	out.Flush()
	clear(g.legs)
	g.legs = g.legs[:0]
	b.reset()
	g.mu.Lock()
	g.spare = b
	g.mu.Unlock()
}
