package media

import (
	"sync"

	"weir/sfu/session"
)

// maxInbox bounds the events that wait for a session; far above what a live session leaves waiting.
const maxInbox = 1 << 14

// item is one thing for a session's loop to do. reply, if there is one, has room for the answer.
type item struct {
	event    session.Event
	reply    chan error
	snapshot chan session.Snapshot
}

// inbox is the bounded queue of a session's loop. What does not fit is refused; writers never wait.
type inbox struct {
	mu     sync.Mutex
	items  []item
	closed bool
	wake   chan struct{} // has a token if items is not empty
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(it item) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return session.ErrNoSession
	}
	if len(b.items) >= maxInbox {
		return ErrBusy
	}
	b.add(it)
	return nil
}

// offer takes what may be dropped: it leaves the last three quarters of the room to others.
func (b *inbox) offer(it item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.items) >= maxInbox/4 {
		return false
	}
	b.add(it)
	return true
}

// insist takes an item even when the queue is full.
func (b *inbox) insist(it item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.add(it)
	}
}

func (b *inbox) add(it item) {
	b.items = append(b.items, it)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take swaps the waiting items for spare.
func (b *inbox) take(spare []item) []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.items
	b.items = spare[:0]
	return taken
}

// close refuses all further items and returns those that wait.
func (b *inbox) close() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	left := b.items
	b.items = nil
	return left
}
