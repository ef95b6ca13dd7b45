package media

import (
	"encoding/binary"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/rewrite"
)

// Bounds on what one publisher may make us remember.
const (
	// maxSSRCs bounds the SSRCs of one transport: 64 publications of three layers with their retransmissions.
	maxSSRCs = 384
	// maxPending bounds the packets of one publication in one input batch; a batch is 64 messages of up to 64 datagrams.
	maxPending = 4096
)

// HandleRTP takes one decrypted packet. See Handler.
func (l *Leg) HandleRTP(now int64, b []byte, index sfu.ExtSeq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard(now, len(b))
	a := &l.scratch
	if codec.Parse(&a.Packet, b) != nil {
		l.engine.drop(dropMalformed)
		return
	}
	a.Seq, a.Arrival = index, now
	var e elements
	e.find(&l.kinds, &a.Packet)
	if tcc := e[extTransportCC]; len(tcc) == 2 {
		l.arrivals.received(binary.BigEndian.Uint16(tcc), now)
	}
	rt, ok := l.origin(&a.Packet, &e)
	switch {
	case !ok:
		l.engine.drop(dropUnknownSSRC)
	case rt.rtx:
		l.handleRepair(now, rt, &e)
	default:
		l.handleMedia(now, rt, &e)
	}
}

// handleRepair turns a retransmission into the packet it repeats (RFC 4588 section 4).
func (l *Leg) handleRepair(now int64, rt origin, e *elements) {
	a, st := &l.scratch, rt.stream
	i := rt.section.repairs[a.PayloadType]
	if i == 0 {
		l.engine.drop(dropFormat)
		return
	}
	if len(a.Payload()) < 3 || st.reception.received == 0 {
		l.engine.drop(dropPadding) // a probe: there is no packet in it
		return
	}
	original := sfu.Seq(binary.BigEndian.Uint16(a.Payload()))
	n := a.HeaderLen
	copy(a.Raw[2:], a.Raw[:n]) // the header moves over the original sequence number; elements move with it
	a.Raw = a.Raw[2:]
	a.format = &rt.section.receive.Formats[i-1]
	a.PayloadType, a.SSRC, a.Seq = a.format.PT, st.ssrc, original.Extend(st.reception.highest)
	a.Raw[1] = a.Raw[1]&0x80 | a.format.PT
	binary.BigEndian.PutUint16(a.Raw[2:], uint16(original))
	binary.BigEndian.PutUint32(a.Raw[8:], st.ssrc)
	e.find(&l.kinds, &a.Packet)
	if a.Seq > st.reception.highest {
		l.engine.drop(dropMalformed) // nobody repeats what he has not sent
		return
	}
	l.deliver(now, st, e, true)
}

func (l *Leg) handleMedia(now int64, rt origin, e *elements) {
	a, st := &l.scratch, rt.stream
	a.format = rt.section.format(a.PayloadType)
	if a.format == nil {
		l.engine.drop(dropFormat)
		return
	}
	if rtx := e[extRepairedRID]; rtx != nil {
		l.engine.drop(dropMalformed)
		return
	}
	l.deliver(now, st, e, false)
}

// deliver counts, stores and describes a packet of a stream, and queues it for the end of the batch.
func (l *Leg) deliver(now int64, st *stream, e *elements, repair bool) {
	a, p := &l.scratch, st.pub
	a.stream = st
	if st.format != a.format && (st.format == nil || st.format.Codec != a.format.Codec) {
		st.reader, st.timing = codec.Reader{}, rewrite.NewClock(a.format.Codec.ClockRate())
	}
	st.format, st.recent = a.format, now
	if st.missing != nil && !st.missing.Received(a.Seq, now) || !st.keep(&a.Packet) {
		l.engine.drop(dropDuplicate)
		return
	}
	if repair {
		st.reception.repaired++
	} else {
		st.reception.note(a.Seq, a.Timestamp, now, a.format.Codec.ClockRate())
		st.timing.Observe(a.Timestamp, now)
	}
	a.dependency, a.level, a.captureAt = e[extDependency], e[extAudioLevel], e[extCaptureTime]
	if err := st.reader.Describe(a.format.Codec, &a.Packet, a.dependency, &a.desc); err != nil {
		l.engine.drop(dropMalformed)
		return
	}
	if level, _, ok := codec.AudioLevel(a.level); ok && p.kind == sfu.Audio {
		p.noteLevel(level)
	}
	if p.muted.Load() {
		l.engine.drop(dropMuted)
		return
	}
	if len(a.Payload()) > 0 {
		p.accept(a, now)
	}
	if len(p.pending) >= maxPending {
		l.engine.drop(dropOverflow)
		return
	}
	if len(p.pending) == 0 {
		l.dirty = append(l.dirty, p)
	}
	p.pending = append(p.pending, *a)
}

// viewers is the audience of one publication's burst.
type viewers struct {
	subs  []*Subscription
	batch []arrival
}

// serve sends the whole burst to one subscriber: its packets share a message.
func (v *viewers) serve(now int64, i int, out *Burst, header []byte) {
	v.subs[i].forward(now, v.batch, out, header)
}

// Flush forwards what came in the batch, and answers what was asked for in it. See Handler.
func (l *Leg) Flush(now int64, out *Burst) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.dirty {
		subs := p.subscriptions()
		if !l.engine.gather.hold(p, subs, now, out) {
			l.viewers.subs, l.viewers.batch = subs, p.pending
			out.serve(now, &l.viewers, len(subs), l.header[:0])
		}
		clear(p.pending)
		p.pending = p.pending[:0]
	}
	l.dirty = l.dirty[:0]
	l.viewers = viewers{}
	l.askAgain(now, out)
	l.answer(now, out)
}
