package media

import (
	"net/netip"
	"sync/atomic"
	"time"

	"weir/sfu"
)

const (
	burstMessages = 64       // one sendmmsg
	maxSegments   = 64       // UDP_MAX_SEGMENTS of the oldest kernels with UDP_SEGMENT
	maxMerged     = 65_000   // an IP packet, with room for headers
	arenaLeast    = 32 << 10 // bots have an arena each
	arenaMost     = 512 << 10
)

// Burst gathers sealed packets in an arena and gives them to a socket 64 messages at a time. Packets of equal size that
// follow each other to one address share a message. It belongs to one goroutine.
type Burst struct {
	w     Writer
	sent  *sentCounters
	arena []byte // the packets of ms, back to back
	ms    []Message
	count int  // datagrams in the last message
	ended bool // its last datagram is short: nothing may follow
	full  bool // the arena was flushed because it was full: grow it

	crew   *crew // whom large audiences are shared with; nil: nobody
	task   task
	shared bool // others read the payloads too: they are not rewritten where they stand

	alarm func(time.Duration) // wakes the goroutine, which then calls ring; 0: not any more; nil: it cannot be woken
	armed bool                // the alarm is set
	due   int64               // when later is called; 0: it is not
	later func(now int64, out *Burst)
}

type sentCounters struct{ packets, bytes, messages, batches, refused atomic.Uint64 }

func newBurst(w Writer, sent *sentCounters) *Burst {
	return &Burst{w: w, sent: sent, ms: make([]Message, 0, burstMessages)}
}

// SendRTP seals one packet for o, whose lock the caller holds, and queues it: header, then prefix (bytes of the payload
// that were rewritten, may be empty), then payload. index is the extended sequence number of the header's SSRC.
// It reports false if the transport has no keys or address, or the packet is too long.
func (b *Burst) SendRTP(o *Outbound, header, prefix, payload []byte, index sfu.ExtSeq) bool {
	to := o.addr.Load()
	n := len(header) + len(prefix) + len(payload) + maxOverhead
	if to == nil || n > maxPacket {
		b.sent.refused.Add(1)
		return false
	}
	b.room(n)
	return b.add(*to, o.SealRTP(b.arena, header, prefix, payload, index))
}

// SendRTCP seals one compound packet for o, whose lock the caller holds.
func (b *Burst) SendRTCP(o *Outbound, packet []byte) bool {
	to := o.addr.Load()
	if to == nil || len(packet)+maxOverhead > maxPacket {
		b.sent.refused.Add(1)
		return false
	}
	b.room(len(packet) + maxOverhead)
	return b.add(*to, o.SealRTCP(b.arena, packet))
}

// Later has f called with the burst on its goroutine at a time, in place of what was to be called before; false: the
// goroutine has no alarm.
func (b *Burst) Later(now, at int64, f func(now int64, out *Burst)) bool {
	if b.alarm == nil {
		return false
	}
	b.due, b.later = at, f
	if at > now { // else its goroutine calls ring before it waits
		b.armed = true
		b.alarm(time.Duration(at - now))
	}
	return true
}

// ring calls what is due.
func (b *Burst) ring(now int64) {
	if b.due == 0 || now < b.due {
		return
	}
	b.due = 0
	b.later(now, b)
	if b.armed && b.due == 0 {
		b.armed = false
		b.alarm(0)
	}
}

// room makes n bytes free behind the arena's end, so that appending never moves it.
func (b *Burst) room(n int) {
	if cap(b.arena)-len(b.arena) >= n {
		return
	}
	b.full = true
	b.Flush()
}

// add queues what arena holds beyond the end of b.arena; nil: nothing was sealed.
func (b *Burst) add(to netip.AddrPort, arena []byte) bool {
	if arena == nil {
		b.sent.refused.Add(1)
		return false
	}
	start, end := len(b.arena), len(arena)
	size := end - start
	b.arena = arena
	if len(b.ms) > 0 && !b.ended {
		m := &b.ms[len(b.ms)-1]
		segment := m.Segment
		if segment == 0 {
			segment = len(m.Buf)
		}
		if m.Addr == to && size <= segment && b.count < maxSegments && len(m.Buf)+size <= maxMerged {
			m.Segment = segment
			m.Buf = arena[start-len(m.Buf) : end : end]
			b.count++
			b.ended = size < segment
			return true
		}
	}
	if len(b.ms) == burstMessages {
		b.flushBefore(start)
		start, end = 0, size
	}
	b.ms = append(b.ms, Message{Addr: to, Buf: b.arena[start:end:end]})
	b.count, b.ended = 1, false
	return true
}

// flushBefore writes all messages and moves the packet that stands from start on, which is in none of them, to the front.
func (b *Burst) flushBefore(start int) {
	rest := b.arena[start:]
	b.write(start)
	b.arena = b.arena[:copy(b.arena[:cap(b.arena)], rest)]
}

// Flush writes what is queued.
func (b *Burst) Flush() {
	if len(b.ms) > 0 {
		b.write(len(b.arena))
	}
	b.arena = b.arena[:0]
	if b.full {
		b.full = false
		if n := max(arenaLeast, 2*cap(b.arena)); n <= arenaMost {
			b.arena = make([]byte, 0, n)
		}
	}
}

func (b *Burst) write(bytes int) {
	packets := 0
	for i := range b.ms {
		packets += datagrams(&b.ms[i])
	}
	b.sent.packets.Add(uint64(packets))
	b.sent.bytes.Add(uint64(bytes))
	b.sent.messages.Add(uint64(len(b.ms)))
	b.sent.batches.Add(1)
	_ = b.w.WriteBatch(b.ms) // the only error is the end of the socket, which its reader reports
	b.ms = b.ms[:0]
	b.count, b.ended = 0, false
}

// datagrams is how many datagrams the message holds.
func datagrams(m *Message) int {
	if m.Segment == 0 {
		return 1
	}
	return (len(m.Buf) + m.Segment - 1) / m.Segment
}
