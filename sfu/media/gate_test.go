package media

import (
	"testing"
	"time"

	"weir/sfu/session"
)

// A receiver that makes progress holds senders back, one that makes none does not, and comes back only when it caught up.
func TestGateProgress(t *testing.T) {
	begin := time.Unix(100, 0)
	p := progress{taken: 1000, at: begin}
	for _, s := range []struct {
		after          time.Duration
		waiting, taken uint64
		stuck, done    bool
	}{
		{0, gateHigh, 1000, false, false},
		{gatePatience - 1, gateHigh, 999 + gateStep, false, false},
		{gatePatience - 1, 2 * gateHigh, 1000 + gateStep, false, false}, // a step, whatever others add: patience begins anew
		{2*gatePatience - 2, gateHigh, 999 + 2*gateStep, false, false},  //
		{2*gatePatience - 1, gateHigh, 999 + 2*gateStep, true, false},   // none
		{2 * gatePatience, gateLow + 1, 1000 + 3*gateStep, true, false}, // too late: it has to catch up
		{3 * gatePatience, gateLow, 1000 + 3*gateStep + 1, true, true},
	} {
		var done bool
		p, done = p.step(s.waiting, s.taken, begin.Add(s.after))
		if p.stuck != s.stuck || done != s.done {
			t.Fatalf("after %v with %d waiting, %d taken: stuck %v, done %v", s.after, s.waiting, s.taken, p.stuck, done)
		}
	}
}

func dataOf(from *share, n int) item {
	return item{event: session.DataArrived{Channel: session.Lossy, Payload: make([]byte, n)}, from: from}
}

// A sender fills its own share of the inbox; other senders, the packet path and what participants ask have room.
func TestInboxShares(t *testing.T) {
	for name, c := range map[string]struct{ size, most int }{
		"long messages":  {MaxMessageSize, shareData / MaxMessageSize},
		"short messages": {1, shareItems},
		"empty ones":     {0, shareItems},
	} {
		b := newInbox()
		var greedy, modest share
		taken := 0
		for b.offer(dataOf(&greedy, c.size)) {
			taken++
		}
		if taken != c.most || b.room(&greedy) {
			t.Fatalf("%s: %d taken, room for more: %v", name, taken, b.room(&greedy))
		}
		if !b.offer(dataOf(&modest, c.size)) || !b.offer(item{event: session.StreamSeen{}}) || b.put(item{event: session.Tick{}}) != nil {
			t.Fatalf("%s: others have no room", name)
		}
		if n := len(b.take(nil)); n != taken+3 || !b.room(&greedy) || b.data != 0 || greedy.bytes != 0 || modest.items != 0 {
			t.Fatalf("%s: %d left, %d bytes counted, shares %+v and %+v", name, n, b.data, &greedy, &modest)
		}
	}
}

// However many senders there are, data leaves room for what participants ask.
func TestInboxBounds(t *testing.T) {
	for name, c := range map[string]struct{ size, items int }{
		"long messages": {MaxMessageSize, maxData / MaxMessageSize}, "short messages": {1, dataItems},
	} {
		b := newInbox()
		for range 200 {
			for from := new(share); b.offer(dataOf(from, c.size)); {
			}
		}
		if len(b.items) != c.items {
			t.Fatalf("%s: %d taken, want %d", name, len(b.items), c.items)
		}
		if !b.offer(item{event: session.StreamSeen{}}) || b.put(item{event: session.Tick{}}) != nil {
			t.Fatalf("%s: no room for others", name)
		}
	}
}

// A sender waits for room, and no longer than its transport lives.
func TestGateWait(t *testing.T) {
	b := newInbox()
	g := newGate(b)
	var from share
	g.wait(&from, 1, nil) // open: at once
	for b.offer(dataOf(&from, MaxMessageSize)) {
	}
	done := make(chan struct{})
	passed := make(chan struct{})
	go func() { g.wait(&from, 1, nil); close(passed) }()
	close(done)
	g.wait(&from, 1, done)
	g.wait(new(share), 1, nil) // its room is its own
	select {
	case <-passed:
		t.Fatal("passed a full share")
	default:
	}
	b.take(nil)
	<-passed
}

// While a receiver is behind, small senders go on and large ones wait for it.
func TestGateLetsSmallSendersPass(t *testing.T) {
	begin := time.Unix(100, 0)
	var a allowance
	for i := range freeBurst / 1024 {
		if !a.take(begin, 1024) {
			t.Fatalf("held after %d kB", i)
		}
	}
	if a.take(begin, 1) || a.take(begin.Add(999*time.Millisecond), freeRate) || !a.take(begin.Add(2*time.Second), freeRate) {
		t.Fatal("the allowance is not what its rate makes of it")
	}
	g := newGate(newInbox())
	g.looked, g.free = time.Now().Add(time.Hour), false // somebody is behind for the rest of this test
	var chat share
	for range 100 {
		g.wait(&chat, 1000, nil)
	}
	file := make(chan struct{})
	done := make(chan struct{})
	go func() { g.wait(&chat, freeBurst, done); close(file) }()
	select {
	case <-file:
		t.Fatal("a large message passed")
	default:
	}
	close(done)
	<-file
}
