package media

import (
	"testing"
	"time"

	"weir/sfu/session"
)

// A receiver that makes progress holds senders back, one that makes none does not, and comes back only when it caught up.
func TestGateProgress(t *testing.T) {
	begin := time.Unix(100, 0)
	p := progress{waiting: gateHigh, at: begin}
	for _, s := range []struct {
		after       time.Duration
		waiting     uint64
		stuck, done bool
	}{
		{0, gateHigh, false, false},
		{gatePatience - 1, gateHigh, false, false},
		{gatePatience - 1, gateHigh - gateStep, false, false},      // a step: patience begins anew
		{2*gatePatience - 2, gateHigh - gateStep, false, false},    //
		{2*gatePatience - 1, gateHigh - gateStep + 1, true, false}, // none
		{2 * gatePatience, gateHigh - 2*gateStep, true, false},     // too late: it has to catch up
		{3 * gatePatience, gateLow, true, true},
	} {
		var done bool
		p, done = p.step(s.waiting, begin.Add(s.after))
		if p.stuck != s.stuck || done != s.done {
			t.Fatalf("after %v with %d waiting: stuck %v, done %v", s.after, s.waiting, p.stuck, done)
		}
	}
}

// Data leaves room in the inbox for what participants ask.
func TestInboxCrowded(t *testing.T) {
	b := newInbox()
	data := item{event: session.DataArrived{Channel: session.Lossy, Payload: make([]byte, MaxMessageSize)}}
	taken := 0
	for b.offer(data) {
		taken++
	}
	if taken != crowdedData/MaxMessageSize || !b.crowded() {
		t.Fatalf("%d messages taken, crowded %v", taken, b.crowded())
	}
	if err := b.put(item{event: session.Tick{}}); err != nil {
		t.Fatal("a request has no room:", err)
	}
	if n := len(b.take(nil)); n != taken+1 || b.crowded() {
		t.Fatalf("%d left, crowded %v", n, b.crowded())
	}
	small := item{event: session.DataArrived{Channel: session.Lossy, Payload: []byte{1}}}
	for taken = 0; b.offer(small); taken++ {
	}
	if taken != maxInbox/4 {
		t.Fatalf("%d small messages taken", taken)
	}
}

// A sender waits for room, and no longer than its transport lives.
func TestGateWait(t *testing.T) {
	b := newInbox()
	g := newGate(b)
	g.wait(nil) // open: at once
	for b.offer(item{event: session.DataArrived{Payload: make([]byte, MaxMessageSize)}}) {
	}
	done := make(chan struct{})
	passed := make(chan struct{})
	go func() { g.wait(nil); close(passed) }()
	close(done)
	g.wait(done)
	select {
	case <-passed:
		t.Fatal("passed a crowded inbox")
	default:
	}
	b.take(nil)
	<-passed
}
