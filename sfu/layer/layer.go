// Package layer chooses, packet by packet, what one subscription forwards of a publication: it moves from the current to
// the target layer at the points where a decoder can follow (media.md section 3), and says when a keyframe is needed to get
// there. It is pure; the subscription owns its Selector.
package layer

import (
	"math"

	"weir/sfu"
	"weir/sfu/codec"
)

// Config says how the layers of the publication are carried.
type Config struct {
	Codec sfu.Codec
	// SVC: all spatial layers are in one stream and the packets name theirs. Otherwise the spatial layer is the stream.
	SVC bool
}

// Fate is what becomes of one packet.
type Fate uint8

// The fates.
const (
	Drop    Fate = iota // of the stream that is being forwarded, but not forwarded: its number has to be closed over
	Ignore              // of another stream
	Forward             //
)

// Verdict is what becomes of one packet, and how it is sent if it is forwarded. (Of five fields the compiler would not keep it
// in registers.)
type Verdict struct {
	Fate   Fate
	Start  bool   // forwarding from this stream starts here: its numbers have to be aligned anew
	Marker bool   // the RTP marker bit to send: the last packet of the picture as the receiver gets it
	Active uint32 // the decode targets to announce in the dependency descriptor; 0: as it is
}

// forwardIf judges a packet of the stream that is being forwarded.
func forwardIf(yes bool, marker bool) Verdict {
	if yes {
		return Verdict{Fate: Forward, Marker: marker}
	}
	return Verdict{}
}

const (
	temporals = 8
	spatials  = 8
	never     = sfu.ExtSeq(math.MaxUint64)
)

// Selector is the layer state of one subscription.
type Selector struct {
	cfg    Config
	cur    sfu.Layer
	target sfu.Layer // as last given
	byDD   bool      // the current stream is judged by its dependency descriptors

	since     [temporals]sfu.ExtSeq // each temporal layer is forwarded from this number on
	newest    sfu.ExtSeq            // highest number seen of the current stream
	timestamp uint32                // of the newest picture

	svc     svc
	targets targets
}

// New makes a selector that forwards nothing yet.
func New(cfg Config) *Selector {
	return &Selector{cfg: cfg, cur: sfu.NoLayer, target: sfu.NoLayer}
}

// Current is the layer that is forwarded now; NoLayer if none is.
func (s *Selector) Current() sfu.Layer { return s.cur }

// Wants names the spatial layer of which a keyframe is needed to reach the target; false if none is. The spatial layer of
// the target has to be one that is being sent, except that in SVC a higher one means the highest.
func (s *Selector) Wants() (spatial int8, ok bool) {
	if !s.target.Valid() {
		return -1, false
	}
	want := s.target.Spatial
	if s.cfg.SVC && s.cur.Valid() {
		want = min(want, s.top())
	}
	return want, !s.cur.Valid() || want != s.cur.Spatial
}

// Aim sets the target without a packet, so that Wants answers for it.
func (s *Selector) Aim(target sfu.Layer) { s.target = target }

// Reset forgets the current layer: the publication's streams were replaced.
func (s *Selector) Reset() {
	*s = Selector{cfg: s.cfg, cur: sfu.NoLayer, target: s.target}
}

// Select judges one packet. spatial is the layer of its stream and is ignored in SVC. A target of NoLayer pauses: the frame
// that is on its way is finished.
func (s *Selector) Select(target sfu.Layer, spatial int8, p *sfu.Packet, d *codec.Description) Verdict {
	if s.cfg.Codec.Kind() == sfu.Audio && target == s.target && target.Valid() && s.cur.Valid() && p.Seq >= s.since[0] {
		return Verdict{Fate: Forward, Marker: p.Marker} // it has one layer, and every packet is a frame
	}
	s.target = target
	if s.cfg.SVC {
		spatial = 0
	}
	if s.cur.Valid() && !target.Valid() && !s.sameFrame(spatial, p) {
		s.cur = sfu.NoLayer
	}
	if !s.cur.Valid() && !target.Valid() {
		return Verdict{Fate: Ignore}
	}
	if !s.cur.Valid() || !s.cfg.SVC && spatial != s.cur.Spatial {
		if !d.Keyframe || !s.accepts(spatial) {
			return Verdict{Fate: Ignore}
		}
		before := *s
		s.lock(spatial, p, d)
		v := s.judge(p, d)
		if v.Fate != Forward { // a descriptor that contradicts itself
			*s = before
			return Verdict{Fate: Ignore}
		}
		v.Start = true
		return v
	}
	return s.judge(p, d)
}

// sameFrame: the packet goes on with the newest frame of the current stream.
func (s *Selector) sameFrame(spatial int8, p *sfu.Packet) bool {
	return (s.cfg.SVC || spatial == s.cur.Spatial) && p.Timestamp == s.timestamp
}

// accepts says whether a keyframe of a stream is worth switching to: the target's always; anything below it if there is
// nothing to show yet.
func (s *Selector) accepts(spatial int8) bool {
	if s.cfg.SVC || spatial == s.target.Spatial {
		return true
	}
	return !s.cur.Valid() && spatial < s.target.Spatial
}

// lock makes the stream of a keyframe the current one.
func (s *Selector) lock(spatial int8, p *sfu.Packet, d *codec.Description) {
	s.cur = sfu.Layer{Spatial: spatial}
	s.newest, s.timestamp = p.Seq, p.Timestamp
	s.byDD = d.Dependency.Structure != nil
	s.svc = svc{}
	s.targets = targets{}
	for i := range s.since {
		s.since[i] = never
		s.svc.since[i] = never
	}
	s.open(0, s.limit(), p.Seq)
}

func (s *Selector) judge(p *sfu.Packet, d *codec.Description) Verdict {
	var v Verdict
	fresh := p.Seq >= s.newest // in order, so that decisions may be taken
	switch {
	case s.byDD:
		v = s.judgeTargets(p, d, fresh)
	case s.cfg.SVC:
		v = s.judgePicture(p, d, fresh)
	default:
		v = s.judgeTemporal(p, d, fresh)
	}
	if fresh {
		s.newest, s.timestamp = p.Seq, p.Timestamp
	}
	return v
}

// limit is the highest temporal layer to forward of the current stream now. Whoever waits for a lower spatial layer gets
// the base of the current one; whoever waits for a higher one gets all of the current one.
func (s *Selector) limit() int8 {
	switch {
	case !s.target.Valid():
		return s.cur.Temporal
	case s.target.Spatial < s.cur.Spatial:
		return 0
	case s.target.Spatial > s.cur.Spatial && !s.cfg.SVC:
		return temporals - 1
	}
	return min(s.target.Temporal, temporals-1)
}

// judgeTemporal serves a stream with temporal layers alone.
func (s *Selector) judgeTemporal(p *sfu.Packet, d *codec.Description, fresh bool) Verdict {
	if fresh && d.StartOfFrame && s.cfg.Codec.Kind() == sfu.Video {
		s.turn(p, d, s.limit())
	}
	t := d.Layer.Temporal & (temporals - 1)
	return forwardIf(p.Seq >= s.since[t], p.Marker)
}

// turn moves the temporal layer at the start of a frame: down at once, up where the codec lets a decoder follow.
func (s *Selector) turn(p *sfu.Packet, d *codec.Description, limit int8) {
	t := d.Layer.Temporal
	switch {
	case limit < s.cur.Temporal:
		for i := limit + 1; i < temporals; i++ {
			s.since[i] = never
		}
		s.cur.Temporal = limit
	case d.Keyframe:
		s.open(s.cur.Temporal+1, limit, p.Seq)
	case limit == s.cur.Temporal || !d.SwitchUp:
	case s.cfg.Codec == sfu.VP9:
		// RFC 9628 section 4.2, U: later pictures of higher layers do not refer to anything above this one's layer from
		// before it. This picture itself may.
		if t <= s.cur.Temporal {
			s.open(s.cur.Temporal+1, limit, p.Seq+1)
		}
	case t == s.cur.Temporal+1:
		// RFC 7741 section 4.2, Y: this frame refers to the base layer alone. What is above may still refer to other frames of
		// its layer, hence one step at a time. H.265 STSA pictures (section 7.4.2.2) are alike.
		s.open(t, t, p.Seq)
	}
}

// open takes the temporal layers from one to another from a number on.
func (s *Selector) open(from, to int8, seq sfu.ExtSeq) {
	for i := from; i <= to; i++ {
		s.since[i] = seq
	}
	s.cur.Temporal = to
}

// top is the highest spatial layer in the stream.
func (s *Selector) top() int8 {
	if s.byDD {
		return s.targets.top()
	}
	return s.svc.top
}

// Snapshot is a selector as /debug shows it.
type Snapshot struct {
	Current, Target sfu.Layer
	ByDD            bool
	Newest          sfu.ExtSeq
}

// Snapshot tells where the selector stands.
func (s *Selector) Snapshot() Snapshot {
	return Snapshot{Current: s.cur, Target: s.target, ByDD: s.byDD, Newest: s.newest}
}
