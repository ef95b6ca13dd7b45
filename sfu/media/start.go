package media

import (
	"math/bits"

	"weir/sfu"
)

// This file is how a subscription begins: with what the history still has since the last keyframe, if it is little, and
// else with a keyframe that is asked for (media.md section 3, decisions 3 and 4). The throttle of keyframe requests and the
// span of the history are about as long, so whoever is refused a keyframe finds the one for which others were refused.

const (
	// maxReplay bounds the bytes that a subscription begins with.
	maxReplay = 64 << 10
	// maxReplayed bounds the packets.
	maxReplayed = 512
	// A receiver is replayed this many bytes at once, of all publications, and this many a second in the long run: who opens a
	// large call on a thin link waits for keyframes of the rest, one after the other.
	replayBurst = 256 << 10
	replayRate  = 128 << 10
	// squeezeBits: replayed frames are shown this many binary orders faster than they were taken, so that the receiver's
	// clock does not count on frames that old.
	squeezeBits = 6
	// rekeyMemory is how long after somebody came a change of key is taken to be on his account (media.md section 3,
	// decision 5: Element Call takes a new key into use a second after a join).
	rekeyMemory = 5e9 // ns
	// noKey is a key index that no frame has.
	noKey = -1
)

// opening is where a stream can be begun: its last keyframe. The stream's leg guards it.
type opening struct {
	seq       sfu.ExtSeq // of the keyframe's first packet; 0: there is none
	timestamp uint32     // of the keyframe
	octets    int        // that came since
	epoch     uint32     // of the publication: what came before an unmuting is not shown after it
	key       int16      // index of the media key of the last frame
}

// note takes a packet that is going to be forwarded.
func (o *opening) note(a *arrival, epoch uint32) {
	if a.desc.Keyframe && a.Seq > o.seq && (o.seq == 0 || a.Timestamp != o.timestamp || o.epoch != epoch) {
		o.seq, o.timestamp, o.octets, o.epoch = a.Seq, a.Timestamp, 0, epoch
	}
	o.octets += len(a.Raw)
}

// noteKey takes the key index of an encrypted frame, its last byte (media.md section 2), and reports whether it changed: who
// comes later cannot read what was sealed before.
func (o *opening) noteKey(a *arrival) (changed bool) {
	if !a.desc.EndOfFrame {
		return false
	}
	b := a.Payload()
	key := int16(b[len(b)-1])
	changed = o.key != noKey && o.key != key
	o.key = key
	if changed && a.Timestamp != o.timestamp {
		o.seq = 0
	}
	return changed
}

// squeeze is the range of a stream that was replayed: its timestamps stand closer together than the publisher's.
type squeeze struct {
	stream      uint8
	first, last sfu.ExtSeq // 0: nothing was replayed
	newest      uint32     // timestamp of last
	from        sfu.ExtSeq // outgoing number of first: what was sent before is not repaired any more
}

// timestamp is the one to count with instead of the publisher's.
func (q *squeeze) timestamp(stream uint8, seq sfu.ExtSeq, ts uint32) uint32 {
	if stream != q.stream || seq < q.first || seq > q.last {
		return ts
	}
	age := int32(q.newest - ts)
	return q.newest - uint32(age>>squeezeBits)
}

// begin lets the subscriptions begin that wait for it. Under the lock.
func (l *Leg) begin(now int64, out *Burst) {
	for _, p := range l.pubs {
		if !p.starting.Swap(false) {
			continue
		}
		p.began = now
		for _, s := range p.subscriptions() {
			if !s.waits() {
				continue
			}
			if s.forward(now, nil, out, l.header[:0]); s.waits() {
				s.askKeyframe()
			}
		}
		out.Flush() // before a reader forwards what comes next
	}
}

// start lets subscriptions begin that have just been made, or whose transport has just become able to send.
func (p *Publication) start() {
	if p.kind != sfu.Video {
		return
	}
	p.starting.Store(true)
	p.leg.wake()
}

// rekeyed asks for a keyframe when the key changed because somebody came: he could not read the one he was begun with. Under
// the leg's lock.
func (p *Publication) rekeyed(now int64) {
	if p.began != 0 && now-p.began < rekeyMemory {
		p.began = 0
		p.RequestKeyframe()
	}
}

// ready lets begin what waits for the transport of l. Any goroutine.
func (l *Leg) ready() {
	for _, s := range *l.sends.Load() {
		s.pub.start()
	}
}

// waits: video is wanted and nothing is forwarded yet.
func (s *Subscription) waits() bool {
	if _, on := s.goal(); !on || s.pub.kind != sfu.Video {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && s.idle()
}

// replays is what one receiver may be replayed.
type replays struct {
	used int64 // bytes
	at   int64
}

func (r *replays) take(now int64, n int) bool {
	r.used = max(0, r.used-(now-r.at)/1e6*replayRate/1e3)
	r.at = now
	if r.used+int64(n) > replayBurst {
		return false
	}
	r.used += int64(n)
	return true
}

// idle: nothing is being forwarded. Under the lock.
func (s *Subscription) idle() bool { return !s.selector.Current().Valid() }

// openings is the layers of which a keyframe is worth asking for when nothing is forwarded: the target's, and the lowest,
// which is soon here and stays small enough to be replayed to those who come next.
func (p *Publication) openings(target sfu.Layer) layerSet {
	flowing := layerSet(p.flowing.Load())
	set := layerSet(1) << flowing.best(min(target.Spatial, maxSpatial-1))
	if flowing != 0 {
		set |= 1 << bits.TrailingZeros32(uint32(flowing))
	}
	return set
}

// replay begins with what the history of a stream holds since its last keyframe, up to the batch that is about to be
// forwarded: of the target's layer, else of the highest below it that is short enough. The publisher's leg is locked, and s.
func (s *Subscription) replay(now int64, goal sfu.Layer, batch []arrival, out *Burst, header []byte) {
	for l := min(goal.Spatial, maxSpatial-1); l >= 0; l-- {
		for _, st := range s.pub.streams {
			if st.spatial == l && s.replayStream(now, st, goal, batch, out, header) {
				return
			}
		}
	}
}

func (s *Subscription) replayStream(now int64, st *stream, goal sfu.Layer, batch []arrival, out *Burst, header []byte) bool {
	o := &st.opening
	if o.seq == 0 || o.octets > maxReplay || o.epoch != s.pub.epoch.Load() || s.pub.muted.Load() {
		return false
	}
	last := st.reception.highest
	for i := range batch {
		if batch[i].stream == st {
			last = min(last, batch[i].Seq-1)
		}
	}
	if !st.svc {
		goal.Spatial = st.spatial
	}
	a := arrival{stream: st, format: st.format}
	st.mu.Lock()
	defer st.mu.Unlock()
	s.leg.out.Lock()
	defer s.leg.out.Unlock()
	if !s.whole(st, last, &a) || !s.fits(&a, now) || !s.leg.replays.take(now, o.octets) {
		return false
	}
	s.space.squeezed = squeeze{stream: st.id, first: o.seq, last: last, newest: a.Timestamp, from: s.space.mapper.Next()}
	reader := st.reader.Again()
	sent := 0
	for seq := o.seq; seq <= last; seq++ {
		h, _ := st.history.BySeq(seq)
		st.history.Packet(h, &a.Packet)
		var e elements
		e.find(&s.pub.leg.kinds, &a.Packet)
		a.dependency, a.level, a.captureAt = e[extDependency], e[extAudioLevel], e[extCaptureTime]
		if reader.Describe(a.format.Codec, &a.Packet, a.dependency, &a.desc) != nil {
			continue
		}
		a.Timestamp = s.space.squeezed.timestamp(st.id, seq, a.Timestamp)
		sent += s.one(now, &a, goal, s.leg.out, out, header)
	}
	s.leg.octetsOut.Add(uint64(sent))
	return !s.idle()
}

// whole reports whether the history has all packets of a stream from its opening to last, of one format, young enough to
// come after what was sent before; a is left as the last of them. What is missing would come late, with the timestamp of a
// frame that was squeezed. The stream is locked.
func (s *Subscription) whole(st *stream, last sfu.ExtSeq, a *arrival) bool {
	if st.format == nil || last < st.opening.seq || last-st.opening.seq >= maxReplayed {
		return false
	}
	for seq := st.opening.seq; seq <= last; seq++ {
		h, ok := st.history.BySeq(seq)
		if !ok || !st.history.Packet(h, &a.Packet) || a.PayloadType != st.format.PT {
			return false
		}
		if seq == st.opening.seq && a.Arrival <= s.space.mapper.Latest() {
			return false // a pause that was shorter: it has seen the keyframe, or later frames
		}
	}
	return true
}
