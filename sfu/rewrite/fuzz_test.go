package rewrite

import (
	"maps"
	"testing"

	"weir/sfu"
	"weir/sfu/codec"
)

// FuzzMapper plays a script on two streams and checks against a plain list of what was sent:
// no outgoing number is used twice; the numbers have no gap but those kept for packets that were lost on the way in, those
// left by packets that came late and were not wanted, and those of the focus's own packets; each sent number leads back to its
// packet and to the same numbers; without loss, pictures have no gap either; and all is the same when traces are written late.
func FuzzMapper(f *testing.F) {
	f.Add(uint16(0), []byte{0, 0, 0, 0})
	f.Add(uint16(65534), []byte{0, 0, 1, 3, 0, 4, 0, 0, 5, 0, 0})
	f.Add(uint16(32767), []byte{0, 2, 2, 0, 4, 4, 5, 0, 6, 7, 0, 1, 1, 0, 3, 4, 0})
	f.Add(uint16(65000), []byte{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 0, 8, 0, 9, 10, 4})
	f.Fuzz(func(t *testing.T, first uint16, script []byte) {
		if len(script) > 600 {
			return
		}
		traced, straight := perform(t, first, script, false), perform(t, first, script, true)
		if !maps.Equal(traced.outs, straight.outs) || !maps.Equal(traced.owner, straight.owner) {
			t.Fatal("packets get other numbers when their traces are written late")
		}
	})
}

// perform gives a script to a new mapper.
func perform(t *testing.T, first uint16, script []byte, straight bool) *world {
	cfg := ForCodec(sfu.VP8)
	cfg.Straight, cfg.First = straight, 1<<16+sfu.ExtSeq(first)
	w := &world{t: t, m: New(cfg), owner: map[sfu.ExtSeq]Source{}, free: map[sfu.ExtSeq]bool{}, ins: map[sfu.ExtSeq]In{}, outs: map[sfu.ExtSeq]Out{}}
	w.next = [2]sfu.ExtSeq{1<<16 + sfu.ExtSeq(first), 1<<16 + 40000}
	w.picture = [2]uint16{first & 0x7fff, 5}
	w.send(w.take(), true)
	for _, op := range script {
		w.step(op)
	}
	w.check()
	return w
}

type pending struct {
	stream  uint8
	seq     sfu.ExtSeq
	picture uint16
}

type world struct {
	t       *testing.T
	m       *Mapper
	stream  uint8
	next    [2]sfu.ExtSeq
	picture [2]uint16
	lost    []pending
	sent    []pending
	owner   map[sfu.ExtSeq]Source // outgoing number → packet
	ins     map[sfu.ExtSeq]In
	outs    map[sfu.ExtSeq]Out
	free    map[sfu.ExtSeq]bool // own packets and holes
	start   sfu.ExtSeq
	lossy   bool
	last    uint16
	begun   bool
	segs    int
}

func (w *world) take() pending {
	p := pending{w.stream, w.next[w.stream], w.picture[w.stream]}
	w.next[w.stream]++
	w.picture[w.stream] = (w.picture[w.stream] + 1) & 0x7fff // one packet a picture
	return p
}

func (w *world) in(p pending, start bool) In {
	return In{
		Packet:  &sfu.Packet{Seq: p.seq, Timestamp: uint32(p.picture) * 3000, Arrival: int64(p.seq)},
		Numbers: codec.Numbers{PictureID: p.picture, Has: vp8Fields}, Stream: p.stream, Start: start, Marker: p.seq%4 == 0,
	}
}

func (w *world) send(p pending, start bool) bool {
	in := w.in(p, start)
	out, ok := w.m.Map(&in)
	if !ok {
		return false
	}
	if w.start == 0 {
		w.start = out.Seq
	}
	if _, twice := w.owner[out.Seq]; twice || w.free[out.Seq] {
		w.t.Fatalf("number %d was used twice", out.Seq)
	}
	w.owner[out.Seq] = Source{Seq: p.seq, Stream: p.stream, Sent: true}
	w.ins[out.Seq], w.outs[out.Seq] = in, out
	if out.Seq+1 == w.m.Next() {
		if w.begun && !w.lossy && out.Numbers.PictureID != (w.last+1)&0x7fff {
			w.t.Fatalf("picture %d after %d", out.Numbers.PictureID, w.last)
		}
		w.last, w.begun = out.Numbers.PictureID, true
	}
	w.sent = append(w.sent, p)
	return true
}

func (w *world) step(op byte) {
	switch op % 11 {
	case 0, 1, 2: // forward the next
		if !w.send(w.take(), false) {
			w.t.Fatal("a packet in order was refused")
		}
	case 3: // lose one
		w.lost = append(w.lost, w.take())
		w.lossy = true
	case 4: // one that was lost comes
		if len(w.lost) > 0 {
			p := w.lost[int(op)%len(w.lost)]
			w.send(p, false)
		}
	case 5: // the other stream, after some of it passed by
		w.stream = 1 - w.stream
		w.next[w.stream] += sfu.ExtSeq(op)
		w.picture[w.stream] = (w.picture[w.stream] + uint16(op)) & 0x7fff
		w.segs++
		if !w.send(w.take(), true) {
			w.t.Fatal("a switch was refused")
		}
	case 6: // a higher temporal layer
		p := w.take()
		w.m.Drop(p.stream, p.seq, codec.Numbers{PictureID: p.picture, Has: vp8Fields})
	case 7: // the same again
		if len(w.sent) > 0 {
			if w.send(w.sent[int(op)%len(w.sent)], false) {
				w.t.Fatal("a packet was sent twice")
			}
		}
	case 8: // padding of our own
		out, _ := w.m.Insert(0, false)
		w.free[out.Seq] = true
	case 9: // a blank frame of our own
		out, _ := w.m.Insert(0, true)
		w.free[out.Seq] = true
		w.segs++
		w.last = out.Numbers.PictureID & 0x7fff
	case 10: // one that was lost comes and is not wanted
		if len(w.lost) > 0 {
			p := w.lost[0]
			if hole, ok := w.m.Drop(p.stream, p.seq, codec.Numbers{}); ok {
				if _, used := w.owner[hole]; used || w.free[hole] {
					w.t.Fatal("a hole that is none")
				}
				w.free[hole] = true
			}
		}
	}
}

func (w *world) check() {
	wasLost := map[Source]bool{}
	for _, p := range w.lost {
		wasLost[Source{Seq: p.seq, Stream: p.stream}] = true
	}
	for n := w.start; n < w.m.Next(); n++ {
		src, ok := w.m.Source(n.Seq())
		want, sent := w.owner[n]
		switch {
		case sent && w.segs < segments-1:
			if !ok || src != want {
				w.t.Fatalf("%d came from %+v %v, want %+v", n, src, ok, want)
			}
			in := w.ins[n]
			if again, ok := w.m.Again(n.Seq(), in.Packet.Timestamp, in.Numbers, false); !ok || again != w.outs[n] {
				w.t.Fatalf("again %+v, first %+v", again, w.outs[n])
			}
		case sent || w.free[n]:
			if ok && src != want {
				w.t.Fatalf("%d came from %+v, want %+v", n, src, want)
			}
		case ok && !wasLost[Source{Seq: src.Seq, Stream: src.Stream}] || ok && src.Sent:
			w.t.Fatalf("%d is a gap, said to come from %+v", n, src)
		case !ok && w.segs < segments-1:
			w.t.Fatalf("%d is a gap that nobody answers for", n)
		}
	}
}
