package bench

import (
	"weir/sfu"
)

// descriptor is what stands before a part of a frame in its packet.
func descriptor(dst []byte, c sfu.Codec, pictureID uint16, first, last, key bool) []byte {
	switch c {
	case sfu.VP8: // RFC 7741 section 4.2: X, S; I; a 15-bit picture id
		b := byte(0x80)
		if first {
			b |= 0x10
		}
		return append(dst, b, 0x80, 0x80|byte(pictureID>>8), byte(pictureID))
	case sfu.VP9: // RFC 9628 section 4.2: I, P, B, E; a 15-bit picture id
		b := byte(0x80)
		if !key {
			b |= 0x40
		}
		if first {
			b |= 0x08
		}
		if last {
			b |= 0x04
		}
		return append(dst, b, 0x80|byte(pictureID>>8), byte(pictureID))
	}
	return dst
}

// fragment is the FU-A head of a part of a NAL unit whose first byte is nal (RFC 6184 section 5.8).
func fragment(dst []byte, nal byte, first, last bool) []byte {
	h := nal & 0x1f
	if first {
		h |= 0x80
	}
	if last {
		h |= 0x40
	}
	return append(dst, nal&0xe0|28, h)
}

// parameterSets is a STAP-A packet (RFC 6184 section 5.7.1) with SPS and PPS of constrained baseline, level 3.1: what
// stands before an IDR picture.
var parameterSets = []byte{
	24,
	0, 14, 0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a,
	0, 4, 0x68, 0xce, 0x3c, 0x80,
}

// descriptorLen is how much of a payload stands before the frame's bytes; -1: it is cut off.
func descriptorLen(c sfu.Codec, b []byte) int {
	if len(b) == 0 {
		return -1
	}
	n := 1
	long := func() { // a picture id of 7 or 15 bits
		if n < len(b) && b[n]&0x80 != 0 {
			n++
		}
		n++
	}
	switch c {
	case sfu.VP8:
		if b[0]&0x80 == 0 {
			return 1
		}
		if len(b) < 2 {
			return -1
		}
		more := b[1]
		n = 2
		if more&0x80 != 0 {
			long()
		}
		if more&0x40 != 0 {
			n++
		}
		if more&0x30 != 0 {
			n++
		}
	case sfu.VP9: // what the bots send: no reference indices, no scalability structure
		if b[0]&0x80 != 0 {
			long()
		}
		if b[0]&0x20 != 0 {
			n += 2
		}
	default:
		return 0
	}
	if n > len(b) {
		return -1
	}
	return n
}

// startsFrame says whether a payload is the first of a frame.
func startsFrame(c sfu.Codec, b []byte) bool {
	switch c {
	case sfu.VP8:
		return len(b) > 0 && b[0]&0x10 != 0
	case sfu.VP9:
		return len(b) > 0 && b[0]&0x08 != 0
	}
	return true
}
