package rewrite

import (
	"testing"

	"weir/sfu"
	"weir/sfu/codec"
)

// TestFirstNumber: it stands in the lower half.
func TestFirstNumber(t *testing.T) {
	for first, want := range map[sfu.ExtSeq]sfu.ExtSeq{1 << 16: 1 << 16, 1<<16 + 32767: 1<<16 + 32767, 1<<16 + 32768: 1 << 16, 1<<17 - 1: 1<<16 + 32767, 1<<17 + 5: 1<<16 + 5} {
		out, ok := New(ForCodec(sfu.VP8)).Map(&In{Packet: &sfu.Packet{Seq: first}, Start: true})
		if !ok || out.Seq != want {
			t.Errorf("first packet %d: number %d, want %d", first, out.Seq, want)
		}
	}
}

// TestRest: a space that rested knows nothing of what was sent, and goes on where it stood.
func TestRest(t *testing.T) {
	for _, codecOf := range []sfu.Codec{sfu.VP8, sfu.Opus} {
		m := New(ForCodec(codecOf))
		m.Rest() // before anything was sent
		var last Out
		for i := range 300 {
			last, _ = m.Map(&In{Packet: &sfu.Packet{Seq: 70000 + sfu.ExtSeq(i), Timestamp: uint32(i) * 3000}, Start: i%100 == 0})
		}
		m.Rest()
		if m.ring != nil || m.past != nil {
			t.Error("memory is kept")
		}
		if _, ok := m.Source(last.Seq.Seq()); ok {
			t.Error("what was sent is traced")
		}
		if _, ok := m.Again(last.Seq.Seq(), 0, codec.Numbers{}, false); ok {
			t.Error("what was sent is sent again")
		}
		if _, ok := m.Map(&In{Packet: &sfu.Packet{Seq: 70300}}); ok {
			t.Error("a packet is sent of a stream that was not started anew")
		}
		if _, ok := m.Drop(0, 70300, codec.Numbers{}); ok {
			t.Error("a hole from before the rest")
		}
		for i := range sfu.ExtSeq(300) {
			out, ok := m.Map(&In{Packet: &sfu.Packet{Seq: 80000 + i, Timestamp: uint32(i) * 3000}, Start: i == 0})
			if !ok || out.Seq != last.Seq+1+i || int32(out.Timestamp-last.Timestamp) <= 0 {
				t.Fatalf("packet %d: %+v after %+v", i, out, last)
			}
			if src, ok := m.Source(out.Seq.Seq()); !ok || src.Seq != 80000+i {
				t.Fatalf("packet %d comes from %+v", i, src)
			}
		}
	}
}
