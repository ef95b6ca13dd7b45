package assemble

import (
	"encoding/binary"

	"weir/sfu"
)

// head is what stands before a part of a frame in a payload.
type head struct {
	length int
	start  bool
	end    bool
	marked bool // the marker bit ends a frame
}

// read looks at a payload; false: it holds no part of a frame.
func read(c sfu.Codec, b []byte) (head, bool) {
	if len(b) == 0 {
		return head{}, false
	}
	switch c {
	case sfu.VP8:
		return readVP8(b)
	case sfu.VP9:
		return readVP9(b)
	case sfu.H264:
		return readH264(b)
	default: // audio: a packet is a frame
		return head{start: true, end: true}, true
	}
}

// readVP8 reads the descriptor of RFC 7741 section 4.2.
func readVP8(b []byte) (head, bool) {
	h := head{length: 1, start: b[0]&0x10 != 0 && b[0]&0x07 == 0, marked: true}
	if b[0]&0x80 != 0 {
		if len(b) < 2 {
			return head{}, false
		}
		more := b[1]
		h.length = 2
		if more&0x80 != 0 { // I
			h.length += pictureLen(b, h.length)
		}
		if more&0x40 != 0 { // L
			h.length++
		}
		if more&0x30 != 0 { // T, K
			h.length++
		}
	}
	return h, h.length < len(b)
}

func pictureLen(b []byte, at int) int {
	if at < len(b) && b[at]&0x80 != 0 {
		return 2
	}
	return 1
}

// readVP9 reads the descriptor of RFC 9628 section 4.2. Each layer frame is a frame: senders encrypt them one by one.
func readVP9(b []byte) (head, bool) {
	const i, p, l, f, begin, end, v = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02
	h := head{length: 1, start: b[0]&begin != 0, end: b[0]&end != 0}
	if b[0]&i != 0 {
		h.length += pictureLen(b, h.length)
	}
	if b[0]&l != 0 {
		if h.length++; b[0]&f == 0 {
			h.length++ // TL0PICIDX
		}
	}
	if b[0]&f != 0 && b[0]&p != 0 {
		for range 3 { // P_DIFF, N: one more follows
			h.length++
			if h.length > len(b) || b[h.length-1]&1 == 0 {
				break
			}
		}
	}
	if b[0]&v != 0 {
		n, ok := scalability(b, h.length)
		if !ok {
			return head{}, false
		}
		h.length += n
	}
	return h, h.length < len(b)
}

// scalability is the length of the scalability structure (RFC 9628 section 4.2.1).
func scalability(b []byte, at int) (int, bool) {
	if at >= len(b) {
		return 0, false
	}
	from, ss := at, b[at]
	at++
	if ss&0x10 != 0 { // Y: sizes
		at += 4 * (int(ss>>5) + 1)
	}
	if ss&0x08 != 0 { // G: pictures
		if at >= len(b) {
			return 0, false
		}
		count := int(b[at])
		at++
		for range count {
			if at >= len(b) {
				return 0, false
			}
			at += 1 + int(b[at]>>2&3)
		}
	}
	return at - from, at < len(b)
}

const (
	stapA = 24 // RFC 6184 section 5.4
	fuA   = 28
)

// readH264 knows a frame's start by the sequence parameter set before a key frame.
func readH264(b []byte) (head, bool) {
	const sps = 7
	switch t := b[0] & 0x1f; {
	case t >= 1 && t <= 23:
		return head{start: t == sps, marked: true}, true
	case t == stapA:
		return head{start: len(b) > 3 && b[3]&0x1f == sps, marked: true}, true
	case t == fuA && len(b) > 2:
		return head{marked: true}, true
	}
	return head{}, false
}

// appendUnits appends the NAL units of a payload with start codes of four bytes, as browsers rebuild them.
func appendUnits(dst, b []byte) []byte {
	switch b[0] & 0x1f {
	case stapA: // RFC 6184 section 5.7.1
		for b = b[1:]; len(b) > 2; {
			n := int(binary.BigEndian.Uint16(b))
			if n > len(b)-2 {
				return dst
			}
			dst = append(append(dst, 0, 0, 0, 1), b[2:2+n]...)
			b = b[2+n:]
		}
		return dst
	case fuA: // RFC 6184 section 5.8
		if b[1]&0x80 != 0 {
			dst = append(dst, 0, 0, 0, 1, b[0]&0xe0|b[1]&0x1f)
		}
		return append(dst, b[2:]...)
	}
	return append(append(dst, 0, 0, 0, 1), b...)
}
