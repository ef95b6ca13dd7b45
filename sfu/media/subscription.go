package media

import (
	"sync"
	"sync/atomic"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/layer"
	"weir/sfu/loss"
	"weir/sfu/negotiate"
	"weir/sfu/rewrite"
)

// Spacing of a subscription's keyframe requests until it has what it needs: two round trips within these bounds
// (livekit.md section 8).
const (
	askAtLeast = 200e6  // ns
	askAtMost  = 1000e6 // ns
	// rankPatience is how long the primary codec must be silent before a backup codec is taken.
	rankPatience = 2e9 // ns
)

// Subscription is one receipt of one publication: what the packet path does between a stream and a transport.
// The session's loop opens, aims and closes it; forward and repair run on the goroutines of sockets.
//
// What every packet needs stands first: in a large call it is read from far memory each time.
type Subscription struct {
	pub  *Publication
	leg  *Leg // of the subscriber
	ssrc uint32
	aim  atomic.Uint32 // target and paused, see SetTarget

	mu       sync.Mutex // under it: the rest but told
	closed   bool
	heard    bool // the receiver reported on the SSRC: it needs no mid any more
	repeats  bool // without RTX: headers are kept
	epoch    uint32
	in       *negotiate.Format // what is forwarded
	fitAt    int64             // when a packet last fitted
	space    *space
	ids      negotiate.Extensions // of the subscriber
	cfg      layer.Config
	out      negotiate.Format // what it is sent as
	selector layer.Selector
	rank     int // of the stream that in belongs to
	nextAsk  int64
	unfit    *negotiate.Format // the last one that the subscriber has no format for
	send     negotiate.Send
	reports  [2]sentReport

	told receipt // under the lock of leg
}

// space is what must outlive a subscription, because an SSRC may be used again: no number may be sent twice under one key.
type space struct {
	packets, octets uint32
	mapper          rewrite.Mapper
	headers         sentHeaders
	rtxNext         sfu.ExtSeq
	replies         loss.Replies
	squeezed        squeeze
}

// receipt is what the receiver last reported.
type receipt struct {
	highest uint32
	lost    int32
	any     bool
}

// sentReport is a sender report that a round trip can be measured by.
type sentReport struct {
	middle uint32
	at     int64
}

const pausedBit = 1 << 16

// SetTarget changes what is forwarded: up to a layer, or nothing.
func (s *Subscription) SetTarget(target sfu.Layer, paused bool) {
	v := uint32(uint8(target.Spatial))<<8 | uint32(uint8(target.Temporal))
	if paused || !target.Valid() {
		v |= pausedBit
	}
	if old := s.aim.Swap(v); old>>8 != v>>8 && v&pausedBit == 0 {
		s.mu.Lock()
		s.nextAsk = 0
		s.mu.Unlock()
		if s.waits() {
			s.pub.start()
		} else {
			s.askKeyframe()
		}
	}
}

// goal is the target; on is false while paused.
func (s *Subscription) goal() (target sfu.Layer, on bool) {
	v := s.aim.Load()
	if v&pausedBit != 0 {
		return sfu.NoLayer, false
	}
	return sfu.Layer{Spatial: int8(v >> 8), Temporal: int8(v)}, true
}

// askKeyframe asks for a keyframe of what should be forwarded.
func (s *Subscription) askKeyframe() {
	t, on := s.goal()
	switch {
	case !on:
	case s.waits():
		s.pub.want(s.pub.openings(t))
	default:
		s.pub.want(1 << layerSet(s.pub.flowing.Load()).best(min(t.Spatial, maxSpatial-1)))
	}
}

// Current is the layer being forwarded; NoLayer if none is.
func (s *Subscription) Current() sfu.Layer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.selector.Current()
}

// apply takes over what was negotiated.
func (s *Subscription) apply(send negotiate.Send) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send, s.ids = send, send.Extensions
	s.in, s.unfit = nil, nil
}

// close stops everything: once it returns, nothing is sent any more. What it sent is not repaired, but its numbers stay used.
func (s *Subscription) close() {
	s.mu.Lock()
	s.closed = true
	s.space.rest()
	s.mu.Unlock()
}

// rest gives back the memory for repairs.
func (sp *space) rest() {
	sp.mapper.Rest()
	sp.headers, sp.replies, sp.squeezed = nil, loss.Replies{}, squeeze{}
}

// forward sends what the subscriber shall get of a batch. header is scratch space. For video the
// publisher's leg is locked.
func (s *Subscription) forward(now int64, batch []arrival, out *Burst, header []byte) {
	target, on := s.goal()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.leg.out.Ready() {
		return
	}
	if !on && s.idle() {
		return
	}
	if e := s.pub.epoch.Load(); e != s.epoch {
		s.epoch = e
		s.selector.Reset() // unmuted: begin with a keyframe
	}
	goal := target
	if on && !s.cfg.SVC {
		goal.Spatial = layerSet(s.pub.flowing.Load()).best(target.Spatial)
	}
	if on && s.pub.kind == sfu.Video && s.idle() {
		s.replay(now, goal, batch, out, header)
	}
	o := s.leg.out
	o.Lock()
	sent := 0
	for i := range batch {
		a := &batch[i]
		if !s.fits(a, now) {
			continue
		}
		sent += s.one(now, a, goal, o, out, header)
	}
	o.Unlock()
	s.leg.octetsOut.Add(uint64(sent))
	if on && s.pub.kind == sfu.Video && now >= s.nextAsk {
		if spatial, need := s.selector.Wants(); need {
			s.nextAsk = now + min(max(2*int64(s.pub.leg.rtt()), askAtLeast), askAtMost)
			s.pub.want(1 << min(max(spatial, 0), maxSpatial-1))
		}
	}
}

// fits finds what a packet's format is for the subscriber.
func (s *Subscription) fits(a *arrival, now int64) bool {
	if a.format == s.in {
		s.fitAt = now
		return true
	}
	if a.format == s.unfit {
		return false
	}
	if s.in != nil && a.stream.rank > s.rank && now-s.fitAt < rankPatience {
		return false // a backup codec beside the primary one
	}
	out, ok := s.send.Format(*a.format)
	if !ok {
		s.unfit = a.format
		s.leg.engine.drop(dropNoFormat)
		return false
	}
	s.in, s.out, s.rank, s.fitAt = a.format, out, a.stream.rank, now
	if cfg := (layer.Config{Codec: a.format.Codec, SVC: a.stream.svc}); cfg != s.cfg {
		s.cfg = cfg
		s.selector = *layer.New(cfg)
	}
	if m := &s.space.mapper; m.Ready() {
		m.Adopt(rewrite.ForCodec(a.format.Codec))
	} else {
		*m = *rewrite.New(rewrite.ForCodec(a.format.Codec))
	}
	s.repeats = (out.RTX == 0 || s.send.RTX == 0) && out.Feedback.Has(negotiate.NACK)
	if s.repeats && s.space.headers == nil {
		s.space.headers = newSentHeaders(s.pub.kind)
	}
	return true
}

// one judges, numbers and sends one packet, and returns its size if it was sent.
func (s *Subscription) one(now int64, a *arrival, goal sfu.Layer, o *Outbound, out *Burst, header []byte) int {
	m := &s.space.mapper
	if len(a.Payload()) == 0 { // padding: its number is closed over, unless nothing is forwarded now
		if s.selector.Current().Valid() {
			s.fillHole(now, a, o, out, header)
		}
		return 0
	}
	v := s.selector.Select(goal, a.stream.spatial, &a.Packet, &a.desc)
	if v.Fate != layer.Forward {
		if v.Fate == layer.Drop {
			s.fillHole(now, a, o, out, header)
		}
		return 0
	}
	in := rewrite.In{Packet: &a.Packet, Numbers: a.desc.Numbers, Stream: a.stream.id, Start: v.Start, Marker: v.Marker}
	if s.pub.kind == sfu.Video {
		in.Clock = a.stream.timing // audio has no second stream to align with, and may come without the leg's lock
	}
	n, ok := m.Map(&in)
	if !ok {
		return 0
	}
	h := s.head(now, a, n, v.Active, header)
	if s.repeats {
		s.space.headers.keep(n.Seq, a.Arrival, h)
	}
	payload := a.Payload()
	if !s.seal(o, out, h, payload, n) {
		return 0
	}
	s.space.packets++
	s.space.octets += uint32(len(payload))
	return len(h) + len(payload)
}

// seal sends header and payload, with the descriptor rewritten.
func (s *Subscription) seal(o *Outbound, out *Burst, header, payload []byte, n rewrite.Out) bool {
	var front [codec.PatchSpace]byte
	copy(front[:], payload)
	if out.shared {
		changed := codec.Patch(s.in.Codec, front[:], payload, n.Numbers)
		return out.SendRTP(o, header, front[:changed], payload[changed:], n.Seq)
	}
	// Nobody else reads these bytes before the batch ends: they are rewritten where they stand and put back, and the rest
	// is sealed without being copied.
	codec.Patch(s.in.Codec, payload, payload, n.Numbers)
	ok := out.SendRTP(o, header, nil, payload, n.Seq)
	copy(payload, front[:])
	return ok
}

// fillHole closes the numbers over a packet that is not forwarded. A number that was kept free for it is used up by an
// empty packet, or the receiver would ask for it again and again.
func (s *Subscription) fillHole(now int64, a *arrival, o *Outbound, out *Burst, header []byte) {
	seq, ok := s.space.mapper.Drop(a.stream.id, a.Seq, a.desc.Numbers)
	if !ok {
		return
	}
	ts, _ := s.space.mapper.Timestamp(a.stream.id, a.Timestamp)
	var w codec.Writer
	w.Start(header, codec.Header{PayloadType: s.out.PT, Seq: seq.Seq(), Timestamp: ts, SSRC: s.ssrc})
	s.stamp(&w, now)
	out.SendRTP(o, w.Finish(), nil, nil, seq)
}

// head writes the header of an outgoing packet: nothing of the publisher's header leaves but what is named here.
func (s *Subscription) head(now int64, a *arrival, n rewrite.Out, active uint32, dst []byte) []byte {
	var w codec.Writer
	w.Start(dst, codec.Header{PayloadType: s.out.PT, Marker: n.Marker, Seq: n.Seq.Seq(), Timestamp: n.Timestamp, SSRC: s.ssrc})
	s.stamp(&w, now)
	if a.level != nil {
		w.Add(s.ids.AudioLevel, a.level)
	}
	if a.dependency != nil && s.ids.Dependency != 0 {
		var dd [256]byte
		w.Add(s.ids.Dependency, codec.AppendDependency(dd[:0], a.dependency, &a.desc.Dependency, n.Numbers.Frame, active))
	}
	if a.captureAt != nil {
		w.Add(s.ids.AbsCaptureTime, a.captureAt)
	}
	return w.Finish()
}

// stamp writes the extensions that belong to the subscriber's transport. The Outbound is locked.
func (s *Subscription) stamp(w *codec.Writer, now int64) {
	if id := s.ids.AbsSendTime; id != 0 {
		v := absSendTime(now)
		b := w.Reserve(id, 3)
		b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v)
	}
	if id := s.ids.TransportCC; id != 0 && s.out.Feedback.Has(negotiate.TransportCC) {
		v := s.leg.transportSeq
		s.leg.transportSeq++
		b := w.Reserve(id, 2)
		b[0], b[1] = byte(v>>8), byte(v)
	}
	if id := s.ids.Mid; id != 0 && !s.heard && len(s.send.Mid) <= 16 {
		copy(w.Reserve(id, len(s.send.Mid)), s.send.Mid)
	}
}
