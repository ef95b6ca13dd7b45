package codec

import "weir/sfu"

// Limits of the dependency descriptor (AV1 RTP A.8.2): ids of 6 bits, targets of 5. A frame refers to at most seven
// others in every codec that uses it.
const (
	maxTemplates = 64
	maxTargets   = 32
	maxFdiffs    = 8
	maxSpatials  = 8
	maxTemporal  = 7
)

// Indication relates a frame to a decode target (AV1 RTP table A.1).
type Indication uint8

const (
	NotPresent Indication = iota
	Discardable
	Switch
	Required
)

// Size is a picture size in pixels.
type Size struct{ Width, Height uint16 }

// Template is what many frames have in common.
type Template struct {
	Indications uint64 // two bits for each decode target, target 0 lowest
	Layer       sfu.Layer
	FdiffCount  uint8
	Fdiffs      [maxFdiffs]uint8
	ChainFdiffs [maxTargets]uint8
}

// Structure is a template dependency structure. It does not change once a Description points at it.
type Structure struct {
	Offset         uint8 // template id of template 0
	Templates      uint8
	Targets        uint8
	Chains         uint8
	Spatials       uint8
	HasResolutions bool
	Template       [maxTemplates]Template
	ProtectedBy    [maxTargets]uint8     // decode target → chain
	TargetLayer    [maxTargets]sfu.Layer // highest layer of a decode target
	Resolution     [maxSpatials]Size
}

// All is the mask of all decode targets.
func (s *Structure) All() uint32 { return uint32(1<<s.Targets - 1) }

// Dependency is one packet's dependency descriptor, resolved. The frame number stands in Numbers.
type Dependency struct {
	Structure   *Structure // nil: no descriptor, or one whose structure is not known
	Indications uint64     // two bits for each decode target
	Active      uint32     // decode targets that the sender produces now
	Template    uint8      // index into the structure
	Attached    bool       // this packet carries the structure
	HasActive   bool       // this packet carries the mask
	FdiffCount  uint8
	Fdiffs      [maxFdiffs]uint16 // distances to the frames that this one refers to
	ChainFdiffs [maxTargets]uint8 // per chain, distance to its previous frame; 0: the chain starts here

	structureEnd, definition, end uint16 // bit offsets, for AppendDependency
}

// Indication of the frame for decode target i.
func (d *Dependency) Indication(i int) Indication {
	return Indication(d.Indications >> (2 * i) & 3)
}

// discardable: no target needs the frame for another.
func (d *Dependency) discardable() bool {
	const low = 0x5555555555555555
	return d.Indications>>1&low == 0 && d.Indications&low != 0
}

// ddState is what a stream's descriptors refer back to.
type ddState struct {
	structure    *Structure
	structureSeq sfu.ExtSeq
	active       uint32
	activeSeq    sfu.ExtSeq
	scratch      *Structure
}

// read resolves one descriptor; false if it cannot be used, but the frame number is set whenever it is there.
func (s *ddState) read(b []byte, seq sfu.ExtSeq, d *Description) bool {
	if len(b) < 3 {
		return false
	}
	d.Frame = uint16(b[1])<<8 | uint16(b[2])
	d.Has |= HasFrame
	dep := &d.Dependency
	r := bits{b: b, at: 24}
	var customDtis, customFdiffs, customChains, attached, hasActive uint32
	st, active := s.structure, s.active
	if len(b) > 3 {
		attached, hasActive = r.get(1), r.get(1)
		customDtis, customFdiffs, customChains = r.get(1), r.get(1), r.get(1)
		if attached != 0 {
			if st = s.readStructure(&r, seq); st == nil {
				return false
			}
			active = st.All()
		}
	}
	dep.structureEnd = uint16(r.at)
	if st == nil {
		return false
	}
	if hasActive != 0 {
		active = r.get(int(st.Targets))
	}
	dep.definition = uint16(r.at)
	index := (b[0]&0x3f + maxTemplates - st.Offset) % maxTemplates
	if index >= st.Templates {
		return false // the structure it means was lost or is late
	}
	dep.Template, dep.Active = index, active
	dep.Attached, dep.HasActive = attached != 0, hasActive != 0
	dep.readDefinition(&r, st, customDtis != 0, customFdiffs != 0, customChains != 0)
	dep.end = uint16(r.at)
	if r.bad {
		return false
	}
	if (attached != 0 || hasActive != 0) && seq >= s.activeSeq { // A.4: valid until the next in packet order
		s.active, s.activeSeq = active, seq
	}
	dep.Structure = st
	return true
}

// readDefinition is frame_dependency_definition.
func (d *Dependency) readDefinition(r *bits, st *Structure, dtis, fdiffs, chains bool) {
	t := &st.Template[d.Template]
	if dtis {
		d.Indications = readIndications(r, int(st.Targets))
	} else {
		d.Indications = t.Indications
	}
	if fdiffs {
		for {
			size := int(r.get(2))
			if size == 0 {
				break
			}
			v := r.get(4*size) + 1
			if d.FdiffCount == maxFdiffs {
				r.bad = true
				return
			}
			d.Fdiffs[d.FdiffCount] = uint16(v)
			d.FdiffCount++
		}
	} else {
		d.FdiffCount = t.FdiffCount
		for i := range t.FdiffCount {
			d.Fdiffs[i] = uint16(t.Fdiffs[i])
		}
	}
	if chains {
		for i := range st.Chains {
			d.ChainFdiffs[i] = uint8(r.get(8))
		}
	} else {
		d.ChainFdiffs = t.ChainFdiffs
	}
}

func readIndications(r *bits, targets int) uint64 {
	var x uint64
	for i := range targets {
		x |= uint64(r.get(2)) << (2 * i)
	}
	return x
}

// readStructure reads an attached structure; the one in force is kept if nothing changed, so that a keyframe costs no
// memory. A structure that is late is not taken.
func (s *ddState) readStructure(r *bits, seq sfu.ExtSeq) *Structure {
	if s.scratch == nil {
		s.scratch = new(Structure)
	}
	if !s.scratch.read(r) {
		return nil
	}
	if s.structure != nil {
		if *s.structure == *s.scratch {
			s.structureSeq = max(s.structureSeq, seq)
			return s.structure
		}
		if seq < s.structureSeq {
			return nil
		}
	}
	s.structure, s.structureSeq, s.scratch = s.scratch, seq, nil
	return s.structure
}

// read is template_dependency_structure.
func (s *Structure) read(r *bits) bool {
	*s = Structure{}
	s.Offset = uint8(r.get(6))
	s.Targets = uint8(r.get(5)) + 1
	if !s.readLayers(r) {
		return false
	}
	for i := range s.Templates {
		s.Template[i].Indications = readIndications(r, int(s.Targets))
	}
	for i := range s.Templates {
		t := &s.Template[i]
		for r.get(1) != 0 {
			if t.FdiffCount == maxFdiffs {
				return false
			}
			t.Fdiffs[t.FdiffCount] = uint8(r.get(4)) + 1
			t.FdiffCount++
		}
	}
	s.Chains = uint8(r.ns(uint32(s.Targets) + 1))
	if s.Chains > 0 {
		for i := range s.Targets {
			s.ProtectedBy[i] = uint8(r.ns(uint32(s.Chains)))
		}
		for i := range s.Templates {
			for c := range s.Chains {
				s.Template[i].ChainFdiffs[c] = uint8(r.get(4))
			}
		}
	}
	s.setTargetLayers()
	if s.HasResolutions = r.get(1) != 0; s.HasResolutions {
		for i := range s.Spatials {
			s.Resolution[i] = Size{Width: uint16(r.get(16)) + 1, Height: uint16(r.get(16)) + 1}
		}
	}
	return !r.bad
}

func (s *Structure) readLayers(r *bits) bool {
	var l sfu.Layer
	for {
		if s.Templates == maxTemplates {
			return false
		}
		s.Template[s.Templates].Layer = l
		s.Templates++
		switch r.get(2) {
		case 1:
			l.Temporal++
		case 2:
			l = sfu.Layer{Spatial: l.Spatial + 1}
		case 3:
			s.Spatials = uint8(l.Spatial) + 1
			return !r.bad
		}
		if r.bad || l.Spatial >= maxSpatials || l.Temporal > maxTemporal {
			return false
		}
	}
}

func (s *Structure) setTargetLayers() {
	for dt := range s.Targets {
		var top sfu.Layer
		for i := range s.Templates {
			t := &s.Template[i]
			if t.Indications>>(2*dt)&3 != 0 {
				top.Spatial = max(top.Spatial, t.Layer.Spatial)
				top.Temporal = max(top.Temporal, t.Layer.Temporal)
			}
		}
		s.TargetLayer[dt] = top
	}
}
