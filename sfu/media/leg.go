package media

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// Leg is the media of one transport: what comes in on it (upstream.go) and what leaves on it (downstream.go).
//
// Lock order: a leg, a subscription, a stream or publication, an Outbound. Nobody holds the locks of two legs.
//
// What every packet that leaves needs stands first, see Subscription.
type Leg struct {
	out          *Outbound
	octetsOut    atomic.Uint64
	picks        []pick // under gather.releasing
	transportSeq uint16 // under the Outbound's lock
	engine       *Engine

	participant *Participant
	transport   carrier
	ssrc        uint32 // names us in RTCP

	sends  atomic.Pointer[map[uint32]*Subscription] // by media SSRC and by RTX SSRC
	trip   atomic.Int64                             // round trip in ns as last looked up; 0: unknown
	urgent atomic.Bool                              // something waits for the ticker
	hurry  atomic.Bool                              // a first sender report became possible

	replays replays // under the Outbound's lock

	voices atomic.Pointer[[]*Publication] // whose audio it sends

	next int64 // when the ticker comes again; the ticker only

	mu       sync.Mutex // under it: the rest; Handler calls, ticks and negotiation hold it
	kinds    extensionMap
	sections map[string]*section
	origins  map[uint32]origin
	parked   map[uint32]parking
	pubs     []*Publication
	dirty    []*Publication // with pending packets
	viewers  viewers        // of the one being forwarded
	arrivals arrivals
	spaces   map[uint32]*space // by SSRC; outlive their subscriptions
	asks     []ask
	goodbyes []uint32
	missing  []sfu.Seq // scratch of askAgain
	scratch  arrival
	header   [512]byte // scratch of outgoing headers
	packet   []byte    // scratch of outgoing RTCP and repairs
	quiet    bool      // nothing came for a while: the ticker sleeps until something does
	lastIn   int64
	octetsIn uint64
	due      deadlines
	seen     observed
}

// deadlines of a leg, in ns; 0: at once.
type deadlines struct{ feedback, report, measure, sender, first int64 }

// observed is what was measured since the loop last asked.
type observed struct {
	at                 int64
	octetsIn           uint64
	octetsOut          uint64
	reported, lost     uint64 // packets downstream, by receiver reports
	jitter             uint32 // worst downstream, in µs
	acked, missed      uint64 // packets downstream, by transport-wide feedback
	foreign            uint64
	heardSinceObserved bool
}

func newLeg(e *Engine, p *Participant) *Leg {
	l := &Leg{
		engine: e, participant: p, ssrc: rand.Uint32() | 1, quiet: true,
		spaces: make(map[uint32]*space), origins: make(map[uint32]origin),
		sections: make(map[string]*section), parked: make(map[uint32]parking),
	}
	l.setSends(map[uint32]*Subscription{})
	return l
}

// wake runs the leg's tick soon. It never blocks.
func (l *Leg) wake() {
	l.urgent.Store(true)
	l.engine.wake()
}

// heard notes that something came. Under the lock.
func (l *Leg) heard(now int64, n int) {
	l.lastIn = now
	l.octetsIn += uint64(n)
	l.seen.heardSinceObserved = true
	if l.quiet {
		l.quiet = false
		if len(l.pubs) > 0 {
			l.wake()
		}
	}
}

func (l *Leg) addPublication(p *Publication) {
	l.mu.Lock()
	l.pubs = append(l.pubs, p)
	l.mu.Unlock()
}

func (l *Leg) closePublication(p *Publication) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pubs = slices.DeleteFunc(l.pubs, func(o *Publication) bool { return o == p })
	l.dirty = slices.DeleteFunc(l.dirty, func(o *Publication) bool { return o == p })
	for ssrc, rt := range l.origins {
		if rt.section.pub == p {
			l.park(ssrc, rt)
		}
	}
	for _, s := range l.sections {
		if s.pub == p {
			s.pub = nil
		}
	}
	p.setStreams(nil)
	p.pending = nil
}

// observe adds what was measured to o and starts anew.
func (l *Leg) observe(now int64, o *session.LinkObserved) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var expected, missing uint64
	for _, p := range l.pubs {
		for _, st := range p.streams {
			e, m := st.reception.lossSince()
			expected, missing = expected+e, missing+m
			if st.format != nil {
				ms := float64(st.reception.jitter>>4) * 1000 / float64(st.format.Codec.ClockRate())
				o.JitterMS = max(o.JitterMS, ms)
			}
		}
	}
	if expected > 0 {
		o.UpstreamLoss = float64(missing) / float64(expected)
	}
	s := &l.seen
	if s.reported > 0 {
		o.DownstreamLoss = min(float64(s.lost)/float64(s.reported), 1)
	}
	o.JitterMS = max(o.JitterMS, float64(s.jitter)/1000)
	out := l.octetsOut.Load()
	if d := now - s.at; s.at != 0 && d > 0 {
		o.UpstreamBPS += float64(l.octetsIn-s.octetsIn) * 8e9 / float64(d)
		o.DownstreamBPS += float64(out-s.octetsOut) * 8e9 / float64(d)
	}
	o.MediaSeen = o.MediaSeen || s.heardSinceObserved
	o.RTT = max(o.RTT, l.lookUpRTT())
	*s = observed{at: now, octetsIn: l.octetsIn, octetsOut: out, acked: s.acked, missed: s.missed, foreign: s.foreign}
}

// lookUpRTT asks the transport for its round trip, which may take a while; the packet path reads what it said last.
func (l *Leg) lookUpRTT() time.Duration {
	if l.transport == nil {
		return 0
	}
	d := l.transport.RTT()
	l.trip.Store(int64(d))
	return d
}

// rtt is the round trip of the transport, or a guess.
func (l *Leg) rtt() time.Duration {
	if d := l.trip.Load(); d > 0 {
		return time.Duration(d)
	}
	return 100 * time.Millisecond
}

// sendRTCP seals and queues one compound packet.
func (l *Leg) sendRTCP(out *Burst, b []byte) {
	if len(b) == 0 || l.out == nil || !l.out.Ready() {
		return
	}
	l.out.Lock()
	out.SendRTCP(l.out, b)
	l.out.Unlock()
}
