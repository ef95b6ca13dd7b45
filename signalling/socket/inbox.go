package socket

import (
	"sync"

	"weir/sfu/session"
)

// inbox holds what the session told a connection until its loop takes it. Many may put, the loop takes.
// It is bounded: one message too many closes the inbox, and with it the connection, so that the client resumes and
// is told the whole state again; nothing is left out in silence.
type inbox struct {
	limit int
	ready chan struct{} // holds one token while there is something to take
	full  chan struct{} // closed when a message did not fit

	mu     sync.Mutex
	queue  []session.Message
	closed bool
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, ready: make(chan struct{}, 1), full: make(chan struct{})}
}

// put never blocks; false says that m was one too many. After the inbox overflowed or closed it does nothing.
func (b *inbox) put(m session.Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return true
	}
	if len(b.queue) >= b.limit {
		b.closed = true
		b.queue = nil
		close(b.full)
		return false
	}
	b.queue = append(b.queue, m)
	select {
	case b.ready <- struct{}{}:
	default: // the token is there already
	}
	return true
}

// take empties the inbox into out[:0] and keeps out's memory for what comes next.
func (b *inbox) take(out []session.Message) []session.Message {
	clear(out)
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.queue
	b.queue = out[:0]
	return taken
}

func (b *inbox) overflowed() bool {
	select {
	case <-b.full:
		return true
	default:
		return false
	}
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.queue = nil
}
