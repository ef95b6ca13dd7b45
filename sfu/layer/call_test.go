package layer_test

import (
	"testing"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/layer"
	"weir/sfu/sfutest/scalable"
)

// form is how a publication carries its layers.
type form struct {
	name      string
	codec     sfu.Codec
	svc       bool // one stream with spatial layers, else as many streams
	dd        bool
	spatials  int
	temporals int
	keyOnly   bool
}

var forms = []form{
	{"vp8 simulcast", sfu.VP8, false, false, 3, 3, false},
	{"vp8 simulcast with dd", sfu.VP8, false, true, 3, 3, false},
	{"h264 simulcast", sfu.H264, false, false, 3, 1, false},
	{"vp9 simulcast", sfu.VP9, false, false, 2, 3, false},
	{"vp9 L3T3", sfu.VP9, true, false, 3, 3, false},
	{"vp9 L3T3_KEY", sfu.VP9, true, false, 3, 3, true},
	{"vp9 L1T3", sfu.VP9, true, false, 1, 3, false},
	{"vp9 L3T3_KEY with dd", sfu.VP9, true, true, 3, 3, true},
	{"av1 L3T3", sfu.AV1, true, true, 3, 3, false},
	{"av1 L3T3_KEY", sfu.AV1, true, true, 3, 3, true},
	{"av1 L2T2_KEY", sfu.AV1, true, true, 2, 2, true},
	{"av1 L1T3", sfu.AV1, true, true, 1, 3, false},
}

// call is one publication and one subscription to it, with a decoder that knows which frames it could decode.
type call struct {
	t       testing.TB
	form    form
	enc     []*scalable.Encoder // by stream
	reader  []codec.Reader
	seq     []sfu.ExtSeq
	picture int
	sel     *layer.Selector
	target  sfu.Layer

	stream    int // that the decoder is on
	decodable map[uint16]bool
	excused   map[uint16]bool // lost on the way to the focus: its repair is another matter
	got       []sfu.Layer     // of the frames forwarded in the last picture
	marked    int             // marker bits in the last picture
	ended     bool            // the last packet forwarded in it had the marker
	lossy     bool
}

func newCall(t testing.TB, f form, first uint16) *call {
	c := &call{t: t, form: f, sel: layer.New(layer.Config{Codec: f.codec, SVC: f.svc}), target: sfu.TopLayer, stream: -1,
		decodable: map[uint16]bool{}, excused: map[uint16]bool{}}
	streams, spatials := f.spatials, 1
	if f.svc {
		streams, spatials = 1, f.spatials
	}
	for i := range streams {
		c.enc = append(c.enc, scalable.New(spatials, f.temporals, f.keyOnly, first+uint16(i*1000)))
		c.seq = append(c.seq, 1<<16+sfu.ExtSeq(first)+sfu.ExtSeq(i)*20000)
	}
	c.reader = make([]codec.Reader, streams)
	return c
}

// picture sends one picture on every stream; key is a bit mask of streams that send a keyframe, lose the number of a packet
// that is lost, counted over the picture (-1: none).
func (c *call) next(key, lose int) {
	c.got, c.marked, c.ended = c.got[:0], 0, false
	n := 0
	for i, e := range c.enc {
		frames := e.Next(key>>i&1 != 0)
		for _, f := range frames {
			for part := range 2 {
				c.seq[i]++
				if n++; n-1 == lose {
					c.excused[f.Number] = true
					if part == 0 && c.form.codec != sfu.VP8 {
						c.lossy = true
					}
					continue
				}
				c.packet(i, f, part == 0, part == 1)
			}
		}
	}
	c.picture++
}

// describe is what the codec package would say of a packet.
func (c *call) describe(i int, f scalable.Frame, first, last bool) (*sfu.Packet, *codec.Description) {
	p := &sfu.Packet{Raw: []byte{0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}, HeaderLen: 12, Seq: c.seq[i],
		Timestamp: uint32(f.Picture) * 3000, Marker: last && f.Last}
	d := new(codec.Description)
	if c.form.dd {
		if err := c.reader[i].Describe(sfu.AV1, p, c.enc[i].Part(f, first, last), d); err != nil {
			c.t.Fatal(err)
		}
		return p, d
	}
	d.Layer, d.StartOfFrame, d.EndOfFrame, d.Keyframe = f.Layer, first, last, first && f.Keyframe
	switch c.form.codec {
	case sfu.VP8:
		d.SwitchUp = f.BaseOnly
	case sfu.H264:
		d.Layer.Temporal = 0
	case sfu.VP9:
		d.SwitchUp = true
		d.InterPicture = !f.Key
		d.InterLayer = f.Layer.Spatial > 0 && (f.Key || !c.form.keyOnly)
		d.NotRefAbove = f.Last || c.form.keyOnly && !f.Key
	}
	return p, d
}

func (c *call) packet(i int, f scalable.Frame, first, last bool) {
	p, d := c.describe(i, f, first, last)
	v := c.sel.Select(c.target, int8(i), p, d)
	of := c.sel.Current().Valid() && (c.form.svc || int(c.sel.Current().Spatial) == i)
	if of == (v.Fate == layer.Ignore) {
		c.t.Fatalf("verdict %+v for the current stream", v)
	}
	if v.Fate != layer.Forward {
		return
	}
	if v.Start {
		if !f.Keyframe || !first {
			c.t.Fatalf("starts at %+v", f)
		}
		c.stream, c.ended, c.marked = i, false, 0
		c.got = c.got[:0]
		clear(c.decodable)
	}
	if i != c.stream {
		c.t.Fatalf("stream %d without a start", i)
	}
	if first || !c.decodable[f.Number] {
		c.decode(f)
	}
	if c.ended && !c.lossy {
		c.t.Fatalf("picture %d goes on after its marker: %+v, current %v", c.picture, f, c.sel.Current())
	}
	c.ended = v.Marker
	if v.Marker {
		c.marked++
	}
	if last {
		l := f.Layer
		if !c.form.svc {
			l.Spatial = int8(i)
		}
		c.got = append(c.got, l)
	}
}

// decode is the property of the whole package: what is forwarded can be decoded from what was forwarded before.
func (c *call) decode(f scalable.Frame) {
	for _, r := range f.Refs {
		if !c.decodable[r] && !c.excused[r] {
			c.t.Fatalf("picture %d: frame %+v refers to %d, which was not forwarded (current %v, target %v)", c.picture, f, r, c.sel.Current(), c.target)
		}
	}
	c.decodable[f.Number] = true
}

func (c *call) all() int { return 1<<len(c.enc) - 1 }
