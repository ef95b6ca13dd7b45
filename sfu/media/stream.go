package media

import (
	"math/bits"
	"sync"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/history"
	"weir/sfu/loss"
	"weir/sfu/negotiate"
	"weir/sfu/rewrite"
)

// stream is one SSRC of a publisher. Its leg owns it.
type stream struct {
	// fixed
	ssrc    uint32
	pub     *Publication
	spatial int8  // simulcast layer; 0 where the layers are inside the stream
	rank    int   // of its section in the publication: 0 is the primary codec
	svc     bool  // the packets name their spatial layer
	id      uint8 // what the rewriting of subscriptions calls it; unique among the living ones of a publication
	opened  int64 // ns, the leg's last input then

	// under the leg's lock
	rtx       uint32 // SSRC of its retransmissions; 0: not known
	format    *negotiate.Format
	reader    codec.Reader
	reception reception
	timing    *rewrite.Clock
	missing   *loss.Tracker // nil: nack was not agreed
	recent    int64         // arrival of the last packet
	opening   opening

	mu      sync.Mutex // under it: the rest, which NACKs and reports of subscribers read
	history *history.Ring
	clock   clockMap
	ids     negotiate.Extensions // of the publisher
}

// clockMap ties the RTP clock of a stream to its publisher's NTP clock: the last sender report (RFC 3550 section 6.4.1).
type clockMap struct {
	ntp       uint64
	timestamp uint32
	at        int64 // arrival; 0: no report yet
}

// arrival is a packet that waits for the end of its input batch. Everything in it is borrowed from the reader.
type arrival struct {
	stream *stream
	format *negotiate.Format
	sfu.Packet
	desc                         codec.Description
	dependency, level, captureAt []byte
}

// reception counts what came of one stream (RFC 3550 appendices A.1, A.3, A.8).
type reception struct {
	base, highest   sfu.ExtSeq
	received        uint64
	repaired        uint64 // came again on the RTX stream; not in received
	priorExpected   uint64
	priorReceived   uint64
	windowExpected  uint64 // at the last observation, see lossSince
	windowReceived  uint64
	jitter, transit uint32 // jitter ×16, in clock ticks
}

// note takes a packet that came for the first time, not as a retransmission.
func (r *reception) note(seq sfu.ExtSeq, timestamp uint32, now int64, rate uint32) {
	transit := ticks(now, rate) - timestamp
	if r.received == 0 {
		r.base, r.highest, r.transit = seq, seq, transit
	}
	r.received++
	if seq < r.highest {
		r.base = min(r.base, seq)
		return
	}
	r.highest = seq
	d := int32(transit - r.transit)
	r.transit = transit
	if d < 0 {
		d = -d
	}
	r.jitter += uint32(d) - (r.jitter+8)>>4
}

func (r *reception) expected() uint64 {
	if r.received == 0 {
		return 0
	}
	return uint64(r.highest-r.base) + 1
}

// report fills the loss and jitter of a report block and starts the next interval.
func (r *reception) report(b *reportBlock) {
	expected := r.expected()
	interval := int64(expected - r.priorExpected)
	lost := interval - int64(r.received-r.priorReceived)
	r.priorExpected, r.priorReceived = expected, r.received
	b.fraction = 0
	if interval > 0 && lost > 0 {
		b.fraction = uint8(min(lost<<8/interval, 255))
	}
	b.lost = int32(max(min(int64(expected)-int64(r.received), 1<<23-1), -1<<23))
	b.highest = uint32(r.highest - 1<<16) // the stream began at 1<<16 + first
	b.jitter = r.jitter >> 4
}

// lossSince returns what was expected and what is missing for good since it was last asked.
func (r *reception) lossSince() (expected, missing uint64) {
	all, got := r.expected(), r.received+r.repaired
	expected = all - r.windowExpected
	if g := got - r.windowReceived; g < expected {
		missing = expected - g
	}
	r.windowExpected, r.windowReceived = all, got
	return expected, missing
}

// newStream is made under the leg's lock.
func newStream(ssrc uint32, s *section, spatial int8, id uint8) *stream {
	st := &stream{ssrc: ssrc, pub: s.pub, spatial: spatial, rank: s.rank, id: id, history: history.New(history.ForKind(s.pub.kind)), opening: opening{key: noKey}}
	st.ids, st.svc = s.receive.Extensions, s.svc()
	for _, f := range s.receive.Formats {
		if f.Feedback.Has(negotiate.NACK) {
			st.missing = loss.New(loss.Config{})
			break
		}
	}
	return st
}

// keep stores the packet; false: it came before.
func (st *stream) keep(p *sfu.Packet) bool {
	st.mu.Lock()
	_, fresh := st.history.Put(p)
	st.mu.Unlock()
	return fresh
}

// senderReport takes the publisher's report, and tells whether it is the first.
func (st *stream) senderReport(ntp uint64, timestamp uint32, now int64) (first bool) {
	st.mu.Lock()
	first = st.clock.at == 0
	st.clock = clockMap{ntp: ntp, timestamp: timestamp, at: now}
	st.mu.Unlock()
	return first
}

// learn takes over what the publisher negotiated anew.
func (st *stream) learn(s *section) {
	st.mu.Lock()
	st.ids = s.receive.Extensions
	st.mu.Unlock()
}

// sync is the clock map as another goroutine may read it.
func (st *stream) sync() clockMap {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.clock
}

// layerSet is a set of spatial layers.
type layerSet uint32

func (s layerSet) has(l int8) bool { return l >= 0 && s&(1<<l) != 0 }

// best is the layer to forward for a wanted one: the highest that flows up to it, else the lowest that flows.
func (s layerSet) best(want int8) int8 {
	if s == 0 || want < 0 {
		return want
	}
	if below := s & (2<<want - 1); below != 0 {
		return int8(bits.Len32(uint32(below))) - 1
	}
	return int8(bits.TrailingZeros32(uint32(s)))
}
