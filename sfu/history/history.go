// Package history keeps the recent packets of one stream, so that lost ones can be sent again. One history serves all
// subscriptions of the stream. It is pure; the stream owns it, and whoever reads it from elsewhere holds the stream's lock.
package history

import (
	"encoding/binary"
	"time"

	"weir/sfu"
)

// Config bounds a history.
type Config struct {
	Span  time.Duration // how long a packet can be asked for
	Cap   int           // how many packets at most; a power of two
	Chunk int           // bytes taken from the heap at a time
}

// ForKind is the decision of media.md section 5: one second of video, half a second of audio, at most 4096 packets.
func ForKind(k sfu.Kind) Config {
	if k == sfu.Audio {
		return Config{Span: 500 * time.Millisecond, Cap: 4096, Chunk: 4 << 10}
	}
	return Config{Span: time.Second, Cap: 4096, Chunk: 32 << 10}
}

// Handle names a packet in its history. It stays valid, and never comes to mean another packet, until 2³² packets later.
type Handle uint32

// slot is where one packet lies. A slot whose chunk or span has passed is dead; nobody clears it.
type slot struct {
	seq     sfu.ExtSeq // 0: never used
	arrival int64
	chunk   uint32 // counted from the first chunk of the history's life
	offset  uint32
	size    uint16
	header  uint16
}

// Ring is the history of one stream. Packets lie one behind the other in chunks, in order of arrival; the oldest chunk is
// used again when all of it is older than the span. Slots are found by sequence number.
type Ring struct {
	cfg    Config
	slots  []slot // a power of two; grows up to Cap
	newest sfu.ExtSeq
	latest int64 // arrival of the last packet

	chunks [][]byte // oldest first; the last one is being filled
	ends   []int64  // arrival of the last packet in each chunk
	oldest uint32   // number of chunks[0]
	used   int      // bytes filled of the last chunk
	free   [][]byte
}

const firstSlots = 32

// New makes an empty history, which holds no memory until the first packet. The zero Config is that of video.
func New(cfg Config) *Ring {
	def := ForKind(sfu.Video)
	if cfg.Span <= 0 {
		cfg.Span = def.Span
	}
	if cfg.Cap <= 0 {
		cfg.Cap = def.Cap
	}
	if cfg.Chunk <= 0 {
		cfg.Chunk = def.Chunk
	}
	return &Ring{cfg: cfg}
}

// Put copies the packet in. False: it is there already, is older than everything kept, or is too large for a datagram.
func (r *Ring) Put(p *sfu.Packet) (Handle, bool) {
	if len(p.Raw) > 1<<16-1 || p.Seq == 0 {
		return 0, false
	}
	if len(r.slots) == 0 {
		r.slots = make([]slot, min(firstSlots, r.cfg.Cap))
	}
	r.latest = max(r.latest, p.Arrival)
	r.expire(r.latest)
	s := r.claim(p.Seq)
	if s == nil {
		return 0, false
	}
	at := r.room(len(p.Raw))
	copy(r.chunks[len(r.chunks)-1][at:], p.Raw)
	r.ends[len(r.ends)-1] = r.latest
	*s = slot{
		seq: p.Seq, arrival: p.Arrival,
		chunk: r.oldest + uint32(len(r.chunks)) - 1, offset: uint32(at),
		size: uint16(len(p.Raw)), header: uint16(p.HeaderLen),
	}
	r.newest = max(r.newest, p.Seq)
	return Handle(p.Seq), true
}

// claim finds the slot for a sequence number, and makes the ring larger while a living packet is in the way.
func (r *Ring) claim(seq sfu.ExtSeq) *slot {
	for {
		s := &r.slots[int(seq)&(len(r.slots)-1)]
		if !r.alive(s) {
			return s
		}
		if s.seq == seq {
			return nil
		}
		if len(r.slots) >= r.cfg.Cap {
			if s.seq > seq {
				return nil
			}
			return s
		}
		r.grow()
	}
}

func (r *Ring) grow() {
	old := r.slots
	r.slots = make([]slot, 2*len(old))
	for i := range old {
		if r.alive(&old[i]) {
			r.slots[int(old[i].seq)&(len(r.slots)-1)] = old[i]
		}
	}
}

func (r *Ring) alive(s *slot) bool {
	return s.seq != 0 && s.chunk-r.oldest < uint32(len(r.chunks)) && r.latest-s.arrival <= int64(r.cfg.Span)
}

// room finds n bytes at the end of the last chunk, or begins another.
func (r *Ring) room(n int) int {
	last := len(r.chunks) - 1
	if last < 0 || r.used+n > len(r.chunks[last]) {
		r.chunks = append(r.chunks, r.chunk(n))
		r.ends = append(r.ends, 0)
		r.used = 0
	}
	at := r.used
	r.used += n
	return at
}

func (r *Ring) chunk(n int) []byte {
	if k := len(r.free) - 1; k >= 0 && n <= len(r.free[k]) {
		c := r.free[k]
		r.free[k] = nil
		r.free = r.free[:k]
		return c
	}
	return make([]byte, max(n, r.cfg.Chunk))
}

// expire takes back the chunks in which everything is older than the span. Two stay at hand; a stream that has fallen
// quiet gives the rest back.
func (r *Ring) expire(now int64) {
	n := 0
	for n < len(r.chunks) && now-r.ends[n] > int64(r.cfg.Span) {
		if len(r.free) < 2 {
			r.free = append(r.free, r.chunks[n])
		}
		n++
	}
	if n == 0 {
		return
	}
	k := copy(r.chunks, r.chunks[n:])
	clear(r.chunks[k:])
	r.chunks = r.chunks[:k]
	r.ends = r.ends[:copy(r.ends, r.ends[n:])]
	r.oldest += uint32(n)
	if k == 0 {
		r.used = 0
	}
}

// Trim gives back what a stream that has stopped still holds.
func (r *Ring) Trim(now int64) {
	r.latest = max(r.latest, now)
	r.expire(r.latest)
	if len(r.chunks) == 0 {
		r.free, r.slots, r.chunks, r.ends = nil, nil, nil, nil
	}
}

// BySeq finds the handle of a sequence number.
func (r *Ring) BySeq(seq sfu.ExtSeq) (Handle, bool) {
	s := r.find(Handle(seq))
	if s == nil || s.seq != seq {
		return 0, false
	}
	return Handle(seq), true
}

func (r *Ring) find(h Handle) *slot {
	if len(r.slots) == 0 {
		return nil
	}
	s := &r.slots[int(h)&(len(r.slots)-1)]
	if Handle(s.seq) != h || !r.alive(s) {
		return nil
	}
	return s
}

func (r *Ring) bytes(s *slot) []byte {
	end := s.offset + uint32(s.size)
	return r.chunks[s.chunk-r.oldest][s.offset:end:end]
}

// Get returns the bytes of a packet, borrowed until the next Put or Trim.
func (r *Ring) Get(h Handle) ([]byte, bool) {
	s := r.find(h)
	if s == nil {
		return nil, false
	}
	return r.bytes(s), true
}

// Packet fills p as it was put; Raw is borrowed until the next Put or Trim.
func (r *Ring) Packet(h Handle, p *sfu.Packet) bool {
	s := r.find(h)
	if s == nil {
		return false
	}
	b := r.bytes(s)
	*p = sfu.Packet{Raw: b, HeaderLen: int(s.header), Seq: s.seq, Arrival: s.arrival}
	if len(b) >= 12 { // RFC 3550 section 5.1
		p.Marker, p.PayloadType = b[1]&0x80 != 0, b[1]&0x7f
		p.Timestamp = binary.BigEndian.Uint32(b[4:])
		p.SSRC = binary.BigEndian.Uint32(b[8:])
	}
	return true
}

// Newest is the highest sequence number put so far; 0: none.
func (r *Ring) Newest() sfu.ExtSeq { return r.newest }

// Snapshot is a history as /debug shows it.
type Snapshot struct {
	Newest sfu.ExtSeq
	Slots  int
	Bytes  int // held, whether filled or not
}

// Snapshot tells how much the history holds.
func (r *Ring) Snapshot() Snapshot {
	s := Snapshot{Newest: r.newest, Slots: len(r.slots)}
	for _, c := range r.chunks {
		s.Bytes += len(c)
	}
	for _, c := range r.free {
		s.Bytes += len(c)
	}
	return s
}
