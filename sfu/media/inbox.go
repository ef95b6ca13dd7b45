package media

import (
	"sync"

	"weir/sfu/session"
)

const (
	// maxInbox bounds the events that wait for a session; far above what a live session leaves waiting.
	maxInbox = 1 << 14
	// crowdedData bytes of data messages, or a quarter of the room, and no more data is taken: it may not crowd out what
	// participants ask, nor fill the memory.
	crowdedData = 512 << 10
)

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
	data   int // bytes of data messages in items
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
	if b.closed || b.isCrowded() {
		return false
	}
	b.add(it)
	return true
}

// crowded says that the loop is behind with data.
func (b *inbox) crowded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.closed && b.isCrowded()
}

func (b *inbox) isCrowded() bool { return len(b.items) >= maxInbox/4 || b.data >= crowdedData }

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
	if d, ok := it.event.(session.DataArrived); ok {
		b.data += len(d.Payload)
	}
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
	b.items, b.data = spare[:0], 0
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
