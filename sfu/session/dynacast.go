package session

import (
	"time"

	"weir/sfu"
)

const (
	lowerDelay  = 5 * time.Second  // less is asked of a publisher only after this
	startAll    = 10 * time.Second // a new publication is not switched off before
	againDelay  = 2 * time.Second  // after an answer, which may have switched layers on again
	againLimit  = 8 * time.Second  // in a burst of answers
	regressFrom = 5                // participants from which PREFER_REGRESSION regresses
)

// BackupCodecPolicy numbers are LiveKit's.
const (
	preferRegression uint8 = iota
	simulcastBackup
	regression
)

// off is the highest layer of a codec nobody wants.
const off = -1

// demand is what subscribers want of a video publication (dynacast, livekit.md section 8).
type demand struct {
	wants [maxCodecs][maxLayers]int // subscriptions by codec and spatial layer
	told  [maxCodecs]int            // highest layer the publisher was asked for
	lower alarm                     // becauseDemandLower
	again alarm                     // becauseDemandAgain
	burst time.Time                 // first answer since the demand was last repeated
}

// contribution is what a subscription adds to the demand.
type contribution struct{ codec, spatial int }

var noContribution = contribution{-1, off}

func (d *demand) init(pub *publication) {
	d.lower = alarm{why: becauseDemandLower, publication: pub}
	d.again = alarm{why: becauseDemandAgain, publication: pub}
}

// highest is the top wanted layer of the i-th codec.
func (d *demand) highest(i int) int {
	for spatial := maxLayers - 1; spatial >= 0; spatial-- {
		if d.wants[i][spatial] > 0 {
			return spatial
		}
	}
	return off
}

// startDemand begins with what a client does by itself: everything of the first codec, nothing of the others.
func (s *Session) startDemand(pub *publication) {
	for i := range pub.demand.told {
		pub.demand.told[i] = off
	}
	pub.demand.told[0] = maxLayers - 1
	s.weigh(pub)
}

func (s *Session) stopDemand(pub *publication) {
	s.alarms.clear(&pub.demand.lower)
	s.alarms.clear(&pub.demand.again)
}

// contribute brings the demand up to date with one subscription.
func (s *Session) contribute(sub *subscription) {
	pub := sub.pub
	if pub.view.Kind != sfu.Video {
		return
	}
	next := noContribution
	switch {
	case sub.on && sub.backup && !sub.setting.disabled:
		next = contribution{pub.backupPlace(), min(max(int(sub.wanted.Spatial), 0), maxLayers-1)}
	case sub.open && !sub.paused:
		next = contribution{sub.codec, min(max(int(sub.wanted.Spatial), 0), maxLayers-1)}
	}
	if next == sub.demand {
		return
	}
	d := &pub.demand
	if sub.demand.codec >= 0 {
		d.wants[sub.demand.codec][sub.demand.spatial]--
	}
	if next.codec >= 0 {
		d.wants[next.codec][next.spatial]++
	}
	sub.demand = next
	s.weigh(pub)
}

// weigh asks for more at once, and plans to ask for less.
func (s *Session) weigh(pub *publication) {
	if pub.view.Kind != sfu.Video || !pub.published {
		return
	}
	d := &pub.demand
	more, less := false, false
	for i := range pub.view.Codecs {
		switch h := d.highest(i); {
		case h > d.told[i]:
			d.told[i], more = h, true
		case h < min(d.told[i], pub.top(i)):
			less = true
		}
	}
	if less {
		s.alarms.setOnce(&d.lower, s.now.Add(lowerDelay))
	} else {
		s.alarms.clear(&d.lower)
	}
	if more {
		s.tellDemand(pub)
	}
}

// top is the highest layer the i-th codec has, as far as was declared.
func (pub *publication) top(i int) int {
	if n := len(pub.layers(i)); n > 0 {
		return n - 1
	}
	return maxLayers - 1
}

// lowerDemand asks for less, but for the first seconds never for nothing.
func (s *Session) lowerDemand(pub *publication) {
	d := &pub.demand
	nothing := true
	for i := range pub.view.Codecs {
		nothing = nothing && d.highest(i) == off
	}
	if early := pub.since.Add(startAll); nothing && s.now.Before(early) {
		s.alarms.set(&d.lower, early)
		return
	}
	for i := range pub.view.Codecs {
		d.told[i] = min(d.told[i], d.highest(i))
	}
	s.tellDemand(pub)
}

// tellDemand names the wanted layers of every codec by quality. A publisher that has only some qualities gets
// those between them too, so that it finds its layers by whatever name it gave them.
func (s *Session) tellDemand(pub *publication) {
	m := Demand{Publication: pub.id}
	for i := range pub.view.Codecs {
		c := CodecDemand{Codec: pub.codec(i)}
		if d := pub.demand.told[i]; d >= 0 {
			layers := pub.layers(i)
			highest := qualityOfSpatial(layers, d)
			if d >= len(layers)-1 && len(layers) > 0 {
				highest = layers[len(layers)-1].Quality
			}
			for q := sfu.Low; q <= highest && q <= sfu.High; q++ {
				c.Enabled[q] = true
			}
		}
		m.Codecs = append(m.Codecs, c)
	}
	s.tell(pub.owner, m)
}

// answered plans to repeat a demand that is below everything, for clients switch layers on with an answer.
func (s *Session) answered(pub *publication) {
	d := &pub.demand
	if !pub.published || pub.view.Kind != sfu.Video || d.told[0] >= pub.top(0) {
		return
	}
	if d.again.place == 0 {
		d.burst = s.now
	}
	at := s.now.Add(againDelay)
	if latest := d.burst.Add(againLimit); at.After(latest) {
		at = latest
	}
	s.alarms.set(&d.again, at)
}

func (s *Session) repeatDemand(pub *publication) { s.tellDemand(pub) }

// backupPlace is where the backup codec stands among the codecs; -1 if there is none.
func (pub *publication) backupPlace() int {
	if len(pub.view.Codecs) > 1 {
		return 1
	}
	return -1
}

// backupPossible says that a codec could be asked for that is not sent yet.
func (pub *publication) backupPossible() bool {
	i := pub.backupPlace()
	return pub.view.Kind == sfu.Video && i > 0 && pub.view.Codecs[i].Mid == ""
}

// backupArrived gives those their subscription that waited for the backup codec.
func (s *Session) backupArrived(pub *publication) {
	for _, q := range s.order {
		if sub := q.subs[pub.id]; sub != nil && sub.backup {
			sub.backup = false
			sub.started = s.now
			s.settle(sub)
			if !sub.open {
				s.contribute(sub)
			}
		}
	}
}

// regress makes the i-th codec the only one, when the publisher allows it and everybody else would have to be sent
// two codecs: subscriptions move over, and the demand for the old codec ends with them.
func (s *Session) regress(pub *publication, i int) {
	policy := pub.view.Backup
	if pub.regressed || policy == simulcastBackup || (policy == preferRegression && s.visible < regressFrom) {
		return
	}
	pub.regressed = true
	moving := make([]*subscription, 0, len(pub.subs))
	for _, sub := range pub.subs {
		if sub.codec != i && sub.by.changesCodec() {
			moving = append(moving, sub)
		}
	}
	for _, sub := range moving {
		s.shut(sub)
	}
	pub.promote(i, s.now)
	s.changed(pub.owner, true)
	for _, sub := range moving {
		s.settle(sub)
	}
}

// changesCodec is false for clients that cannot take another codec on a subscription (livekit.md section 10).
func (p *participant) changesCodec() bool { return p.software.SDK != "go" && p.software.SDK != "" }

// promote puts the i-th codec first.
func (pub *publication) promote(i int, now time.Time) {
	d := &pub.demand
	pub.change(now, func(v *PublicationView) {
		v.Codecs[0], v.Codecs[i] = v.Codecs[i], v.Codecs[0]
		v.Mime, v.Mid, v.Layers = v.Codecs[0].Mime, v.Codecs[0].Mid, v.Codecs[0].Layers
	})
	d.wants[0], d.wants[i] = d.wants[i], d.wants[0]
	d.told[0], d.told[i] = d.told[i], d.told[0]
	swap := func(c *int) {
		switch *c {
		case 0:
			*c = i
		case i:
			*c = 0
		}
	}
	for _, sub := range pub.subs {
		swap(&sub.codec)
		swap(&sub.demand.codec)
	}
}
