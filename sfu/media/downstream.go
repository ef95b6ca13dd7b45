package media

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"weir/sfu"
	"weir/sfu/layer"
	"weir/sfu/negotiate"
)

// ask is one sequence number that a subscriber wants again.
type ask struct {
	sub *Subscription
	seq sfu.Seq
}

// subscribe makes a subscription that sends on this leg. The session's loop calls it.
func (l *Leg) subscribe(pub *Publication, send negotiate.Send) *Subscription {
	l.mu.Lock()
	defer l.mu.Unlock()
	sp := l.spaces[send.SSRC]
	if sp == nil {
		sp = &space{}
		l.spaces[send.SSRC] = sp
	}
	s := &Subscription{pub: pub, leg: l, ssrc: send.SSRC, space: sp, send: send, ids: send.Extensions, epoch: pub.epoch.Load(), selector: *layer.New(layer.Config{})}
	s.aim.Store(pausedBit)
	m := maps.Clone(*l.sends.Load())
	m[send.SSRC] = s
	if send.RTX != 0 {
		m[send.RTX] = s
	}
	l.setSends(m)
	l.due.sender = 0
	return s
}

// reapply takes over what was negotiated anew for a subscription.
func (l *Leg) reapply(s *Subscription, send negotiate.Send) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := maps.Clone(*l.sends.Load())
	maps.DeleteFunc(m, func(_ uint32, o *Subscription) bool { return o == s })
	m[send.SSRC] = s
	if send.RTX != 0 {
		m[send.RTX] = s
	}
	l.setSends(m)
	s.apply(send)
}

// setSends replaces the subscriptions. Under the lock.
func (l *Leg) setSends(m map[uint32]*Subscription) {
	var voices []*Publication
	for _, s := range m {
		if s.pub.kind == sfu.Audio && !slices.Contains(voices, s.pub) {
			voices = append(voices, s.pub)
		}
	}
	l.sends.Store(&m)
	l.voices.Store(&voices)
}

func (l *Leg) unsubscribe(s *Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := maps.Clone(*l.sends.Load())
	maps.DeleteFunc(m, func(_ uint32, o *Subscription) bool { return o == s })
	l.setSends(m)
	l.goodbyes = append(l.goodbyes, s.ssrc)
	l.wake()
}

// HandleRTCP takes one decrypted compound packet. See Handler.
func (l *Leg) HandleRTCP(now int64, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard(now, len(b))
	for len(b) > 0 {
		p, rest, err := nextRTCP(b)
		if err != nil || !l.handle(now, p) {
			l.engine.drop(dropBadRTCP)
			return
		}
		b = rest
	}
}

// handle takes one packet of a compound; false: it is malformed.
func (l *Leg) handle(now int64, p rtcpPacket) bool {
	body := p.body
	switch {
	case p.kind == rtcpSenderReport:
		if len(body) < senderReportLen-rtcpCommonLen {
			return false
		}
		l.handleSenderReport(now, body)
		return l.handleBlocks(now, p.count, body[senderReportLen-rtcpCommonLen:])
	case p.kind == rtcpReceiverReport:
		if len(body) < 4 {
			return false
		}
		return l.handleBlocks(now, p.count, body[4:])
	case p.kind == rtcpTransportFeedback && p.count == fmtNACK:
		return l.handleNACK(body)
	case p.kind == rtcpTransportFeedback && p.count == fmtTransportCC:
		return l.handleFeedback(body)
	case p.kind == rtcpPayloadFeedback && p.count == fmtPLI:
		if len(body) < 8 {
			return false
		}
		l.handleKeyframeRequest(binary.BigEndian.Uint32(body[4:]))
	case p.kind == rtcpPayloadFeedback && p.count == fmtFIR:
		if len(body) < 8 {
			return false
		}
		for fci := body[8:]; len(fci) >= 8; fci = fci[8:] {
			l.handleKeyframeRequest(binary.BigEndian.Uint32(fci))
		}
	case p.kind == rtcpGoodbye:
		return l.handleGoodbye(p.count, body)
	}
	return true // what we do not know is not an error (RFC 3550 section 6.1)
}

// handleSenderReport ties the clock of a publisher's stream to NTP. One about somebody else's stream changes nothing.
func (l *Leg) handleSenderReport(now int64, body []byte) {
	be := binary.BigEndian
	rt, ok := l.origins[be.Uint32(body)]
	switch {
	case !ok:
		l.foreign()
	case !rt.rtx:
		ntp, timestamp := be.Uint64(body[4:]), be.Uint32(body[12:])
		first := rt.stream.senderReport(ntp, timestamp, now)
		if rt.stream.timing != nil {
			rt.stream.timing.Report(ntpNanos(ntp), timestamp)
		}
		if first { // subscribers wait for it: lip sync begins here
			for _, s := range rt.stream.pub.subscriptions() {
				s.leg.hurry.Store(true)
				s.leg.wake()
			}
		}
	}
}

// handleBlocks takes what a receiver says about our streams (RFC 3550 section 6.4.2).
func (l *Leg) handleBlocks(now int64, count uint8, b []byte) bool {
	if len(b) < int(count)*reportBlockLen {
		return false
	}
	sends := *l.sends.Load()
	for range count {
		r := readReportBlock(b)
		b = b[reportBlockLen:]
		s := sends[r.ssrc]
		if s == nil {
			if l.spaces[r.ssrc] == nil { // it may still report on one that was closed
				l.foreign()
			}
			continue
		}
		if r.ssrc == s.ssrc {
			l.handleBlock(now, s, &r)
		}
	}
	return true
}

func (l *Leg) handleBlock(now int64, s *Subscription, r *reportBlock) {
	t := &s.told
	if t.any {
		if sent := int32(r.highest - t.highest); sent > 0 && sent < 1<<16 {
			l.seen.reported += uint64(sent)
			l.seen.lost += uint64(min(max(r.lost-t.lost, 0), sent))
		}
	}
	*t = receipt{highest: r.highest, lost: r.lost, any: true}
	rate, rtt := s.handleReport(now, r)
	l.seen.jitter = max(l.seen.jitter, uint32(uint64(r.jitter)*1e6/uint64(rate)))
	if rtt > 0 && l.transport != nil {
		l.transport.ObserveRTT(rtt)
		l.trip.Store(int64(rtt))
	}
}

// handleReport notes that the receiver knows the SSRC, and measures the round trip (RFC 3550 section 6.4.1, DLSR).
func (s *Subscription) handleReport(now int64, r *reportBlock) (rate uint32, rtt time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = true
	rate = s.out.Codec.ClockRate()
	for _, sent := range s.reports {
		if r.lastSR != 0 && sent.at != 0 && sent.middle == r.lastSR {
			d := now - sent.at - int64(uint64(r.delay)*1e9>>16)
			if d < 0 || d > int64(10*time.Second) {
				break // the receiver's clock is not one
			}
			rtt = max(time.Duration(d), time.Microsecond)
		}
	}
	return rate, rtt
}

// handleNACK queues what a subscriber wants again; it is sent at the end of the batch.
func (l *Leg) handleNACK(body []byte) bool {
	if len(body) < 12 || len(body)%4 != 0 {
		return false
	}
	s := (*l.sends.Load())[binary.BigEndian.Uint32(body[4:])]
	if s == nil || s.ssrc != binary.BigEndian.Uint32(body[4:]) {
		l.foreign()
		return true
	}
	for fci := body[8:]; len(fci) >= 4; fci = fci[4:] {
		first, mask := sfu.Seq(binary.BigEndian.Uint16(fci)), binary.BigEndian.Uint16(fci[2:])
		l.want(s, first)
		for i := sfu.Seq(1); mask != 0; i, mask = i+1, mask>>1 {
			if mask&1 != 0 {
				l.want(s, first+i)
			}
		}
	}
	return true
}

func (l *Leg) want(s *Subscription, seq sfu.Seq) {
	if len(l.asks) < maxNACKSeqs {
		l.asks = append(l.asks, ask{s, seq})
	}
}

// answer sends again what was asked for. Under the lock.
func (l *Leg) answer(now int64, out *Burst) {
	if len(l.asks) == 0 {
		return
	}
	if l.out.Ready() {
		if cap(l.packet) < maxPacket {
			l.packet = make([]byte, 0, maxPacket)
		}
		for _, a := range l.asks {
			a.sub.repair(now, a.seq, out, l.packet, l.header[:0])
		}
	}
	clear(l.asks)
	l.asks = l.asks[:0]
}

// handleFeedback counts what transport-wide feedback says; nothing is estimated from it yet.
func (l *Leg) handleFeedback(body []byte) bool {
	if len(body) < 16 {
		return false
	}
	be := binary.BigEndian
	left := int(be.Uint16(body[10:]))
	for b := body[16:]; left > 0; b = b[2:] {
		if len(b) < 2 {
			return false
		}
		chunk := be.Uint16(b)
		n, came := readChunk(chunk, left)
		l.seen.acked += uint64(came)
		l.seen.missed += uint64(n - came)
		left -= n
	}
	return true
}

// readChunk is how many packets a status chunk tells of, at most left, and how many of them came
// (draft-holmer-rmcat-transport-wide-cc-extensions-01, sections 3.1.3 and 3.1.4).
func readChunk(chunk uint16, left int) (n, came int) {
	switch {
	case chunk&0x8000 == 0:
		n = min(int(chunk&0x1fff), left)
		if n == 0 {
			return left, 0 // an empty run would never end
		}
		if chunk>>13 != symLost {
			came = n
		}
	case chunk&0x4000 == 0:
		n = min(14, left)
		for i := range n {
			came += int(chunk >> (13 - i) & 1)
		}
	default:
		n = min(7, left)
		for i := range n {
			if chunk>>(12-2*i)&3 != symLost {
				came++
			}
		}
	}
	return n, came
}

// handleKeyframeRequest takes a PLI or FIR of a subscriber.
func (l *Leg) handleKeyframeRequest(media uint32) {
	s := (*l.sends.Load())[media]
	if s == nil || s.ssrc != media {
		l.foreign()
		return
	}
	if cur := s.Current(); cur.Valid() && !s.pub.muted.Load() {
		s.pub.want(1 << min(cur.Spatial, maxSpatial-1))
		return
	}
	s.askKeyframe()
}

// handleGoodbye lets a layer count as stopped at once. Its SSRC stays known: browsers use it again without saying so.
func (l *Leg) handleGoodbye(count uint8, body []byte) bool {
	if len(body) < 4*int(count) {
		return false
	}
	for range count {
		rt, ok := l.origins[binary.BigEndian.Uint32(body)]
		body = body[4:]
		if !ok {
			l.foreign()
			continue
		}
		if !rt.rtx && !rt.stream.svc {
			rt.stream.pub.recent[rt.stream.spatial] = 0
			rt.stream.pub.flowing.And(^uint32(1 << rt.stream.spatial))
		}
	}
	return true
}

// foreign counts RTCP about a stream that is not the sender's business.
func (l *Leg) foreign() {
	l.seen.foreign++
	l.engine.drop(dropForeignRTCP)
}
