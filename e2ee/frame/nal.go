package frame

import (
	"encoding/binary"

	"weir/sfu"
)

// beyondHeader is how much of the first slice stays readable behind its start code: what a packetiser looks at.
const beyondHeader = 2

const startCodeLen = 3

// startCode finds the next 0, 0, 1 from an index on; -1: there is none. Only a third of the bytes are looked at.
func startCode(f []byte, from int) int {
	for i := from + 2; i < len(f); {
		switch {
		case f[i] > 1:
			i += 3
		case f[i] == 1 && f[i-1] == 0 && f[i-2] == 0:
			return i - 2
		default:
			i++
		}
	}
	return -1
}

// sliceStart is where the readable part of a frame of NAL units ends: two bytes into its first slice.
func sliceStart(c sfu.Codec, f []byte) int {
	for at := 0; ; {
		i := startCode(f, at)
		if i < 0 {
			return 0
		}
		at = i + startCodeLen
		if at >= len(f) {
			return 0
		}
		if isSlice(c, f[at]) {
			return at + beyondHeader
		}
	}
}

// isSlice tells a coded slice by the first byte of its NAL unit (H.264 table 7-1, H.265 table 7-1).
func isSlice(c sfu.Codec, b byte) bool {
	if c == sfu.H264 {
		t := b & 0x1f
		return t == 1 || t == 5
	}
	t := b >> 1 & 0x3f
	return t <= 9 || (t >= 16 && t <= 21)
}

// AppendLongStartCodes appends f with every start code four bytes long: depacketisers rebuild them so, and the
// receiver authenticates what it rebuilt.
func AppendLongStartCodes(dst, f []byte) []byte {
	for {
		i := startCode(f, 0)
		if i < 0 {
			return append(dst, f...)
		}
		dst = append(dst, f[:i]...)
		if i == 0 || f[i-1] != 0 {
			dst = append(dst, 0)
		}
		dst = append(dst, 0, 0, 1)
		f = f[i+startCodeLen:]
	}
}

// zeros finds the next two zeros that are followed by low to 3; -1: there are none. Ciphertext holds single zeros at every
// turn, at places that no branch predictor knows, so blocks are first looked at without branches.
func zeros(b []byte, low byte) int {
	at := 0
	for ; len(b)-at >= blockLen; at += blockLen {
		if suspicious((*[blockLen]byte)(b[at:])) {
			if i := zerosIn(b, at-1, at+blockLen, low); i >= 0 {
				return i
			}
		}
	}
	return zerosIn(b, at-1, len(b), low)
}

// zerosIn is zeros for those that begin in a part of b, byte by byte.
func zerosIn(b []byte, from, to int, low byte) int {
	for i := max(from, 0); i < to && i+2 < len(b); i++ {
		if b[i] == 0 && b[i+1] == 0 && b[i+2] >= low && b[i+2] <= 3 {
			return i
		}
	}
	return -1
}

const blockLen = 32

// suspicious says whether a block may hold two zeros that are followed by at most 3, or the end of such. Of its pairs of
// bytes, one is then 0, 0 if they begin at an even place, and 0 followed by at most 3 if at an odd one: both are 0 but for
// the two lowest bits of the second byte. One block in a thousand is suspected wrongly.
func suspicious(b *[blockLen]byte) bool {
	const (
		care = 0xfcff_fcff_fcff_fcff // of four pairs, the first byte in the lower bits
		ones = 0x0001_0001_0001_0001
		tops = 0x8000_8000_8000_8000
	)
	w := binary.LittleEndian.Uint64(b[0:]) & care
	x := binary.LittleEndian.Uint64(b[8:]) & care
	y := binary.LittleEndian.Uint64(b[16:]) & care
	z := binary.LittleEndian.Uint64(b[24:]) & care
	// The top bit of a lane rises below zero.
	return ((w-ones)&^w|(x-ones)&^x|(y-ones)&^y|(z-ones)&^z)&tops != 0
}

// AppendEscaped appends raw with an emulation prevention byte wherever two zeros are followed by 0 to 3 (H.264 section
// 7.4.1). What stands in dst already is not looked at, as clients do it.
func AppendEscaped(dst, raw []byte) []byte {
	for {
		i := zeros(raw, 0)
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i+2]...)
		dst = append(dst, 3)
		raw = raw[i+2:] // the byte behind counts as the first again
	}
}

// EscapeFrom escapes what stands in b from an index on. It rarely has to be moved, by way of scratch, which is returned,
// grown if it was too small.
func EscapeFrom(b []byte, from int, scratch []byte) (escaped, grown []byte) {
	if zeros(b[from:], 0) < 0 {
		return b, scratch
	}
	scratch = append(scratch[:0], b[from:]...)
	return AppendEscaped(b[:from], scratch), scratch
}

// Unescape appends escaped without its emulation prevention bytes.
func Unescape(dst, escaped []byte) []byte {
	for {
		i := zeros(escaped, 3)
		if i < 0 {
			return append(dst, escaped...)
		}
		dst = append(dst, escaped[:i+2]...)
		escaped = escaped[i+3:]
	}
}
