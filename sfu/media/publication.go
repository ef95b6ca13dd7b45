package media

import (
	"slices"
	"sync"
	"sync/atomic"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// maxSpatial is how many spatial layers are told apart: VP9 and AV1 count to 8.
const maxSpatial = 8

// Times of keyframe requests and layers.
const (
	// A publisher is asked at most this often: an encoder that makes keyframes only makes nothing else (livekit.md section 8).
	keyframeSpacingLow  = 500e6  // ns, lowest layer
	keyframeSpacingHigh = 1000e6 // ns, others
	// A layer counts as stopped when it is silent this long while another of the publication flows: three frames of the
	// slowest camera layer. A screen may stand still for a second at a time.
	layerSilence       = 500e6  // ns
	layerSilenceScreen = 2000e6 // ns
	// Bitrates are counted over this long.
	rateWindow = 1e9 // ns
	// Levels kept between two drains: 400 ms of 10 ms packets, twice.
	maxLevels = 80
)

// Publication is the media of one source of a participant. Control calls come from the session's loop; the packet path
// reads the atomics and the list of subscriptions.
type Publication struct {
	id       sfu.PublicationID
	kind     sfu.Kind
	leg      *Leg
	layers   []session.Encoding // as declared: which rid is which spatial layer
	patience int64              // ns of silence after which a layer has stopped

	muted   atomic.Bool
	epoch   atomic.Uint32 // counts unmutings
	subs    atomic.Pointer[[]*Subscription]
	known   atomic.Pointer[[]*stream] // the streams, for whoever answers NACKs
	wanted  atomic.Uint32             // layerSet that a keyframe is wanted of
	flowing atomic.Uint32             // layerSet that flows

	encrypted bool        // end to end, so that frames end with the index of their key
	starting  atomic.Bool // subscriptions wait to begin

	// under the leg's lock
	streams []*stream
	pending []arrival
	seen    layerSet
	recent  [maxSpatial]int64 // arrival of the last packet
	asked   [maxSpatial]int64 // when a keyframe was last requested
	fir     uint8             // FIR command number (RFC 5104 section 4.3.1.1)
	octets  [maxSpatial][maxTemporal]uint64
	counted int64 // start of the rate window
	began   int64 // when subscriptions were last let begin

	cadence cadence

	mu     sync.Mutex // under it: the rest, and every change of subs
	levels []uint8
	rates  LayerRates
}

const maxTemporal = 4

// LayerRates are measured bit/s of each (spatial, temporal) layer alone, headers included.
type LayerRates [maxSpatial][maxTemporal]uint32

// Upto is the rate of a layer with everything below it. In simulcast that is the one stream only.
func (r *LayerRates) Upto(l sfu.Layer, simulcast bool) (bps uint32) {
	for s := range r {
		if s > int(l.Spatial) || simulcast && s != int(l.Spatial) {
			continue
		}
		for t := range r[s] {
			if t <= int(l.Temporal) {
				bps += r[s][t]
			}
		}
	}
	return bps
}

// ID names the publication.
func (p *Publication) ID() sfu.PublicationID { return p.id }

// Kind is audio or video.
func (p *Publication) Kind() sfu.Kind { return p.kind }

// SetMuted stops forwarding, or lets it go on with a keyframe.
func (p *Publication) SetMuted(muted bool) {
	if p.muted.Swap(muted) && !muted {
		p.epoch.Add(1)
		p.RequestKeyframe()
	}
}

// RequestKeyframe asks for a keyframe of every layer that somebody is forwarded, when the throttle allows.
func (p *Publication) RequestKeyframe() {
	if p.kind != sfu.Video {
		return
	}
	var set layerSet
	for _, s := range p.subscriptions() {
		if t, on := s.goal(); on {
			set |= 1 << layerSet(p.flowing.Load()).best(t.Spatial)
		}
	}
	p.want(set)
}

// want marks layers that need a keyframe, and wakes the ticker.
func (p *Publication) want(set layerSet) {
	if set == 0 || p.kind != sfu.Video || p.muted.Load() {
		return
	}
	p.wanted.Or(uint32(set))
	p.leg.wake()
}

// Flowing reports the spatial layers that flow, as a bit set.
func (p *Publication) Flowing() uint32 { return p.flowing.Load() }

// Rates returns the measured bitrates.
func (p *Publication) Rates() LayerRates {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rates
}

func (p *Publication) subscriptions() []*Subscription {
	if l := p.subs.Load(); l != nil {
		return *l
	}
	return nil
}

// setStreams replaces the list of streams. Under the leg's lock.
func (p *Publication) setStreams(l []*stream) {
	p.streams = l
	p.known.Store(&l)
}

// stream finds a living stream by the id that rewriting knows. Any goroutine.
func (p *Publication) stream(id uint8) *stream {
	if l := p.known.Load(); l != nil {
		for _, st := range *l {
			if st.id == id {
				return st
			}
		}
	}
	return nil
}

func (p *Publication) addSubscription(s *Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := append(slices.Clone(p.subscriptions()), s)
	p.subs.Store(&l)
}

func (p *Publication) dropSubscription(s *Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := slices.DeleteFunc(slices.Clone(p.subscriptions()), func(o *Subscription) bool { return o == s })
	p.subs.Store(&l)
}

// noteLevel keeps an audio level for the next drain.
func (p *Publication) noteLevel(level uint8) {
	p.mu.Lock()
	if len(p.levels) < maxLevels {
		p.levels = append(p.levels, level)
	}
	p.mu.Unlock()
}

// drainLevels appends the levels since the last drain to dst.
func (p *Publication) drainLevels(dst []uint8) []uint8 {
	p.mu.Lock()
	dst = append(dst, p.levels...)
	p.levels = p.levels[:0]
	p.mu.Unlock()
	return dst
}

// spatialOf is the layer that a rid stands for: as declared, else by the names that LiveKit clients use, else by place
// (livekit.md section 8).
func (p *Publication) spatialOf(rid string, place int) int8 {
	for _, e := range p.layers {
		if e.RID != "" && e.RID == rid {
			return int8(min(max(e.Spatial, 0), maxSpatial-1))
		}
	}
	return int8(min(place, maxSpatial-1))
}

// accept notes a packet that is going to be forwarded. Under the leg's lock.
func (p *Publication) accept(a *arrival, now int64) {
	l := a.desc.Layer
	l.Spatial = a.stream.spatial + l.Spatial
	if l.Spatial < 0 || l.Spatial >= maxSpatial {
		l.Spatial = maxSpatial - 1
	}
	a.stream.opening.note(a, p.epoch.Load())
	if p.encrypted && a.stream.opening.noteKey(a) {
		p.rekeyed(now)
	}
	p.recent[l.Spatial] = now
	p.octets[l.Spatial][min(max(l.Temporal, 0), maxTemporal-1)] += uint64(len(a.Raw))
	if bit := layerSet(1) << l.Spatial; p.seen&bit == 0 {
		p.seen |= bit
		p.leg.participant.tell(session.StreamSeen{Publication: p.id, Codec: a.format.Codec, Spatial: l.Spatial})
	}
	if f := p.flowing.Load(); f&(1<<l.Spatial) == 0 {
		p.flowing.Or(1 << l.Spatial)
	}
	if a.desc.Keyframe {
		got := uint32(1) << l.Spatial
		switch {
		case a.stream.svc:
			got = ^uint32(0) // all layers begin anew
		case p.seen>>l.Spatial == 1:
			got = -got // the highest layer there is serves those who want a higher one
		}
		p.wanted.And(^got)
	}
}

// measure finds stopped layers and counts bitrates. Under the leg's lock.
func (p *Publication) measure(now int64) {
	latest := slices.Max(p.recent[:])
	var flowing uint32
	for s, at := range p.recent {
		if at != 0 && latest-at < p.patience {
			flowing |= 1 << s
		}
	}
	p.flowing.Store(flowing)
	if d := now - p.counted; d >= rateWindow {
		p.mu.Lock()
		for s := range p.octets {
			for t := range p.octets[s] {
				p.rates[s][t] = uint32(p.octets[s][t] * 8 * 1e9 / uint64(d))
			}
		}
		p.mu.Unlock()
		p.octets = [maxSpatial][maxTemporal]uint64{}
		p.counted = now
	}
}

// appendRequests appends the keyframe requests that the throttle lets through. Under the leg's lock.
func (p *Publication) appendRequests(dst []byte, now int64) []byte {
	set := layerSet(p.wanted.Load())
	if set == 0 || len(p.streams) == 0 {
		return dst
	}
	for l := int8(0); l < maxSpatial; l++ {
		if !set.has(l) {
			continue
		}
		spacing := int64(keyframeSpacingHigh)
		if l == 0 {
			spacing = keyframeSpacingLow
		}
		at := &p.asked[l]
		if p.streams[0].svc { // one encoder for all
			at = &p.asked[0]
		}
		if *at != 0 && now-*at < spacing {
			continue
		}
		*at = now
		p.wanted.And(^uint32(1 << l))
		asked := false
		for _, st := range p.streams {
			if st.spatial == l || st.svc {
				dst = p.appendRequest(dst, st)
				asked = true
			}
		}
		if !asked { // nobody sends that layer yet
			dst = p.appendRequest(dst, p.streams[0])
		}
	}
	return dst
}

func (p *Publication) appendRequest(dst []byte, st *stream) []byte {
	if st.format != nil && st.format.Feedback.Has(negotiate.FIR) && !st.format.Feedback.Has(negotiate.PLI) {
		p.fir++
		return appendFIR(dst, p.leg.ssrc, st.ssrc, p.fir)
	}
	return appendPLI(dst, p.leg.ssrc, st.ssrc)
}
