package keyring

import (
	"bytes"
	"errors"
	"testing"

	"weir/e2ee/frame"
	"weir/sfu"
)

// TestBadFrames: each way to spoil a frame has one defined result; nothing is accepted, and dst is left alone.
func TestBadFrames(t *testing.T) {
	good := key(t, material(t))
	codecs := map[sfu.Codec][]byte{
		sfu.Opus: append([]byte{0x78}, bytes.Repeat([]byte{1}, 60)...),
		sfu.VP8:  append([]byte{0x11}, bytes.Repeat([]byte{2}, 200)...),
		sfu.VP9:  bytes.Repeat([]byte{3}, 200),
		sfu.H264: append([]byte{0, 0, 0, 1, 0x65, 0x88}, bytes.Repeat([]byte{4}, 200)...),
		sfu.H265: append([]byte{0, 0, 0, 1, 0x26, 1}, bytes.Repeat([]byte{5}, 200)...),
	}
	for c, plain := range codecs {
		sealed, err := NewSealer(1, 0).Seal(nil, ring(t, PerParticipant, 3, good), c, plain, 960)
		if err != nil {
			t.Fatal(err)
		}
		open := func(r *Ring, f []byte) error {
			out, err := r.Open([]byte("kept"), c, f)
			if err != nil && string(out) != "kept" {
				t.Errorf("%s: dst is %q after %v", c, out, err)
			}
			return err
		}
		fresh := func() *Ring { return ring(t, PerParticipant, 3, good) }
		edit := func(at int, b byte) []byte {
			f := bytes.Clone(sealed)
			f[(at+len(f))%len(f)] = b
			return f
		}
		for _, bad := range []struct {
			name string
			f    []byte
			want error
		}{
			{"whole", sealed, nil},
			{"empty", nil, nil},
			{"last byte lost", sealed[:len(sealed)-1], frame.ErrTrailer},
			{"cut in two", sealed[:len(sealed)/2], nil}, // trailer or tag, by chance of the bytes there
			{"IV of 16 bytes", edit(-2, 16), frame.ErrTrailer},
			{"IV of 0 bytes", edit(-2, 0), frame.ErrTrailer},
			{"another index", edit(-1, 4), ErrNoKey},
			{"IV changed", edit(-8, sealed[len(sealed)-8]^1), ErrOpen},
			{"tag changed", edit(-20, sealed[len(sealed)-20]^0x10), ErrOpen},
			{"in clear", plain, nil}, // trailer, or too short
			{"something behind it", append(bytes.Clone(sealed), 0), frame.ErrTrailer},
		} {
			err := open(fresh(), bad.f)
			switch {
			case bad.name == "whole" || bad.name == "empty":
				if err != nil {
					t.Errorf("%s, %s: %v", c, bad.name, err)
				}
			case err == nil || bad.want != nil && !errors.Is(err, bad.want):
				t.Errorf("%s, %s: %v, want %v", c, bad.name, err, bad.want)
			}
		}
		for at := range sealed { // each bit that is flipped, each length it is cut to
			for bit := range 8 {
				if err := open(fresh(), edit(at, sealed[at]^1<<bit)); err == nil {
					t.Fatalf("%s: bit %d of byte %d of %d changed and opened", c, bit, at, len(sealed))
				}
			}
			if at > 0 {
				if err := open(fresh(), sealed[:at]); err == nil {
					t.Fatalf("%s: cut to %d of %d and opened", c, at, len(sealed))
				}
			}
		}
	}
	if _, err := NewSealer(1, 0).Seal(nil, ring(t, PerParticipant, 0, good), sfu.AV1, []byte{1}, 1); !errors.Is(err, frame.ErrUnsupported) {
		t.Errorf("sealing AV1: %v", err)
	}
	if _, err := NewSealer(1, 0).Seal(nil, ring(t, PerParticipant, 0, good), sfu.H264, []byte{0, 0, 1, 0x67}, 1); !errors.Is(err, frame.ErrNoSlice) {
		t.Errorf("sealing parameter sets alone: %v", err)
	}
	if _, err := NewSealer(1, 0).Seal(nil, NewRing(Shared), sfu.Opus, []byte{1}, 1); !errors.Is(err, ErrNoKey) {
		t.Errorf("sealing without a key: %v", err)
	}
}

// An index beyond a small ring names no key, though the key set there is found under its remainder.
func TestSmallRing(t *testing.T) {
	k := key(t, material(t))
	far := ring(t, PerParticipant, 17, k)
	sealed, _ := NewSealer(1, 0).Seal(nil, far, sfu.Opus, []byte{1, 2, 3}, 1)
	near := ring(t, Shared, 17, k)
	if near.Current() != 1 {
		t.Fatalf("17 in a ring of 16 is used as %d", near.Current())
	}
	if _, err := near.Open(nil, sfu.Opus, sealed); !errors.Is(err, ErrNoKey) {
		t.Fatalf("a frame of index 17: %v", err)
	}
	sealed, _ = NewSealer(1, 0).Seal(nil, near, sfu.Opus, []byte{1, 2, 3}, 1)
	if i, _ := frame.KeyIndex(sealed); i != 1 {
		t.Fatalf("sealed with index %d", i)
	}
	if _, err := near.Open(nil, sfu.Opus, sealed); err != nil {
		t.Fatal(err)
	}
}

// After a ratchet frames of before still open, those of two steps before do not.
func TestOvertakenByARatchet(t *testing.T) {
	sender, receiver := ring(t, PerParticipant, 3, key(t, material(t))), ring(t, PerParticipant, 3, key(t, material(t)))
	s := NewSealer(1, 0)
	seal := func(timestamp uint32) []byte {
		f, err := s.Seal(nil, sender, sfu.Opus, []byte{1, 2, 3}, timestamp)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := seal(1)
	_ = sender.Ratchet(3)
	second := seal(2)
	_ = sender.Ratchet(3)
	third := seal(3)
	for _, c := range []struct {
		name string
		f    []byte
		want error
	}{{"second", second, nil}, {"first, late", first, nil}, {"third", third, nil}, {"second again", second, nil}, {"first, too late", first, ErrOpen}} {
		if _, err := receiver.Open(nil, sfu.Opus, c.f); !errors.Is(err, c.want) {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	if err := receiver.Ratchet(9); !errors.Is(err, ErrNoKey) {
		t.Fatalf("ratchet without a key: %v", err)
	}
}

func TestReplay(t *testing.T) {
	const memory = 4
	opt := PerParticipant
	opt.Memory = memory
	k := key(t, material(t))
	r, sender := ring(t, opt, 0, k), ring(t, PerParticipant, 0, k)
	s, other := NewSealer(1, 0xfffe), NewSealer(2, 0)
	frames := map[string][]byte{}
	seal := func(name string, s *Sealer, timestamp uint32) {
		frames[name], _ = s.Seal(nil, sender, sfu.Opus, []byte{1, 2, 3}, timestamp)
	}
	edge := uint32(0xffffffff) // the timestamp wraps within the script
	for i := range uint32(8) {
		seal(string('a'+rune(i)), s, edge-2+i)
	}
	seal("d2", s, edge+1) // another layer of the same picture
	seal("x", other, edge-2)
	forged := bytes.Clone(frames["b"])
	forged[3] ^= 1
	frames["forged b"] = forged
	for _, c := range []struct {
		name string
		want error
	}{
		{"a", nil}, {"a", ErrReplayed}, {"c", nil}, {"forged b", ErrOpen}, {"b", nil}, {"b", ErrReplayed}, {"c", ErrReplayed},
		{"d", nil}, {"d2", nil}, {"d", ErrReplayed}, {"d2", ErrReplayed}, {"x", nil}, {"x", ErrReplayed},
		{"a", ErrReplayed}, // forgotten, but older than all that is remembered
		{"f", nil}, {"e", nil}, {"e", ErrReplayed}, {"h", nil}, {"g", nil}, {"f", ErrReplayed}, {"x", ErrReplayed},
	} {
		if _, err := r.Open(nil, sfu.Opus, frames[c.name]); !errors.Is(err, c.want) {
			t.Fatalf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for i := range uint32(100) { // as many streams as nobody has: the oldest are forgotten, memory is not
		f, _ := NewSealer(1000+i, 0).Seal(nil, sender, sfu.Opus, []byte{1, 2, 3}, 1)
		if _, err := r.Open(nil, sfu.Opus, f); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.seen.streams) != streamsMost {
		t.Fatalf("%d streams remembered", len(r.seen.streams))
	}
}

// No frame opens twice, whatever the order.
func FuzzReplay(f *testing.F) {
	f.Add([]byte{0, 1, 2, 2, 1, 0, 9, 3})
	f.Add([]byte{9, 1, 2, 3, 4, 5, 6, 7, 8, 9}) // late ones push the newest out
	f.Fuzz(func(t *testing.T, order []byte) {
		opt := PerParticipant
		opt.Memory = 8
		k := key(t, material(t))
		r, sender, s := ring(t, opt, 0, k), ring(t, PerParticipant, 0, k), NewSealer(1, 0)
		var frames [64][]byte
		for i := range frames {
			frames[i], _ = s.Seal(nil, sender, sfu.Opus, []byte{1, 2, 3}, uint32(i))
		}
		opened := map[byte]bool{}
		highest := -1
		for _, b := range order {
			b %= 64
			_, err := r.Open(nil, sfu.Opus, frames[b])
			if err == nil && opened[b] {
				t.Fatalf("frame %d opened twice", b)
			}
			if err != nil && int(b) > highest {
				t.Fatalf("frame %d is the newest, and refused: %v", b, err)
			}
			opened[b], highest = true, max(highest, int(b))
		}
	})
}
