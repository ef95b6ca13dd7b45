package codec

// AppendDependency appends the descriptor raw with another frame number. If d resolved raw and active is a mask other than
// the one that raw gives, the mask is written into it too, which makes it longer (AV1 RTP A.4: whoever restricts the decode
// targets says so). active 0 leaves the mask as it is.
func AppendDependency(dst, raw []byte, d *Dependency, frame uint16, active uint32) []byte {
	if len(raw) < 3 {
		return append(dst, raw...)
	}
	at := len(dst)
	if d == nil || d.Structure == nil || active == 0 || active == d.Active && (d.HasActive || d.Attached) {
		dst = append(dst, raw...)
		dst[at+1], dst[at+2] = byte(frame>>8), byte(frame)
		return dst
	}
	w := bitWriter{b: append(dst, raw[0], byte(frame>>8), byte(frame))}
	flags := uint32(0)
	if len(raw) > 3 {
		flags = uint32(raw[3] >> 3)
	}
	w.put(flags|0x08, 5) // active_decode_targets_present_flag
	if d.Attached {
		w.copyBits(raw, 29, int(d.structureEnd))
	}
	w.put(active, int(d.Structure.Targets))
	w.copyBits(raw, int(d.definition), int(d.end))
	return w.b
}

// DependencyFields is a descriptor to be written from scratch, as a publisher does.
type DependencyFields struct {
	Structure    *Structure
	Template     uint8 // index into the structure
	Frame        uint16
	StartOfFrame bool
	EndOfFrame   bool
	Attach       bool     // with the structure
	Active       uint32   // 0: no mask
	Fdiffs       []uint16 // nil: those of the template
}

// WriteDependency appends a whole descriptor.
func WriteDependency(dst []byte, f DependencyFields) []byte {
	id := (f.Template + f.Structure.Offset) % maxTemplates
	if f.StartOfFrame {
		id |= 0x80
	}
	if f.EndOfFrame {
		id |= 0x40
	}
	w := bitWriter{b: append(dst, id, byte(f.Frame>>8), byte(f.Frame))}
	if !f.Attach && f.Active == 0 && f.Fdiffs == nil {
		return w.b
	}
	w.flag(f.Attach)
	w.flag(f.Active != 0)
	w.put(0, 1)
	w.flag(f.Fdiffs != nil)
	w.put(0, 1)
	if f.Attach {
		w.structure(f.Structure)
	}
	if f.Active != 0 {
		w.put(f.Active, int(f.Structure.Targets))
	}
	if f.Fdiffs != nil {
		for _, d := range f.Fdiffs {
			size := 1
			for size < 3 && uint32(d-1)>>(4*size) != 0 {
				size++
			}
			w.put(uint32(size), 2)
			w.put(uint32(d-1), 4*size)
		}
		w.put(0, 2)
	}
	return w.b
}

func (w *bitWriter) flag(on bool) {
	if on {
		w.put(1, 1)
		return
	}
	w.put(0, 1)
}

// ns is a non-symmetric number below n (AV1 RTP A.8.2).
func (w *bitWriter) ns(n, v uint32) {
	width := 0
	for x := n; x != 0; x >>= 1 {
		width++
	}
	m := uint32(1)<<width - n
	if v < m {
		w.put(v, width-1)
	} else {
		w.put(v+m, width)
	}
}

// structure is template_dependency_structure. Templates have to be in order of their layers.
func (w *bitWriter) structure(s *Structure) {
	w.put(uint32(s.Offset), 6)
	w.put(uint32(s.Targets-1), 5)
	for i := range s.Templates {
		next := uint32(3)
		if i+1 < s.Templates {
			a, b := s.Template[i].Layer, s.Template[i+1].Layer
			switch {
			case a == b:
				next = 0
			case a.Spatial == b.Spatial:
				next = 1
			default:
				next = 2
			}
		}
		w.put(next, 2)
	}
	for i := range s.Templates {
		for dt := range s.Targets {
			w.put(uint32(s.Template[i].Indications>>(2*dt)&3), 2)
		}
	}
	for i := range s.Templates {
		t := &s.Template[i]
		for _, d := range t.Fdiffs[:t.FdiffCount] {
			w.put(1, 1)
			w.put(uint32(d-1), 4)
		}
		w.put(0, 1)
	}
	w.ns(uint32(s.Targets)+1, uint32(s.Chains))
	if s.Chains > 0 {
		for dt := range s.Targets {
			w.ns(uint32(s.Chains), uint32(s.ProtectedBy[dt]))
		}
		for i := range s.Templates {
			for _, d := range s.Template[i].ChainFdiffs[:s.Chains] {
				w.put(uint32(d), 4)
			}
		}
	}
	w.flag(s.HasResolutions)
	if s.HasResolutions {
		for _, r := range s.Resolution[:s.Spatials] {
			w.put(uint32(r.Width)-1, 16)
			w.put(uint32(r.Height)-1, 16)
		}
	}
}
