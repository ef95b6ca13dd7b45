package codec

import (
	"bytes"
	"testing"

	"weir/sfu"
)

// packet makes a parsed RTP packet around a payload.
func packet(t testing.TB, seq uint16, ts uint32, marker bool, payload []byte) *sfu.Packet {
	t.Helper()
	var w Writer
	w.Start(nil, Header{PayloadType: 96, Marker: marker, Seq: sfu.Seq(seq), Timestamp: ts, SSRC: 7})
	p := new(sfu.Packet)
	if err := Parse(p, append(w.Finish(), payload...)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDescribe(t *testing.T) {
	type want struct {
		start, end, key, up, discard bool
		layer                        sfu.Layer
		n                            Numbers
		w, h                         uint16
	}
	wide := HasPictureID | WidePictureID
	tests := []struct {
		name    string
		codec   sfu.Codec
		marker  bool
		payload []byte
		want    want
	}{
		{"opus is always a place to start", sfu.Opus, false, []byte{0xfc}, want{start: true, end: true, key: true, up: true}},
		{"empty payload is nothing", sfu.Opus, false, nil, want{}},
		// RFC 7741 section 4.2
		{"vp8 without extension, key", sfu.VP8, true, []byte{0x10, 0x00}, want{start: true, end: true, key: true}},
		{"vp8 delta", sfu.VP8, false, []byte{0x10, 0x01}, want{start: true}},
		{"vp8 second packet", sfu.VP8, true, []byte{0x00, 0x00}, want{end: true}},
		{"vp8 partition 1 starts no frame", sfu.VP8, false, []byte{0x11, 0x00}, want{}},
		{"vp8 non-reference", sfu.VP8, false, []byte{0x30, 0x01}, want{start: true, discard: true}},
		{"vp8 7 bit picture id", sfu.VP8, false, []byte{0x90, 0x80, 0x7f, 0x01},
			want{start: true, n: Numbers{PictureID: 127, Has: HasPictureID}}},
		{"vp8 all fields, key with size", sfu.VP8, false,
			[]byte{0x90, 0xf0, 0xff, 0xff, 0xfe, 0xbf, 0x50, 0x01, 0x02, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41},
			want{start: true, key: true, up: true, layer: sfu.Layer{Temporal: 2}, w: 640, h: 360,
				n: Numbers{PictureID: 0x7fff, TL0: 254, KeyIndex: 31, Has: wide | HasTL0 | HasKeyIndex}}},
		{"vp8 TID without KEYIDX", sfu.VP8, false, []byte{0x90, 0x20, 0x5f, 0x01},
			want{start: true, layer: sfu.Layer{Temporal: 1}}},
		// RFC 9628 section 4.2
		{"vp9 keyframe, non-flexible", sfu.VP9, false, []byte{0xa8, 0x81, 0x02, 0x10, 0x05},
			want{start: true, key: true, up: true, n: Numbers{PictureID: 0x102, TL0: 5, Has: wide | HasTL0}}},
		{"vp9 upper layer of a key picture is no keyframe", sfu.VP9, false, []byte{0xac, 0x01, 0x03, 0x05},
			want{start: true, end: true, layer: sfu.Layer{Spatial: 1}, n: Numbers{PictureID: 1, TL0: 5, Has: HasPictureID | HasTL0}}},
		{"vp9 delta whose ciphertext looks like a keyframe", sfu.VP9, false, []byte{0xe8, 0x01, 0x10, 0x05, 0x82, 0x49, 0x83},
			want{start: true, up: true, n: Numbers{PictureID: 1, TL0: 5, Has: HasPictureID | HasTL0}}},
		{"vp9 flexible with three references", sfu.VP9, false, []byte{0xf4, 0x01, 0x24, 0x03, 0x05, 0x06, 0xff},
			want{end: true, layer: sfu.Layer{Spatial: 2, Temporal: 1}, n: Numbers{PictureID: 1, Has: HasPictureID}}},
		{"vp9 scalability structure", sfu.VP9, false,
			[]byte{0x0a, 0x30, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x82},
			want{start: true, key: true, w: 640, h: 360}},
		// RFC 6184
		{"h264 idr", sfu.H264, false, []byte{0x65, 0x88}, want{start: true, key: true}},
		{"h264 second slice of an idr", sfu.H264, false, []byte{0x65, 0x48}, want{start: true}},
		{"h264 sps", sfu.H264, false, []byte{0x67, 0x42, 0x00, 0x1f}, want{start: true, key: true}},
		{"h264 sps with size", sfu.H264, false,
			[]byte{0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8, 0x06, 0xd0, 0xa1, 0x35},
			want{start: true, key: true, w: 1280, h: 720}},
		{"h264 stap-a with sps", sfu.H264, false, []byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce}, want{start: true, key: true}},
		{"h264 stap-a without", sfu.H264, false, []byte{0x78, 0, 2, 0x41, 0x9a, 0, 2, 0x41, 0x9a}, want{start: true}},
		{"h264 fu-a start of idr", sfu.H264, false, []byte{0x7c, 0x85, 0xb8}, want{start: true, key: true}},
		{"h264 fu-a middle of idr", sfu.H264, true, []byte{0x7c, 0x05, 0xb8}, want{start: true, end: true}},
		{"h264 non-reference slice", sfu.H264, false, []byte{0x01, 0x9a}, want{start: true, discard: true}},
		// RFC 7798
		{"h265 idr", sfu.H265, false, []byte{0x26, 0x01, 0xaf}, want{start: true, key: true}},
		{"h265 fu start of cra", sfu.H265, false, []byte{0x62, 0x01, 0x95, 0xaf}, want{start: true, key: true}},
		{"h265 ap with vps", sfu.H265, false, []byte{0x60, 0x01, 0, 2, 0x40, 0x01}, want{start: true, key: true}},
		{"h265 temporal sub-layer switch", sfu.H265, false, []byte{0x08, 0x02, 0xaf}, want{start: true, up: true, layer: sfu.Layer{Temporal: 1}}},
		// AV1 RTP section 4.4
		{"av1 new sequence", sfu.AV1, false, []byte{0x18, 0x0a}, want{start: true, key: true}},
		{"av1 fragment", sfu.AV1, true, []byte{0x90, 0x0a}, want{end: true}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var d Description
			p := packet(t, 1, 1, tc.marker, tc.payload)
			if err := new(Reader).Describe(tc.codec, p, nil, &d); err != nil {
				t.Fatal(err)
			}
			got := want{d.StartOfFrame, d.EndOfFrame, d.Keyframe, d.SwitchUp, d.Discardable, d.Layer, d.Numbers, d.Width, d.Height}
			if got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			if n := ReadNumbers(tc.codec, tc.payload, nil); n != d.Numbers {
				t.Errorf("ReadNumbers = %+v, Describe %+v", n, d.Numbers)
			}
		})
	}
}

func TestDescribeShort(t *testing.T) {
	whole := map[sfu.Codec][]byte{
		sfu.VP8:  {0x90, 0xf0, 0xff, 0xff, 0xfe, 0xbf},
		sfu.VP9:  {0xe2, 0x81, 0x02, 0x10, 0x05, 0x38},
		sfu.H264: {0x78, 0, 2, 0x67},
		sfu.H265: {0x60, 0x01, 0, 2, 0x40},
	}
	for c, b := range whole {
		for n := 1; n <= len(b); n++ {
			var d Description
			err := new(Reader).Describe(c, packet(t, 1, 1, false, b[:n]), nil, &d)
			if err == nil && !(c == sfu.H264 && n == 1) {
				t.Errorf("%v: %d bytes of %x: no error", c, n, b)
			}
		}
	}
}

// TestH264FrameStart: RFC 6184 has no bit for the start of a frame, so the timestamp tells, also across the wrap.
func TestH264FrameStart(t *testing.T) {
	var r Reader
	var d Description
	for _, step := range []struct {
		seq   sfu.ExtSeq
		ts    uint32
		start bool
	}{
		{1<<16 + 65534, 0xffffff00, true}, {1<<16 + 65535, 0xffffff00, false}, {2 << 16, 100, true},
		{1<<16 + 65533, 0xffff0000, false}, {2<<16 + 1, 100, false}, {2<<16 + 2, 200, true},
	} {
		p := packet(t, uint16(step.seq), step.ts, false, []byte{0x41, 0x9a})
		p.Seq = step.seq
		if err := r.Describe(sfu.H264, p, nil, &d); err != nil || d.StartOfFrame != step.start {
			t.Errorf("seq %d: start %v, err %v", step.seq, d.StartOfFrame, err)
		}
	}
}

func TestPatch(t *testing.T) {
	n := Numbers{PictureID: 0x7ffe, TL0: 9, KeyIndex: 30, Has: HasPictureID | WidePictureID | HasTL0 | HasKeyIndex}
	tests := []struct {
		name    string
		codec   sfu.Codec
		in, out []byte
		changed int
	}{
		{"vp8 all", sfu.VP8, []byte{0x90, 0xf0, 0x80, 0x01, 0x02, 0xa3, 0x01}, []byte{0x90, 0xf0, 0xff, 0xfe, 0x09, 0xbe, 0x01}, 6},
		{"vp8 7 bits", sfu.VP8, []byte{0x90, 0x80, 0x01, 0x01}, []byte{0x90, 0x80, 0x7e, 0x01}, 3},
		{"vp8 TID only keeps its low bits", sfu.VP8, []byte{0x90, 0x20, 0x41, 0x01}, []byte{0x90, 0x20, 0x41, 0x01}, 0},
		{"vp8 none", sfu.VP8, []byte{0x10, 0x01}, []byte{0x10, 0x01}, 0},
		{"vp9 wide", sfu.VP9, []byte{0xa8, 0x81, 0x02, 0x10, 0x05, 1}, []byte{0xa8, 0xff, 0xfe, 0x10, 0x09, 1}, 5},
		{"vp9 flexible", sfu.VP9, []byte{0xb8, 0x01, 0x10, 1}, []byte{0xb8, 0x7e, 0x10, 1}, 2},
		{"h264", sfu.H264, []byte{0x65, 0x88}, []byte{0x65, 0x88}, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := bytes.Clone(tc.in)
			if got := Patch(tc.codec, b, b, n); got != tc.changed || !bytes.Equal(b, tc.out) {
				t.Errorf("changed %d: %x, want %d: %x", got, b, tc.changed, tc.out)
			}
		})
	}
}

func TestAudioLevel(t *testing.T) {
	for _, tc := range []struct {
		b         []byte
		level     uint8
		voice, ok bool
	}{{nil, 127, false, false}, {[]byte{0x7f}, 127, false, true}, {[]byte{0xa3}, 35, true, true}, {[]byte{0x80, 0}, 0, true, true}} {
		if l, v, ok := AudioLevel(tc.b); l != tc.level || v != tc.voice || ok != tc.ok {
			t.Errorf("%x: %d %v %v", tc.b, l, v, ok)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add(uint8(sfu.VP8), []byte{0x90, 0xf0, 0xff, 0xff, 0xfe, 0xbf, 0x50, 0x01, 0x02, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41})
	f.Add(uint8(sfu.VP9), []byte{0xf7, 0x81, 0x02, 0x24, 0x03, 0x05, 0x06, 0x30, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(uint8(sfu.H264), []byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce})
	f.Add(uint8(sfu.H264), []byte{0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8, 0x06, 0xd0, 0xa1, 0x35})
	f.Add(uint8(sfu.H265), []byte{0x62, 0x01, 0x95, 0xaf})
	f.Add(uint8(sfu.AV1), []byte{0x18, 0x0a})
	f.Fuzz(func(t *testing.T, c uint8, payload []byte) {
		if c > uint8(sfu.H265) {
			return
		}
		codec := sfu.Codec(c)
		var d, again Description
		if new(Reader).Describe(codec, packet(t, 1, 1, true, payload), nil, &d) != nil || len(payload) == 0 {
			return
		}
		// What is patched in can be read back, touches nothing else, and stays within PatchSpace.
		want := d.Numbers
		want.PictureID ^= 0x55
		want.TL0 ^= 0x55
		want.KeyIndex ^= 0x15
		b := bytes.Clone(payload)
		n := Patch(codec, b, b, want)
		if n > PatchSpace || !bytes.Equal(b[n:], payload[n:]) {
			t.Fatalf("changed beyond %d bytes", n)
		}
		if err := new(Reader).Describe(codec, packet(t, 1, 1, true, b), nil, &again); err != nil {
			t.Fatal(err)
		}
		if d.Has&HasPictureID != 0 && again.PictureID != want.PictureID || d.Has&HasTL0 != 0 && again.TL0 != want.TL0 ||
			d.Has&HasKeyIndex != 0 && again.KeyIndex != want.KeyIndex {
			t.Fatalf("patched %+v, read %+v", want, again.Numbers)
		}
		again.Numbers = d.Numbers
		if again != d {
			t.Fatalf("patching changed the description: %+v, was %+v", again, d)
		}
		// Ciphertext decides nothing: the bytes behind the clear ones may be anything.
		if clearBytes := clearLength(codec, payload); clearBytes < len(payload) {
			b := bytes.Clone(payload)
			for i := clearBytes; i < len(b); i++ {
				b[i] ^= 0xa7
			}
			again = Description{}
			if err := new(Reader).Describe(codec, packet(t, 1, 1, true, b), nil, &again); err != nil || again != d {
				t.Fatalf("ciphertext was read: %+v, was %+v", again, d)
			}
		}
	})
}

// clearLength is how much of a packet's payload is never encrypted (media.md section 2), for the codecs where that can be
// told without knowing where the frame starts.
func clearLength(c sfu.Codec, b []byte) int {
	switch c {
	case sfu.Opus:
		return 1
	case sfu.AV1:
		return 1
	case sfu.VP8:
		f, ok := parseVP8(b)
		if !ok {
			return len(b)
		}
		if len(b) > f.length && b[f.length]&1 == 0 {
			return f.length + 10
		}
		return f.length + 3
	case sfu.VP9:
		f, ok := parseVP9(b)
		if !ok {
			return len(b)
		}
		if f.ss == 0 {
			return f.length
		}
		return f.length + 1 + 4*8 + 1 + 255*4
	case sfu.H264:
		switch b[0] & 0x1f {
		case h264IDR, h264Slice:
			return 2
		case h264FUA:
			if len(b) > 1 && b[1]&0x1f != h264SPS {
				return 3
			}
		}
	}
	return len(b)
}

func TestDescribeAllocatesNothing(t *testing.T) {
	var r Reader
	var d Description
	p := packet(t, 1, 1, false, []byte{0x90, 0xf0, 0xff, 0xff, 0xfe, 0xbf, 0x50, 0x01, 0x02, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41})
	if n := testing.AllocsPerRun(100, func() { _ = r.Describe(sfu.VP8, p, nil, &d); Patch(sfu.VP8, p.Payload(), p.Payload(), d.Numbers) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDescribeVP8(b *testing.B) {
	var r Reader
	var d Description
	p := packet(b, 1, 1, false, []byte{0x90, 0xf0, 0xff, 0xff, 0xfe, 0xbf, 0x51, 0x01, 0x02, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41})
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Describe(sfu.VP8, p, nil, &d)
	}
}
