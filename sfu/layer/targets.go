package layer

import (
	"math/bits"

	"weir/sfu"
	"weir/sfu/codec"
)

// window is how many frames back a decision is remembered. Templates refer back at most 16 frames; custom references may go
// further, and then the frame does not count as a place to switch.
const window = 1024

// targets is the state of a stream with dependency descriptors (AV1 RTP appendix A). A decode target is intact if every one
// of its frames was forwarded since a frame from which it can be decoded: that is exactly when the receiver can be moved to it.
type targets struct {
	structure *codec.Structure
	active    uint32
	intact    uint32
	told      uint32 // the mask that the receiver has
	cur       int8   // decode target being forwarded; -1: none
	since     sfu.ExtSeq
	newest    uint16
	begun     bool

	known     frames // a decision was taken
	forwarded frames // and was yes
	decodable frames // and all that the frame refers to was forwarded too
}

// frames is a set of frame numbers within the window.
type frames [window / 64]uint64

func (f *frames) has(n uint16) bool { return f[n%window/64]>>(n%64)&1 != 0 }
func (f *frames) add(n uint16)      { f[n%window/64] |= 1 << (n % 64) }
func (f *frames) del(n uint16)      { f[n%window/64] &^= 1 << (n % 64) }

func (s *Selector) judgeTargets(p *sfu.Packet, d *codec.Description, fresh bool) Verdict {
	g := &s.targets
	if d.Has&codec.HasFrame == 0 || g.begun && p.Seq < g.since {
		return Verdict{}
	}
	limit := sfu.Layer{Spatial: spatials - 1, Temporal: s.limit()}
	if s.cfg.SVC {
		limit = s.target
		if !limit.Valid() { // finish the frame
			limit = s.cur
		}
	}
	back := g.newest - d.Frame // how far the frame lies back
	switch {
	case !g.begun || back >= 1<<15:
		if !fresh && g.begun || d.Dependency.Structure == nil {
			return Verdict{}
		}
		g.decide(limit, p, d)
		s.settle()
	case back >= window:
		return Verdict{}
	case !g.known.has(d.Frame):
		g.decideLate(d)
	}
	if !g.forwarded.has(d.Frame) || d.Dependency.Structure == nil || g.cur < 0 {
		return forwardIf(g.known.has(d.Frame) && g.forwarded.has(d.Frame), p.Marker)
	}
	v := Verdict{Fate: Forward, Marker: p.Marker}
	if s.cfg.SVC {
		v.Marker = v.Marker || d.EndOfFrame && d.Layer.Spatial == g.structure.TargetLayer[g.cur].Spatial
	}
	v.Active = g.announce(d)
	return v
}

// settle shows the decode target as the current layer.
func (s *Selector) settle() {
	g := &s.targets
	if g.cur < 0 {
		s.cur = sfu.NoLayer
		return
	}
	l := g.structure.TargetLayer[g.cur]
	if s.cfg.SVC {
		s.cur.Spatial = l.Spatial
	}
	s.cur.Temporal = l.Temporal
}

// decide takes the decision on a new frame.
func (g *targets) decide(limit sfu.Layer, p *sfu.Packet, d *codec.Description) {
	dep := &d.Dependency
	key := d.StartOfFrame && dep.Attached && dep.FdiffCount == 0
	if key {
		g.structure, g.intact, g.cur = dep.Structure, 0, -1
		if !g.begun {
			g.since = p.Seq
		}
	}
	g.advance(d.Frame)
	if dep.Structure != g.structure { // a sequence whose start was lost
		g.intact, g.cur = 0, -1
		return
	}
	g.active = dep.Active
	decodable := key || g.refersToForwarded(d)
	var turns uint32 // targets that can be entered here
	if decodable && d.StartOfFrame {
		turns = present(dep, codec.Switch)
	}
	if best := g.pick((g.intact|turns)&g.active, limit); best >= 0 {
		g.cur = best
	} else if g.cur >= 0 {
		g.cur = g.lowest(g.intact & g.active) // no way down: as little as possible until there is
	}
	if g.cur < 0 || dep.Indication(int(g.cur)) == codec.NotPresent {
		g.intact &^= present(dep, codec.Discardable) | present(dep, codec.Switch) | present(dep, codec.Required)
		return
	}
	g.intact |= turns
	g.forwarded.add(d.Frame)
	if decodable {
		g.decodable.add(d.Frame)
	}
}

// decideLate takes the decision on a frame that newer ones have overtaken: it changes nothing else.
func (g *targets) decideLate(d *codec.Description) {
	g.known.add(d.Frame)
	dep := &d.Dependency
	if dep.Structure == nil || dep.Structure != g.structure || g.cur < 0 || dep.Indication(int(g.cur)) == codec.NotPresent {
		return
	}
	g.forwarded.add(d.Frame)
	if g.refersToForwarded(d) {
		g.decodable.add(d.Frame)
	}
}

// advance makes n the newest frame and forgets what falls out of the window.
func (g *targets) advance(n uint16) {
	if !g.begun || n-g.newest >= window {
		g.known, g.forwarded, g.decodable = frames{}, frames{}, frames{}
	} else {
		for i := g.newest + 1; i != n; i++ {
			g.known.del(i)
			g.forwarded.del(i)
			g.decodable.del(i)
		}
	}
	g.begun, g.newest = true, n
	g.known.add(n)
	g.forwarded.del(n)
	g.decodable.del(n)
}

func (g *targets) refersToForwarded(d *codec.Description) bool {
	dep := &d.Dependency
	for _, diff := range dep.Fdiffs[:dep.FdiffCount] {
		if diff >= window || !g.decodable.has(d.Frame-diff) {
			return false
		}
	}
	return dep.FdiffCount > 0
}

// present is the set of decode targets to which the frame has the given relation.
func present(dep *codec.Dependency, want codec.Indication) uint32 {
	var m uint32
	for i := range int(dep.Structure.Targets) {
		if dep.Indication(i) == want {
			m |= 1 << i
		}
	}
	return m
}

// pick is the best decode target of a set within a limit: space first, then time. -1: none.
func (g *targets) pick(set uint32, limit sfu.Layer) int8 {
	best := int8(-1)
	for m := set; m != 0; m &= m - 1 {
		i := int8(bits.TrailingZeros32(m))
		l := g.structure.TargetLayer[i]
		if l.Spatial > limit.Spatial || l.Temporal > limit.Temporal {
			continue
		}
		if best < 0 || above(l, g.structure.TargetLayer[best]) {
			best = i
		}
	}
	return best
}

func (g *targets) lowest(set uint32) int8 {
	best := int8(-1)
	for m := set; m != 0; m &= m - 1 {
		i := int8(bits.TrailingZeros32(m))
		if best < 0 || above(g.structure.TargetLayer[best], g.structure.TargetLayer[i]) {
			best = i
		}
	}
	return best
}

func above(a, b sfu.Layer) bool {
	return a.Spatial > b.Spatial || a.Spatial == b.Spatial && a.Temporal > b.Temporal
}

// top is the highest spatial layer that the sender produces now.
func (g *targets) top() int8 {
	top := int8(0)
	if g.structure == nil {
		return top
	}
	for m := g.active; m != 0; m &= m - 1 {
		if i := bits.TrailingZeros32(m); i < int(g.structure.Targets) {
			top = max(top, g.structure.TargetLayer[i].Spatial)
		}
	}
	return top
}

// announce is the mask to write into the packet: while the targets are restricted in every one, so that no loss hides it,
// and once more when they are not any more (AV1 RTP A.4).
func (g *targets) announce(d *codec.Description) uint32 {
	dep := &d.Dependency
	if dep.Attached {
		g.told = dep.Structure.All()
	}
	if dep.HasActive {
		g.told = dep.Active
	}
	mask := g.intact & dep.Active
	if mask == 0 || mask == dep.Active && mask == g.told {
		return 0
	}
	if d.EndOfFrame {
		g.told = mask
	}
	return mask
}
