package codec

// The VP8 payload descriptor (RFC 7741 section 4.2):
//
//	X R N S R PID | I L T K RSV | M PictureID | (PictureID) | TL0PICIDX | TID Y KEYIDX
//
// vp8Fields finds its parts; an offset of 0 means that the field is not there.
type vp8Fields struct {
	picture, tl0, key int // offsets
	wide              bool
	length            int
}

func parseVP8(b []byte) (f vp8Fields, ok bool) {
	if len(b) < 1 {
		return f, false
	}
	f.length = 1
	if b[0]&0x80 == 0 {
		return f, true
	}
	if len(b) < 2 {
		return f, false
	}
	flags := b[1]
	f.length = 2
	if flags&0x80 != 0 { // I
		if len(b) < 3 {
			return f, false
		}
		f.picture = 2
		f.wide = b[2]&0x80 != 0 // M
		f.length++
		if f.wide {
			f.length++
		}
	}
	if flags&0x40 != 0 { // L
		f.tl0 = f.length
		f.length++
	}
	if flags&0x30 != 0 { // T or K
		f.key = f.length
		f.length++
	}
	return f, len(b) >= f.length
}

func describeVP8(b []byte, marker bool, d *Description) error {
	f, ok := parseVP8(b)
	if !ok || len(b) <= f.length {
		return ErrShort
	}
	d.StartOfFrame = b[0]&0x10 != 0 && b[0]&0x07 == 0 // S, partition 0
	d.EndOfFrame = marker
	d.Discardable = b[0]&0x20 != 0 // N
	if f.picture != 0 {
		d.Has |= HasPictureID
		d.PictureID = uint16(b[f.picture] & 0x7f)
		if f.wide {
			d.Has |= WidePictureID
			d.PictureID = d.PictureID<<8 | uint16(b[f.picture+1])
		}
	}
	if f.tl0 != 0 {
		d.Has |= HasTL0
		d.TL0 = b[f.tl0]
	}
	if f.key != 0 {
		if b[1]&0x20 != 0 { // T
			d.Layer.Temporal = int8(b[f.key] >> 6)
			d.SwitchUp = b[f.key]&0x20 != 0
		}
		if b[1]&0x10 != 0 { // K
			d.Has |= HasKeyIndex
			d.KeyIndex = b[f.key] & 0x1f
		}
	}
	if !d.StartOfFrame {
		return nil
	}
	// RFC 7741 section 4.3: P is 0 in a keyframe. RFC 6386 section 9.1: then a start code and the size follow.
	frame := b[f.length:]
	d.Keyframe = frame[0]&0x01 == 0
	if d.Keyframe && len(frame) >= 10 && frame[3] == 0x9d && frame[4] == 0x01 && frame[5] == 0x2a {
		d.Width = (uint16(frame[6]) | uint16(frame[7])<<8) & 0x3fff
		d.Height = (uint16(frame[8]) | uint16(frame[9])<<8) & 0x3fff
	}
	return nil
}

func patchVP8(dst, payload []byte, n Numbers) int {
	f, ok := parseVP8(payload)
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
	if f.key != 0 && payload[1]&0x10 != 0 && n.Has&HasKeyIndex != 0 {
		dst[f.key] = dst[f.key]&0xe0 | n.KeyIndex&0x1f
		changed = f.key + 1
	}
	return changed
}

func patchPicture(b []byte, at int, wide bool, id uint16) int {
	if !wide {
		b[at] = byte(id & 0x7f)
		return at + 1
	}
	b[at] = 0x80 | byte(id>>8)&0x7f
	b[at+1] = byte(id)
	return at + 2
}

// BlankVP8 is a descriptor with all numbers (15 bit picture id, TL0PICIDX, KEYIDX) for a keyframe made by the focus.
func BlankVP8(n Numbers) [6]byte {
	return [6]byte{0x90, 0xf0, 0x80 | byte(n.PictureID>>8)&0x7f, byte(n.PictureID), n.TL0, n.KeyIndex & 0x1f}
}
