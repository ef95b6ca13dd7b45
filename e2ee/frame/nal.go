package frame

import (
	"bytes"
	"encoding/binary"

	"weir/sfu"
)

// beyondHeader is how much of the first slice stays readable behind its start code: what a packetiser looks at.
const beyondHeader = 2

var startCode = []byte{0, 0, 1}

// sliceStart is where the readable part of a frame of NAL units ends: two bytes into its first slice; 0: it has none.
// It looks no further. asIs reports whether all start codes up to there are four bytes long.
func sliceStart(c sfu.Codec, f []byte) (end int, asIs bool) {
	asIs = true
	for i := 0; i <= len(f)-4; i++ {
		w := binary.LittleEndian.Uint32(f[i:]) // a start code and the byte behind it
		if w<<8 != 0x01_00_00_00 {
			continue
		}
		asIs = asIs && i > 0 && f[i-1] == 0
		if isSlice(c, byte(w>>24)) {
			return i + len(startCode) + beyondHeader, asIs
		}
	}
	return 0, asIs
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

// appendLongStartCodes appends f with every start code four bytes long: depacketisers rebuild them so, and the
// receiver authenticates what it rebuilt.
func appendLongStartCodes(dst, f []byte) []byte {
	for {
		i := bytes.Index(f, startCode)
		if i < 0 {
			return append(dst, f...)
		}
		dst = append(dst, f[:i]...)
		if i == 0 || f[i-1] != 0 {
			dst = append(dst, 0)
		}
		dst = append(dst, startCode...)
		f = f[i+len(startCode):]
	}
}

// zeros finds the next two zeros that are followed by low to 3; -1: there are none. Ciphertext holds single zeros at every
// turn, at places that no branch predictor knows, so blocks are first looked at without branches. They are long to have
// few of them.
func zeros(b []byte, low byte) int {
	last := len(b) - blockLen // where the last block begins; it may overlap the one before
	if last < 0 {
		return zerosIn(b, 0, len(b), low)
	}
	for at := 0; at < last; at += blockLen {
		w := (*[blockLen]byte)(b[at:])
		if (pairs(w[0:])|pairs(w[32:])|pairs(w[64:])|pairs(w[96:]))&tops == 0 {
			continue
		}
		if i := zerosIn(b, at-1, at+blockLen, low); i >= 0 {
			return i
		}
	}
	w := (*[blockLen]byte)(b[last:])
	if (pairs(w[0:])|pairs(w[32:])|pairs(w[64:])|pairs(w[96:]))&tops == 0 {
		return -1
	}
	return zerosIn(b, last-1, len(b), low)
}

const blockLen = 128

// Of the four pairs of bytes in a word, the first byte in the lower bits.
const (
	care = 0x7cff_7cff_7cff_7cff
	ones = 0x0001_0001_0001_0001
	tops = 0x8000_8000_8000_8000
)

// pairs has one of the tops set if 32 bytes may hold two zeros that are followed by at most 3, or begin or end such. One of
// their pairs is then 0, 0 if the zeros begin at an even place, and 0 followed by at most 3 if at an odd one: both are 0
// but for the two lowest bits of the second byte. The highest bit of that byte is not looked at either: it is what tells a
// pair of 0 once 1 was subtracted. One pair in eight thousand is suspected wrongly.
func pairs(b []byte) uint64 {
	le := binary.LittleEndian
	return (le.Uint64(b)&care - ones) | (le.Uint64(b[8:])&care - ones) |
		(le.Uint64(b[16:])&care - ones) | (le.Uint64(b[24:])&care - ones)
}

// zerosIn is zeros for those that begin in a part of b, a byte at a time. Most bytes are above 3: none begin there, nor at
// the two places before.
func zerosIn(b []byte, from, to int, low byte) int {
	for i := max(from, 0); i < to && i+2 < len(b); {
		switch {
		case b[i+2] > 3:
			i += 3
		case b[i] == 0 && b[i+1] == 0 && b[i+2] >= low:
			return i
		default:
			i++
		}
	}
	return -1
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
