package layer_test

import (
	"fmt"
	"testing"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/layer"
)

func eachForm(t *testing.T, run func(t *testing.T, c *call)) {
	for _, f := range forms {
		for _, first := range []uint16{0, 32760, 65530} {
			t.Run(fmt.Sprintf("%s from %d", f.name, first), func(t *testing.T) { run(t, newCall(t, f, first)) })
		}
	}
}

func (c *call) top() sfu.Layer {
	return sfu.Layer{Spatial: int8(c.form.spatials - 1), Temporal: int8(c.form.temporals - 1)}
}

func (c *call) run(n int) (frames int) {
	for range n {
		c.next(0, -1)
		frames += len(c.got)
		if len(c.got) > 0 && c.marked != 1 {
			c.t.Fatalf("picture %d of %v has %d markers", c.picture, c.got, c.marked)
		}
	}
	return frames
}

func TestStartsAtKeyframe(t *testing.T) {
	eachForm(t, func(t *testing.T, c *call) {
		c.target = c.top()
		c.next(c.all(), -1)
		c.sel.Reset()
		c.stream = -1
		if c.run(8) != 0 {
			t.Error("forwarded without a keyframe")
		}
		if s, ok := c.sel.Wants(); !ok || s != c.target.Spatial {
			t.Errorf("wants %d %v", s, ok)
		}
		c.next(c.all(), -1)
		if c.run(8); c.sel.Current().Spatial != c.target.Spatial {
			t.Errorf("current %v", c.sel.Current())
		}
		if s, ok := c.sel.Wants(); ok {
			t.Errorf("still wants %d", s)
		}
	})
}

func TestSpatialUpNeedsKeyframe(t *testing.T) {
	eachForm(t, func(t *testing.T, c *call) {
		if c.form.spatials == 1 {
			return
		}
		c.target = sfu.Layer{Spatial: 0, Temporal: 0}
		c.next(c.all(), -1)
		c.run(9)
		c.target = c.top()
		c.run(8)
		if c.sel.Current().Spatial != 0 {
			t.Errorf("went up without a keyframe: %v", c.sel.Current())
		}
		if s, ok := c.sel.Wants(); !ok || s != c.target.Spatial {
			t.Errorf("wants %d %v", s, ok)
		}
		c.next(c.all(), -1)
		c.run(1)
		if c.sel.Current().Spatial != c.target.Spatial {
			t.Errorf("current %v", c.sel.Current())
		}
	})
}

func TestSpatialDown(t *testing.T) {
	eachForm(t, func(t *testing.T, c *call) {
		if c.form.spatials == 1 {
			return
		}
		c.target = c.top()
		c.next(c.all(), -1)
		c.run(9)
		c.target = sfu.Layer{Spatial: 0, Temporal: 2}
		before := c.run(8)
		full := c.form.svc && !c.form.keyOnly // every lower frame was forwarded anyway
		if full {
			if c.sel.Current().Spatial != 0 {
				t.Errorf("did not go down: %v", c.sel.Current())
			}
			return
		}
		if c.sel.Current().Spatial == 0 {
			t.Error("went down without a keyframe")
		}
		if want := 8 / (1 << (c.form.temporals - 1)); before > want+1 {
			t.Errorf("%d frames of 8 pictures while a lower layer is waited for", before)
		}
		if s, ok := c.sel.Wants(); !ok || s != 0 {
			t.Errorf("wants %d %v", s, ok)
		}
		c.next(c.all(), -1)
		c.run(1)
		if c.sel.Current().Spatial != 0 {
			t.Errorf("current %v", c.sel.Current())
		}
	})
}

func TestTemporal(t *testing.T) {
	eachForm(t, func(t *testing.T, c *call) {
		if c.form.temporals == 1 {
			return
		}
		c.target = c.top()
		c.next(c.all(), -1)
		c.run(3)
		c.target.Temporal = 0
		c.next(0, -1) // a base frame
		if c.run(3) != 0 && c.form.temporals == 3 {
			t.Error("forwarded frames above the base")
		}
		c.target.Temporal = int8(c.form.temporals - 1)
		c.run(8)
		if got := c.sel.Current().Temporal; got != c.target.Temporal {
			t.Errorf("did not come up without a keyframe: %v", c.sel.Current())
		}
		for range 4 {
			if c.next(0, -1); len(c.got) == 0 {
				t.Error("a picture is missing at the top")
			}
		}
	})
}

// TestSyncPoints: where the bit says no, the frames of a higher temporal layer stay out.
func TestSyncPoints(t *testing.T) {
	type packet struct {
		temporal int8
		sync     bool
		forward  bool
	}
	tests := []struct {
		name   string
		codec  sfu.Codec
		script []packet // after a keyframe at temporal target 0, with target 2
	}{
		// RFC 7741 section 4.2, Y
		{"vp8 waits for Y", sfu.VP8, []packet{{0, false, true}, {1, false, false}, {2, true, false}, {0, false, true}, {1, true, true},
			{2, false, false}, {1, false, true}, {2, true, true}, {2, false, true}}},
		{"h265 one sub-layer at a time", sfu.H265, []packet{{2, true, false}, {1, true, true}, {2, true, true}}},
		// RFC 9628 section 4.2, U
		{"vp9 waits for U, and then takes all that follows", sfu.VP9, []packet{{0, false, true}, {2, false, false}, {1, true, false},
			{0, true, true}, {2, false, true}, {1, false, true}}},
	}
	for _, tc := range tests {
		for _, first := range []sfu.ExtSeq{1 << 16, 1<<16 + 32767, 1<<17 - 1} {
			t.Run(fmt.Sprintf("%s from %d", tc.name, first), func(t *testing.T) {
				s := layer.New(layer.Config{Codec: tc.codec})
				send := func(i int, target int8, d codec.Description) bool {
					d.StartOfFrame, d.EndOfFrame = true, true
					p := &sfu.Packet{Seq: first + sfu.ExtSeq(i), Timestamp: uint32(i) * 3000}
					return s.Select(sfu.Layer{Temporal: target}, 0, p, &d).Fate == layer.Forward
				}
				send(0, 0, codec.Description{Keyframe: true})
				for i, p := range tc.script {
					if got := send(i+1, 2, codec.Description{Layer: sfu.Layer{Temporal: p.temporal}, SwitchUp: p.sync}); got != p.forward {
						t.Errorf("%d: %+v: forwarded %v", i, p, got)
					}
				}
			})
		}
	}
}

func TestPauseFinishesTheFrame(t *testing.T) {
	eachForm(t, func(t *testing.T, c *call) {
		c.target = c.top()
		c.next(c.all(), -1)
		c.run(4)
		e := c.enc[len(c.enc)-1]
		i := len(c.enc) - 1
		frames := e.Next(false)
		c.got = c.got[:0]
		c.ended, c.marked = false, 0
		for k, f := range frames {
			for part := range 2 {
				if k == 0 && part == 1 {
					c.target = sfu.NoLayer
				}
				c.seq[i]++
				c.packet(i, f, part == 0, part == 1)
			}
		}
		if c.form.keyOnly {
			if len(c.got) != 1 {
				t.Errorf("frames %v", c.got)
			}
		} else if len(c.got) != len(frames) {
			t.Errorf("frames %v", c.got)
		}
		if c.run(8) != 0 || c.sel.Current().Valid() {
			t.Error("forwarded while paused")
		}
		if _, ok := c.sel.Wants(); ok {
			t.Error("wants a keyframe while paused")
		}
		c.target = c.top()
		if c.run(4) != 0 {
			t.Error("went on without a keyframe")
		}
		c.next(c.all(), -1)
		if c.run(4); c.sel.Current().Spatial != c.target.Spatial {
			t.Errorf("current %v", c.sel.Current())
		}
	})
}

// TestLowerFirst: with nothing to show, the first keyframe below the target is taken.
func TestLowerFirst(t *testing.T) {
	c := newCall(t, forms[0], 0)
	c.target = c.top()
	c.next(0b111, -1)
	c.sel.Reset()
	c.next(0b001, -1)
	if c.sel.Current().Spatial != 0 {
		t.Errorf("current %v", c.sel.Current())
	}
	c.next(0b010, -1)
	if c.sel.Current().Spatial != 0 {
		t.Errorf("took a step that is not the target: %v", c.sel.Current())
	}
	c.next(0b100, -1)
	if c.sel.Current().Spatial != 2 {
		t.Errorf("current %v", c.sel.Current())
	}
}

// TestActiveTargets: whoever gets fewer decode targets is told (AV1 RTP A.4).
func TestActiveTargets(t *testing.T) {
	c := newCall(t, form{"", sfu.AV1, true, true, 2, 2, true}, 0)
	c.target = sfu.Layer{Spatial: 0, Temporal: 1}
	for n := range 4 {
		for _, f := range c.enc[0].Next(n == 0) {
			c.seq[0]++
			p, d := c.describe(0, f, true, true)
			v := c.sel.Select(c.target, 0, p, d)
			if (v.Fate == layer.Forward) != (f.Layer.Spatial == 0) {
				t.Errorf("frame %+v: %+v", f, v)
			}
			if v.Fate == layer.Forward && n > 0 && v.Active != 0b0011 {
				t.Errorf("frame %+v: mask %b", f, v.Active)
			}
		}
	}
}

func TestAudio(t *testing.T) {
	s := layer.New(layer.Config{Codec: sfu.Opus})
	d := &codec.Description{StartOfFrame: true, EndOfFrame: true, Keyframe: true, SwitchUp: true}
	send := func(seq sfu.ExtSeq, target sfu.Layer) layer.Verdict {
		return s.Select(target, 0, &sfu.Packet{Seq: seq, Timestamp: uint32(seq) * 960}, d)
	}
	on := sfu.Layer{}
	if v := send(70000, on); v.Fate != layer.Forward || !v.Start {
		t.Errorf("first %+v", v)
	}
	if v := send(70002, on); v.Fate != layer.Forward || v.Start {
		t.Errorf("second %+v", v)
	}
	if v := send(70001, on); v.Fate != layer.Forward {
		t.Errorf("late %+v", v)
	}
	if v := send(70003, sfu.NoLayer); v.Fate == layer.Forward {
		t.Errorf("paused %+v", v)
	}
	if v := send(70004, on); v.Fate != layer.Forward || !v.Start {
		t.Errorf("again %+v", v)
	}
	if v := send(70002, on); v.Fate == layer.Forward {
		t.Errorf("from before the pause %+v", v)
	}
}

// FuzzSelector moves the target at will, with keyframes and losses: what is forwarded can always be decoded.
func FuzzSelector(f *testing.F) {
	f.Add(uint8(0), uint16(0), []byte{0x00, 0xff, 0x12, 0x80, 0x33, 0x00, 0x21, 0x81})
	f.Add(uint8(4), uint16(65530), []byte{0x00, 0xff, 0x12, 0x80, 0x33, 0x00, 0x21, 0x81})
	f.Add(uint8(5), uint16(65530), []byte{0x22, 0x80, 0x12, 0x00, 0x10, 0x00, 0x20, 0x81, 0x00, 0x80})
	f.Add(uint8(9), uint16(32760), []byte{0x22, 0x80, 0x12, 0x00, 0x10, 0x00, 0x20, 0x81, 0x00, 0x80})
	f.Add(uint8(1), uint16(32760), []byte{0x22, 0x81, 0x12, 0x00, 0x10, 0x82, 0x20, 0x84, 0x00, 0x80, 0xf0, 0x00})
	f.Fuzz(func(t *testing.T, which uint8, first uint16, script []byte) {
		if len(script) > 400 {
			return
		}
		c := newCall(t, forms[int(which)%len(forms)], first)
		for len(script) >= 2 {
			a, b := script[0], script[1]
			script = script[2:]
			c.target = sfu.Layer{Spatial: int8(a>>4) % int8(c.form.spatials), Temporal: int8(a & 3)}
			if a>>4 == 15 {
				c.target = sfu.NoLayer
			}
			key, lose := 0, -1
			if b&0x80 != 0 {
				key = int(b&0x07) | 1
			}
			if b&0x40 != 0 {
				lose = int(b >> 3 & 0x07)
			}
			c.next(key, lose)
			if cur := c.sel.Current(); c.form.svc && cur.Valid() && key != 0 && lose < 0 && c.target.Valid() && cur.Spatial != c.target.Spatial {
				t.Fatalf("a key picture did not lead to %v, but to %v", c.target, cur)
			}
		}
	})
}

func TestSelectAllocatesNothing(t *testing.T) {
	for _, f := range forms {
		c := newCall(t, f, 0)
		type item struct {
			i int8
			p *sfu.Packet
			d *codec.Description
		}
		var items []item
		for n := range 200 {
			for i, e := range c.enc {
				for _, fr := range e.Next(n%64 == 0) {
					c.seq[i]++
					p, d := c.describe(i, fr, true, true)
					items = append(items, item{int8(i), p, d})
				}
			}
		}
		target, k := c.top(), 0
		if n := testing.AllocsPerRun(len(items)-2, func() {
			c.sel.Select(target, items[k].i, items[k].p, items[k].d)
			k++
		}); n != 0 {
			t.Errorf("%s: %v allocations", f.name, n)
		}
	}
}

func BenchmarkSelect(b *testing.B) {
	for _, k := range []int{0, 5, 9} {
		f := forms[k]
		b.Run(f.name, func(b *testing.B) {
			c := newCall(b, f, 0)
			c.target = c.top()
			c.next(c.all(), -1)
			i := len(c.enc) - 1
			fr := c.enc[i].Next(false)[0]
			c.seq[i]++
			p, d := c.describe(i, fr, true, true)
			b.ReportAllocs()
			for b.Loop() {
				p.Seq++
				c.sel.Select(c.target, int8(i), p, d)
			}
		})
	}
}
