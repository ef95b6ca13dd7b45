package loss

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/sfu"
)

const ms = int64(time.Millisecond)

// step is one packet, or one question with its answer; numbers are relative to the script's start.
type step struct {
	at   int64 // ms
	seq  int
	got  bool  // what Received says
	ask  bool  // a question instead
	want []int // and its answer
}

func recv(at int64, seq int) step    { return step{at: at, seq: seq, got: true} }
func again(at int64, seq int) step   { return step{at: at, seq: seq} }
func due(at int64, want ...int) step { return step{at: at, ask: true, want: want} }
func seqs(steps ...any) (all []step) {
	for _, s := range steps {
		switch s := s.(type) {
		case step:
			all = append(all, s)
		case []step:
			all = append(all, s...)
		}
	}
	return all
}

func TestScripts(t *testing.T) {
	scripts := map[string][]step{
		"nothing missing": seqs(recv(0, 0), recv(1, 1), due(2)),
		"asked at once, again after the round trip, then given up": seqs(recv(0, 0), recv(1, 2), due(1, 1), due(50), due(125), due(126, 1), due(200), due(300)),
		"came late":                               seqs(recv(0, 0), recv(1, 2), recv(2, 1), due(3)),
		"came after it was asked for":             seqs(recv(0, 0), recv(1, 2), due(1, 1), recv(80, 1), due(200)),
		"repeated":                                seqs(recv(0, 0), again(1, 0), recv(2, 1), again(3, 0), due(4)),
		"retransmission came twice":               seqs(recv(0, 0), recv(1, 2), due(1, 1), recv(80, 1), again(81, 1)),
		"came after it was given up":              seqs(recv(0, 0), recv(1, 2), due(1, 1), due(126, 1), due(400), recv(500, 1), again(501, 1)),
		"several, in order":                       seqs(recv(0, 0), recv(1, 4), due(1, 1, 2, 3), recv(90, 2), due(126, 1, 3)),
		"a new gap does not wait for the old one": seqs(recv(0, 0), recv(1, 2), due(1, 1), recv(60, 4), due(60, 3), due(126, 1), due(185, 3)),
		"a jump is a new start":                   seqs(recv(0, 0), recv(1, 2), recv(2, 1000), due(3), again(4, 999), recv(5, 1001)),
		"from before the start":                   seqs(recv(0, 0), again(1, -1), due(2)),
		"the longest gap":                         seqs(recv(0, 0), recv(1, 3), due(1, 1, 2)),
	}
	for name, script := range scripts {
		for _, first := range []int{0, 1, 32766, 32767, 65533, 65534, 65535} {
			t.Run(fmt.Sprintf("%s from %d", name, first), func(t *testing.T) {
				tr := New(Config{})
				base := 1<<16 + first
				for i, s := range script {
					if !s.ask {
						if got := tr.Received(sfu.ExtSeq(base+s.seq), s.at*ms); got != s.got {
							t.Fatalf("%d: received %v", i, got)
						}
						continue
					}
					var want []sfu.Seq
					for _, w := range s.want {
						want = append(want, sfu.Seq(base+w))
					}
					if got := tr.Due(s.at*ms, 100*time.Millisecond, nil); !slices.Equal(got, want) {
						t.Fatalf("%d: due %v, want %v", i, got, want)
					}
				}
				check(t, tr)
			})
		}
	}
}

func check(t *testing.T, tr *Tracker) {
	t.Helper()
	s := tr.Snapshot()
	if s.Lost != s.Recovered+s.GivenUp+uint64(s.Missing) {
		t.Fatalf("the counts do not add up: %+v", s)
	}
}

func TestDeadline(t *testing.T) {
	tr := New(Config{Tries: 10})
	if _, ok := tr.Deadline(0); ok {
		t.Error("nothing is missing")
	}
	tr.Received(70000, 0)
	tr.Received(70002, 5*ms)
	at, asked := int64(0), 0
	for range 100 {
		next, ok := tr.Deadline(40 * time.Millisecond)
		if !ok {
			break
		}
		if next < at {
			t.Fatal("goes back")
		}
		at = next
		asked += len(tr.Due(at, 40*time.Millisecond, nil))
	}
	// Every 50 ms until an answer would come more than 250 ms after the loss.
	if asked != 5 || tr.Snapshot().Missing != 0 {
		t.Errorf("asked %d times, %+v", asked, tr.Snapshot())
	}
}

// TestFarSender: a round trip above the deadline still gets one try.
func TestFarSender(t *testing.T) {
	tr := New(Config{})
	tr.Received(70000, 0)
	tr.Received(70002, 0)
	if got := tr.Due(0, 400*time.Millisecond, nil); len(got) != 1 {
		t.Errorf("due %v", got)
	}
	if got := tr.Due(600*ms, 400*time.Millisecond, nil); len(got) != 0 || tr.Snapshot().Missing != 0 {
		t.Errorf("due %v", got)
	}
}

func TestPendingIsBounded(t *testing.T) {
	tr := New(Config{Pending: 8})
	tr.Received(70000, 0)
	for i := range sfu.ExtSeq(100) {
		tr.Received(70002+2*i, 0)
	}
	got := tr.Due(0, 0, nil)
	if len(got) != 8 || got[7] != sfu.ExtSeq(70199).Seq() {
		t.Errorf("due %v", got)
	}
	check(t, tr)
}

func TestReplies(t *testing.T) {
	var r Replies
	rtt := 100 * time.Millisecond
	for i, tc := range []struct {
		seq  sfu.ExtSeq
		at   int64
		want bool
	}{
		{70000, 0, true}, {70000, 49, false}, {70001, 49, true}, {70000, 50, true}, {70000, 500, false}, {70001, 98, false},
		{70256, 500, true}, {70000, 600, true},
	} {
		if got := r.Allow(tc.seq, tc.at*ms, rtt); got != tc.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// FuzzTracker checks: each packet is taken once; what is asked for is missing, in order and at most as often as allowed; the
// counts add up.
func FuzzTracker(f *testing.F) {
	f.Add(uint16(0), []byte{0, 2, 0x80, 0x41, 0x90, 0x90})
	f.Add(uint16(65530), []byte{5, 9, 0x83, 0x42, 1, 0xa0, 0x44, 0xff, 0x3f, 0x3f, 0x80})
	f.Fuzz(func(t *testing.T, first uint16, script []byte) {
		if len(script) > 1000 {
			return
		}
		tr := New(Config{Tries: 3, Pending: 16})
		top, now := 1<<16+sfu.ExtSeq(first), int64(0)
		taken, asked := map[sfu.ExtSeq]bool{}, map[sfu.ExtSeq]int{}
		receive := func(s sfu.ExtSeq) {
			if tr.Received(s, now) {
				if taken[s] {
					t.Fatalf("%d was taken twice", s)
				}
				taken[s] = true
			}
		}
		receive(top)
		for _, op := range script {
			switch {
			case op < 0x40:
				top += 1 + sfu.ExtSeq(op)
				if op == 0x3f {
					top += 600
				}
				receive(top)
			case op < 0x80:
				receive(top - sfu.ExtSeq(op&0x3f))
			default:
				now += int64(op&0x7f) * ms
				last := sfu.ExtSeq(0)
				for _, n := range tr.Due(now, 30*time.Millisecond, nil) {
					s := n.Extend(top)
					asked[s]++
					if taken[s] || s <= last || s >= top || asked[s] > 3 {
						t.Fatalf("asked for %d: taken %v, %d times, after %d", s, taken[s], asked[s], last)
					}
					last = s
				}
			}
			check(t, tr)
		}
	})
}

func TestAllocatesNothing(t *testing.T) {
	tr := New(Config{})
	var r Replies
	seq, now := sfu.ExtSeq(70000), int64(0)
	out := make([]sfu.Seq, 0, 64)
	step := func() {
		seq += 2
		now += 10 * ms
		tr.Received(seq, now)
		out = tr.Due(now, 50*time.Millisecond, out[:0])
		tr.Received(seq-1, now)
		r.Allow(seq, now, 0)
	}
	step()
	step()
	if n := testing.AllocsPerRun(500, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReceived(b *testing.B) {
	tr := New(Config{})
	seq := sfu.ExtSeq(70000)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		tr.Received(seq, 0)
	}
}

func BenchmarkDue(b *testing.B) {
	tr := New(Config{Tries: 1 << 30, Deadline: time.Hour})
	tr.Received(70000, 0)
	for i := range sfu.ExtSeq(50) {
		tr.Received(70002+2*i, 0)
	}
	out := make([]sfu.Seq, 0, 64)
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 10 * ms
		out = tr.Due(now%1000, 50*time.Millisecond, out[:0])
	}
}
