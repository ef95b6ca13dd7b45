package media

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"testing"

	pionsrtp "github.com/pion/srtp/v3"

	"weir/sfu"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	vectorKey128 = "000102030405060708090a0b0c0d0e0f"
	vectorKey256 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	vectorSalt   = "517569642070726f2071756f" // "Quid pro quo"
	vectorRTP    = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
	vectorRTCP   = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
)

// TestRFC7714Vectors: sections 16.1.1, 16.2.1 (SRTP) and 17.1 to 17.3 (SRTCP). They give session keys.
func TestRFC7714Vectors(t *testing.T) {
	for name, c := range map[string]struct {
		profile       profile
		key, rtp, rtc string
	}{
		"AES-128": {profileGCM128, vectorKey128,
			"8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
			"81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4"},
		"AES-256": {profileGCM256, vectorKey256,
			"8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
			"81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newProtection(c.profile, unhex(t, c.key), unhex(t, vectorSalt), nil)
			if err != nil {
				t.Fatal(err)
			}
			plain, sealed := unhex(t, vectorRTP), unhex(t, c.rtp)
			const ssrc, index = 0x5501a0b2, 1<<16 + 0xf17b
			if got := p.sealRTP(bytes.Clone(plain[:12]), 0, plain[12:], ssrc, index); !bytes.Equal(got, sealed) {
				t.Errorf("sealed RTP %x, want %x", got, sealed)
			}
			if got, err := p.openRTP(bytes.Clone(sealed), 12, ssrc, index); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("opened RTP %x, %v; want %x", got, err, plain)
			}
			report, sealed := unhex(t, vectorRTCP), unhex(t, c.rtc)
			if got := p.sealRTCP(nil, report, 0x5d4); !bytes.Equal(got, sealed) {
				t.Errorf("sealed RTCP %x, want %x", got, sealed)
			}
			if got, err := p.openRTCP(bytes.Clone(sealed)); err != nil || !bytes.Equal(got, report) {
				t.Errorf("opened RTCP %x, %v; want %x", got, err, report)
			}
		})
	}
	// Section 17.3: tagged, not encrypted.
	p, err := newProtection(profileGCM128, unhex(t, vectorKey128), unhex(t, vectorSalt), nil)
	if err != nil {
		t.Fatal(err)
	}
	tagged := unhex(t, vectorRTCP+"841dd9683dd78ec92ae58790125f62b3000005d4")
	if got, err := p.openRTCP(bytes.Clone(tagged)); err != nil || !bytes.Equal(got, unhex(t, vectorRTCP)) {
		t.Errorf("tag only: %x, %v", got, err)
	}
	tagged[9] ^= 1
	if _, err := p.openRTCP(tagged); !errors.Is(err, errForged) {
		t.Errorf("tag only, changed: %v", err)
	}
}

var profiles = map[profile]pionsrtp.ProtectionProfile{
	profileGCM128: pionsrtp.ProtectionProfileAeadAes128Gcm,
	profileGCM256: pionsrtp.ProtectionProfileAeadAes256Gcm,
	profileCM80:   pionsrtp.ProtectionProfileAes128CmHmacSha1_80,
}

func testKeys(p profile) (key, salt []byte) {
	for i := range p.keyLen() {
		key = append(key, byte(i*7+1))
	}
	for i := range p.saltLen() {
		salt = append(salt, byte(0xf0-i))
	}
	return key, salt
}

func testPair(t testing.TB, p profile) (*Outbound, *inbound) {
	t.Helper()
	key, salt := testKeys(p)
	rtp, rtcp, err := protections(p, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	o := new(Outbound)
	o.install(rtp, rtcp)
	rtp, rtcp, err = protections(p, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	return o, newInbound(rtp, rtcp)
}

func header(seq uint16, ssrc uint32) []byte {
	h := make([]byte, 12)
	h[0], h[1] = 0x80, 96
	binary.BigEndian.PutUint16(h[2:], seq)
	binary.BigEndian.PutUint32(h[8:], ssrc)
	return h
}

// TestSRTPWithPion sends over two rollovers both ways, with and without a rewritten prefix, losing and reordering some.
func TestSRTPWithPion(t *testing.T) {
	for p, theirs := range profiles {
		for _, first := range []int{0, 1, 32767, 32768, 65534, 65535} {
			t.Run(fmt.Sprintf("%s from %d", p, first), func(t *testing.T) {
				key, salt := testKeys(p)
				enc, err := pionsrtp.CreateContext(key, salt, theirs)
				if err != nil {
					t.Fatal(err)
				}
				dec, err := pionsrtp.CreateContext(key, salt, theirs)
				if err != nil {
					t.Fatal(err)
				}
				ours, in := testPair(t, p)
				body := bytes.Repeat([]byte{1, 2, 3, 4, 5}, 20)
				step := 9000 // two rollovers in some twenty packets
				for i := range 20 {
					index := sfu.ExtSeq(1<<16 + first + i*step)
					h := header(uint16(index.Seq()), 0x1234)
					plain := append(bytes.Clone(h), body...)
					// Theirs to ours.
					sealed, err := enc.EncryptRTP(nil, plain, nil)
					if err != nil {
						t.Fatal(err)
					}
					got, at, err := in.openRTP(bytes.Clone(sealed))
					if err != nil || !bytes.Equal(got, plain) || at != index {
						t.Fatalf("packet %d: got %x at %d, %v; want index %d", i, got, at, err, index)
					}
					// Ours to theirs, and the same bytes as theirs.
					for prefix := range 3 {
						mine := ours.SealRTP([]byte("before"), h, body[:prefix], body[prefix:], index)
						if !bytes.Equal(mine[6:], sealed) {
							t.Fatalf("packet %d: sealed %x, want %x", i, mine[6:], sealed)
						}
					}
					if i%3 == 2 {
						continue // lost
					}
					if got, err = dec.DecryptRTP(nil, sealed, nil); err != nil || !bytes.Equal(got, plain) {
						t.Fatalf("pion: %x, %v", got, err)
					}
				}
				report := unhex(t, vectorRTCP)
				sealed, err := enc.EncryptRTCP(nil, report, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := in.openRTCP(sealed); err != nil || !bytes.Equal(got, report) {
					t.Fatalf("RTCP from pion: %x, %v", got, err)
				}
				for range 3 {
					if got, err := dec.DecryptRTCP(nil, ours.SealRTCP(nil, report), nil); err != nil || !bytes.Equal(got, report) {
						t.Fatalf("RTCP to pion: %x, %v", got, err)
					}
				}
			})
		}
	}
}

// TestSRTPOrder: late packets from before a rollover keep their index; a packet from before the first is refused.
func TestSRTPOrder(t *testing.T) {
	o, in := testPair(t, profileGCM128)
	for _, index := range []sfu.ExtSeq{1<<16 + 65530, 2<<16 + 3, 1<<16 + 65535, 2 << 16, 1<<16 + 65531, 2<<16 + 4} {
		h := header(0, 9)
		got, at, err := in.openRTP(o.SealRTP(nil, h, nil, []byte("x"), index))
		if err != nil || at != index || len(got) != 13 {
			t.Errorf("index %d: got %x at %d, %v", index, got, at, err)
		}
	}
	o, in = testPair(t, profileGCM128)
	if _, _, err := in.openRTP(o.SealRTP(nil, header(0, 9), nil, []byte("x"), 1<<16)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := in.openRTP(o.SealRTP(nil, header(0, 9), nil, []byte("x"), 1<<16+65535)); !errors.Is(err, errMalformed) {
		t.Errorf("before the first: %v", err)
	}
}

func TestSRTPSourcesAreBounded(t *testing.T) {
	o, in := testPair(t, profileGCM128)
	for ssrc := range uint32(maxSources + 1) {
		_, _, err := in.openRTP(o.SealRTP(nil, header(1, ssrc), nil, []byte("x"), 1<<16+1))
		if over := ssrc == maxSources; over != errors.Is(err, errSources) {
			t.Fatalf("SSRC %d: %v", ssrc, err)
		}
	}
	// A forged packet makes no source.
	_, in = testPair(t, profileGCM128)
	if _, _, err := in.openRTP(append(header(1, 1), make([]byte, 40)...)); !errors.Is(err, errForged) || len(in.sources) != 0 {
		t.Errorf("forged: %v, %d sources", err, len(in.sources))
	}
}

// TestSRTPDoesNotAllocate: neither way, for the profiles that matter.
func TestSRTPDoesNotAllocate(t *testing.T) {
	for _, p := range []profile{profileGCM128, profileGCM256, profileCM80} {
		o, in := testPair(t, p)
		h, body := header(1, 5), make([]byte, 1000)
		dst := make([]byte, 0, 2000)
		report := unhex(t, vectorRTCP)
		index := sfu.ExtSeq(1 << 16)
		run := func() {
			index++
			if _, _, err := in.openRTP(o.SealRTP(dst, h, nil, body, index)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := in.openRTP(o.SealRTP(dst, h, body[:3], body[3:], index)); err != nil {
				t.Fatal(err)
			}
			if _, err := in.openRTCP(o.SealRTCP(dst, report)); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", p, n)
		}
	}
}

// auditNonces makes o fail the test when an (SSRC, index) carries two different packets: under GCM that gives the
// authentication key away (media.md section 6).
func auditNonces(t testing.TB, o *Outbound) {
	type nonce struct {
		ssrc  uint32
		index sfu.ExtSeq
	}
	seed := maphash.MakeSeed()
	seen := make(map[nonce]uint64)
	o.audit = func(ssrc uint32, index sfu.ExtSeq, header, payload []byte) {
		var h maphash.Hash
		h.SetSeed(seed)
		h.Write(header)
		h.WriteByte(0)
		h.Write(payload)
		at := nonce{ssrc, index}
		if before, ok := seen[at]; ok && before != h.Sum64() {
			t.Errorf("nonce of SSRC %x, index %d used for two packets", ssrc, index)
		}
		seen[at] = h.Sum64()
	}
}

func TestNonceAudit(t *testing.T) {
	o, _ := testPair(t, profileGCM128)
	probe := &recorder{TB: t}
	auditNonces(probe, o)
	o.SealRTP(nil, header(7, 1), nil, []byte("a"), 1<<16+7)
	o.SealRTP(nil, header(7, 1), nil, []byte("a"), 1<<16+7) // identical bytes: a retransmission as it should be
	o.SealRTP(nil, header(7, 2), nil, []byte("b"), 1<<16+7)
	o.SealRTP(nil, header(7, 1), nil, []byte("b"), 2<<16+7)
	if probe.failures != 0 {
		t.Fatalf("%d false alarms", probe.failures)
	}
	o.SealRTP(nil, header(7, 1), nil, []byte("b"), 1<<16+7)
	if probe.failures != 1 {
		t.Fatal("reuse was not seen")
	}
}

type recorder struct {
	testing.TB
	failures int
}

func (r *recorder) Errorf(string, ...any) { r.failures++ }

// FuzzSRTP: a changed packet never opens, an unchanged one always does, nothing panics.
func FuzzSRTP(f *testing.F) {
	f.Add([]byte("payload"), uint16(0), uint32(1), uint16(3), byte(1))
	f.Add([]byte{}, uint16(65535), uint32(0), uint16(30), byte(0x80))
	f.Add(bytes.Repeat([]byte{9}, 1100), uint16(32767), uint32(1<<31), uint16(0), byte(0x10))
	f.Fuzz(func(t *testing.T, payload []byte, seq uint16, ssrc uint32, at uint16, flip byte) {
		if len(payload) > maxPacket {
			return
		}
		for p := range profiles {
			o, in := testPair(t, p)
			index := sfu.ExtSeq(1<<16 + int(seq))
			sealed := o.SealRTP(nil, header(seq, ssrc), nil, payload, index)
			plain, got, err := in.openRTP(bytes.Clone(sealed))
			if err != nil || got != index || !bytes.Equal(plain[12:], payload) {
				t.Fatalf("%s: %x at %d, %v", p, plain, got, err)
			}
			report := append([]byte{0x80, 201, 0, 1, 1, 2, 3, 4}, payload...)
			sealedReport := o.SealRTCP(nil, report)
			if plain, err := in.openRTCP(bytes.Clone(sealedReport)); err != nil || !bytes.Equal(plain, report) {
				t.Fatalf("%s: %x, %v", p, plain, err)
			}
			for cut := range len(sealed) {
				if cut%7 == int(at)%7 {
					if _, _, err := in.openRTP(bytes.Clone(sealed[:cut])); err == nil {
						t.Fatalf("%s: opened %d of %d bytes", p, cut, len(sealed))
					}
				}
			}
			if flip == 0 {
				continue
			}
			bad := bytes.Clone(sealed)
			bad[int(at)%len(bad)] ^= flip
			if _, _, err := in.openRTP(bad); err == nil {
				t.Fatalf("%s: opened with byte %d changed", p, int(at)%len(sealed))
			}
			bad = bytes.Clone(sealedReport)
			bad[int(at)%len(bad)] ^= flip
			if _, err := in.openRTCP(bad); err == nil {
				t.Fatalf("%s: opened RTCP with byte %d changed", p, int(at)%len(sealedReport))
			}
		}
	})
}

// FuzzSRTPGarbage: anything may come; it is refused or, under the null chance of a forgery, well formed.
func FuzzSRTPGarbage(f *testing.F) {
	f.Add(header(1, 2))
	f.Add([]byte{0x9f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x80, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		for p := range profiles {
			_, in := testPair(t, p)
			if _, _, err := in.openRTP(bytes.Clone(b)); err == nil {
				t.Fatalf("%s opened %x", p, b)
			}
			if _, err := in.openRTCP(bytes.Clone(b)); err == nil {
				t.Fatalf("%s opened %x as RTCP", p, b)
			}
		}
	})
}

func BenchmarkSealRTP(b *testing.B) {
	for _, p := range []profile{profileGCM128, profileGCM256, profileCM80} {
		b.Run(p.String(), func(b *testing.B) {
			o, _ := testPair(b, p)
			h, body, dst := header(1, 5), make([]byte, 1100), make([]byte, 0, 2000)
			index := sfu.ExtSeq(1 << 16)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				index++
				o.SealRTP(dst, h, nil, body, index)
			}
		})
	}
}
