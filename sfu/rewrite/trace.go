package rewrite

import (
	"weir/sfu"
	"weir/sfu/codec"
)

// Source is where an outgoing packet came from.
type Source struct {
	Seq    sfu.ExtSeq
	Stream uint8
	Sent   bool // false: the number is free for a packet that was late or lost upstream
}

// late numbers a packet from before the highest: with the number kept for it and the offsets of then.
func (m *Mapper) late(in *In) (Out, bool) {
	e, seq := m.trace(in.Stream, in.Packet.Seq)
	if e == nil || e.flags != 0 {
		return Out{}, false
	}
	e.flags = sent
	if in.Marker {
		e.flags |= marker
	}
	out := m.numbers(m.segment(e.segment), e.picture, in.Packet.Timestamp, in.Numbers)
	out.Seq, out.Marker = seq, in.Marker
	return out, true
}

// trace finds the entry of an incoming packet, newest segment first.
func (m *Mapper) trace(stream uint8, seq sfu.ExtSeq) (*entry, sfu.ExtSeq) {
	if m.ring == nil {
		return nil, 0
	}
	m.trail()
	for i := range uint8(segments) {
		id := m.cur - i
		s := m.segment(id)
		if s.firstOut == 0 || i > 0 && m.past == nil {
			break
		}
		if s.stream == stream && seq >= s.firstIn && seq <= s.lastIn {
			return m.search(s, id, seq)
		}
	}
	return nil, 0
}

// search finds seq among the numbers of a segment: they rise with the incoming ones, but for those that were closed over.
func (m *Mapper) search(s *segment, id uint8, seq sfu.ExtSeq) (*entry, sfu.ExtSeq) {
	lo, hi := s.firstOut, s.lastOut+1
	if depth := sfu.ExtSeq(len(m.ring)); m.next > depth {
		lo = max(lo, m.next-depth)
	}
	for lo < hi {
		mid := lo + (hi-lo)/2
		e := &m.ring[int(mid)&(len(m.ring)-1)]
		switch d := int32(e.in - uint32(seq)); {
		case d == 0:
			for e.flags&own != 0 && mid > lo { // those stand behind the packet whose number they repeat
				mid--
				e = &m.ring[int(mid)&(len(m.ring)-1)]
			}
			if e.in != uint32(seq) || e.segment != id || e.flags&own != 0 {
				return nil, 0
			}
			return e, mid
		case d < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return nil, 0
}

// lookup finds the entry of an outgoing number as it stands in a NACK.
func (m *Mapper) lookup(n sfu.Seq) (*entry, sfu.ExtSeq) {
	if m.ring == nil {
		return nil, 0
	}
	m.trail()
	seq := n.Extend(m.next - 1)
	if seq >= m.next || seq+sfu.ExtSeq(len(m.ring)) < m.next {
		return nil, 0
	}
	e := &m.ring[int(seq)&(len(m.ring)-1)]
	s := m.segment(e.segment)
	if e.flags&own != 0 || m.cur-e.segment >= segments || seq < s.firstOut || seq > s.lastOut {
		return nil, 0
	}
	return e, seq
}

// Source tells which packet was sent, or is to be sent, under an outgoing number. False: none, or it is too long ago.
func (m *Mapper) Source(n sfu.Seq) (Source, bool) {
	e, _ := m.lookup(n)
	if e == nil || e.flags&dropped != 0 {
		return Source{}, false
	}
	s := m.segment(e.segment)
	d := int64(int32(e.in - uint32(s.lastIn)))
	return Source{Seq: sfu.ExtSeq(int64(s.lastIn) + d), Stream: s.stream, Sent: e.flags&sent != 0}, true
}

// Again gives the numbers under which a packet was sent, or would have been, for its retransmission; ts and n are those of
// the packet that Source names, mark its marker bit.
func (m *Mapper) Again(seq sfu.Seq, ts uint32, n codec.Numbers, mark bool) (Out, bool) {
	e, ext := m.lookup(seq)
	if e == nil || e.flags&dropped != 0 {
		return Out{}, false
	}
	out := m.numbers(m.segment(e.segment), e.picture, ts, n)
	out.Seq, out.Marker = ext, e.flags&marker != 0
	if e.flags&sent == 0 {
		out.Marker = mark
	}
	return out, true
}
