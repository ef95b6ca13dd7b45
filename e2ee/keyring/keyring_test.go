package keyring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"weir/e2ee/frame"
	"weir/sfu"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func material(t *testing.T) []byte { return unhex(t, "000102030405060708090a0b0c0d0e0f") }

func ring(t *testing.T, opt Options, index uint8, k Key) *Ring {
	t.Helper()
	r := NewRing(opt)
	r.Set(index, k)
	r.Use(index)
	return r
}

func key(t *testing.T, m []byte) Key {
	t.Helper()
	k, err := FromMaterial(m)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The published vectors, measured against livekit-client.
func TestVectors(t *testing.T) {
	bits, _ := derive(material(t), false, keyLen)
	if got := hex.EncodeToString(bits); got != "4086b4641064e1ae8b63d4eb83ad3e7e" {
		t.Errorf("HKDF: %s", got)
	}
	next, err := key(t, material(t)).Ratchet()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(next.material); got != "4086b4641064e1ae8b63d4eb83ad3e7e878c21ab850a1f6b36c5954be5919e3a" {
		t.Errorf("ratcheted material: %s", got)
	}
	bits, _ = derive(next.material, false, keyLen)
	if got := hex.EncodeToString(bits); got != "af61b566e2c6adff55bf8c20f94b4765" {
		t.Errorf("ratcheted key: %s", got)
	}
	bits, _ = derive([]byte("password"), true, keyLen)
	if got := hex.EncodeToString(bits); got != "421890b1557504a8ea1a90c253b419e4" {
		t.Errorf("PBKDF2: %s", got)
	}
	r := ring(t, PerParticipant, 0, key(t, material(t)))
	f, err := NewSealer(0x11223344, 7).Seal(nil, r, sfu.Opus, unhex(t, "7801020304"), 960)
	if got := hex.EncodeToString(f); err != nil || got != "7834013cf58d5a2367cebb19767c27f18abad0f9ab11223344000003c0000003b90c00" {
		t.Errorf("frame: %s, %v", got, err)
	}
}

func TestSealOpen(t *testing.T) {
	h264 := []byte{0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88, 0, 0, 0, 0, 1, 2}
	for _, c := range []struct {
		name  string
		codec sfu.Codec
		frame []byte
		want  []byte // nil: as sent
	}{
		{"opus", sfu.Opus, []byte{0x78, 1, 2, 3}, nil},
		{"opus, one byte", sfu.Opus, []byte{0x78}, nil},
		{"empty (DTX)", sfu.Opus, nil, nil},
		{"VP8 key", sfu.VP8, append([]byte{0x10}, make([]byte, 100)...), nil},
		{"VP8 delta", sfu.VP8, append([]byte{0x11}, make([]byte, 100)...), nil},
		{"VP9", sfu.VP9, []byte{0x82, 1, 2}, nil},
		{"H264 arrives with long start codes", sfu.H264, h264,
			[]byte{0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 0x88, 0, 0, 0, 0, 1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ring(t, PerParticipant, 255, key(t, material(t)))
			s := NewSealer(1, 0xfffe)
			for n := range 4 { // across the wrap of the count
				sealed, err := s.Seal(nil, r, c.codec, c.frame, uint32(n*3000))
				if err != nil {
					t.Fatal(err)
				}
				opened, err := r.Open(nil, c.codec, sealed)
				want := c.want
				if want == nil {
					want = c.frame
				}
				if err != nil || !bytes.Equal(opened, want) {
					t.Fatalf("got % x, %v; want % x", opened, err, want)
				}
			}
		})
	}
}

func TestRingFollowsARatchet(t *testing.T) {
	k := key(t, material(t))
	ahead := k
	for range 10 {
		ahead, _ = ahead.Ratchet()
	}
	sealed, _ := NewSealer(1, 0).Seal(nil, ring(t, PerParticipant, 3, ahead), sfu.Opus, []byte{1, 2, 3}, 1)
	r := ring(t, PerParticipant, 3, k)
	if _, err := r.Open(nil, sfu.Opus, sealed); err != nil {
		t.Fatalf("ten steps ahead: %v", err)
	}
	if !bytes.Equal(r.slots[3].key.material, ahead.material) {
		t.Fatal("the ring did not keep the key that opened the frame")
	}
	beyond, _ := ahead.Ratchet()
	sealed, _ = NewSealer(1, 0).Seal(nil, ring(t, PerParticipant, 3, beyond), sfu.Opus, []byte{1, 2, 3}, 1)
	if _, err := ring(t, PerParticipant, 3, k).Open(nil, sfu.Opus, sealed); !errors.Is(err, ErrOpen) {
		t.Fatalf("eleven steps ahead: %v", err)
	}
}

func TestRingGivesUp(t *testing.T) {
	other := key(t, make([]byte, 16))
	sealed, _ := NewSealer(1, 0).Seal(nil, ring(t, PerParticipant, 0, other), sfu.Opus, []byte{1, 2, 3}, 1)
	r := ring(t, Options{Size: 256, Tolerance: 2}, 0, key(t, material(t)))
	for n, want := range []error{ErrOpen, ErrOpen, ErrOpen, ErrInvalid, ErrInvalid} {
		if _, err := r.Open(nil, sfu.Opus, sealed); !errors.Is(err, want) {
			t.Fatalf("try %d: %v, want %v", n, err, want)
		}
	}
	r.Set(0, other)
	if _, err := r.Open(nil, sfu.Opus, sealed); err != nil {
		t.Fatalf("after the right key was set: %v", err)
	}
	if _, err := NewRing(Shared).Open(nil, sfu.Opus, sealed); !errors.Is(err, ErrNoKey) {
		t.Fatalf("empty ring: %v", err)
	}
	if _, err := FromMaterial(make([]byte, 15)); !errors.Is(err, ErrMaterial) {
		t.Fatalf("15 bytes of material: %v", err)
	}
}

// No change of a sealed frame is accepted.
func FuzzTamper(f *testing.F) {
	f.Add([]byte{0x78, 1, 2, 3, 4}, uint16(0), uint8(1))
	f.Add([]byte{0x78, 1, 2, 3, 4}, uint16(9), uint8(0x80))
	f.Fuzz(func(t *testing.T, plain []byte, at uint16, flip uint8) {
		if len(plain) == 0 || flip == 0 {
			return
		}
		r := ring(t, Shared, 0, key(t, material(t)))
		sealed, err := NewSealer(1, 0).Seal(nil, r, sfu.Opus, plain, 1)
		if err != nil {
			t.Fatal(err)
		}
		i := int(at) % len(sealed)
		sealed[i] ^= flip
		opened, err := r.Open(nil, sfu.Opus, sealed)
		if err == nil {
			t.Fatalf("byte %d of %d changed and opened to % x", i, len(sealed), opened)
		}
	})
}

// framed makes frames of 1,100 bytes of each codec that has an encrypted form.
func framed() map[sfu.Codec][]byte {
	out := map[sfu.Codec][]byte{}
	for _, c := range []sfu.Codec{sfu.Opus, sfu.VP8, sfu.VP9, sfu.H264} {
		f := make([]byte, 1100)
		for i := range f {
			f[i] = byte(i*7) | 1
		}
		if c == sfu.H264 {
			copy(f, []byte{0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 1, 0, 0, 0, 1, 0x65, 0x88})
		}
		out[c] = f
	}
	return out
}

func TestNoAllocation(t *testing.T) {
	opt := PerParticipant
	opt.Memory = 64
	for c, plain := range framed() {
		r := ring(t, opt, 0, key(t, material(t)))
		s := NewSealer(1, 0)
		sealed, opened := make([]byte, 0, 2048), make([]byte, 0, 2048)
		timestamp := uint32(0)
		if n := testing.AllocsPerRun(100, func() {
			timestamp++
			sealed, _ = s.Seal(sealed[:0], r, c, plain, timestamp)
			var err error
			if opened, err = r.Open(opened[:0], c, sealed); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for a frame", c, n)
		}
	}
}

// As in a call: small numbers would put zeros into the IV, to be escaped in every frame.
const benchSSRC, benchTimestamp = 0x9e3779b9, 0x7f4a7c15

func BenchmarkSeal(b *testing.B) {
	for c, plain := range framed() {
		b.Run(c.String(), func(b *testing.B) {
			k, _ := FromMaterial(make([]byte, 16))
			r := NewRing(PerParticipant)
			r.Set(0, k)
			s := NewSealer(benchSSRC, 0)
			dst := make([]byte, 0, 2048)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = s.Seal(dst[:0], r, c, plain, benchTimestamp)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for c, plain := range framed() {
		b.Run(c.String(), func(b *testing.B) {
			k, _ := FromMaterial(make([]byte, 16))
			r := NewRing(PerParticipant)
			r.Set(0, k)
			sealed, _ := NewSealer(benchSSRC, 0).Seal(nil, r, c, plain, benchTimestamp)
			dst := make([]byte, 0, 2048)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = r.Open(dst[:0], c, sealed)
			}
		})
	}
}

// The raw cipher both ways, to compare with: sealing and opening a frame reach 80 % of it.
func BenchmarkCipher(b *testing.B) {
	k, _ := FromMaterial(make([]byte, 16))
	plain, iv := make([]byte, 1100), make([]byte, frame.IVLen)
	sealed := k.aead.Seal(nil, iv, plain, plain[:3])
	dst := make([]byte, 0, 2048)
	b.Run("seal", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		b.ReportAllocs()
		for b.Loop() {
			dst = k.aead.Seal(dst[:0], iv, plain, plain[:3])
		}
	})
	b.Run("open", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = k.aead.Open(dst[:0], iv, sealed, plain[:3])
		}
	})
}
