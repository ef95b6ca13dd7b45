package bench

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pion/rtcp"

	"weir/sfu"
)

func TestNACKComesBack(t *testing.T) {
	for _, start := range []sfu.Seq{0, 32767, 65530, 65535} {
		for name, offsets := range map[string][]sfu.Seq{
			"one": {0}, "neighbours": {0, 1, 2}, "edge of the mask": {0, 16}, "beyond the mask": {0, 17}, "spread": {0, 5, 30, 31, 200},
		} {
			var want, got []sfu.Seq
			for _, o := range offsets {
				want = append(want, start+o)
			}
			b := appendNACK(nil, 1, 2, want)
			var theirs rtcp.TransportLayerNack
			if err := theirs.Unmarshal(b); err != nil || theirs.SenderSSRC != 1 || theirs.MediaSSRC != 2 {
				t.Fatalf("%s: pion reads %+v, %v", name, theirs, err)
			}
			r, rest, ok := nextReport(b)
			if !ok || len(rest) != 0 || r.kind != rtcpTransport || r.count != fmtNACK {
				t.Fatalf("%s: %+v", name, r)
			}
			r.nacks(func(ssrc uint32, s sfu.Seq) {
				if ssrc != 2 {
					t.Fatalf("%s: SSRC %d", name, ssrc)
				}
				got = append(got, s)
			})
			if !slices.Equal(got, want) {
				t.Errorf("%s from %d: %v, want %v", name, start, got, want)
			}
		}
	}
}

func TestReportsAreRead(t *testing.T) {
	b := appendSR(nil, 7, 0x1122334455667788, 90000, 3, 4, "name")
	all, err := rtcp.Unmarshal(b)
	if err != nil || len(all) != 2 {
		t.Fatalf("pion reads %d packets: %v", len(all), err)
	}
	sr, cname := all[0].(*rtcp.SenderReport), all[1].(*rtcp.SourceDescription)
	if sr.SSRC != 7 || sr.NTPTime != 0x1122334455667788 || sr.RTPTime != 90000 || sr.PacketCount != 3 || sr.OctetCount != 4 {
		t.Errorf("%+v", sr)
	}
	if cname.Chunks[0].Source != 7 || cname.Chunks[0].Items[0].Text != "name" {
		t.Errorf("%+v", cname)
	}
	pli := new(rtcp.PictureLossIndication)
	if err := pli.Unmarshal(appendPLI(nil, 1, 2)); err != nil || pli.SenderSSRC != 1 || pli.MediaSSRC != 2 {
		t.Errorf("%+v, %v", pli, err)
	}
}

// told reads feedback as pion does: number → arrival in 250 µs.
func toldArrivals(t *testing.T, b []byte) map[uint16]int64 {
	t.Helper()
	var f rtcp.TransportLayerCC
	if err := f.Unmarshal(b); err != nil {
		t.Fatalf("pion refuses %x: %v", b, err)
	}
	out := map[uint16]int64{}
	at := int64(f.ReferenceTime) * 64_000 // µs
	seq, delta := f.BaseSequenceNumber, 0
	for _, c := range f.PacketChunks {
		for _, s := range c.(*rtcp.StatusVectorChunk).SymbolList {
			if uint16(seq-f.BaseSequenceNumber) >= f.PacketStatusCount {
				break
			}
			if s != rtcp.TypeTCCPacketNotReceived {
				at += f.RecvDeltas[delta].Delta
				delta++
				out[seq] = at / 250
			}
			seq++
		}
	}
	if delta != len(f.RecvDeltas) {
		t.Fatalf("%d deltas for %d packets", len(f.RecvDeltas), delta)
	}
	return out
}

// FuzzFeedback: what arrived is what is told, to 250 µs, across rollovers, gaps and packets that overtake each other.
func FuzzFeedback(f *testing.F) {
	for _, start := range []uint16{0, 32767, 65530, 65535} {
		f.Add(uint64(start), start, uint8(20), uint8(3))
	}
	f.Fuzz(func(t *testing.T, seed uint64, start uint16, count, gap uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		var a arrivals
		want := map[uint16]int64{}
		seq, now := start, int64(1e9)
		add := func(s uint16) {
			if _, twice := want[s]; !twice {
				want[s] = now / 250_000
			}
			a.add(sfu.Seq(s), now)
		}
		for range min(int(count), 60)%60 + 1 {
			seq += 1 + uint16(r.IntN(int(gap&7)+1))
			now += r.Int64N(20e6)
			if r.IntN(5) == 0 && seq-start > 2 { // an older one comes late
				add(seq - 1)
				now += r.Int64N(1e6)
			}
			add(seq)
		}
		got := toldArrivals(t, a.feedback(nil, 1, 2))
		if len(got) != len(want) {
			t.Fatalf("%d told, %d came", len(got), len(want))
		}
		for s, at := range want {
			if got[s] != at {
				t.Fatalf("packet %d: told %d, came %d", s, got[s], at)
			}
		}
		if len(a.list) != 0 || len(a.feedback(nil, 1, 2)) != 0 {
			t.Fatal("told twice")
		}
	})
}

// FuzzReports: a compound is taken apart without loss or overlap, and nothing in it leads beyond its end.
func FuzzReports(f *testing.F) {
	f.Add(appendSR(appendNACK(nil, 1, 2, []sfu.Seq{65535, 3}), 7, 1, 2, 3, 4, "x"))
	f.Add(appendPLI([]byte{0x81, rtcpRR, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2}, 1, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		taken := 0
		for rest := b; ; {
			r, next, ok := nextReport(rest)
			if !ok {
				break
			}
			if len(rest)-len(next) != 4+len(r.body) {
				t.Fatal("bytes between packets")
			}
			taken += 4 + len(r.body)
			if n := len(r.blocks()); n != 0 && n != blockLen*int(r.count) {
				t.Fatalf("%d bytes of blocks", n)
			}
			count := 0
			r.nacks(func(uint32, sfu.Seq) { count++ })
			if count > 17*len(r.body)/4 {
				t.Fatalf("%d packets asked for by %d bytes", count, len(r.body))
			}
			rest = next
		}
		if taken > len(b) {
			t.Fatal("more than there is")
		}
	})
}
