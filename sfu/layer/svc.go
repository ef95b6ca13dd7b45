package layer

import (
	"weir/sfu"
	"weir/sfu/codec"
)

// missing is after how many pictures without the current spatial layer it counts as switched off.
const missing = 8

// svc is the state of a stream whose payload descriptor names the spatial layers (VP9, RFC 9628). Going up needs a key
// picture. Going down needs that every frame of the lower layer was forwarded: where upper layers refer to lower ones it was;
// in k-SVC, where they do so in key pictures only, it was not.
type svc struct {
	since  [spatials]sfu.ExtSeq // each spatial layer is forwarded from this number on
	top    int8                 // highest spatial layer of the last pictures
	high   int8                 // highest spatial layer of this picture
	intact uint8                // spatial layers of which nothing was left out since the key picture
	key    bool                 // this picture is a key picture
	absent int                  // pictures without the current layer
	begun  bool
}

func (s *Selector) judgePicture(p *sfu.Packet, d *codec.Description, fresh bool) Verdict {
	g := &s.svc
	sid := d.Layer.Spatial & (spatials - 1)
	if fresh && (!g.begun || p.Timestamp != s.timestamp) {
		s.turnPicture()
	}
	if fresh && d.StartOfFrame {
		if d.Keyframe {
			s.keyPicture(p)
		}
		if !s.cur.Valid() {
			return Verdict{}
		}
		s.turn(p, d, s.limit())
	}
	if !s.cur.Valid() {
		return Verdict{}
	}
	if fresh {
		g.high = max(g.high, sid)
	}
	return forwardIf(s.forwardSpatial(p, d, sid, fresh), p.Marker || d.EndOfFrame && sid == s.cur.Spatial)
}

func (s *Selector) forwardSpatial(p *sfu.Packet, d *codec.Description, sid int8, fresh bool) bool {
	g := &s.svc
	if sid > s.cur.Spatial || p.Seq < g.since[sid] {
		return false
	}
	if p.Seq < s.since[d.Layer.Temporal&(temporals-1)] {
		return false
	}
	if sid < s.cur.Spatial && d.NotRefAbove && d.InterPicture {
		if fresh {
			g.intact &^= 1 << sid
		}
		return false
	}
	if g.key && fresh {
		g.intact |= 1 << sid
	}
	return true
}

// turnPicture takes the decisions between two pictures.
func (s *Selector) turnPicture() {
	g := &s.svc
	if g.begun {
		if g.key {
			// What the key picture did not have cannot be current, whatever the target.
			g.top = g.high
			s.cur.Spatial = min(s.cur.Spatial, g.high)
		}
		if g.top = max(g.top, g.high); g.high < s.cur.Spatial {
			g.absent++
		} else {
			g.absent = 0
		}
	}
	g.begun, g.key, g.high = true, false, 0
	if g.absent > missing {
		s.cur = sfu.NoLayer // the encoder gave the layer up without a key picture
		for i := range g.since {
			g.since[i] = never
		}
		return
	}
	if t := s.target.Spatial; t >= 0 && t < s.cur.Spatial && g.intact>>t&1 != 0 {
		s.cur.Spatial = t
		for i := t + 1; i < spatials; i++ {
			g.since[i] = never
		}
	}
}

// keyPicture starts at the base layer's frame of a key picture: every layer up to the target can be taken from here.
func (s *Selector) keyPicture(p *sfu.Packet) {
	g := &s.svc
	if s.target.Valid() {
		s.cur.Spatial = min(s.target.Spatial, spatials-1)
	}
	for i := range g.since {
		switch {
		case int8(i) > s.cur.Spatial:
			g.since[i] = never
		case g.since[i] == never:
			g.since[i] = p.Seq
		}
	}
	g.key, g.intact, g.absent = true, 0, 0
	g.top = max(g.top, s.cur.Spatial)
}
