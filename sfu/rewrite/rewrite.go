// Package rewrite gives one subscription a single, gapless space of sequence numbers, timestamps, picture ids and frame
// numbers, whichever streams of the publication its packets come from. It is pure; the subscription owns its Mapper.
//
// The space is made of segments. A segment is a run of packets from one stream that share their offsets; a layer switch, a
// resume or a jump begins the next. Each outgoing number remembers the incoming one, for retransmissions. A gap in the
// input keeps its numbers free for the packets to come late; a packet that is not forwarded leaves no gap.
package rewrite

import (
	"time"

	"weir/sfu"
	"weir/sfu/codec"
)

const (
	segments = 16  // remembered; a power of two
	maxGap   = 256 // a longer gap in the input is closed: nobody asks for so many packets again

	// farOff is when two ways to tell the time disagree so much that one of the clocks jumped.
	farOff = 3 * time.Second
)

// Config of a subscription's space.
type Config struct {
	ClockRate uint32
	// Depth is how many outgoing packets can be traced back: a power of two.
	Depth int
	// ClosePictures renumbers the pictures behind one that was not forwarded. VP8 receivers take a missing picture id for a
	// lost frame. Elsewhere references are distances between the numbers, which therefore keep their gaps.
	ClosePictures bool
	// First is the extended number of the first packet. 0: its own, in the lower half of the numbers: a receiver that misses all
	// before a rollover would count wrongly for ever (RFC 3711 section 3.3.1).
	First sfu.ExtSeq
	// Straight leaves the traces of packets that follow each other unwritten until somebody asks: for streams that are hardly
	// ever repaired, the trace is memory that every packet would have to fetch.
	Straight bool
}

// ForCodec is the space for a codec.
func ForCodec(c sfu.Codec) Config {
	cfg := Config{ClockRate: c.ClockRate(), Depth: 1024, ClosePictures: c == sfu.VP8}
	if c.Kind() == sfu.Audio {
		cfg.Depth, cfg.Straight = 256, true // five seconds of 20 ms packets
	}
	return cfg
}

// In is one packet that is to be forwarded.
type In struct {
	Packet  *sfu.Packet
	Numbers codec.Numbers
	Stream  uint8
	Clock   *Clock // of the stream
	Start   bool   // forwarding of this stream starts here: at a switch, after a pause
	Marker  bool   // the marker bit to send
}

// Out is what the packet gets.
type Out struct {
	Seq       sfu.ExtSeq
	Timestamp uint32
	Numbers   codec.Numbers
	Marker    bool
}

const (
	sent    = 1 << iota // the number was used
	marker              // with the marker bit
	dropped             // the packet came late and is not forwarded: the number stays empty
	own                 // a packet of the focus: nothing came in for it
)

// entry traces one outgoing number.
type entry struct {
	in      uint32 // low half of the incoming number
	picture uint16 // offset
	segment uint8
	flags   uint8
}

type segment struct {
	clock             *Clock
	firstOut, lastOut sfu.ExtSeq // numbers of the segment
	firstIn, lastIn   sfu.ExtSeq
	timestamp         uint32 // offsets, added to the incoming numbers
	picture, frame    uint16
	lastPicture       uint16 // highest incoming picture id
	tl0, key          uint8
	stream            uint8
}

// Mapper is the space of one subscription. The zero value is not ready: see New. What every packet needs stands together:
// in a large call it is read from far memory each time.
type Mapper struct {
	next     sfu.ExtSeq // 0: nothing was sent yet
	at       int64      // when the packet with the highest numbers arrived
	last     Out        // highest numbers sent
	straight bool       // as configured
	cur      uint8      // counts segments; that of now
	now      segment    // being filled
	traced   sfu.ExtSeq // numbers from here on are of packets that followed each other; their entries are not written yet
	ring     []entry
	cfg      Config
	past     *[segments]segment // before now; nil: there were none
}

// New makes an empty space; it takes memory with the first packet.
func New(cfg Config) *Mapper {
	if cfg.ClockRate == 0 {
		cfg.ClockRate = sfu.VP8.ClockRate()
	}
	if cfg.Depth <= 0 {
		cfg.Depth = 1024
	}
	return &Mapper{cfg: cfg, straight: cfg.Straight}
}

// Ready says whether New made it.
func (m *Mapper) Ready() bool { return m.cfg.Depth != 0 }

// Adopt takes over how the numbers of another codec go: the packets to come are in it.
func (m *Mapper) Adopt(cfg Config) {
	m.cfg.ClockRate, m.cfg.ClosePictures = cfg.ClockRate, cfg.ClosePictures
}

// Rest gives back the memory of what was sent, and no more of it can be traced. What is sent next goes on from there.
func (m *Mapper) Rest() {
	m.ring, m.past = nil, nil
	m.now.firstOut = 0
	m.traced = m.next
}

// segment finds one that is remembered, by its count.
func (m *Mapper) segment(id uint8) *segment {
	if id == m.cur || m.past == nil {
		return &m.now
	}
	return &m.past[id%segments]
}

// Map numbers a packet. False: it must not be sent (twice the same, too old to have a number, or of a stream that was never
// started).
func (m *Mapper) Map(in *In) (Out, bool) {
	s := &m.now
	seq := in.Packet.Seq
	switch {
	case in.Start:
		if e, _ := m.trace(in.Stream, seq); e != nil && e.flags&sent != 0 {
			return Out{}, false
		}
		m.begin(in)
	case m.ring == nil:
		return Out{}, false
	case s.stream != in.Stream || seq <= s.lastIn:
		return m.late(in)
	case seq-s.lastIn-1 > maxGap:
		m.proceed(seq)
	}
	if m.straight && seq == s.lastIn+1 && !in.Marker {
		s.lastOut, s.lastIn = m.next, seq
		m.next++
		out := m.numbers(s, s.picture, in.Packet.Timestamp, in.Numbers)
		out.Seq = s.lastOut
		m.advance(s, in, &out)
		return out, true
	}
	m.reserve(s, seq)
	e := m.take(s, seq)
	e.flags = sent
	out := m.numbers(s, e.picture, in.Packet.Timestamp, in.Numbers)
	if in.Marker {
		e.flags |= marker
		out.Marker = true
	}
	out.Seq = s.lastOut
	m.advance(s, in, &out)
	return out, true
}

// advance keeps the highest numbers, from which the next segment goes on.
func (m *Mapper) advance(s *segment, in *In, out *Out) {
	if in.Numbers.Has&codec.HasPictureID != 0 && newer(in.Numbers.PictureID, s.lastPicture, in.Numbers.Has) {
		s.lastPicture = in.Numbers.PictureID
	}
	m.last, m.at = *out, in.Packet.Arrival
}

// newer compares picture ids of 7 or 15 bits, the shorter way round.
func newer(a, b uint16, has codec.Fields) bool {
	d := (a - b) & pictureMask(has)
	return d != 0 && d <= pictureMask(has)/2
}

func pictureMask(has codec.Fields) uint16 {
	if has&codec.WidePictureID != 0 {
		return 0x7fff
	}
	return 0x7f
}

// reserve gives numbers to the packets missing before seq.
func (m *Mapper) reserve(s *segment, seq sfu.ExtSeq) {
	for s.lastIn+1 < seq {
		m.take(s, s.lastIn+1)
	}
}

// take uses the next outgoing number for seq.
func (m *Mapper) take(s *segment, seq sfu.ExtSeq) *entry {
	m.trail()
	e := &m.ring[int(m.next)&(len(m.ring)-1)]
	*e = entry{in: uint32(seq), picture: s.picture, segment: m.cur}
	s.lastOut, s.lastIn = m.next, seq
	m.next++
	m.traced = m.next
	return e
}

// trail writes the entries that were left unwritten.
func (m *Mapper) trail() {
	if m.traced == m.next {
		return
	}
	n := m.traced
	if depth := sfu.ExtSeq(len(m.ring)); m.next > n+depth {
		n = m.next - depth
	}
	for ; n < m.next; n++ {
		m.ring[int(n)&(len(m.ring)-1)] = entry{in: uint32(m.now.lastIn - (m.next - 1 - n)), picture: m.now.picture, segment: m.cur, flags: sent}
	}
	m.traced = m.next
}

// numbers applies the offsets.
func (m *Mapper) numbers(s *segment, picture uint16, ts uint32, n codec.Numbers) Out {
	n.PictureID = (n.PictureID + picture) & pictureMask(n.Has)
	n.TL0 += s.tl0
	n.KeyIndex = (n.KeyIndex + s.key) & 0x1f
	n.Frame += s.frame
	return Out{Timestamp: ts + s.timestamp, Numbers: n}
}

// begin opens a segment at the start of forwarding from a stream.
func (m *Mapper) begin(in *In) {
	p, n := in.Packet, in.Numbers
	next := segment{stream: in.Stream, clock: in.Clock, firstIn: p.Seq, lastIn: p.Seq - 1}
	if m.ring == nil {
		m.ring = make([]entry, m.cfg.Depth)
	}
	if m.next == 0 {
		if m.next = m.cfg.First; m.next == 0 {
			m.next = 1<<16 + sfu.ExtSeq(p.Seq.Seq()&0x7fff)
		}
		m.traced = m.next
	} else {
		next.timestamp = m.align(&m.now, in) - p.Timestamp
		if n.Has&codec.HasPictureID != 0 {
			next.picture = m.last.Numbers.PictureID + 1 - n.PictureID
		}
		next.tl0 = m.last.Numbers.TL0 + 1 - n.TL0
		next.key = m.last.Numbers.KeyIndex + 1 - n.KeyIndex
		next.frame = m.last.Numbers.Frame + 1 - n.Frame
	}
	next.lastPicture = n.PictureID
	m.put(next)
}

// proceed opens a segment of the same stream with the same offsets, when the numbers are not in one row any more.
func (m *Mapper) proceed(seq sfu.ExtSeq) {
	next := m.now
	next.firstIn, next.lastIn = seq, seq-1
	m.put(next)
}

func (m *Mapper) put(s segment) {
	m.trail()
	if m.now.firstOut != 0 {
		if m.past == nil { // most subscriptions never switch
			m.past = new([segments]segment)
		}
		m.past[m.cur%segments] = m.now
		m.cur++
	}
	s.firstOut, s.lastOut = m.next, m.next-1
	m.now = s
}

// align finds the outgoing timestamp of the first packet of a segment: the instant at which it was sampled, told by sender
// reports or by arrival, on the clock that the receiver has seen so far. It never refuses and never goes back.
func (m *Mapper) align(old *segment, in *In) uint32 {
	p := in.Packet
	rate := int64(m.cfg.ClockRate)
	elapsed := max(p.Arrival-m.at, 0)
	expected := m.last.Timestamp + uint32(elapsed/int64(time.Millisecond)*rate/1000)
	ts, known := expected, false
	switch {
	case old.stream == in.Stream && old.clock == in.Clock:
		ts, known = p.Timestamp+old.timestamp, true
	case old.clock != nil && in.Clock != nil:
		if t, ok := old.clock.translate(in.Clock, p.Timestamp); ok {
			ts, known = t+old.timestamp, true
		}
	}
	if known {
		off := int64(int32(ts - expected))
		if limit := int64(farOff/time.Millisecond) * rate / 1000; off > limit || off < -limit {
			ts = expected
		}
	}
	if int32(ts-m.last.Timestamp) <= 0 {
		ts = m.last.Timestamp + 1 // a second frame with one timestamp would merge with the first
	}
	return ts
}

// Drop takes a packet that belongs to the stream being forwarded but is not sent: a higher temporal layer, padding. The
// numbers close over it. If its number was kept free, that is returned: only an empty packet can fill it. While the
// subscription is paused there is nothing to drop.
func (m *Mapper) Drop(stream uint8, seq sfu.ExtSeq, n codec.Numbers) (hole sfu.ExtSeq, ok bool) {
	s := &m.now
	if m.ring == nil || s.stream != stream {
		return 0, false
	}
	if seq <= s.lastIn {
		if e, out := m.trace(stream, seq); e != nil && e.flags == 0 {
			e.flags = dropped
			return out, true
		}
		return 0, false
	}
	if seq-s.lastIn-1 > maxGap {
		m.proceed(seq)
	}
	m.reserve(s, seq)
	m.trail()
	s.lastIn = seq
	if n.Has&codec.HasPictureID != 0 && newer(n.PictureID, s.lastPicture, n.Has) {
		s.lastPicture = n.PictureID
		if m.cfg.ClosePictures {
			s.picture--
		}
	}
	return 0, false
}

// Insert numbers a packet of the focus's own, a blank frame or padding, behind the last one; frame tells that it is a new
// frame, a keyframe of the base layer. False before the first packet. now is ns, monotonic.
func (m *Mapper) Insert(now int64, frame bool) (Out, bool) {
	if m.ring == nil {
		return Out{}, false
	}
	s := &m.now
	out := m.last
	out.Seq, out.Marker = m.next, frame
	e := m.take(s, s.lastIn)
	e.flags = own
	if !frame {
		return out, true
	}
	step := max(now-m.at, int64(time.Millisecond)) / int64(time.Microsecond) * int64(m.cfg.ClockRate) / 1e6
	out.Timestamp += uint32(max(step, 1))
	out.Numbers.PictureID++
	out.Numbers.TL0++
	out.Numbers.KeyIndex = (out.Numbers.KeyIndex + 1) & 0x1f
	out.Numbers.Frame++
	out.Numbers.Has |= codec.HasPictureID | codec.WidePictureID | codec.HasTL0 | codec.HasKeyIndex
	m.last, m.at = out, now
	// The receiver has seen these numbers, so those of the stream move on.
	next := *s
	next.picture++
	next.tl0++
	next.key++
	next.frame++
	next.firstIn = next.lastIn + 1
	m.put(next)
	return out, true
}

// Timestamp is where an incoming timestamp of the stream now being forwarded stands in the subscription's space: for sender
// reports.
func (m *Mapper) Timestamp(stream uint8, ts uint32) (uint32, bool) {
	s := &m.now
	if m.next == 0 || s.stream != stream {
		return 0, false
	}
	return ts + s.timestamp, true
}

// Latest is when the packet with the highest numbers arrived; 0 before the first.
func (m *Mapper) Latest() int64 { return m.at }

// Next is the number that the next packet gets; 0 before the first.
func (m *Mapper) Next() sfu.ExtSeq { return m.next }

// Snapshot is the space as /debug shows it.
type Snapshot struct {
	Next      sfu.ExtSeq
	Stream    uint8
	LastIn    sfu.ExtSeq
	Timestamp uint32 // last sent
}

// Snapshot tells where the space stands.
func (m *Mapper) Snapshot() Snapshot {
	s := &m.now
	return Snapshot{Next: m.next, Stream: s.stream, LastIn: s.lastIn, Timestamp: m.last.Timestamp}
}
