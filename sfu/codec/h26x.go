package codec

import "encoding/binary"

// NAL unit types of H.264 (ITU-T H.264 table 7-1) and of its packetisation (RFC 6184 section 5.2).
const (
	h264Slice = 1
	h264IDR   = 5
	h264SPS   = 7
	h264STAPA = 24
	h264FUA   = 28
)

func describeH264(b []byte, d *Description) error {
	switch t := b[0] & 0x1f; t {
	case h264STAPA: // RFC 6184 section 5.7.1
		rest := b[1:]
		for len(rest) > 0 {
			if len(rest) < 2 {
				return ErrShort
			}
			n := int(binary.BigEndian.Uint16(rest))
			if n == 0 || len(rest) < 2+n {
				return ErrShort
			}
			h264Unit(rest[2]&0x1f, rest[2], rest[3:2+n], d)
			rest = rest[2+n:]
		}
	case h264FUA: // RFC 6184 section 5.8
		if len(b) < 2 {
			return ErrShort
		}
		if b[1]&0x80 != 0 { // S
			h264Unit(b[1]&0x1f, b[0], b[2:], d)
		}
	default:
		h264Unit(t, b[0], b[1:], d)
	}
	return nil
}

// h264Unit looks at one NAL unit of the given type: head is the byte with its NRI, body what follows the NAL header.
func h264Unit(t, head byte, body []byte, d *Description) {
	switch t {
	case h264SPS:
		d.Keyframe = true
		if w, h, ok := spsSize(body); ok {
			d.Width, d.Height = w, h
		}
	case h264IDR:
		// first_mb_in_slice is ue(v), so a leading 1 is macroblock 0: later slices do not start a keyframe.
		// This is the last byte that stays clear.
		if len(body) > 0 && body[0]&0x80 != 0 {
			d.Keyframe = true
		}
	case h264Slice:
		d.Discardable = head&0x60 == 0 // NRI
	}
}

// NAL unit types of H.265 (ITU-T H.265 table 7-1) and of its packetisation (RFC 7798 section 4.4).
const (
	h265FirstIRAP = 16
	h265LastIRAP  = 21
	h265VPS       = 32
	h265SPS       = 33
	h265AP        = 48
	h265FU        = 49
)

func describeH265(b []byte, d *Description) error {
	if len(b) < 3 {
		return ErrShort
	}
	if tid := int8(b[1] & 0x07); tid > 0 { // nuh_temporal_id_plus1
		d.Layer.Temporal = tid - 1
	}
	switch t := b[0] >> 1 & 0x3f; t {
	case h265AP: // RFC 7798 section 4.4.2, without DONL
		rest := b[2:]
		for len(rest) > 0 {
			if len(rest) < 2 {
				return ErrShort
			}
			n := int(binary.BigEndian.Uint16(rest))
			if n < 2 || len(rest) < 2+n {
				return ErrShort
			}
			h265Unit(rest[2]>>1&0x3f, d)
			rest = rest[2+n:]
		}
	case h265FU: // RFC 7798 section 4.4.3
		if b[2]&0x80 != 0 {
			h265Unit(b[2]&0x3f, d)
		}
	default:
		h265Unit(t, d)
	}
	return nil
}

func h265Unit(t byte, d *Description) {
	switch {
	case t == h265VPS, t == h265SPS, t >= h265FirstIRAP && t <= h265LastIRAP:
		d.Keyframe = true
	case t == 2 || t == 4 || t == 3 || t == 5: // TSA and STSA pictures
		d.SwitchUp = true
	}
}

// describeAV1 reads the aggregation header (AV1 RTP section 4.4): Z Y W W N. It is written by the packetiser, outside of
// any encryption. The dependency descriptor, when there is one, says more and overrules it.
func describeAV1(b []byte, d *Description) {
	d.StartOfFrame = b[0]&0x80 == 0 // Z: no fragment of an earlier packet comes first
	d.Keyframe = d.StartOfFrame && b[0]&0x08 != 0
}
