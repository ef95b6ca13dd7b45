package session

import (
	"time"

	"weir/sfu"
)

// settleTime is how long a track setting must stay before it is acted upon, unless it makes a tile visible.
const settleTime = 100 * time.Millisecond

// sizeTolerance lets a layer serve tiles that are a little larger than itself.
const sizeTolerance = 0.9

// setting is what a subscriber can use of a publication; the zero value is that it did not say.
type setting struct {
	known         bool
	disabled      bool
	quality       sfu.Quality
	width, height int
	fps           int
}

func settingOf(r TrackSetting) setting {
	disabled := r.Disabled || (r.Quality == sfu.Off && r.Height == 0)
	return setting{true, disabled, r.Quality, r.Width, r.Height, r.FPS}
}

// trackSetting takes a subscriber's wish about some publications. It is kept if there is no subscription yet.
func (s *Session) trackSetting(p *participant, r TrackSetting) {
	for _, id := range r.Publications {
		sub := s.subscription(p, id)
		if sub == nil {
			continue
		}
		next := r
		next.Publications = nil
		appears := !r.Disabled && (!sub.setting.known || sub.setting.disabled)
		switch {
		case !sub.open || appears:
			sub.next = nil
			s.alarms.clear(&sub.settling)
			sub.setting = settingOf(next)
			s.retarget(sub)
		default:
			sub.next = &next
			s.alarms.setOnce(&sub.settling, s.now.Add(settleTime))
		}
	}
}

// applySetting acts on a setting that has settled.
func (s *Session) applySetting(sub *subscription) {
	if sub.next == nil {
		return
	}
	sub.setting, sub.next = settingOf(*sub.next), nil
	s.retarget(sub)
}

// retarget tells the media plane what to forward now, if that changed.
func (s *Session) retarget(sub *subscription) {
	if !sub.open {
		return
	}
	wanted, paused := sub.wish()
	sub.wanted = wanted
	if wanted != sub.target || paused != sub.paused {
		sub.target, sub.paused = wanted, paused
		s.do(SetTarget{Subscriber: sub.by.id, Publication: sub.id, Target: wanted, Paused: paused})
	}
	s.contribute(sub)
}

// wish is the layer a subscriber wants, and whether it wants nothing at all for now.
func (sub *subscription) wish() (sfu.Layer, bool) {
	set := sub.setting
	if sub.pub.view.Kind == sfu.Audio {
		return sfu.TopLayer, set.disabled
	}
	layers := sub.pub.layers(sub.codec)
	spatial := 0
	switch {
	case set.known && set.width > 0 && set.height > 0:
		spatial = spatialOfSize(layers, &sub.pub.view, set.width, set.height)
	case set.known:
		spatial = spatialOfQuality(layers, set.quality)
	case !sub.by.settings.AdaptiveStream:
		spatial = spatialOfQuality(layers, sfu.High)
	}
	return sfu.Layer{Spatial: int8(spatial), Temporal: temporalOfRate(set.fps)}, set.disabled
}

// layers are those declared for the i-th codec.
func (pub *publication) layers(i int) []Encoding {
	if i < len(pub.view.Codecs) {
		return pub.view.Codecs[i].Layers
	}
	return pub.view.Layers
}

// spatialOfQuality is the smallest declared layer of at least that quality, else the largest. With none declared,
// layers count as the qualities do.
func spatialOfQuality(layers []Encoding, q sfu.Quality) int {
	if len(layers) == 0 {
		return int(min(q, sfu.High))
	}
	for i, l := range layers {
		if l.Quality >= q {
			return i
		}
	}
	return len(layers) - 1
}

// qualityOfSpatial is the quality a publisher knows the layer by.
func qualityOfSpatial(layers []Encoding, spatial int) sfu.Quality {
	if spatial >= 0 && spatial < len(layers) {
		return layers[spatial].Quality
	}
	return sfu.Quality(min(max(spatial, 0), int(sfu.High)))
}

// spatialOfSize is the smallest layer whose height covers the tile, which may be a tenth larger. Layers without
// sizes are 180, 360 and the height of the source, or its width when it is portrait.
func spatialOfSize(layers []Encoding, v *PublicationView, width, height int) int {
	sizes, wanted := make([]int, 0, maxLayers), height
	for _, l := range layers {
		if l.Height > 0 {
			sizes = append(sizes, l.Height)
		}
	}
	if len(sizes) == 0 || len(sizes) != len(layers) {
		source := v.Height
		if v.Width > 0 && v.Width < v.Height {
			source, wanted = v.Width, width
		}
		if source == 0 {
			return spatialOfQuality(layers, sfu.High)
		}
		sizes = append(sizes[:0], 180, 360, source)
		if n := len(layers); n > 0 && n < len(sizes) {
			sizes = sizes[len(sizes)-n:]
		}
	}
	need := float64(wanted) * sizeTolerance
	for i, size := range sizes {
		// Of equal sizes the last is meant: the lower ones are there for their rate only.
		if float64(size) >= need && (i == len(sizes)-1 || sizes[i+1] != size) {
			return i
		}
	}
	return len(sizes) - 1
}

// temporalOfRate is the temporal layer for a wanted frame rate: with no rates declared, layers of 30 frames/s
// halve twice.
func temporalOfRate(fps int) int8 {
	need := float64(fps) * sizeTolerance
	switch {
	case fps <= 0 || need > 15:
		return sfu.TopLayer.Temporal
	case need > 7.5:
		return 1
	}
	return 0
}
