// Package assemble puts the packets of an RTP stream together to the frames that an encoder made: what a decoder, or who
// opens encrypted frames, is given. It is pure, and takes packets in any order, twice, or not at all.
package assemble

import (
	"slices"

	"weir/sfu"
)

// depth is how many packets are remembered: 2 s of 2.5 Mb/s, more than any repair takes.
const depth = 512

// Frame is one whole frame. Its bytes are valid until the next call.
type Frame struct {
	Codec     sfu.Codec
	Timestamp uint32
	First     sfu.ExtSeq // of its packets
	Last      sfu.ExtSeq
	Data      []byte // Annex B with long start codes for H.264 (as depacketisers of browsers write it)
}

// Stream assembles one SSRC. One goroutine owns it.
type Stream struct {
	slots   [depth]slot
	begun   bool
	newest  sfu.ExtSeq
	ready   []span
	data    []byte
	Packets uint64 // taken
	Broken  uint64 // payloads that cannot be read
	Late    uint64 // packets older than the memory
}

type slot struct {
	seq        sfu.ExtSeq
	full       bool
	codec      sfu.Codec
	timestamp  uint32
	start, end bool // of a frame; of H.264 only parameter sets are known to be the start
	done       bool // the frame was given out
	body       []byte
}

type span struct{ first, last sfu.ExtSeq }

func (s *Stream) at(seq sfu.ExtSeq) *slot {
	if p := &s.slots[seq%depth]; p.full && p.seq == seq {
		return p
	}
	return nil
}

// Add takes the payload of a packet; Next gives what it completes. Padding and empty audio frames are no frames.
func (s *Stream) Add(seq sfu.ExtSeq, c sfu.Codec, timestamp uint32, marker bool, payload []byte) {
	if s.begun && seq+depth <= s.newest {
		s.Late++
		return
	}
	p := &s.slots[seq%depth]
	if p.full && p.seq == seq {
		return
	}
	if !s.begun {
		s.begun, s.newest = true, seq
	}
	s.newest = max(s.newest, seq)
	s.Packets++
	h, ok := read(c, payload)
	if !ok && len(payload) > 0 {
		s.Broken++
	}
	*p = slot{
		seq: seq, full: true, codec: c, timestamp: timestamp, start: h.start, end: ok && (h.end || h.marked && marker),
		done: !ok, body: append(p.body[:0], payload[min(h.length, len(payload)):]...),
	}
	if ok {
		s.complete(seq)
	}
	if next := s.at(seq + 1); next != nil && !next.done && s.boundless(next) && next.timestamp != timestamp {
		s.complete(seq + 1) // the frame behind it knows now where it begins
	}
}

// boundless says that a packet does not tell by itself whether it begins a frame.
func (s *Stream) boundless(p *slot) bool { return p.codec == sfu.H264 }

// complete notes the frame around a packet if all of it is here.
func (s *Stream) complete(seq sfu.ExtSeq) {
	this := s.at(seq)
	first, last := seq, seq
	for p := this; !s.begins(p); {
		if p = s.at(first - 1); p == nil || p.done || p.timestamp != this.timestamp {
			return
		}
		first--
	}
	for p := this; !p.end; {
		if p = s.at(last + 1); p == nil || p.done || p.timestamp != this.timestamp {
			return
		}
		last++
	}
	for at := first; at <= last; at++ {
		s.at(at).done = true
	}
	s.ready = append(s.ready, span{first, last})
}

// begins says that a packet is the first of its frame. An H.264 packet is if the one before it belongs to another frame,
// or is not known and it holds a sequence parameter set.
func (s *Stream) begins(p *slot) bool {
	if !s.boundless(p) {
		return p.start
	}
	if before := s.at(p.seq - 1); before != nil {
		return before.timestamp != p.timestamp
	}
	return p.start
}

// Next gives a frame that is whole, in the order in which frames became whole.
func (s *Stream) Next() (Frame, bool) {
	if len(s.ready) == 0 {
		return Frame{}, false
	}
	at := s.ready[0]
	s.ready = slices.Delete(s.ready, 0, 1)
	f := Frame{Codec: s.at(at.first).codec, Timestamp: s.at(at.first).timestamp, First: at.first, Last: at.last}
	s.data = s.data[:0]
	for seq := at.first; seq <= at.last; seq++ {
		if p := s.at(seq); p.codec == sfu.H264 {
			s.data = appendUnits(s.data, p.body)
		} else {
			s.data = append(s.data, p.body...)
		}
	}
	f.Data = s.data
	return f, true
}
