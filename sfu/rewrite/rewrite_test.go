package rewrite

import (
	"fmt"
	"testing"
	"time"

	"weir/sfu"
	"weir/sfu/codec"
)

const vp8Fields = codec.HasPictureID | codec.WidePictureID | codec.HasTL0 | codec.HasKeyIndex

// step is one packet of a script: what goes in and what is to come out, both relative to the script's start.
type step struct {
	op      string // "start", "send", "drop"
	stream  uint8
	seq     int
	picture int
	out     int // sequence number that is to come out; -1: none
	pid     int // picture id that is to come out
}

// TestScripts runs each script from the edges of the number space.
// TestStraight: the trace of a run that was written late reaches as far back as any other.
func TestStraight(t *testing.T) {
	for _, n := range []int{1, 10, 255, 256, 257, 300, 2000} {
		m := New(ForCodec(sfu.Opus))
		var outs []Out
		for i := range n {
			p := sfu.Packet{Seq: 1<<16 + sfu.ExtSeq(i), Timestamp: uint32(960 * i)}
			out, ok := m.Map(&In{Packet: &p, Start: i == 0, Marker: i == 0})
			if !ok {
				t.Fatalf("packet %d of %d is not sent", i, n)
			}
			outs = append(outs, out)
		}
		for i, out := range outs {
			src, ok := m.Source(out.Seq.Seq())
			if want := n-i <= 256; ok != want || ok && (src.Seq != 1<<16+sfu.ExtSeq(i) || !src.Sent) {
				t.Fatalf("packet %d of %d: %+v, %v", i, n, src, ok)
			}
		}
	}
}

func TestScripts(t *testing.T) {
	scripts := map[string][]step{
		"in order": {{"start", 0, 0, 0, 0, 0}, {"send", 0, 1, 0, 1, 0}, {"send", 0, 2, 1, 2, 1}},
		"duplicate": {{"start", 0, 0, 0, 0, 0}, {"send", 0, 0, 0, -1, 0}, {"send", 0, 1, 1, 1, 1}, {"send", 0, 1, 1, -1, 1},
			{"send", 0, 0, 0, -1, 0}},
		"before the start": {{"start", 0, 0, 0, 0, 0}, {"send", 0, -1, 0, -1, 0}},
		"never started":    {{"send", 0, 0, 0, -1, 0}, {"start", 0, 0, 0, 0, 0}, {"send", 1, 5, 5, -1, 0}},
		"late packet": {{"start", 0, 0, 0, 0, 0}, {"send", 0, 2, 1, 2, 1}, {"send", 0, 1, 0, 1, 0}, {"send", 0, 1, 0, -1, 0},
			{"send", 0, 3, 1, 3, 1}},
		"filtered frames close up": {{"start", 0, 0, 0, 0, 0}, {"drop", 0, 1, 1, 0, 0}, {"drop", 0, 2, 1, 0, 0}, {"send", 0, 3, 2, 1, 1},
			{"drop", 0, 4, 3, 0, 0}, {"send", 0, 5, 4, 2, 2}},
		"late packet from before a filtered frame keeps its numbers": {{"start", 0, 0, 0, 0, 0}, {"send", 0, 2, 1, 2, 1},
			{"drop", 0, 3, 2, 0, 0}, {"send", 0, 4, 3, 3, 2}, {"send", 0, 1, 0, 1, 0}},
		"padding closes up, picture stays": {{"start", 0, 0, 0, 0, 0}, {"pad", 0, 1, 0, 0, 0}, {"send", 0, 2, 0, 1, 0}},
		"late drop leaves its hole": {{"start", 0, 0, 0, 0, 0}, {"send", 0, 2, 2, 2, 2}, {"hole", 0, 1, 1, 1, 0},
			{"send", 0, 1, 1, -1, 0}, {"send", 0, 3, 3, 3, 3}},
		"late packet that was dropped": {{"start", 0, 0, 0, 0, 0}, {"drop", 0, 1, 1, 0, 0}, {"send", 0, 2, 2, 1, 1}, {"send", 0, 1, 1, -1, 0}},
		"switch and back": {{"start", 0, 0, 0, 0, 0}, {"start", 1, 1000, 500, 1, 1}, {"send", 1, 1001, 501, 2, 2}, {"send", 0, 1, 1, -1, 0},
			{"start", 0, 7, 9, 3, 3}, {"send", 0, 8, 10, 4, 4}},
		"late packet of the stream before the switch": {{"start", 0, 0, 0, 0, 0}, {"send", 0, 2, 1, 2, 1}, {"start", 1, 500, 50, 3, 2},
			{"send", 0, 1, 0, 1, 0}, {"send", 1, 501, 50, 4, 2}},
		"pause":           {{"start", 0, 0, 0, 0, 0}, {"start", 0, 900, 300, 1, 1}, {"send", 0, 901, 301, 2, 2}},
		"pause over wrap": {{"start", 0, 0, 0, 0, 0}, {"start", 0, 70000, 300, 1, 1}, {"send", 0, 70001, 301, 2, 2}},
		"long gap closes": {{"start", 0, 0, 0, 0, 0}, {"send", 0, 1000, 30, 1, 30}, {"send", 0, 1001, 30, 2, 30}, {"send", 0, 998, 29, -1, 0}},
	}
	for name, script := range scripts {
		for _, first := range []int{0, 1, 32766, 32767, 32768, 65533, 65534, 65535} {
			t.Run(fmt.Sprintf("%s from %d", name, first), func(t *testing.T) { play(t, script, first) })
		}
	}
}

func play(t *testing.T, script []step, first int) {
	t.Helper()
	base := 1<<16 + sfu.ExtSeq(first)
	m := New(Config{ClockRate: 90000, Depth: 1024, ClosePictures: true, First: base})
	for i, s := range script {
		seq := sfu.ExtSeq(int(base) + s.seq)
		n := codec.Numbers{PictureID: uint16(first+s.picture) & 0x7fff, Has: vp8Fields}
		p := &sfu.Packet{Seq: seq, Timestamp: uint32(s.picture * 3000), Arrival: int64(s.seq) * int64(time.Millisecond)}
		switch s.op {
		case "drop":
			if _, ok := m.Drop(s.stream, seq, n); ok {
				t.Fatalf("%d: a hole", i)
			}
			continue
		case "pad":
			m.Drop(s.stream, seq, codec.Numbers{})
			continue
		case "hole":
			if hole, ok := m.Drop(s.stream, seq, n); !ok || int(hole-base) != s.out {
				t.Fatalf("%d: hole %d %v, want %d", i, int(hole-base), ok, s.out)
			}
			continue
		}
		out, ok := m.Map(&In{Packet: p, Numbers: n, Stream: s.stream, Start: s.op == "start"})
		if ok != (s.out >= 0) {
			t.Fatalf("%d: %+v: sent %v", i, s, ok)
		}
		if !ok {
			continue
		}
		if int(out.Seq-base) != s.out || int(out.Numbers.PictureID-uint16(first))&0x7fff != s.pid {
			t.Fatalf("%d: %+v: out %d, picture %d", i, s, int(out.Seq-base), int(out.Numbers.PictureID-uint16(first))&0x7fff)
		}
		src, ok := m.Source(out.Seq.Seq())
		if !ok || src != (Source{seq, s.stream, true}) {
			t.Fatalf("%d: %d came from %+v %v", i, out.Seq, src, ok)
		}
		if again, ok := m.Again(out.Seq.Seq(), p.Timestamp, n, true); !ok || again != out {
			t.Fatalf("%d: again %+v, first %+v", i, again, out)
		}
	}
}

func TestNumbersGoOn(t *testing.T) {
	m := New(ForCodec(sfu.VP8))
	in := func(stream uint8, seq sfu.ExtSeq, n codec.Numbers, start bool) codec.Numbers {
		n.Has = vp8Fields | codec.HasFrame
		out, ok := m.Map(&In{Packet: &sfu.Packet{Seq: seq}, Numbers: n, Stream: stream, Start: start})
		if !ok {
			t.Fatal("not sent")
		}
		n = out.Numbers
		n.Has = 0
		return n
	}
	is := func(got, want codec.Numbers) {
		t.Helper()
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	is(in(0, 70000, codec.Numbers{PictureID: 0x7fff, TL0: 255, KeyIndex: 31, Frame: 65535}, true), codec.Numbers{PictureID: 0x7fff, TL0: 255, KeyIndex: 31, Frame: 65535})
	is(in(0, 70001, codec.Numbers{PictureID: 0, TL0: 0, KeyIndex: 31, Frame: 3}, false), codec.Numbers{PictureID: 0, TL0: 0, KeyIndex: 31, Frame: 3})
	is(in(1, 900000, codec.Numbers{PictureID: 77, TL0: 3, KeyIndex: 5, Frame: 500}, true), codec.Numbers{PictureID: 1, TL0: 1, KeyIndex: 0, Frame: 4})
	is(in(1, 900001, codec.Numbers{PictureID: 78, TL0: 3, KeyIndex: 5, Frame: 502}, false), codec.Numbers{PictureID: 2, TL0: 1, KeyIndex: 0, Frame: 6})
	out, ok := m.Insert(0, true)
	if n := out.Numbers; !ok || n.PictureID != 3 || n.TL0 != 2 || n.KeyIndex != 1 || n.Frame != 7 {
		t.Errorf("blank frame %+v", out)
	}
	is(in(1, 900002, codec.Numbers{PictureID: 79, TL0: 4, KeyIndex: 5, Frame: 503}, false), codec.Numbers{PictureID: 4, TL0: 3, KeyIndex: 1, Frame: 8})
}

// TestOwnPackets: padding takes a number and disturbs nothing.
func TestOwnPackets(t *testing.T) {
	m := New(ForCodec(sfu.VP8))
	if _, ok := m.Insert(0, false); ok {
		t.Error("padding before the first packet")
	}
	send := func(seq sfu.ExtSeq, start bool) (sfu.ExtSeq, bool) {
		out, ok := m.Map(&In{Packet: &sfu.Packet{Seq: seq}, Start: start})
		return out.Seq, ok
	}
	first, _ := send(70000, true)
	for range 40 {
		pad, _ := m.Insert(0, false)
		if _, ok := m.Source(pad.Seq.Seq()); ok {
			t.Fatal("padding has a source")
		}
	}
	if s, _ := send(70002, false); s != first+42 {
		t.Errorf("got %d", s-first)
	}
	if s, ok := send(70001, false); !ok || s != first+41 {
		t.Errorf("late: %d %v", s-first, ok)
	}
	if src, ok := m.Source(first.Seq()); !ok || src.Seq != 70000 {
		t.Errorf("source %+v", src)
	}
}

func TestSourceReachesBack(t *testing.T) {
	m := New(ForCodec(sfu.VP9))
	var first sfu.ExtSeq
	for i := range 3000 {
		out, ok := m.Map(&In{Packet: &sfu.Packet{Seq: 1<<16 + 65000 + sfu.ExtSeq(i)}, Start: i == 0})
		if !ok {
			t.Fatal("not sent")
		}
		if i == 0 {
			first = out.Seq
		}
	}
	for i := range 3000 {
		src, ok := m.Source((first + sfu.ExtSeq(i)).Seq())
		if ok != (i >= 3000-1024) || ok && src.Seq != 1<<16+65000+sfu.ExtSeq(i) {
			t.Fatalf("%d: %+v %v", i, src, ok)
		}
	}
	if _, ok := m.Source((first + 3000).Seq()); ok {
		t.Error("a number not yet sent has a source")
	}
}

func TestTimestampsAlign(t *testing.T) {
	const ms = int64(time.Millisecond)
	// Two layers sample the same instants; their clocks began elsewhere, and layer 1 takes 30 ms longer to arrive.
	ts := func(layer int, at int64) uint32 { return uint32(layer)*0xf0000000 + 1000 + uint32(at*90) }
	for _, reports := range []bool{true, false} {
		t.Run(fmt.Sprintf("reports %v", reports), func(t *testing.T) {
			m := New(ForCodec(sfu.VP8))
			clocks := []*Clock{NewClock(90000), NewClock(90000)}
			delay := []int64{20 * ms, 50 * ms}
			seqs := []sfu.ExtSeq{1 << 17, 1 << 18}
			if reports {
				for i, c := range clocks {
					c.Report(5e18/1000, ts(i, 0)) // one NTP clock
				}
			}
			current, at := 0, int64(0)
			for frame := range 200 {
				at = int64(frame) * 33
				start := frame == 0
				if frame%50 == 49 {
					current, start = 1-current, true
				}
				for i, c := range clocks {
					c.Observe(ts(i, at), at*ms+delay[i]+int64(frame%7)*ms)
				}
				seqs[current]++
				p := &sfu.Packet{Seq: seqs[current], Timestamp: ts(current, at), Arrival: at*ms + delay[current] + int64(frame%7)*ms}
				out, ok := m.Map(&In{Packet: p, Stream: uint8(current), Clock: clocks[current], Start: start})
				if !ok {
					t.Fatal("not sent")
				}
				off := int32(out.Timestamp - ts(0, at))
				limit := int32(1) // a tick for rounding
				if !reports {
					limit = 90 * 31 // the difference in delay cannot be told from the clocks'
				}
				if off > limit || off < -limit {
					t.Fatalf("frame %d of layer %d is off by %d", frame, current, off)
				}
				if sr, ok := m.Timestamp(uint8(current), p.Timestamp); !ok || sr != out.Timestamp {
					t.Fatalf("sender report would say %d, packet %d", sr, out.Timestamp)
				}
			}
		})
	}
}

func TestTimestampsNeverGoBack(t *testing.T) {
	const ms = int64(time.Millisecond)
	m := New(ForCodec(sfu.VP8))
	a, b := NewClock(90000), NewClock(90000)
	a.Report(0, 0)
	b.Report(100*ms, 0) // a liar: 100 ms behind
	send := func(stream uint8, c *Clock, seq sfu.ExtSeq, ts uint32, at int64, start bool) uint32 {
		c.Observe(ts, at)
		out, ok := m.Map(&In{Packet: &sfu.Packet{Seq: seq, Timestamp: ts, Arrival: at}, Stream: stream, Clock: c, Start: start})
		if !ok {
			t.Fatal("not sent")
		}
		return out.Timestamp
	}
	last := send(0, a, 70000, 90000, 1000*ms, true)
	if got := send(1, b, 80000, 81000-9000, 1000*ms, true); got != last+1 {
		t.Errorf("same instant: %d after %d", got, last)
	}
	// A clock that jumped by an hour: arrival decides.
	b.Report(3600*1000*ms, 0)
	a.Observe(90000*2, 2000*ms)
	if got := send(0, a, 70001, 90000*2, 2000*ms, true); int32(got-last)-90000 > 90 || int32(got-last)-90000 < -90 {
		t.Errorf("after the jump: %d", int32(got-last))
	}
}

func TestMapAllocatesNothing(t *testing.T) {
	m := New(ForCodec(sfu.VP8))
	c := NewClock(90000)
	p := &sfu.Packet{Seq: 70000}
	m.Map(&In{Packet: p, Clock: c, Start: true})
	if n := testing.AllocsPerRun(2000, func() {
		p.Seq += 2
		p.Timestamp += 3000
		c.Observe(p.Timestamp, p.Arrival)
		out, _ := m.Map(&In{Packet: p, Clock: c, Start: p.Seq%64 == 0})
		m.Drop(0, p.Seq+1, codec.Numbers{})
		m.Source(out.Seq.Seq())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMap(b *testing.B) {
	m := New(ForCodec(sfu.VP8))
	in := In{Packet: &sfu.Packet{Seq: 70000}, Start: true, Numbers: codec.Numbers{Has: vp8Fields}}
	m.Map(&in)
	in.Start = false
	b.ReportAllocs()
	for b.Loop() {
		in.Packet.Seq++
		in.Numbers.PictureID++
		m.Map(&in)
	}
}

func BenchmarkSource(b *testing.B) {
	m := New(ForCodec(sfu.VP8))
	p := &sfu.Packet{Seq: 70000}
	for i := range 2000 {
		p.Seq++
		m.Map(&In{Packet: p, Start: i == 0})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Source((m.Next() - 100).Seq())
	}
}
