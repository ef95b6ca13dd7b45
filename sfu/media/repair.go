package media

import (
	"encoding/binary"
	"math/rand/v2"

	"weir/sfu"
	"weir/sfu/codec"
)

// sentHeaders keeps the headers of what was sent where no retransmission stream was agreed. A packet is then repeated bit
// by bit: under one nonce there may never be two texts (media.md section 6).
type sentHeaders []sentHeader

type sentHeader struct {
	seq     sfu.ExtSeq
	arrival int64 // of the packet that was sent: another with its number has another
	n       uint8
	b       [maxKeptHeader]byte
}

// maxKeptHeader makes an entry 64 bytes; headers that the focus writes are about 30.
const maxKeptHeader = 47

func newSentHeaders(k sfu.Kind) sentHeaders {
	n := 512
	if k == sfu.Audio {
		n = 64 // over a second
	}
	return make(sentHeaders, n)
}

func (h sentHeaders) keep(seq sfu.ExtSeq, arrival int64, header []byte) {
	x := &h[int(seq)%len(h)]
	x.seq = 0
	if len(header) <= maxKeptHeader {
		x.seq, x.arrival, x.n = seq, arrival, uint8(copy(x.b[:], header))
	}
}

// find gives the header that a packet was sent with; nil: it was not, or that is too long ago.
func (h sentHeaders) find(seq sfu.ExtSeq, arrival int64) []byte {
	if x := &h[int(seq)%len(h)]; x.seq == seq && x.arrival == arrival {
		return x.b[:x.n]
	}
	return nil
}

// repair sends a packet again, on the RTX SSRC if there is one (media.md section 5). scratch is memory for it; header is scratch too.
func (s *Subscription) repair(now int64, seq sfu.Seq, out *Burst, scratch, header []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.space
	if s.closed || s.in == nil {
		return
	}
	src, ok := sp.mapper.Source(seq)
	if !ok || !src.Sent {
		s.leg.engine.drop(dropTooOld)
		return
	}
	st := s.pub.stream(src.Stream)
	if st == nil || seq.Extend(sp.mapper.Next()) < sp.squeezed.from || !sp.replies.Allow(seq.Extend(sp.mapper.Next()), now, s.leg.rtt()) {
		s.leg.engine.drop(dropTooOld)
		return
	}
	st.mu.Lock()
	var p sfu.Packet
	h, ok := st.history.BySeq(src.Seq)
	if !ok || !st.history.Packet(h, &p) || p.PayloadType != s.in.PT {
		st.mu.Unlock()
		s.leg.engine.drop(dropTooOld)
		return
	}
	b := append(scratch[:0], p.Raw...)
	ids := st.ids
	st.mu.Unlock()
	p.Raw = b
	dd := codec.Extension(&p, ids.Dependency)
	numbers := codec.ReadNumbers(s.in.Codec, p.Payload(), dd)
	n, ok := sp.mapper.Again(seq, sp.squeezed.timestamp(src.Stream, src.Seq, p.Timestamp), numbers, p.Marker)
	if !ok {
		return
	}
	codec.Patch(s.in.Codec, p.Payload(), p.Payload(), n.Numbers)
	a := arrival{Packet: p, dependency: dd, level: codec.Extension(&p, ids.AudioLevel), captureAt: codec.Extension(&p, ids.AbsCaptureTime)}
	o := s.leg.out
	o.Lock()
	defer o.Unlock()
	if s.out.RTX == 0 || s.send.RTX == 0 {
		if sp.headers == nil {
			return
		}
		if kept := sp.headers.find(n.Seq, p.Arrival); kept != nil {
			out.SendRTP(o, kept, nil, p.Payload(), n.Seq)
			s.leg.octetsOut.Add(uint64(len(kept) + len(p.Payload())))
		}
		return
	}
	s.sendRTX(now, &a, n.Seq.Seq(), n.Marker, n.Timestamp, n.Numbers.Frame, out, header)
}

// sendRTX wraps a packet for the retransmission stream (RFC 4588 section 4): its own numbers, then the original one.
func (s *Subscription) sendRTX(now int64, a *arrival, original sfu.Seq, marker bool, ts uint32, frame uint16, out *Burst, header []byte) {
	sp := s.space
	if sp.rtxNext == 0 {
		sp.rtxNext = 1<<16 + sfu.ExtSeq(rand.Uint32N(1<<15)) // RFC 3711 section 3.3.1: away from the rollover at the start
	}
	var w codec.Writer
	w.Start(header, codec.Header{PayloadType: s.out.RTX, Marker: marker, Seq: sp.rtxNext.Seq(), Timestamp: ts, SSRC: s.send.RTX})
	s.stamp(&w, now)
	if a.dependency != nil && s.ids.Dependency != 0 {
		var dd [256]byte
		w.Add(s.ids.Dependency, codec.AppendDependency(dd[:0], a.dependency, nil, frame, 0))
	}
	if a.level != nil {
		w.Add(s.ids.AudioLevel, a.level)
	}
	var osn [2]byte
	binary.BigEndian.PutUint16(osn[:], uint16(original))
	if out.SendRTP(s.leg.out, w.Finish(), osn[:], a.Payload(), sp.rtxNext) {
		s.leg.octetsOut.Add(uint64(len(a.Raw)))
	}
	sp.rtxNext++
}
