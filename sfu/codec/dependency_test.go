package codec_test

import (
	"encoding/hex"
	"fmt"
	"testing"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/sfutest/scalable"
)

func av1(seq sfu.ExtSeq) *sfu.Packet {
	return &sfu.Packet{Raw: []byte{0x80, 35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}, HeaderLen: 12, Seq: seq}
}

// TestDependencyCapture reads descriptors that Chromium sent for L3T3 (a capture that several parsers are tested with).
func TestDependencyCapture(t *testing.T) {
	const start = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b820ac" +
		"1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d"
	tests := []struct {
		hex              string
		frame            uint16
		layer            sfu.Layer
		start, end, key  bool
		active           uint32
		attached, hasAct bool
		fdiffs           []uint16
	}{
		{start, 0x172, sfu.Layer{}, true, true, true, 0x1ff, true, false, nil},
		{"86017340fc", 0x173, sfu.Layer{Spatial: 1}, true, false, false, 0x3f, false, true, []uint16{1}},
		{"46017340fc", 0x173, sfu.Layer{Spatial: 1}, false, true, false, 0x3f, false, true, []uint16{1}},
		{"860173", 0x173, sfu.Layer{Spatial: 1}, true, false, false, 0x3f, false, false, []uint16{1}},
	}
	var r codec.Reader
	for i, tc := range tests {
		b, err := hex.DecodeString(tc.hex)
		if err != nil {
			t.Fatal(err)
		}
		var d codec.Description
		if err := r.Describe(sfu.AV1, av1(sfu.ExtSeq(70000+i)), b, &d); err != nil {
			t.Fatal(err)
		}
		dep := &d.Dependency
		if dep.Structure == nil {
			t.Fatalf("%d: not read", i)
		}
		if i == 0 {
			s := dep.Structure
			if s.Targets != 9 || s.Chains != 3 || s.Spatials != 3 || !s.HasResolutions || s.TargetLayer[8] != (sfu.Layer{Spatial: 2, Temporal: 2}) {
				t.Errorf("structure: %d targets, %d chains, %d spatial layers, %v", s.Targets, s.Chains, s.Spatials, s.TargetLayer[:9])
			}
			if s.Resolution[2].Width <= s.Resolution[1].Width || s.Resolution[1].Width <= s.Resolution[0].Width {
				t.Errorf("resolutions %v", s.Resolution[:3])
			}
		}
		if d.Frame != tc.frame || d.Layer != tc.layer || d.StartOfFrame != tc.start || d.EndOfFrame != tc.end || d.Keyframe != tc.key {
			t.Errorf("%d: %+v", i, d)
		}
		if dep.Attached != tc.attached || dep.HasActive != tc.hasAct {
			t.Errorf("%d: attached %v, mask %v", i, dep.Attached, dep.HasActive)
		}
		if fmt.Sprint(dep.Fdiffs[:dep.FdiffCount]) != fmt.Sprint(tc.fdiffs) {
			t.Errorf("%d: refers to %v", i, dep.Fdiffs[:dep.FdiffCount])
		}
		if dep.Active != tc.active {
			t.Errorf("%d: active %b", i, dep.Active)
		}
	}
}

// modes are the scalability modes that browsers send.
var modes = []struct {
	s, t int
	key  bool
}{{1, 1, false}, {1, 2, false}, {1, 3, false}, {2, 1, false}, {2, 2, true}, {2, 3, false}, {3, 3, false}, {3, 3, true}}

// TestDependencyRoundTrip reads what the publisher's side writes, over the wrap of the frame number.
func TestDependencyRoundTrip(t *testing.T) {
	for _, m := range modes {
		t.Run(fmt.Sprintf("L%dT%d key %v", m.s, m.t, m.key), func(t *testing.T) {
			e := scalable.New(m.s, m.t, m.key, 65530)
			var r codec.Reader
			seq := sfu.ExtSeq(70000)
			var structure *codec.Structure
			for i := range 40 {
				for _, f := range e.Next(i%16 == 0) {
					seq++
					var d codec.Description
					raw := e.Descriptor(f)
					if err := r.Describe(sfu.AV1, av1(seq), raw, &d); err != nil {
						t.Fatal(err)
					}
					dep := &d.Dependency
					if dep.Structure == nil || *dep.Structure != *e.Structure {
						t.Fatalf("structure of frame %d differs", f.Number)
					}
					if structure != nil && dep.Structure != structure {
						t.Fatal("the same structure was taken twice")
					}
					structure = dep.Structure
					if d.Frame != f.Number || d.Layer != f.Layer || d.Keyframe != f.Keyframe || !d.StartOfFrame || !d.EndOfFrame {
						t.Fatalf("frame %+v read as %+v", f, d)
					}
					for k, ref := range f.Refs {
						if f.Number-dep.Fdiffs[k] != ref || int(dep.FdiffCount) != len(f.Refs) {
							t.Fatalf("frame %d refers to %v, read %v", f.Number, f.Refs, dep.Fdiffs)
						}
					}
					if f.Keyframe && (d.Width != 320<<(m.s-1) || dep.Active != e.Structure.All()) {
						t.Fatalf("width %d, active %b", d.Width, dep.Active)
					}
					checkRewritten(t, raw, dep, seq, d)
				}
			}
		})
	}
}

// checkRewritten: a descriptor with another number and mask is the same but for these.
func checkRewritten(t *testing.T, raw []byte, dep *codec.Dependency, seq sfu.ExtSeq, d codec.Description) {
	t.Helper()
	same := codec.AppendDependency([]byte{1}, raw, dep, 77, 0)
	if len(same) != len(raw)+1 || same[0] != 1 || same[1] != raw[0] || same[2] != 0 || same[3] != 77 || string(same[4:]) != string(raw[3:]) {
		t.Fatalf("%x became %x", raw, same)
	}
	masked := codec.AppendDependency(nil, raw, dep, 78, 1)
	var fresh codec.Reader
	var d2 codec.Description
	if !dep.Attached { // the reader needs the structure first
		prime := codec.WriteDependency(nil, codec.DependencyFields{Structure: dep.Structure, Attach: true, StartOfFrame: true})
		_ = fresh.Describe(sfu.AV1, av1(seq-1), prime, &d2)
	}
	if err := fresh.Describe(sfu.AV1, av1(seq), masked, &d2); err != nil || d2.Dependency.Structure == nil {
		t.Fatalf("%x became %x, which cannot be read", raw, masked)
	}
	got := &d2.Dependency
	if d2.Frame != 78 || got.Active != 1 || got.Attached != dep.Attached || got.Indications != dep.Indications || got.Fdiffs != dep.Fdiffs ||
		got.ChainFdiffs != dep.ChainFdiffs || d2.Layer != d.Layer {
		t.Fatalf("%x became %x: %+v, was %+v", raw, masked, got, dep)
	}
}

func TestDependencyLost(t *testing.T) {
	a, b := scalable.New(1, 3, false, 0), scalable.New(2, 2, false, 1000)
	var r codec.Reader
	var d codec.Description
	delta := func(e *scalable.Encoder) []byte { return e.Descriptor(e.Next(false)[0]) }
	key := a.Descriptor(a.Next(true)[0])
	_ = r.Describe(sfu.AV1, av1(99999), delta(a), &d)
	if d.Dependency.Structure != nil || d.Frame != 1 || d.Has&codec.HasFrame == 0 {
		t.Errorf("without a structure: %+v", d)
	}
	_ = r.Describe(sfu.AV1, av1(100000), key, &d)
	first := d.Dependency.Structure
	_ = r.Describe(sfu.AV1, av1(100010), b.Descriptor(b.Next(true)[0]), &d)
	if first == nil || d.Dependency.Structure == first {
		t.Error("the second structure was not taken")
	}
	_ = r.Describe(sfu.AV1, av1(100005), key, &d)
	if d.Dependency.Structure != nil {
		t.Error("a late structure was taken")
	}
	_ = r.Describe(sfu.AV1, av1(100012), delta(b), &d)
	if d.Dependency.Structure == nil {
		t.Error("the structure in force was lost")
	}
	// AV1 RTP A.4: a mask holds until the next one.
	dep := d.Dependency
	masked := codec.AppendDependency(nil, delta(b), &dep, 5, 3)
	_ = r.Describe(sfu.AV1, av1(100014), masked, &d)
	_ = r.Describe(sfu.AV1, av1(100015), delta(b), &d)
	if d.Dependency.Active != 3 {
		t.Errorf("active %b", d.Dependency.Active)
	}
	_ = r.Describe(sfu.AV1, av1(100016), []byte{0x80, 0}, &d)
	if d.Dependency.Structure != nil {
		t.Error("two bytes were read")
	}
}

func FuzzDependency(f *testing.F) {
	e := scalable.New(3, 3, true, 65535)
	for _, fr := range e.Next(true) {
		f.Add(e.Descriptor(fr), uint32(5))
	}
	f.Add(codec.WriteDependency(nil, codec.DependencyFields{Structure: e.Structure, Template: 3, Fdiffs: []uint16{1, 17, 300, 4096}, Active: 7}), uint32(1))
	prime := codec.WriteDependency(nil, codec.DependencyFields{Structure: e.Structure, Attach: true, StartOfFrame: true})
	f.Fuzz(func(t *testing.T, raw []byte, mask uint32) {
		var r codec.Reader
		var d codec.Description
		_ = r.Describe(sfu.AV1, av1(70000), prime, &d)
		_ = r.Describe(sfu.AV1, av1(70001), raw, &d)
		dep := d.Dependency
		if dep.Structure == nil {
			return
		}
		mask &= dep.Structure.All()
		out := codec.AppendDependency(nil, raw, &dep, d.Frame+1, mask)
		var r2 codec.Reader
		var d2 codec.Description
		_ = r2.Describe(sfu.AV1, av1(70000), prime, &d2)
		_ = r2.Describe(sfu.AV1, av1(70001), out, &d2)
		// What is written can be read, and differs in number and mask alone.
		if d2.Dependency.Structure == nil || *d2.Dependency.Structure != *dep.Structure {
			t.Fatalf("%x became %x: structure", raw, out)
		}
		want := dep.Active
		if mask != 0 {
			want = mask
		}
		if d2.Frame != d.Frame+1 || d2.Dependency.Active != want || d2.Dependency.Indications != dep.Indications ||
			d2.Dependency.Fdiffs != dep.Fdiffs || d2.Dependency.ChainFdiffs != dep.ChainFdiffs || d2.Layer != d.Layer {
			t.Fatalf("%x became %x: %+v, was %+v", raw, out, d2, d)
		}
	})
}

func TestDependencyAllocatesNothing(t *testing.T) {
	e := scalable.New(3, 3, true, 0)
	key := e.Descriptor(e.Next(true)[0])
	delta := e.Descriptor(e.Next(false)[1])
	var r codec.Reader
	var d codec.Description
	p := av1(70000)
	buf := make([]byte, 0, 300)
	_ = r.Describe(sfu.AV1, p, key, &d)
	_ = r.Describe(sfu.AV1, p, key, &d)
	if n := testing.AllocsPerRun(100, func() {
		_ = r.Describe(sfu.AV1, p, key, &d)
		_ = r.Describe(sfu.AV1, p, delta, &d)
		codec.AppendDependency(buf, delta, &d.Dependency, 9, 3)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDescribeDependency(b *testing.B) {
	e := scalable.New(3, 3, true, 0)
	var r codec.Reader
	var d codec.Description
	p := av1(70000)
	_ = r.Describe(sfu.AV1, p, e.Descriptor(e.Next(true)[0]), &d)
	delta := e.Descriptor(e.Next(false)[1])
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Describe(sfu.AV1, p, delta, &d)
	}
}
