package media

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// packetQueue is a bounded queue of datagrams from a socket's goroutine to one of pion's. When it is full the newest is
// dropped: both STUN and DTLS repeat what is lost.
type packetQueue struct {
	most int

	mu       sync.Mutex
	some     sync.Cond
	waiting  []datagram
	deadline time.Time
	timer    *time.Timer // wakes the reader at deadline
	closed   bool
}

type datagram struct {
	from netip.AddrPort
	buf  *[]byte
}

// datagramPool holds buffers of what a queue may carry; STUN and DTLS stay below an Ethernet frame.
var datagramPool = sync.Pool{New: func() any {
	b := make([]byte, 0, maxDatagram)
	return &b
}}

const maxDatagram = 2048

func newPacketQueue(most int) *packetQueue {
	q := &packetQueue{most: most}
	q.some.L = &q.mu
	return q
}

// push copies b into the queue; false: it is full, closed, or b is too long.
func (q *packetQueue) push(from netip.AddrPort, b []byte) bool {
	if len(b) > maxDatagram {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) >= q.most {
		return false
	}
	buf := datagramPool.Get().(*[]byte)
	*buf = append((*buf)[:0], b...)
	q.waiting = append(q.waiting, datagram{from, buf})
	q.some.Signal()
	return true
}

// pop waits for a datagram and copies it to b.
func (q *packetQueue) pop(b []byte) (int, netip.AddrPort, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.closed:
			return 0, netip.AddrPort{}, net.ErrClosed
		case !q.deadline.IsZero() && !time.Now().Before(q.deadline):
			return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
		case len(q.waiting) > 0:
			d := q.waiting[0]
			q.waiting[0].buf, q.waiting = nil, q.waiting[1:]
			n := copy(b, *d.buf)
			datagramPool.Put(d.buf)
			if len(q.waiting) == 0 {
				q.waiting = nil // an idle transport holds nothing
			}
			return n, d.from, nil
		}
		q.some.Wait()
	}
}

// setDeadline ends waits at t; the zero time ends none.
func (q *packetQueue) setDeadline(t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	q.deadline = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 && !q.closed {
		q.timer = time.AfterFunc(wait, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.some.Broadcast()
		})
	}
	q.some.Broadcast()
}

func (q *packetQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.timer != nil {
		q.timer.Stop()
	}
	for _, d := range q.waiting {
		datagramPool.Put(d.buf)
	}
	q.waiting = nil
	q.some.Broadcast()
}
