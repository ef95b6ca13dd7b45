package keyring

import (
	"encoding/binary"
	"fmt"

	"weir/e2ee/frame"
	"weir/sfu"
)

// countModulus wraps the frame count within the IV.
const countModulus = 0xffff

// Sealer encrypts the frames of one RTP stream. One goroutine owns it.
type Sealer struct {
	ssrc    uint32
	count   uint32
	iv      [frame.IVLen]byte
	scratch []byte
}

// NewSealer makes a Sealer for an SSRC. start should be random: it keeps IVs apart when a stream begins again.
func NewSealer(ssrc, start uint32) *Sealer { return &Sealer{ssrc: ssrc, count: start} }

// Seal encrypts a frame with the ring's current key and appends it to dst. timestamp is the frame's RTP timestamp.
// Empty frames stay empty.
func (s *Sealer) Seal(dst []byte, r *Ring, c sfu.Codec, f []byte, timestamp uint32) ([]byte, error) {
	if len(f) == 0 {
		return dst, nil
	}
	k := &r.slots[r.current].key
	if !k.Set() {
		return dst, fmt.Errorf("%w: %d", ErrNoKey, r.current)
	}
	from := len(dst)
	dst, n, err := frame.AppendClear(dst, c, f)
	if err != nil {
		return dst, err
	}
	iv := s.next(timestamp)
	sealed := len(dst)
	dst = k.aead.Seal(dst, iv, f[n:], dst[from:])
	dst = frame.AppendTrailer(dst, iv, r.current)
	if frame.Escaped(c) {
		dst, s.scratch = frame.EscapeFrom(dst, sealed, s.scratch)
	}
	return dst, nil
}

// next is the IV of the next frame: SSRC, timestamp, timestamp − count mod 0xffff, each 32 bits, big-endian.
func (s *Sealer) next(timestamp uint32) []byte {
	binary.BigEndian.PutUint32(s.iv[0:], s.ssrc)
	binary.BigEndian.PutUint32(s.iv[4:], timestamp)
	binary.BigEndian.PutUint32(s.iv[8:], timestamp-s.count%countModulus)
	s.count++
	return s.iv[:]
}
