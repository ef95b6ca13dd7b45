// Package frame is the encrypted frame of LiveKit clients, as it stands on the wire: which bytes stay readable, where the
// ciphertext ends, and the trailer. It knows no keys and is pure.
//
//	clear bytes | ciphertext | tag 16 B | IV 12 B | 0x0C | key index
//
// The clear bytes are authenticated with the frame. A focus may read them and must change none of them. Frames of
// codecs with NAL units have everything behind the clear bytes escaped, so that no start code appears in it
// (H.264 section 7.4.1). Empty frames (Opus DTX) are not encrypted. AV1 has no encrypted form: livekit-client refuses
// to send it, so nobody can receive it.
//
// What one client does and another does not is written beside the code; the facts are those of livekit-client 2.23.
package frame

import (
	"errors"
	"fmt"

	"weir/sfu"
)

// Sizes of the parts, in bytes.
const (
	TagLen     = 16
	IVLen      = 12
	TrailerLen = 2
	Overhead   = TagLen + IVLen + TrailerLen // without escaping
)

// Errors, wrapped with what was found.
var (
	ErrTruncated   = errors.New("frame: too short to be encrypted")
	ErrTrailer     = errors.New("frame: not the trailer of an encrypted frame")
	ErrUnsupported = errors.New("frame: no encrypted form of this codec")
	ErrNoSlice     = errors.New("frame: NAL units without a slice")
)

// Parts of an encrypted frame, as Split found them. They borrow the frame's memory, and that of the Parts if bytes had to
// be unescaped: both must stay as they are while the parts are used. One goroutine owns them and splits one frame after
// the other with them.
type Parts struct {
	Clear    []byte // authenticated, readable
	Sealed   []byte // ciphertext and tag
	IV       []byte
	KeyIndex uint8

	unescaped []byte
}

// Clear counts the bytes at the front of a frame that stay readable. It gives the same answer for a frame and for its
// encrypted form. An access unit without a slice is refused: no encoder of a call makes one, and livekit-client would
// treat it as VP8 by the frame type that its browser claims, which the bytes do not tell.
func Clear(c sfu.Codec, f []byte) (int, error) {
	n, _, err := clearLen(c, f)
	return n, err
}

// AppendClear appends the bytes of a frame that stay readable, and counts how many bytes of f they are: a receiver gets
// every start code in four bytes.
func AppendClear(dst []byte, c sfu.Codec, f []byte) (out []byte, n int, err error) {
	n, asIs, err := clearLen(c, f)
	if asIs {
		return append(dst, f[:n]...), n, err
	}
	return appendLongStartCodes(dst, f[:n]), n, err
}

// clearLen is Clear; asIs reports whether a receiver gets the bytes as they are.
func clearLen(c sfu.Codec, f []byte) (n int, asIs bool, err error) {
	asIs = true
	switch c {
	case sfu.Opus, sfu.RED, sfu.PCMU, sfu.PCMA:
		n = 1 // the TOC byte of Opus (RFC 6716 section 3.1)
	case sfu.VP8:
		// The frame tag, with the start code and size behind it in a key frame (RFC 6386 section 9.1): bit 0 clear.
		if n = 3; len(f) > 0 && f[0]&1 == 0 {
			n = 10
		}
	case sfu.VP9:
		return 0, true, nil
	case sfu.H264, sfu.H265:
		if n, asIs = sliceStart(c, f); n == 0 {
			return 0, asIs, fmt.Errorf("%w: %d bytes of %s", ErrNoSlice, len(f), c)
		}
	default:
		return 0, asIs, fmt.Errorf("%w: %s", ErrUnsupported, c)
	}
	return min(n, len(f)), asIs, nil
}

// Escaped reports whether what follows the clear bytes has emulation prevention bytes in it.
func Escaped(c sfu.Codec) bool { return c == sfu.H264 || c == sfu.H265 }

// KeyIndex reads the key index of an encrypted frame without looking further; it is the last byte, escaped or not.
func KeyIndex(f []byte) (uint8, error) {
	if len(f) < Overhead {
		return 0, fmt.Errorf("%w: %d bytes", ErrTruncated, len(f))
	}
	return f[len(f)-1], nil
}

// Split takes an encrypted frame apart. On an error the parts are those of no frame.
func (p *Parts) Split(c sfu.Codec, f []byte) error {
	n, err := Clear(c, f)
	if err != nil {
		return err
	}
	rest := f[n:]
	if Escaped(c) && zeros(rest, 3) >= 0 {
		p.unescaped = Unescape(p.unescaped[:0], rest)
		rest = p.unescaped
	}
	if len(rest) < Overhead {
		return fmt.Errorf("%w: %d bytes behind the clear ones", ErrTruncated, len(rest))
	}
	end := len(rest) - TrailerLen
	if rest[end] != IVLen { // livekit-client takes any length; only this one was ever sent
		return fmt.Errorf("%w: IV of %d bytes", ErrTrailer, rest[end])
	}
	p.Clear, p.Sealed, p.IV, p.KeyIndex = f[:n], rest[:end-IVLen], rest[end-IVLen:end], rest[end+1]
	return nil
}

// AppendTrailer ends an encrypted frame: IV, its length, the key index.
func AppendTrailer(dst, iv []byte, keyIndex uint8) []byte {
	dst = append(dst, iv...)
	return append(dst, IVLen, keyIndex)
}
