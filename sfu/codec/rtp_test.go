package codec

import (
	"bytes"
	"errors"
	"testing"

	"weir/sfu"
)

func TestParse(t *testing.T) {
	head := []byte{0x80, 0xe0, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 2}
	with := func(first byte, rest ...byte) []byte {
		b := append(bytes.Clone(head), rest...)
		b[0] = first
		return b
	}
	tests := []struct {
		name    string
		in      []byte
		err     error
		header  int
		payload []byte
		pad     uint8
	}{
		{"plain", with(0x80, 1, 2, 3), nil, 12, []byte{1, 2, 3}, 0},
		{"no payload", with(0x80), nil, 12, []byte{}, 0},
		{"short", head[:11], ErrShort, 0, nil, 0},
		{"version", with(0x40), ErrVersion, 0, nil, 0},
		{"csrc", with(0x81, 0, 0, 0, 9, 5), nil, 16, []byte{5}, 0},
		{"csrc cut", with(0x81, 0, 0, 0), ErrShort, 0, nil, 0},
		{"extension", with(0x90, 0xbe, 0xde, 0, 1, 0x10, 7, 0, 0, 5), nil, 20, []byte{5}, 0},
		{"extension cut", with(0x90, 0xbe, 0xde, 0, 2, 0x10, 7, 0, 0), ErrShort, 0, nil, 0},
		{"extension head cut", with(0x90, 0xbe, 0xde), ErrShort, 0, nil, 0},
		{"padding", with(0xa0, 9, 0, 0, 3), nil, 12, []byte{9}, 3},
		{"padding alone", with(0xa0, 0, 0, 3), nil, 12, []byte{}, 3},
		{"padding of zero", with(0xa0, 9, 0), ErrPadding, 0, nil, 0},
		{"padding into the header", with(0xa0, 9, 3), ErrPadding, 0, nil, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var p sfu.Packet
			if err := Parse(&p, tc.in); !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if tc.err != nil {
				return
			}
			if p.HeaderLen != tc.header || !bytes.Equal(p.Payload(), tc.payload) || p.PaddingLen != tc.pad {
				t.Errorf("header %d, payload %x, padding %d", p.HeaderLen, p.Payload(), p.PaddingLen)
			}
			if !p.Marker || p.PayloadType != 96 || p.Seq != 65535 || p.Timestamp != 1 || p.SSRC != 2 {
				t.Errorf("fields %+v", p)
			}
			var again sfu.Packet
			if err := Parse(&again, p.Raw); err != nil || again.PaddingLen != 0 {
				t.Errorf("Raw is no packet: %v", err)
			}
		})
	}
}

func TestExtensions(t *testing.T) {
	tests := []struct {
		name string
		raw  []byte // from the profile on
		want map[uint8]string
	}{
		{"one-byte", []byte{0xbe, 0xde, 0, 2, 0x10, 'a', 0x21, 'b', 'c', 0, 0, 0}, map[uint8]string{1: "a", 2: "bc"}},
		{"padding between", []byte{0xbe, 0xde, 0, 2, 0x10, 'a', 0, 0, 0x20, 'b', 0, 0}, map[uint8]string{1: "a", 2: "b"}},
		{"id 15 ends (RFC 8285 4.2)", []byte{0xbe, 0xde, 0, 2, 0x10, 'a', 0xf0, 'x', 0x20, 'b', 0, 0}, map[uint8]string{1: "a"}},
		{"id 0 with a length ends", []byte{0xbe, 0xde, 0, 2, 0x10, 'a', 0x01, 'x', 'x', 0x20, 'b', 0}, map[uint8]string{1: "a"}},
		{"cut", []byte{0xbe, 0xde, 0, 1, 0x10, 'a', 0x2f, 'b'}, map[uint8]string{1: "a"}},
		{"two-byte", []byte{0x10, 0x00, 0, 2, 1, 1, 'a', 0, 200, 0, 2, 1}, map[uint8]string{1: "a", 200: ""}},
		{"two-byte with appbits", []byte{0x10, 0x0f, 0, 1, 1, 1, 'a', 0}, map[uint8]string{1: "a"}},
		{"other profile", []byte{0x12, 0x34, 0, 1, 1, 1, 'a', 0}, map[uint8]string{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var p sfu.Packet
			b := append([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, tc.raw...)
			if err := Parse(&p, b); err != nil {
				t.Fatal(err)
			}
			got := map[uint8]string{}
			for r := Extensions(&p); ; {
				id, v, ok := r.Next()
				if !ok {
					break
				}
				got[id] = string(v)
			}
			if len(got) != len(tc.want) {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
			for id, v := range tc.want {
				if got[id] != v || string(Extension(&p, id)) != v {
					t.Errorf("id %d: %q, want %q", id, got[id], v)
				}
			}
			if Extension(&p, 0) != nil || Extension(&p, 15) != nil {
				t.Error("found what cannot be there")
			}
		})
	}
}

func FuzzWriter(f *testing.F) {
	f.Add([]byte{1, 3, 2, 0, 14, 16})
	f.Add([]byte{1, 1, 15, 1, 2, 17, 3, 255})
	f.Add([]byte{1, 1, 2, 16, 200, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 60 {
			return
		}
		// What is added is read back, whatever the form.
		type element struct {
			id    uint8
			value []byte
		}
		var want []element
		var w Writer
		w.Start([]byte("before"), Header{PayloadType: 111, Marker: true, Seq: 65535, Timestamp: 1 << 31, SSRC: 5})
		for i := 0; i+1 < len(script); i += 2 {
			v := bytes.Repeat([]byte{byte(i + 1)}, int(script[i+1]))
			w.Add(script[i], v)
			if script[i] != 0 {
				want = append(want, element{script[i], v})
			}
		}
		b := w.Finish()
		if !bytes.HasPrefix(b, []byte("before")) || (len(b)-6)%4 != 0 {
			t.Fatal("not behind what was there, or not in words")
		}
		var p sfu.Packet
		if err := Parse(&p, append(b[6:], 1, 2)); err != nil {
			t.Fatal(err)
		}
		if p.Seq != 65535 || p.Timestamp != 1<<31 || p.SSRC != 5 || !p.Marker || len(p.Payload()) != 2 {
			t.Fatalf("header %+v", p)
		}
		r := Extensions(&p)
		for _, e := range want {
			id, v, ok := r.Next()
			if !ok || id != e.id || !bytes.Equal(v, e.value) {
				t.Fatalf("read %d %x %v, want %d %x", id, v, ok, e.id, e.value)
			}
		}
		if _, _, ok := r.Next(); ok {
			t.Fatal("more than was written")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 'a', 0, 0, 9})
	f.Add([]byte{0xa1, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p sfu.Packet
		if Parse(&p, b) != nil {
			return
		}
		// Header, payload and padding make up the packet, and extensions stay in the header.
		if p.HeaderLen+len(p.Payload())+int(p.PaddingLen) != len(b) {
			t.Fatal("lengths")
		}
		total := 0
		for r := Extensions(&p); ; {
			_, v, ok := r.Next()
			if !ok {
				break
			}
			total += 1 + len(v)
		}
		if total > p.HeaderLen-fixedHeader {
			t.Fatal("extensions beyond the header")
		}
	})
}

func TestWriterAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 200)
	var p sfu.Packet
	raw := make([]byte, 40)
	if n := testing.AllocsPerRun(100, func() {
		var w Writer
		w.Start(buf, Header{PayloadType: 96})
		w.Add(1, raw[:3])
		w.Add(2, raw[:20])
		b := w.Finish()
		if Parse(&p, b) != nil || len(Extension(&p, 2)) != 20 {
			t.Fatal("not read back")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	raw := append([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 2, 0x10, 'a', 0x22, 1, 2, 3, 0, 0}, make([]byte, 1000)...)
	var p sfu.Packet
	b.ReportAllocs()
	for b.Loop() {
		_ = Parse(&p, raw)
		_ = Extension(&p, 2)
	}
}

func BenchmarkWriter(b *testing.B) {
	buf := make([]byte, 0, 100)
	v := []byte{1, 2, 3}
	b.ReportAllocs()
	for b.Loop() {
		var w Writer
		w.Start(buf, Header{PayloadType: 96, Seq: 1})
		w.Add(1, v)
		w.Add(3, v[:2])
		_ = w.Finish()
	}
}
