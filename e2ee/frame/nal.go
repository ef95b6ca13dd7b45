package frame

import (
	"bytes"

	"weir/sfu"
)

// beyondHeader is how much of the first slice stays readable behind its start code: what a packetiser looks at.
const beyondHeader = 2

var startCode = []byte{0, 0, 1}

// sliceStart is where the readable part of a frame of NAL units ends: two bytes into its first slice.
func sliceStart(c sfu.Codec, f []byte) int {
	for at := 0; ; {
		i := bytes.Index(f[at:], startCode)
		if i < 0 {
			return 0
		}
		at += i + len(startCode)
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

var (
	twoZeros = []byte{0, 0}
	emulated = []byte{0, 0, 3}
)

// AppendEscaped appends raw with an emulation prevention byte wherever two zeros are followed by 0 to 3 (H.264 section
// 7.4.1). What stands in dst already is not looked at, as clients do it.
func AppendEscaped(dst, raw []byte) []byte {
	for {
		i := bytes.Index(raw, twoZeros)
		if i < 0 || i+2 == len(raw) {
			return append(dst, raw...)
		}
		if raw[i+2] > 3 {
			dst = append(dst, raw[:i+3]...)
			raw = raw[i+3:]
			continue
		}
		dst = append(dst, raw[:i+2]...)
		dst = append(dst, 3)
		raw = raw[i+2:] // the byte behind counts as the first again
	}
}

// Unescape appends escaped without its emulation prevention bytes.
func Unescape(dst, escaped []byte) []byte {
	for {
		i := bytes.Index(escaped, emulated)
		if i < 0 {
			return append(dst, escaped...)
		}
		dst = append(dst, escaped[:i+2]...)
		escaped = escaped[i+3:]
	}
}
