package media

import (
	"sync"

	"weir/sfu/session"
)

const (
	// maxInbox bounds the events that wait for a session; far above what a live session leaves waiting.
	maxInbox = 1 << 14
	// maxData bounds the bytes of the data messages among them, dataItems their number: what participants ask has room.
	maxData   = 8 << 20
	dataItems = maxInbox / 2
	// shareData bytes or shareItems of one sender's messages may wait: it crowds out neither what others send nor what
	// the packet path tells. The last message may go over it.
	shareData  = 128 << 10
	shareItems = 256
)

// item is one thing for a session's loop to do. reply, if there is one, has room for the answer.
type item struct {
	event    session.Event
	from     *share // of a data message; else nil
	reply    chan error
	snapshot chan session.Snapshot
}

// share is one sender's part of the data in an inbox.
type share struct {
	free allowance

	bytes, items int // that wait; guarded by the inbox
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

// offer takes what may be dropped: it leaves the last quarter of the room to others, a data message more of it.
func (b *inbox) offer(it item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.items) >= maxInbox/4*3 || (it.from != nil && !b.fits(it.from)) {
		return false
	}
	b.add(it)
	return true
}

// room says whether a sender may put a data message.
func (b *inbox) room(from *share) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed || b.fits(from)
}

// fits is called with mu held.
func (b *inbox) fits(from *share) bool {
	return from.bytes < shareData && from.items < shareItems && b.data < maxData && len(b.items) < dataItems
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
	b.count(it, 1)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) count(it item, sign int) {
	if d, ok := it.event.(session.DataArrived); ok && it.from != nil {
		b.data += sign * len(d.Payload)
		it.from.bytes += sign * len(d.Payload)
		it.from.items += sign
	}
}

// take swaps the waiting items for spare.
func (b *inbox) take(spare []item) []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.items
	for i := range taken {
		b.count(taken[i], -1)
	}
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
