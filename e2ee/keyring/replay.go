package keyring

import (
	"encoding/binary"
	"slices"
)

// streamsMost bounds the streams of a participant that replay protection remembers; the one that was quiet for longest
// goes first. A client sends fewer: three layers of two cameras, and two voices.
const streamsMost = 16

// replays remembers frames of each stream by their IV, which no sender repeats under a key.
type replays struct {
	size    int // frames of each stream; 0: nothing is remembered
	streams []stream
}

// stream is one SSRC: its last frames, in a ring.
type stream struct {
	ssrc   uint32
	newest uint32 // timestamp
	floor  uint32 // the highest timestamp that was forgotten, once the memory was full
	full   bool
	next   int
	frames []mark
}

type mark struct {
	timestamp, rest uint32 // of the IV
	index           uint8  // of the key
}

// fresh says whether an authentic frame is new, and remembers it. A frame that is not the newest is new if it is neither
// among those remembered nor as old as what was forgotten.
func (r *replays) fresh(index uint8, iv []byte) bool {
	if r.size == 0 {
		return true
	}
	be := binary.BigEndian
	s := r.stream(be.Uint32(iv))
	m := mark{timestamp: be.Uint32(iv[4:]), rest: be.Uint32(iv[8:]), index: index}
	switch {
	case len(s.frames) == 0 || int32(m.timestamp-s.newest) > 0:
		s.newest = m.timestamp
	case s.full && int32(m.timestamp-s.floor) <= 0 || slices.Contains(s.frames, m):
		return false
	}
	s.add(m, r.size)
	return true
}

func (s *stream) add(m mark, size int) {
	if len(s.frames) < size {
		s.frames = append(s.frames, m)
		return
	}
	if old := s.frames[s.next].timestamp; !s.full || int32(old-s.floor) > 0 {
		s.floor, s.full = old, true
	}
	s.frames[s.next] = m
	s.next = (s.next + 1) % size
}

// stream finds the SSRC's and makes it the last of the list.
func (r *replays) stream(ssrc uint32) *stream {
	last := len(r.streams) - 1
	for i := last; i >= 0; i-- {
		if r.streams[i].ssrc == ssrc {
			if i != last {
				s := r.streams[i]
				copy(r.streams[i:], r.streams[i+1:])
				r.streams[last] = s
			}
			return &r.streams[last]
		}
	}
	if len(r.streams) == streamsMost {
		copy(r.streams, r.streams[1:])
		r.streams = r.streams[:streamsMost-1]
	}
	r.streams = append(r.streams, stream{ssrc: ssrc, frames: make([]mark, 0, r.size)})
	return &r.streams[len(r.streams)-1]
}
