package media

import (
	"math/rand/v2"
	"testing"

	"github.com/pion/rtcp"
)

// readFeedback is the independent reading of our reports: number → arrival in ticks of 250 µs.
func readFeedback(t *testing.T, b []byte, into map[uint16]int64) {
	t.Helper()
	var p rtcp.TransportLayerCC
	if err := p.Unmarshal(b); err != nil {
		t.Fatalf("feedback %x: %v", b, err)
	}
	if int(p.Header.Length+1)*4 != len(b) {
		t.Fatalf("length field says %d words, packet has %d bytes", p.Header.Length+1, len(b))
	}
	at := int64(p.ReferenceTime) * refTimeUnit / tickUnit
	seq, deltas, left := p.BaseSequenceNumber, p.RecvDeltas, int(p.PacketStatusCount)
	note := func(symbol uint16) {
		if left == 0 {
			return
		}
		left--
		if symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta {
			at += deltas[0].Delta / 250
			into[seq] = at
			deltas = deltas[1:]
		}
		seq++
	}
	for _, c := range p.PacketChunks {
		switch c := c.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				note(c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			for _, s := range c.SymbolList {
				note(s)
			}
		}
	}
	if left != 0 || len(deltas) != 0 {
		t.Fatalf("%d statuses missing, %d deltas over", left, len(deltas))
	}
}

func TestFeedbackScripts(t *testing.T) {
	const ms = 1_000_000
	type in struct {
		off int // from the first number
		at  int64
	}
	scripts := []struct {
		name string
		in   []in
		want []int // offsets reported
	}{
		{"one", []in{{0, 5 * ms}}, []int{0}},
		{"a run", []in{{0, 5 * ms}, {1, 6 * ms}, {2, 7 * ms}}, []int{0, 1, 2}},
		{"a hole", []in{{0, 5 * ms}, {3, 6 * ms}}, []int{0, 3}},
		{"reordered", []in{{0, 5 * ms}, {2, 6 * ms}, {1, 7 * ms}}, []int{0, 1, 2}},
		{"a pause of a second", []in{{0, 5 * ms}, {1, 1005 * ms}}, []int{0, 1}},
		{"a pause beyond a delta", []in{{0, 5 * ms}, {1, 20_005 * ms}}, []int{0, 1}},
		{"a copy keeps the first arrival", []in{{0, 5 * ms}, {0, 90 * ms}, {1, 6 * ms}}, []int{0, 1}},
		{"a jump starts anew", []in{{0, 5 * ms}, {5000, 6 * ms}}, []int{5000}},
		{"long loss", []in{{0, 5 * ms}, {900, 6 * ms}}, []int{0, 900}},
	}
	for _, base := range []uint16{0, 1, 32767, 65535, 65000} {
		for _, s := range scripts {
			var a arrivals
			first := map[uint16]int64{}
			for _, x := range s.in {
				seq := base + uint16(x.off)
				a.received(seq, x.at)
				if _, ok := first[seq]; !ok {
					first[seq] = x.at / tickUnit
				}
			}
			got := map[uint16]int64{}
			for a.pending() {
				if b := a.appendFeedback(nil, 1, 2); len(b) > 0 {
					readFeedback(t, b, got)
				}
			}
			if len(got) != len(s.want) {
				t.Errorf("%s from %d: reported %v, want offsets %v", s.name, base, got, s.want)
			}
			for _, off := range s.want {
				seq := base + uint16(off)
				if got[seq] != first[seq] {
					t.Errorf("%s from %d: number %d at tick %d, want %d", s.name, base, seq, got[seq], first[seq])
				}
			}
		}
	}
}

func TestFeedbackLateNumberIsReportedAgain(t *testing.T) {
	var a arrivals
	a.received(65535, 1e9)
	a.received(1, 1.01e9) // 0 is missing
	got := map[uint16]int64{}
	readFeedback(t, a.appendFeedback(nil, 1, 2), got)
	if a.pending() {
		t.Fatal("more to say")
	}
	a.received(0, 1.02e9)
	readFeedback(t, a.appendFeedback(nil, 1, 2), got)
	if got[0] != 1.02e9/tickUnit || len(got) != 3 {
		t.Fatalf("got %v", got)
	}
}

// FuzzFeedback: whatever the order and the gaps, each number of the window is reported once with its first arrival,
// in packets a foreign parser accepts and that fit an MTU.
func FuzzFeedback(f *testing.F) {
	f.Add(uint64(1), uint16(0), uint16(300))
	f.Add(uint64(2), uint16(65500), uint16(1000))
	f.Add(uint64(3), uint16(32767), uint16(17))
	f.Add(uint64(9), uint16(65535), uint16(1019)) // once round the window
	f.Fuzz(func(t *testing.T, seed uint64, base, count uint16) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var a arrivals
		now, seq := int64(1e9), base
		want, got := map[uint16]int64{}, map[uint16]int64{}
		for range count % 1500 {
			switch rng.IntN(20) {
			case 0:
				seq += uint16(rng.IntN(40))
			case 1:
				now += int64(rng.IntN(2000)) * 1e6
			}
			a.received(seq, now)
			want[seq] = now / tickUnit
			seq++
			now += int64(rng.IntN(5e6))
			if rng.IntN(50) == 0 {
				for a.pending() {
					if b := a.appendFeedback(nil, 1, 2); len(b) > 1200 {
						t.Fatalf("report of %d bytes", len(b))
					} else if len(b) > 0 {
						readFeedback(t, b, got)
					}
				}
			}
		}
		for a.pending() {
			if b := a.appendFeedback(nil, 1, 2); len(b) > 0 {
				readFeedback(t, b, got)
			}
		}
		for s, at := range want {
			if len(want) < arrivalWindow/2 && got[s] != at {
				t.Fatalf("number %d at %d, want %d", s, got[s], at)
			}
		}
	})
}

func TestFeedbackAllocatesNothing(t *testing.T) {
	var a arrivals
	a.received(9, 1)
	buf := make([]byte, 0, 1500)
	seq, now := uint16(10), int64(1e9)
	if n := testing.AllocsPerRun(200, func() {
		for range 50 {
			a.received(seq, now)
			seq++
			now += 1e6
		}
		buf = a.appendFeedback(buf[:0], 1, 2)
	}); n != 0 {
		t.Errorf("%v allocations per report", n)
	}
}
