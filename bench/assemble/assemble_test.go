package assemble

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"weir/sfu"
)

// piece is one packet of a script.
type piece struct {
	seq       sfu.ExtSeq
	timestamp uint32
	marker    bool
	payload   []byte
}

func run(c sfu.Codec, pieces []piece) (frames [][]byte) {
	s := new(Stream)
	for _, p := range pieces {
		s.Add(p.seq, c, p.timestamp, p.marker, p.payload)
		for f, ok := s.Next(); ok; f, ok = s.Next() {
			frames = append(frames, bytes.Clone(f.Data))
		}
	}
	return frames
}

func TestFrames(t *testing.T) {
	const edge = 1<<16 + 65535 // the sequence number wraps behind it
	for _, c := range []struct {
		name  string
		codec sfu.Codec
		in    []piece
		want  []string
	}{
		{"opus", sfu.Opus, []piece{{edge, 1, false, []byte("ab")}, {edge + 1, 2, false, []byte("cd")}, {edge + 2, 3, false, nil}}, []string{"ab", "cd"}},
		{"opus twice", sfu.Opus, []piece{{7, 1, false, []byte("ab")}, {7, 1, false, []byte("ab")}}, []string{"ab"}},
		{"vp8, bare descriptor", sfu.VP8, []piece{{edge, 1, false, []byte("\x10a")}, {edge + 1, 1, true, []byte("\x00b")}}, []string{"ab"}},
		{"vp8, all fields", sfu.VP8, []piece{{edge, 1, true, []byte("\x90\xf0\x80\x01\x02\x03a")}}, []string{"a"}},
		{"vp8, short picture id", sfu.VP8, []piece{{edge, 1, true, []byte("\x90\x80\x01a")}}, []string{"a"}},
		{"vp8, upside down", sfu.VP8, []piece{{edge + 1, 1, true, []byte("\x00b")}, {edge, 1, false, []byte("\x10a")}}, []string{"ab"}},
		{"vp8, the middle is lost", sfu.VP8, []piece{{5, 1, false, []byte("\x10a")}, {7, 1, true, []byte("\x00c")}, {8, 2, true, []byte("\x10d")}}, []string{"d"}},
		{"vp8, the middle comes late", sfu.VP8, []piece{{5, 1, false, []byte("\x10a")}, {7, 1, true, []byte("\x00c")}, {8, 2, true, []byte("\x10d")}, {6, 1, false, []byte("\x00b")}}, []string{"d", "abc"}},
		{"vp8, joined in the middle", sfu.VP8, []piece{{6, 1, false, []byte("\x00b")}, {7, 1, true, []byte("\x00c")}}, nil},
		{"vp8, cut", sfu.VP8, []piece{{5, 1, true, []byte("\x90")}, {6, 2, true, []byte("\x90\x80")}, {7, 3, true, []byte("\x10")}}, nil},
		{"vp9, layers of one picture", sfu.VP9, []piece{{5, 1, false, []byte("\xac\x01\x00\x09a")}, {6, 1, true, []byte("\xec\x01\x02\x09b")}}, []string{"a", "b"}},
		{"vp9, flexible with references", sfu.VP9, []piece{{5, 1, true, []byte("\xdc\x80\x01\x03\x02a")}}, []string{"a"}},
		{"vp9, scalability structure", sfu.VP9, []piece{{5, 1, true, []byte("\x8e\x01\x38\x01\x40\x00\xb4\x02\x80\x01\x68\x01\x04\x01a")}}, []string{"a"}},
		{"h264", sfu.H264, []piece{{5, 1, false, []byte("\x18\x00\x02ga\x00\x01h")}, {6, 1, true, []byte("eb")}}, []string{"\x00\x00\x00\x01ga\x00\x00\x00\x01h\x00\x00\x00\x01eb"}},
		{"h264, fragments", sfu.H264, []piece{{4, 0, true, []byte("a1")}, {5, 1, false, []byte("\x7c\x85a")}, {6, 1, false, []byte("\x7c\x05b")}, {7, 1, true, []byte("\x7c\x45c")}}, []string{"\x00\x00\x00\x01eabc"}},
		{"h264, what comes before is lost", sfu.H264, []piece{{4, 0, true, []byte("a1")}, {6, 1, true, []byte("a2")}, {7, 2, true, []byte("a3")}}, []string{"\x00\x00\x00\x01a3"}},
		{"h264, what comes before is late", sfu.H264, []piece{{4, 0, true, []byte("a1")}, {6, 2, true, []byte("a3")}, {5, 1, true, []byte("a2")}}, []string{"\x00\x00\x00\x01a2", "\x00\x00\x00\x01a3"}},
		{"h264, unit of no kind", sfu.H264, []piece{{4, 0, true, []byte("\x1fx")}}, nil},
		{"h264, unit longer than its packet", sfu.H264, []piece{{4, 0, true, []byte("\x18\x00\x09ga")}, {5, 1, true, []byte("a1")}}, []string{"", "\x00\x00\x00\x01a1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := run(c.codec, c.in)
			if len(got) != len(c.want) {
				t.Fatalf("%d frames %q, want %q", len(got), got, c.want)
			}
			for i := range got {
				if string(got[i]) != c.want[i] {
					t.Fatalf("frame %d is %q, want %q", i, got[i], c.want[i])
				}
			}
		})
	}
}

// Whatever the order and the losses: each frame comes out once and as it was sent, and all do whose packets all came.
func FuzzOrder(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(0))
	f.Add(uint64(2), uint8(1), uint8(30))
	f.Add(uint64(3), uint8(2), uint8(90))
	f.Fuzz(func(t *testing.T, seed uint64, kind, trouble uint8) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := []sfu.Codec{sfu.VP8, sfu.VP9, sfu.H264}[kind%3]
		var sent []piece
		var frames []string
		whole := map[string]bool{}
		seq := sfu.ExtSeq(65500)
		for i := range 40 {
			text := ""
			count := 1 + random.IntN(5)
			var of []piece
			for n := range count {
				body := string([]byte{byte('a' + n), byte(i)})
				var head []byte
				first, last := n == 0, n == count-1
				switch c {
				case sfu.VP8:
					head = []byte{0}
					if first {
						head[0] = 0x10
					}
					text += body
				case sfu.VP9:
					head = []byte{0}
					if first {
						head[0] |= 8
					}
					if last {
						head[0] |= 4
					}
					text += body
				case sfu.H264:
					body = "a" + body
					text += "\x00\x00\x00\x01" + body
				}
				of = append(of, piece{seq, uint32(i), last, append(head, body...)})
				seq++
			}
			frames = append(frames, text)
			all := true
			for _, p := range of {
				if random.IntN(256) < int(trouble) && i > 0 {
					all = false
					continue
				}
				at := len(sent) - random.IntN(min(len(sent)+1, 1+int(trouble)/8))
				sent = append(sent[:at], append([]piece{p}, sent[at:]...)...)
				if random.IntN(256) < int(trouble) {
					sent = append(sent, p)
				}
			}
			whole[text] = all
		}
		times := map[string]int{}
		for _, f := range run(c, sent) {
			times[string(f)]++
		}
		for _, text := range frames {
			if times[text] > 1 || times[text] == 1 && !whole[text] {
				t.Fatalf("%s frame %q came %d times, whole %v", c, text, times[text], whole[text])
			}
			if times[text] == 0 && whole[text] && c != sfu.H264 { // of H.264 what follows a loss cannot be told
				t.Fatalf("%s frame %q never came", c, text)
			}
			delete(times, text)
		}
		if len(times) > 0 {
			t.Fatalf("frames nobody sent: %v", times)
		}
	})
}

// Any bytes are taken.
func FuzzAdd(f *testing.F) {
	f.Add([]byte{4, 0x90, 0x80, 1, 2, 0x10, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		for c := sfu.NoCodec; c <= sfu.H265; c++ {
			s := new(Stream)
			rest := b
			for i := sfu.ExtSeq(0); len(rest) > 1; i++ {
				n := min(int(rest[0]%8), len(rest)-1)
				s.Add(70_000+i, c, uint32(rest[0]>>6), rest[0]&8 != 0, rest[1:1+n])
				for _, ok := s.Next(); ok; _, ok = s.Next() {
				}
				rest = rest[1+n:]
			}
		}
	})
}
