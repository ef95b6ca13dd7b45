package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"

	"weir/sfu"
)

func TestParseRTPScripts(t *testing.T) {
	m := &extensionMap{1: extMID, 2: extAudioLevel, 3: extDependency}
	one := []byte{0x90, 0xe0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 2, 0x11, 'a', 'b', 0x20, 0x85, 0, 0xf0, 9, 'x', 'y'}
	two := []byte{0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0x05, 0, 2, 1, 2, 'a', 'b', 0, 2, 1, 0x85, 'x', 'y'}
	pad := []byte{0xa0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 'x', 'y', 0, 2}
	for _, s := range []struct {
		name string
		b    []byte
		err  error
		mid  string
		lvl  []byte
	}{
		{"one-byte elements, stop at id 15", one, nil, "ab", []byte{0x85}},
		{"two-byte elements with appbits", two, nil, "ab", []byte{0x85}},
		{"padding is cut", pad, nil, "", nil},
		{"eleven bytes", one[:11], errRTPShort, "", nil},
		{"version 1", append([]byte{0x40}, one[1:]...), errRTPVersion, "", nil},
		{"extension past the end", one[:18], errRTPExtension, "", nil},
		{"element past the block", []byte{0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3}, errRTPExtension, "", nil},
		{"padding of zero", append(append([]byte{}, pad[:15]...), 0), errRTPPadding, "", nil},
		{"padding over the payload", append(append([]byte{}, pad[:15]...), 5), errRTPPadding, "", nil},
		{"sources past the end", append([]byte{0x8f}, pad[1:]...), errRTPShort, "", nil},
	} {
		var p sfu.Packet
		var e elements
		err := parseRTP(s.b, m, &p, &e)
		if err != s.err {
			t.Errorf("%s: %v, want %v", s.name, err, s.err)
		}
		if err != nil {
			continue
		}
		if string(p.Payload()) != "xy" || string(e.bytes(extMID, p.Raw)) != s.mid || !bytes.Equal(e.bytes(extAudioLevel, p.Raw), s.lvl) {
			t.Errorf("%s: payload %q mid %q level %x", s.name, p.Payload(), e.bytes(extMID, p.Raw), e.bytes(extAudioLevel, p.Raw))
		}
	}
}

func TestHeaderWriter(t *testing.T) {
	var w headerWriter
	for _, s := range []struct {
		name string
		wide bool
		dd   int
	}{{"narrow", false, 16}, {"wide", true, 200}, {"no descriptor", false, 0}} {
		w.begin(96, true, 1<<16+65535, 5, 6, s.wide)
		w.put16(3, 0x1234)
		w.put24(4, 0x567890)
		w.put(5, bytes.Repeat([]byte{7}, s.dd))
		w.put(0, []byte{1}) // not negotiated
		var p rtp.Packet
		if err := p.Unmarshal(append(append([]byte{}, w.end()...), 'x')); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if p.SequenceNumber != 65535 || p.Timestamp != 5 || p.SSRC != 6 || !p.Marker || p.PayloadType != 96 || string(p.Payload) != "x" {
			t.Errorf("%s: %v", s.name, p)
		}
		if !bytes.Equal(p.GetExtension(3), []byte{0x12, 0x34}) || !bytes.Equal(p.GetExtension(4), []byte{0x56, 0x78, 0x90}) || len(p.GetExtension(5)) != s.dd {
			t.Errorf("%s: extensions %x %x %x", s.name, p.GetExtension(3), p.GetExtension(4), p.GetExtension(5))
		}
	}
	w.begin(0, false, 0, 0, 0, false)
	if len(w.end()) != rtpHeaderLen {
		t.Error("a header without elements has an extension block")
	}
}

// FuzzParseRTP: a packet that parses has its payload and elements inside itself, and agrees with a foreign parser.
func FuzzParseRTP(f *testing.F) {
	f.Add([]byte{0x90, 0xe0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 2, 0x11, 'a', 'b', 0x20, 0x85, 0, 0xf0, 9, 'x', 'y'})
	f.Add([]byte{0xa0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 'x', 'y', 0, 2})
	m := &extensionMap{}
	for i := range m {
		m[i] = extension(i % int(extKinds))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p sfu.Packet
		var e elements
		if parseRTP(b, m, &p, &e) != nil {
			return
		}
		if p.HeaderLen > len(p.Raw) || len(p.Raw)+int(p.PaddingLen) != len(b) {
			t.Fatalf("header %d, raw %d, padding %d of %d", p.HeaderLen, len(p.Raw), p.PaddingLen, len(b))
		}
		for _, x := range e {
			if x.n > 0 && int(x.at+x.n) > p.HeaderLen {
				t.Fatalf("element %+v outside of the header of %d", x, p.HeaderLen)
			}
		}
		var o rtp.Packet
		if o.Unmarshal(b) == nil && (o.SSRC != p.SSRC || o.Timestamp != p.Timestamp || o.PayloadType != p.PayloadType) {
			t.Fatalf("foreign parser reads %v", o.Header)
		}
	})
}
