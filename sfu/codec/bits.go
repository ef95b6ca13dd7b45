package codec

// bits reads unsigned numbers from the high bit down; bad once it was asked for more than there is.
type bits struct {
	b   []byte
	at  int
	bad bool
}

func (r *bits) get(n int) uint32 {
	if r.at+n > 8*len(r.b) {
		r.bad = true
		r.at = 8 * len(r.b)
		return 0
	}
	var x uint32
	for n > 0 {
		room := 8 - r.at&7
		take := min(room, n)
		x = x<<take | uint32(r.b[r.at>>3])>>(room-take)&(1<<take-1)
		r.at += take
		n -= take
	}
	return x
}

// ue is an unsigned Exp-Golomb number (ITU-T H.264 section 9.1).
func (r *bits) ue() uint32 {
	zeros := 0
	for r.get(1) == 0 {
		zeros++
		if r.bad || zeros > 31 {
			r.bad = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.get(zeros)
}

// ns is a non-symmetric number below n (AV1 RTP A.8.2).
func (r *bits) ns(n uint32) uint32 {
	w := 0
	for x := n; x != 0; x >>= 1 {
		w++
	}
	m := uint32(1)<<w - n
	v := r.get(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.get(1)
}

// bitWriter appends numbers to a byte slice from the high bit down; at is the number of bits written into b.
type bitWriter struct {
	b  []byte
	at int // bits used of the last byte; 0: byte aligned
}

func (w *bitWriter) put(v uint32, n int) {
	for n > 0 {
		if w.at == 0 {
			w.b = append(w.b, 0)
		}
		room := 8 - w.at
		take := min(room, n)
		part := byte(v >> (n - take) & (1<<take - 1))
		w.b[len(w.b)-1] |= part << (room - take)
		w.at = (w.at + take) & 7
		n -= take
	}
}

// copyBits takes the bits [from, to) of src.
func (w *bitWriter) copyBits(src []byte, from, to int) {
	r := bits{b: src, at: from}
	for from < to {
		n := min(24, to-from)
		w.put(r.get(n), n)
		from += n
	}
}
