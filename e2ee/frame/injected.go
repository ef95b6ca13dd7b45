package frame

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"weir/sfu"
)

// ErrInjected says that a frame bears the session's trailer without being one of the blanks that a focus may make.
var ErrInjected = errors.New("frame: injected, but none of the known blanks")

// blanks are the SHA-256 sums of all that a focus may put into an encrypted publication. Clients drop everything else
// that bears the trailer: otherwise a focus could show any picture as that of a participant. The H.264 blank goes out as
// three NAL units, and clients look at each by itself.
var blanks = map[[sha256.Size]byte]sfu.Codec{
	sum(VP8Blank):     sfu.VP8,
	sum(OpusSilence):  sfu.Opus,
	sum(H264Blank[0]): sfu.H264,
	sum(H264Blank[1]): sfu.H264,
	sum(H264Blank[2]): sfu.H264,
}

// The blanks themselves: a VP8 key frame of 8x8, an H.264 key frame of 2x2 (SPS, PPS, IDR slice), Opus silence.
var (
	VP8Blank = []byte{
		0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x08, 0x00, 0x08, 0x00, 0x00, 0x47, 0x08, 0x85, 0x85, 0x88,
		0x85, 0x84, 0x88, 0x02, 0x02, 0x00, 0x0c, 0x0d, 0x60, 0x00, 0xfe, 0xff, 0xab, 0x50, 0x80,
	}
	H264Blank = [3][]byte{
		{0x67, 0x42, 0xc0, 0x1f, 0x0f, 0xd9, 0x1f, 0x88, 0x88, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc9, 0x20},
		{0x68, 0x87, 0xcb, 0x83, 0xcb, 0x20},
		{0x65, 0x88, 0x84, 0x0a, 0xf2, 0x62, 0x80, 0x00, 0xa7, 0xbe},
	}
	OpusSilence = append([]byte{0xf8, 0xff, 0xfe}, make([]byte, 77)...)
)

func sum(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }

// Injected reports whether a frame says that a focus made it: it ends in the session's trailer. Look before decrypting;
// an encrypted frame ends in those random bytes once in 2^(8 × their number).
func Injected(f, trailer []byte) bool { return len(trailer) > 0 && bytes.HasSuffix(f, trailer) }

// Blank takes the trailer off an injected frame, and refuses it if it is none of the known blanks of its codec.
func Blank(c sfu.Codec, f, trailer []byte) ([]byte, error) {
	if !Injected(f, trailer) {
		return nil, fmt.Errorf("%w: no trailer", ErrInjected)
	}
	f = f[:len(f)-len(trailer)]
	if of, ok := blanks[sum(f)]; !ok || of != c {
		return nil, fmt.Errorf("%w: %d bytes of %s", ErrInjected, len(f), c)
	}
	return f, nil
}
