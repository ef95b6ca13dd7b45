// Package scalable scripts video streams with spatial and temporal layers, as encoders in browsers make them (L1T1 to L3T3
// and their KEY variants), with the dependency structure that describes them. It is for tests.
package scalable

import (
	"slices"

	"weir/sfu"
	"weir/sfu/codec"
)

// Frame is one layer frame.
type Frame struct {
	Layer    sfu.Layer
	Picture  int      // temporal unit, from 0
	Number   uint16   // frame number
	Refs     []uint16 // frame numbers it refers to
	Template uint8
	Keyframe bool // first frame of a coded sequence
	Key      bool // belongs to a key picture
	First    bool // of its temporal unit
	Last     bool
	BaseOnly bool // refers to base layer frames alone (VP8 Y)
}

// Encoder makes frames in coding order.
type Encoder struct {
	Spatials, Temporals int
	KeyOnly             bool // spatial layers refer to each other in key pictures only
	Structure           *codec.Structure

	next    uint16
	picture int
	phase   int
	begun   bool
	last    [8][8]uint16 // frame number by spatial and temporal layer
	recent  [8]uint16    // last frame of a chain
}

// New makes an encoder whose first frame has the given number.
func New(spatials, temporals int, keyOnly bool, first uint16) *Encoder {
	e := &Encoder{Spatials: spatials, Temporals: temporals, KeyOnly: keyOnly}
	e.build()
	*e = Encoder{Spatials: spatials, Temporals: temporals, KeyOnly: keyOnly, Structure: e.Structure, next: first}
	return e
}

// order of temporal layers in a group of pictures.
func (e *Encoder) temporal() int {
	switch e.Temporals {
	case 2:
		return e.phase % 2
	case 3:
		return [4]int{0, 2, 1, 2}[e.phase%4]
	}
	return 0
}

// draft is a template together with its frame.
type draft struct {
	Frame
	template codec.Template
}

// Next makes the frames of the next temporal unit, lowest spatial layer first.
func (e *Encoder) Next(key bool) []Frame {
	var out []Frame
	for _, d := range e.unit(key) {
		i := slices.Index(e.Structure.Template[:e.Structure.Templates], d.template)
		if i < 0 {
			panic("scalable: a frame that no template describes")
		}
		d.Template = uint8(i)
		out = append(out, d.Frame)
	}
	return out
}

func (e *Encoder) unit(key bool) []draft {
	if key || !e.begun {
		key, e.phase, e.begun = true, 0, true
	}
	t := e.temporal()
	var out []draft
	for s := range e.Spatials {
		d := draft{Frame: Frame{
			Layer: sfu.Layer{Spatial: int8(s), Temporal: int8(t)}, Picture: e.picture, Number: e.next,
			Keyframe: key && s == 0, Key: key, First: s == 0, Last: s == e.Spatials-1, BaseOnly: e.phase%4 != 3 || e.Temporals < 3,
		}}
		if !key {
			d.Refs = append(d.Refs, e.reference(s, t))
		}
		if s > 0 && (key || !e.KeyOnly) {
			d.Refs = append(d.Refs, e.next-1)
		}
		d.template = e.describe(d.Frame)
		out = append(out, d)
		e.last[s][t] = e.next
		if key {
			for i := range e.Temporals {
				e.last[s][i] = e.next
			}
		}
		e.next++
	}
	e.picture++
	e.phase++
	return out
}

// reference is the newest frame of a lower temporal layer, or of the base for the base.
func (e *Encoder) reference(s, t int) uint16 {
	ref := e.last[s][0]
	for i := 1; i < t; i++ {
		if int16(e.last[s][i]-ref) > 0 {
			ref = e.last[s][i]
		}
	}
	return ref
}

func (e *Encoder) describe(f Frame) codec.Template {
	tpl := codec.Template{Layer: f.Layer}
	for _, r := range f.Refs {
		tpl.Fdiffs[tpl.FdiffCount] = uint8(f.Number - r)
		tpl.FdiffCount++
	}
	for s := range e.Spatials {
		for t := range e.Temporals {
			tpl.Indications |= uint64(e.indication(f, s, t)) << (2 * (s*e.Temporals + t))
		}
	}
	for c := range e.Spatials {
		if !f.Keyframe {
			tpl.ChainFdiffs[c] = uint8(f.Number - e.recent[c])
		}
	}
	for c := range e.Spatials {
		s := int(f.Layer.Spatial)
		if f.Layer.Temporal == 0 && s <= c && (f.Key || !e.KeyOnly || s == c) {
			e.recent[c] = f.Number
		}
	}
	return tpl
}

// indication of a frame for the decode target of layers s, t (AV1 RTP table A.1).
func (e *Encoder) indication(f Frame, s, t int) codec.Indication {
	fs, ft := int(f.Layer.Spatial), int(f.Layer.Temporal)
	switch {
	case fs > s || ft > t || e.KeyOnly && !f.Key && fs != s:
		return codec.NotPresent
	case f.Key:
		return codec.Switch
	case fs < s:
		return codec.Required
	case ft == t && t > 0:
		return codec.Discardable
	}
	return codec.Switch
}

// build collects the templates of two groups of pictures.
func (e *Encoder) build() {
	var all []codec.Template
	for i := range 9 {
		for _, d := range e.unit(i == 0) {
			if !slices.Contains(all, d.template) {
				all = append(all, d.template)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b codec.Template) int {
		return int(a.Layer.Spatial)*8 + int(a.Layer.Temporal) - int(b.Layer.Spatial)*8 - int(b.Layer.Temporal)
	})
	st := &codec.Structure{
		Templates: uint8(len(all)), Targets: uint8(e.Spatials * e.Temporals), Chains: uint8(e.Spatials), Spatials: uint8(e.Spatials),
		HasResolutions: true,
	}
	copy(st.Template[:], all)
	for s := range e.Spatials {
		st.Resolution[s] = codec.Size{Width: 320 << s, Height: 180 << s}
		for t := range e.Temporals {
			st.ProtectedBy[s*e.Temporals+t] = uint8(s)
			st.TargetLayer[s*e.Temporals+t] = sfu.Layer{Spatial: int8(s), Temporal: int8(t)}
		}
	}
	e.Structure = st
}

// Descriptor is the dependency descriptor of a frame in one packet.
func (e *Encoder) Descriptor(f Frame) []byte { return e.Part(f, true, true) }

// Part is the dependency descriptor of the first, the last or another packet of a frame.
func (e *Encoder) Part(f Frame, first, last bool) []byte {
	return codec.WriteDependency(nil, codec.DependencyFields{
		Structure: e.Structure, Template: f.Template, Frame: f.Number, StartOfFrame: first, EndOfFrame: last, Attach: f.Keyframe && first,
	})
}
