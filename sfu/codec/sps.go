package codec

// spsSize reads the picture size from an H.264 sequence parameter set (ITU-T H.264 section 7.3.2.1.1), which stays clear
// under end-to-end encryption. b follows the NAL header.
func spsSize(b []byte) (width, height uint16, ok bool) {
	if len(b) < 4 {
		return 0, 0, false
	}
	var clean [64]byte // the size stands well before; the VUI behind it does not matter
	r := bits{b: unescape(clean[:0], b[3:])}
	profile := b[0]
	r.ue() // seq_parameter_set_id
	chroma := uint32(1)
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma = r.ue()
		if chroma == 3 {
			r.get(1)
		}
		r.ue()
		r.ue()
		r.get(1)
		if r.get(1) != 0 { // scaling matrices do not occur in real-time profiles
			return 0, 0, false
		}
	}
	r.ue() // log2_max_frame_num_minus4
	switch r.ue() {
	case 0:
		r.ue()
	case 1:
		r.get(1)
		r.ue()
		r.ue()
		for range min(r.ue(), 255) {
			r.ue()
		}
	}
	r.ue()
	r.get(1)
	w := (r.ue() + 1) * 16
	h := r.ue() + 1
	frameOnly := r.get(1)
	h *= 16 * (2 - frameOnly)
	if frameOnly == 0 {
		r.get(1)
	}
	r.get(1)
	if r.get(1) != 0 { // cropping, in units of the chroma grid (section 7.4.2.1.1)
		unitX, unitY := uint32(1), 2-frameOnly
		if chroma == 1 || chroma == 2 {
			unitX = 2
		}
		if chroma == 1 {
			unitY *= 2
		}
		w -= (r.ue() + r.ue()) * unitX
		h -= (r.ue() + r.ue()) * unitY
	}
	if r.bad || w == 0 || h == 0 || w > 16384 || h > 16384 {
		return 0, 0, false
	}
	return uint16(w), uint16(h), true
}

// unescape drops the emulation prevention bytes (section 7.4.1) of as much of b as dst can hold.
func unescape(dst, b []byte) []byte {
	zeros := 0
	for _, c := range b {
		if len(dst) == cap(dst) {
			break
		}
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		dst = append(dst, c)
	}
	return dst
}
