package media

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"weir/sfu"
)

// Audio of large calls is gathered across publishers (performance.md section 3, decision 5): a packet alone costs a message
// of its own, two for one receiver share one. Microphones send at a steady pace, so it is known when the next packets are
// due: one waits only for such as come soon, and no longer than for the last of them.
const (
	// DefaultAudioWait is how long a packet may wait in a call of gatherMany listeners. Of five microphones that nobody
	// synchronised, 5 ms join 2.1 packets into a message on average, 10 ms join 3.7: a quarter of what such a call costs.
	DefaultAudioWait = 10 * time.Millisecond
	gatherMany       = 50
	// gatherSpan is how long it may wait in smaller calls.
	gatherSpan = 5 * time.Millisecond
	// gatherMargin is how late a packet may be that others wait for.
	gatherMargin = time.Millisecond
	// gatherPace is the longest time between two packets that counts as a pace: silence makes longer ones.
	gatherPace = 60 * time.Millisecond
	// gatherLeast is how many subscriptions a publication has before it is worth waiting: in small calls latency comes first.
	gatherLeast = 8
	// gatherBytes bounds what waits; when it is full all is sent at once.
	gatherBytes = 128 << 10
)

// gather holds audio packets back. Any socket's goroutine puts in; the one that put the first packet in releases, or the
// one that put in what was waited for; where a socket knows no alarm the gather's own. A publication's packets leave in
// the order in which they came: while some of them wait, those that follow wait behind them.
//
// Lock order: a leg, releasing, a subscription.
type gather struct {
	most int64         // ns that a packet may wait
	kick chan struct{} // has a token when due changed and whoever did it cannot release
	ring func(now int64, out *Burst)

	releasing sync.Mutex // held until what was released is written: batches leave in order. Under it:
	legs      []*Leg
	leaving   []run // being released
	header    [512]byte

	mu      sync.Mutex // under it: the rest, and the cadence of publications; batches until one is taken out to be released
	filling *gathered
	spare   *gathered
	round   uint32 // counts releases
	opened  int64  // when the first packet was put in; 0: nothing waits
	due     int64  // when to release
	awaited int    // publications whose next packet is waited for
}

// cadence is when a publication's packets come. Under the gather's lock.
type cadence struct {
	timestamp uint32 // of the last packet
	expected  int64  // when the next one should come; 0: nobody knows
	round     uint32 // the last one that it took part in, with a packet or awaited
	awaited   bool
	waiting   int // batches that hold packets
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

func newGather(most time.Duration) *gather {
	batch := func() *gathered { return &gathered{buf: make([]byte, 0, gatherBytes)} }
	g := &gather{most: int64(most), kick: make(chan struct{}, 1), filling: batch(), spare: batch(), round: 1}
	g.ring = g.alarm
	return g
}

// hold takes the pending packets of a publication, whose leg is locked, if they should wait; false: they go at once.
func (g *gather) hold(p *Publication, subs []*Subscription, now int64, out *Burst) bool {
	if g == nil || p.kind != sfu.Audio {
		return false
	}
	size := 0
	for i := range p.pending {
		size += len(p.pending[i].Raw)
	}
	g.mu.Lock()
	if len(g.filling.buf)+size > gatherBytes {
		g.mu.Unlock()
		g.release(now, out)
		if size > gatherBytes {
			return false
		}
		g.mu.Lock()
	}
	p.keepTime(now, len(subs))
	before := g.due
	g.await(p, subs, now)
	if p.cadence.waiting == 0 && (g.due == 0 || len(subs) < gatherLeast) {
		g.mu.Unlock()
		return false
	}
	if g.opened == 0 {
		g.opened, g.due = now, max(g.due, now)
	}
	g.due = min(g.due, now+g.patience(len(subs))) // others may have more
	g.filling.put(p)
	if c := &p.cadence; c.round == g.round && c.awaited {
		g.awaited--
		c.awaited = false
	} else {
		c.round = g.round
	}
	if g.awaited == 0 {
		g.due = now
	}
	due := g.due
	g.mu.Unlock()
	if due != before && !out.Later(now, due, g.ring) {
		select {
		case g.kick <- struct{}{}:
		default:
		}
	}
	return true
}

// patience is how long a packet to so many listeners may wait, in ns.
func (g *gather) patience(listeners int) int64 {
	if listeners >= gatherMany {
		return g.most
	}
	return min(g.most, int64(gatherSpan))
}

// keepTime notes when the next packet should come.
func (p *Publication) keepTime(now int64, subscribers int) {
	c, ts := &p.cadence, p.pending[len(p.pending)-1].Timestamp
	pace := int64(ts-c.timestamp) * 1e9 / int64(sfu.Opus.ClockRate())
	c.timestamp, c.expected = ts, 0
	if pace > 0 && pace <= int64(gatherPace) && subscribers >= gatherLeast {
		c.expected = now + pace
	}
}

// await finds the publications whose next packet p shall wait for: those that p's first subscriber hears too.
func (g *gather) await(p *Publication, subs []*Subscription, now int64) {
	if len(subs) < gatherLeast {
		return
	}
	last := now + g.patience(len(subs))
	if g.opened != 0 {
		last = g.opened + g.patience(len(subs))
	}
	for _, q := range *subs[0].leg.voices.Load() {
		c := &q.cadence
		if q == p || c.round == g.round || c.expected <= now-int64(gatherMargin) || c.expected > last {
			continue
		}
		c.round, c.awaited = g.round, true
		g.awaited++
		g.due = max(g.due, min(c.expected+int64(gatherMargin), last))
	}
}

// put copies the pending packets of a publication.
func (b *gathered) put(p *Publication) {
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
	p.cadence.waiting++
	return r
}

func (b *gathered) reset() {
	for i := range b.runs {
		b.runs[i].pub.cadence.waiting--
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
			g.mu.Lock()
			wait := time.Duration(g.due - now())
			g.mu.Unlock()
			timer.Reset(wait)
		case <-timer.C:
			g.release(now(), out)
		}
	}
}

// alarm releases when it is time.
func (g *gather) alarm(now int64, out *Burst) {
	g.mu.Lock()
	due := g.due
	g.mu.Unlock()
	switch {
	case due == 0: // somebody else did
	case now >= due:
		g.release(now, out)
	default:
		out.Later(now, due, g.ring)
	}
}

// release forwards what waits, receiver by receiver. Larger packets go first: in a message only the last may be shorter.
func (g *gather) release(now int64, out *Burst) {
	g.releasing.Lock()
	defer g.releasing.Unlock()
	g.mu.Lock()
	b := g.filling
	g.filling, g.spare = g.spare, nil
	g.round++
	g.opened, g.due, g.awaited = 0, 0, 0
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
	g.leaving = b.runs
	out.serve(now, g, len(g.legs), g.header[:0])
	g.leaving = nil
	out.Flush()
	clear(g.legs)
	g.legs = g.legs[:0]
	g.mu.Lock()
	b.reset()
	g.spare = b
	g.mu.Unlock()
}

// serve sends one listener what there is for it.
func (g *gather) serve(now int64, i int, out *Burst, header []byte) {
	l := g.legs[i]
	for _, x := range l.picks {
		x.sub.forward(now, g.leaving[x.run].batch, out, header)
	}
	clear(l.picks)
	l.picks = l.picks[:0]
}
