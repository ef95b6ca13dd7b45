package codec

import "encoding/binary"

// The VP9 payload descriptor (RFC 9628 section 4.2):
//
//	I P L F B E V Z | M PictureID | (PictureID) | TID U SID D | TL0PICIDX (F=0) | P_DIFF N … (F=1, P=1) | SS (V=1)
type vp9Fields struct {
	picture, layer, tl0, ss int // offsets; 0: not there
	wide                    bool
	length                  int
}

func parseVP9(b []byte) (f vp9Fields, ok bool) {
	if len(b) < 1 {
		return f, false
	}
	flags := b[0]
	f.length = 1
	if flags&0x80 != 0 { // I
		if len(b) < 2 {
			return f, false
		}
		f.picture = 1
		f.wide = b[1]&0x80 != 0
		f.length++
		if f.wide {
			f.length++
		}
	}
	flexible := flags&0x10 != 0
	if flags&0x20 != 0 { // L
		f.layer = f.length
		f.length++
		if !flexible {
			f.tl0 = f.length
			f.length++
		}
	}
	if flexible && flags&0x40 != 0 {
		for range 3 { // at most three references
			if len(b) <= f.length {
				return f, false
			}
			f.length++
			if b[f.length-1]&0x01 == 0 { // N
				break
			}
		}
	}
	if flags&0x02 != 0 { // V
		f.ss = f.length
	}
	return f, len(b) >= f.length
}

func describeVP9(b []byte, d *Description) error {
	f, ok := parseVP9(b)
	if !ok {
		return ErrShort
	}
	if f.picture != 0 {
		d.Has |= HasPictureID
		d.PictureID = uint16(b[f.picture] & 0x7f)
		if f.wide {
			d.Has |= WidePictureID
			d.PictureID = d.PictureID<<8 | uint16(b[f.picture+1])
		}
	}
	if f.layer != 0 {
		d.Layer.Temporal = int8(b[f.layer] >> 5)
		d.Layer.Spatial = int8(b[f.layer] >> 1 & 0x07)
		d.SwitchUp = b[f.layer]&0x10 != 0
		d.InterLayer = b[f.layer]&0x01 != 0
	}
	if f.tl0 != 0 {
		d.Has |= HasTL0
		d.TL0 = b[f.tl0]
	}
	d.InterPicture = b[0]&0x40 != 0
	d.StartOfFrame = b[0]&0x08 != 0
	d.EndOfFrame = b[0]&0x04 != 0
	d.NotRefAbove = b[0]&0x01 != 0
	// Only the descriptor says so: the frame header behind it may be ciphertext (media.md section 2).
	d.Keyframe = d.StartOfFrame && !d.InterPicture && d.Layer.Spatial == 0
	if f.ss != 0 {
		return readScalability(b[f.ss:], d)
	}
	return nil
}

// readScalability takes the size of the top layer from the scalability structure (RFC 9628 section 4.2.1).
func readScalability(b []byte, d *Description) error {
	if len(b) < 1 {
		return ErrShort
	}
	if b[0]&0x10 == 0 { // Y
		return nil
	}
	top := 1 + 4*int(b[0]>>5)
	if len(b) < top+4 {
		return ErrShort
	}
	d.Width = binary.BigEndian.Uint16(b[top:])
	d.Height = binary.BigEndian.Uint16(b[top+2:])
	return nil
}

func patchVP9(dst, payload []byte, n Numbers) int {
	f, ok := parseVP9(payload)
	if !ok {
		return 0
	}
	changed := 0
	if f.picture != 0 && n.Has&HasPictureID != 0 {
		changed = patchPicture(dst, f.picture, f.wide, n.PictureID)
	}
	if f.tl0 != 0 && n.Has&HasTL0 != 0 {
		dst[f.tl0] = n.TL0
		changed = f.tl0 + 1
	}
	return changed
}
