package bench

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/media"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

const (
	feedbackEvery = int64(100 * time.Millisecond) // transport-wide feedback, as browsers do at such rates
	receiverEvery = int64(time.Second)            // receiver reports
	keyframeEvery = int64(500 * time.Millisecond) // between two requests for the same stream
)

// leg is one transport of a bot: what it sends and what it receives. It implements media.Handler.
type leg struct {
	target    session.Target
	endpoint  *media.Endpoint
	transport *media.Transport
	burst     *media.Burst // the pump's
	offset    int64        // from the endpoint's clock to the run's
	sent      atomic.Uint64
	report    uint32 // SSRC of feedback

	wide uint16 // transport-wide number; guarded by the Outbound's lock

	mu        sync.Mutex // guards what follows; taken before the Outbound's lock
	streams   map[uint32]*incoming
	repairs   map[uint32]*incoming // by SSRC of the retransmissions
	outgoing  map[uint32]*outgoing
	ended     []*incoming // streams of subscriptions that ended
	troubled  []*incoming // streams that miss packets
	last      *incoming
	strangers uint64 // packets of no stream
	packet    sfu.Packet
	arrivals  arrivals
	fedBack   int64
	reported  int64
	due       []sfu.Seq
	nacks     []nack
	buf       []byte
	latency   Histogram
	ring      *keyring.Ring // opens frames; nil: they are not encrypted
	firsts    [3]int64      // by kind: first packet; of video the first of a keyframe, before which nothing decodes
	asked     uint64        // keyframes asked of the server
	wanted    []uint32      // streams that the bot wants a keyframe of
	trailer   []byte        // of frames that the focus makes
}

// nack is a request of the server, answered in Flush.
type nack struct {
	o   *outgoing
	seq sfu.Seq
}

// HandleRTP implements media.Handler.
func (l *leg) HandleRTP(now int64, b []byte, index sfu.ExtSeq) {
	now += l.offset
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.packet
	if codec.Parse(p, b) != nil {
		return
	}
	in, repaired := l.last, false
	if in == nil || in.ssrc != p.SSRC {
		if in = l.streams[p.SSRC]; in != nil {
			l.last = in
		} else if in = l.repairs[p.SSRC]; in == nil {
			l.strangers++
			return
		} else {
			repaired = true
		}
	}
	if wide := codec.Extension(p, in.wide); len(wide) == 2 {
		l.arrivals.add(sfu.Seq(binary.BigEndian.Uint16(wide)), now)
	}
	seq := index
	if repaired {
		payload := p.Payload()
		if len(payload) < 2 || !in.begun { // padding: a probe
			return
		}
		seq = sfu.Seq(binary.BigEndian.Uint16(payload)).Extend(in.highest)
	}
	if l.firsts[in.kind] == 0 && (in.kind != sfu.Video || !repaired && in.opens(p, index)) {
		l.firsts[in.kind] = now
	}
	if !in.received(now, seq, p, repaired) {
		return
	}
	if in.checker != nil {
		payload := p.Payload()
		if repaired {
			payload = payload[2:] // the number of the original (RFC 4588 section 4)
		} else {
			in.checker.codec = in.codecs[p.PayloadType]
		}
		in.checker.add(in, seq, p.Timestamp, p.Marker, payload)
	}
	if repaired {
		return
	}
	if _, missing := in.lost.Deadline(0); missing && !in.troubled {
		in.troubled = true
		l.troubled = append(l.troubled, in)
	}
	sent, ok := int64(0), false
	if l.ring != nil {
		sent, ok = in.opener.add(l.ring, seq, p)
	} else {
		sent, ok = readStamp(p.Raw)
	}
	if ok && sent >= in.first { // what was sent before is a start from the server's memory: its age is no latency
		l.latency.Add(max(now-sent, 0))
	}
}

// HandleRTCP implements media.Handler.
func (l *leg) HandleRTCP(now int64, b []byte) {
	now += l.offset
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		r, rest, ok := nextReport(b)
		if !ok {
			return
		}
		b = rest
		l.rtcp(now, r)
	}
}

func (l *leg) rtcp(now int64, r report) {
	be := binary.BigEndian
	switch {
	case r.kind == rtcpSR || r.kind == rtcpRR:
		if r.kind == rtcpSR && len(r.body) >= 24 {
			if in := l.streams[be.Uint32(r.body)]; in != nil {
				in.senderReport(now, r.body)
			}
		}
		for blocks := r.blocks(); len(blocks) > 0; blocks = blocks[blockLen:] {
			if o := l.outgoing[be.Uint32(blocks)]; o != nil {
				o.known.Store(true)
			}
		}
	case r.kind == rtcpPayload && r.count == fmtPLI && len(r.body) >= 8:
		if o := l.outgoing[be.Uint32(r.body[4:])]; o != nil {
			o.keyframe.Store(true)
		}
	case r.kind == rtcpPayload && r.count == fmtFIR:
		for b := r.body[min(8, len(r.body)):]; len(b) >= 8; b = b[8:] {
			if o := l.outgoing[be.Uint32(b)]; o != nil {
				o.keyframe.Store(true)
			}
		}
	case r.kind == rtcpTransport && r.count == fmtNACK:
		r.nacks(func(ssrc uint32, seq sfu.Seq) {
			if o := l.outgoing[ssrc]; o != nil && len(l.nacks) < historySlots {
				l.nacks = append(l.nacks, nack{o, seq})
			}
		})
	}
}

// Flush implements media.Handler: it sends what is due of feedback, and repairs.
func (l *leg) Flush(now int64, out *media.Burst) {
	now += l.offset
	l.mu.Lock()
	defer l.mu.Unlock()
	to := l.transport.Outbound()
	to.Lock()
	defer to.Unlock()
	for _, n := range l.nacks {
		n.o.repair(now, n.seq, out)
	}
	l.nacks = l.nacks[:0]
	l.buf = l.buf[:0]
	for _, ssrc := range l.wanted {
		l.asked++
		l.buf = appendPLI(l.buf, l.report, ssrc)
	}
	l.wanted = l.wanted[:0]
	if now-l.fedBack >= feedbackEvery && len(l.arrivals.list) > 0 {
		l.fedBack = now
		l.buf = l.arrivals.feedback(l.buf, l.report, l.anySSRC())
		l.give(to, out)
	}
	if now-l.reported >= receiverEvery {
		l.reported = now
		l.receiverReports(now, to, out)
	}
	still := l.troubled[:0]
	for _, in := range l.troubled {
		l.repairRequests(now, in)
		if _, in.troubled = in.lost.Deadline(0); in.troubled {
			still = append(still, in)
		}
	}
	l.troubled = still
	l.give(to, out)
}

// give sends what the buffer holds.
func (l *leg) give(to *media.Outbound, out *media.Burst) {
	if len(l.buf) > 0 {
		out.SendRTCP(to, l.buf)
		l.buf = l.buf[:0]
	}
}

// anySSRC is what transport-wide feedback names as its media source: any stream will do.
func (l *leg) anySSRC() uint32 {
	if l.last != nil {
		return l.last.ssrc
	}
	return 0
}

// receiverReports sends a report of all streams, as many to a packet as it takes.
func (l *leg) receiverReports(now int64, to *media.Outbound, out *media.Burst) {
	const most = 31
	blocks := l.buf[:0]
	count := 0
	flush := func() {
		binary.BigEndian.PutUint16(blocks[2:], uint16(len(blocks)/4-1))
		blocks[0] = 0x80 | byte(count)
		out.SendRTCP(to, blocks)
		blocks, count = blocks[:0], 0
	}
	for _, in := range l.streams {
		if !in.begun {
			continue
		}
		if count == 0 {
			blocks = appendHead(blocks, 0, rtcpRR, 0)
			blocks = binary.BigEndian.AppendUint32(blocks, l.report)
		}
		blocks = in.block(blocks, now)
		if count++; count == most {
			flush()
		}
	}
	if count > 0 {
		flush()
	}
	l.buf = blocks[:0]
}

// repairRequests adds what a stream asks for: packets, and a keyframe if packets will not come any more.
func (l *leg) repairRequests(now int64, in *incoming) {
	if in.kind != sfu.Video || !in.nack {
		return
	}
	l.due = in.lost.Due(now, l.transport.RTT(), l.due[:0])
	l.buf = appendNACKs(l.buf, l.report, in.ssrc, l.due)
	if gone := in.lost.Snapshot().GivenUp; gone > in.givenUp && now-in.asked >= keyframeEvery {
		in.givenUp, in.asked = gone, now
		l.asked++
		l.buf = appendPLI(l.buf, l.report, in.ssrc)
	}
}

func appendNACKs(dst []byte, sender, media uint32, seqs []sfu.Seq) []byte {
	if len(seqs) == 0 {
		return dst
	}
	return appendNACK(dst, sender, media, seqs)
}

// receive makes the streams of a description the ones that are received; what is known stays.
func (l *leg) receive(bot *Bot, receives []negotiate.Receive) {
	l.mu.Lock()
	defer l.mu.Unlock()
	streams, repairs := map[uint32]*incoming{}, map[uint32]*incoming{}
	for i := range receives {
		for _, s := range receives[i].Streams {
			if s.SSRC == 0 {
				continue
			}
			in := l.streams[s.SSRC]
			if in == nil {
				in = newIncoming(&receives[i], s)
				if bot.checks() {
					in.checker = &checker{bot: bot, leg: l}
				}
			}
			streams[s.SSRC] = in
			if s.RTX != 0 {
				repairs[s.RTX] = in
			}
		}
	}
	for ssrc, in := range l.streams {
		if streams[ssrc] == nil && in.begun {
			l.ended = append(l.ended, in)
		}
	}
	l.streams, l.repairs, l.last = streams, repairs, nil
}

// close ends the transport and its socket, and waits.
func (l *leg) close() error { return l.endpoint.Close() }
