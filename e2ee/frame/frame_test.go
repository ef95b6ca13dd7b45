package frame

import (
	"bytes"
	"errors"
	"testing"

	"weir/sfu"
)

func TestClear(t *testing.T) {
	key := append([]byte{0x10}, make([]byte, 40)...)
	delta := append([]byte{0x11}, make([]byte, 40)...)
	h264 := []byte{0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 0x88, 0x99, 0xaa, 0xbb}
	for _, c := range []struct {
		name  string
		codec sfu.Codec
		frame []byte
		want  int
	}{
		{"opus", sfu.Opus, []byte{0x78, 1, 2}, 1},
		{"empty opus (DTX)", sfu.Opus, nil, 0},
		{"VP8 key frame", sfu.VP8, key, 10},
		{"VP8 delta frame", sfu.VP8, delta, 3},
		{"VP8 shorter than its header", sfu.VP8, key[:4], 4},
		{"VP9 has nothing readable", sfu.VP9, key, 0},
		{"H264 up to two bytes of the IDR slice", sfu.H264, h264, 17},
		{"H264 non-IDR slice", sfu.H264, []byte{0, 0, 1, 0x41, 0x9a, 1, 2}, 5},
		{"H264 slice of one byte", sfu.H264, []byte{0, 0, 1, 0x65}, 4},
		{"H265 IDR slice", sfu.H265, []byte{0, 0, 1, 0x40, 1, 9, 0, 0, 1, 0x26, 1, 7, 8}, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Clear(c.codec, c.frame)
			if err != nil || got != c.want {
				t.Fatalf("got %d, %v; want %d", got, err, c.want)
			}
		})
	}
	for _, c := range []struct {
		name  string
		codec sfu.Codec
		frame []byte
		want  error
	}{
		{"AV1", sfu.AV1, key, ErrUnsupported},
		{"no codec", sfu.NoCodec, key, ErrUnsupported},
		{"H264 without a slice", sfu.H264, []byte{0, 0, 1, 0x67, 1, 2}, ErrNoSlice},
		{"H264 that ends in a start code", sfu.H264, []byte{0, 0, 1}, ErrNoSlice},
		{"H264 without a start code", sfu.H264, []byte{0x65, 1, 2}, ErrNoSlice},
		{"H265 parameter sets alone", sfu.H265, []byte{0, 0, 1, 0x40, 1, 9}, ErrNoSlice},
		{"empty H264", sfu.H264, nil, ErrNoSlice},
	} {
		if _, err := Clear(c.codec, c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := new(Parts).Split(c.codec, c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s, split: %v", c.name, err)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	good := append([]byte{0x78}, make([]byte, TagLen)...)
	good = AppendTrailer(good, make([]byte, IVLen), 7)
	var p Parts
	if err := p.Split(sfu.Opus, good); err != nil || p.KeyIndex != 7 || len(p.Sealed) != TagLen || len(p.Clear) != 1 {
		t.Fatalf("a whole frame: %+v, %v", p, err)
	}
	for n := range good {
		if err := p.Split(sfu.Opus, good[:n]); !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrTrailer) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	bad := bytes.Clone(good)
	bad[len(bad)-2] = 16
	if err := p.Split(sfu.Opus, bad); !errors.Is(err, ErrTrailer) {
		t.Fatalf("IV of 16 bytes: %v", err)
	}
}

func TestLongStartCodes(t *testing.T) {
	got := appendLongStartCodes(nil, []byte{0, 0, 1, 0x67, 5, 0, 0, 0, 1, 0x65, 9})
	if want := []byte{0, 0, 0, 1, 0x67, 5, 0, 0, 0, 1, 0x65, 9}; !bytes.Equal(got, want) {
		t.Fatalf("got % x", got)
	}
}

func TestAppendClear(t *testing.T) {
	long := []byte{0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 0x88}
	for _, c := range []struct {
		name  string
		codec sfu.Codec
		frame []byte
		want  []byte
		n     int
	}{
		{"opus", sfu.Opus, []byte{0x78, 0, 0, 1}, []byte{0x78}, 1},
		{"H264 with long start codes", sfu.H264, append(bytes.Clone(long), 0, 0, 1), long, 12},
		{"H264 with short start codes", sfu.H264, []byte{0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88, 0, 0, 1}, long, 10},
		{"H264 with the second one short", sfu.H264, []byte{0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88}, long, 11},
		{"H264 with an empty NAL unit", sfu.H264, []byte{0, 0, 0, 1, 0, 0, 1, 0x65, 0x88, 9}, []byte{0, 0, 0, 1, 0, 0, 0, 1, 0x65, 0x88}, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, n, err := AppendClear([]byte{7}, c.codec, c.frame)
			if err != nil || n != c.n || !bytes.Equal(got, append([]byte{7}, c.want...)) {
				t.Fatalf("got % x, %d, %v", got, n, err)
			}
		})
	}
	if got, _, err := AppendClear([]byte{7}, sfu.H264, []byte{0, 0, 1, 0x67, 1, 2}); !errors.Is(err, ErrNoSlice) || len(got) != 1 {
		t.Fatalf("no slice: % x, %v", got, err)
	}
}

// Zeros are found wherever they stand among the blocks.
func TestZeros(t *testing.T) {
	for n := range 2*blockLen + 10 {
		b := bytes.Repeat([]byte{0x83}, n)
		for at := range n {
			for end := at + 1; end <= min(at+3, n); end++ {
				for _, behind := range []byte{0, 1, 3, 4, 0x80} {
					clear(b[at:end])
					b[end-1] = behind
					for _, low := range []byte{0, 3} {
						want := -1
						if end == at+3 && low <= behind && behind <= 3 {
							want = at
						}
						if got := zeros(b, low); got != want {
							t.Fatalf("%d bytes, % x at %d: found at %d, not %d", n, b[at:end], at, got, want)
						}
					}
				}
				copy(b[at:end], []byte{0x83, 0x83, 0x83})
			}
		}
	}
}

func TestInjected(t *testing.T) {
	if !Injected([]byte{1, 2, 3, 4}, []byte{3, 4}) || Injected([]byte{1, 2}, nil) || Injected([]byte{4}, []byte{3, 4}) {
		t.Fatal("a frame is injected exactly if it ends in a trailer that exists")
	}
}

func TestBlank(t *testing.T) {
	trailer := []byte("0123456789abcdef")
	mark := func(b []byte) []byte { return append(bytes.Clone(b), trailer...) }
	other := bytes.Clone(VP8Blank)
	other[20] ^= 1
	for _, c := range []struct {
		name    string
		codec   sfu.Codec
		frame   []byte
		trailer []byte
		want    []byte
	}{
		{"VP8 blank", sfu.VP8, mark(VP8Blank), trailer, VP8Blank},
		{"Opus silence", sfu.Opus, mark(OpusSilence), trailer, OpusSilence},
		{"H264 slice", sfu.H264, mark(H264Blank[2]), trailer, H264Blank[2]},
		{"another picture", sfu.VP8, mark(other), trailer, nil},
		{"the blank of another codec", sfu.Opus, mark(VP8Blank), trailer, nil},
		{"nothing but the trailer", sfu.VP8, trailer, trailer, nil},
		{"a blank without the trailer", sfu.VP8, VP8Blank, trailer, nil},
		{"another session's trailer", sfu.VP8, mark(VP8Blank), []byte("fedcba9876543210"), nil},
		{"a session without a trailer", sfu.VP8, VP8Blank, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Blank(c.codec, c.frame, c.trailer)
			if c.want == nil && !errors.Is(err, ErrInjected) || c.want != nil && (err != nil || !bytes.Equal(got, c.want)) {
				t.Fatalf("got % x, %v", got, err)
			}
		})
	}
}

// Escaping hides every start code and is undone by Unescape.
func FuzzEscape(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 3, 0, 0})
	f.Add([]byte{0, 0, 2, 0, 0, 0})
	f.Add(append(bytes.Repeat([]byte{5}, blockLen-1), 0, 0, 3, 5, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, raw []byte) {
		escaped := AppendEscaped(nil, raw)
		if bytes.Contains(escaped, []byte{0, 0, 1}) || bytes.Contains(escaped, []byte{0, 0, 0}) {
			t.Fatalf("start code in % x", escaped)
		}
		if got := Unescape(nil, escaped); !bytes.Equal(got, raw) {
			t.Fatalf("% x came back as % x", raw, got)
		}
		prefix := []byte{0, 0, 9}
		if got, _ := EscapeFrom(append(bytes.Clone(prefix), raw...), 3, nil); !bytes.Equal(got[3:], escaped) || !bytes.Equal(got[:3], prefix) {
			t.Fatalf("% x escaped in place to % x", raw, got)
		}
		if want := byByte(raw); !bytes.Equal(escaped, want) {
			t.Fatalf("% x escaped to % x, byte by byte to % x", raw, escaped, want)
		}
	})
}

// The clear bytes end two bytes into the first slice, and come out with start codes of four bytes; that is what the
// receiver finds in the encrypted form.
func FuzzClear(f *testing.F) {
	f.Add(false, []byte{0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88, 0x99})
	f.Add(true, []byte{0, 0, 1, 0x40, 1, 9, 0, 0, 1, 0, 0, 1, 0x26})
	f.Fuzz(func(t *testing.T, h265 bool, b []byte) {
		c := sfu.H264
		if h265 {
			c = sfu.H265
		}
		want := 0
		for at := 0; want == 0; {
			i := bytes.Index(b[at:], startCode)
			if at += i + len(startCode); i < 0 || at >= len(b) {
				break
			}
			if isSlice(c, b[at]) {
				want = min(at+beyondHeader, len(b))
			}
		}
		out, n, err := AppendClear(nil, c, b)
		if n != want || (err != nil) != (want == 0) {
			t.Fatalf("%d bytes are clear, %v; not %d", n, err, want)
		}
		if err != nil {
			return
		}
		if long := appendLongStartCodes(nil, b[:n]); !bytes.Equal(out, long) {
			t.Fatalf("% x became % x, not % x", b[:n], out, long)
		}
		if n, err := Clear(c, append(out, AppendEscaped(nil, b[n:])...)); err != nil || n != len(out) {
			t.Fatalf("the receiver finds %d clear bytes of %d, %v", n, len(out), err)
		}
	})
}

// byByte escapes as the standard words it.
func byByte(raw []byte) (out []byte) {
	zeros := 0
	for _, b := range raw {
		if zeros == 2 && b <= 3 {
			out, zeros = append(out, 3), 0
		}
		if out = append(out, b); b != 0 {
			zeros = 0
		} else {
			zeros++
		}
	}
	return out
}

// Split never reads past the frame, and its parts add up to it.
func FuzzSplit(f *testing.F) {
	f.Add(uint8(sfu.VP8), AppendTrailer(make([]byte, 40), make([]byte, IVLen), 1))
	f.Add(uint8(sfu.H264), []byte{0, 0, 1, 0x65, 1, 2, 0, 0, 3, 1})
	f.Fuzz(func(t *testing.T, codec uint8, b []byte) {
		c := sfu.Codec(codec % uint8(sfu.H265+1))
		before := bytes.Clone(b)
		var p Parts
		err := p.Split(c, b)
		if !bytes.Equal(before, b) {
			t.Fatal("the frame was changed")
		}
		if err != nil {
			return
		}
		again := append(bytes.Clone(p.Sealed), p.IV...)
		again = append(again, IVLen, p.KeyIndex)
		if Escaped(c) {
			again = Unescape(nil, AppendEscaped(nil, again))
		}
		if rest := unescaped(c, b[len(p.Clear):]); !bytes.Equal(again, rest) {
			t.Fatalf("parts % x do not add up to % x", again, rest)
		}
	})
}

func unescaped(c sfu.Codec, b []byte) []byte {
	if Escaped(c) {
		return Unescape(nil, b)
	}
	return b
}
