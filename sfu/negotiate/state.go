package negotiate

import (
	"encoding/binary"
	"fmt"
	"slices"

	"weir/sfu"
)

// state is what was negotiated. It is copied, changed and put back when a description was handled to its end, so that
// an error leaves no trace; binding and placement are never changed in place.
type state struct {
	remote   Remote
	sections []section // in the order of the m-lines
}

// section is one m-section and what we use it for.
type section struct {
	mid  string
	kind sfu.Kind // 0: data, or refused
	data bool

	in  *binding   // what the far side sends in it
	out *placement // what we send in it

	// cooling: its publication was taken away, and the far side may not have seen it inactive yet.
	cooling bool
	dead    bool // refused by the far side for good

	codecs []sfu.Codec // listed in it, if the offer is ours; nil: all
}

// binding is an announced publication found in a section.
type binding struct {
	Pending
	track string // track id in the SDP at that time
	label string // track id the client's message told, "" if none
}

// placement is a wanted publication put into a section. SSRCs are never used for a second publication, nor for the same
// one again: (key, SSRC, index) must not repeat (RFC 3711 section 9.1), and receivers must not join two sequences.
type placement struct {
	Wanted
	ssrc, rtx uint32
}

func (s state) clone() state {
	s.sections = slices.Clone(s.sections)
	return s
}

// align makes the sections follow an offer: same order, same mids, and what is known of a mid stays.
func (s *state) align(media []media) error {
	old := make(map[string]section, len(s.sections))
	for _, sec := range s.sections {
		old[sec.mid] = sec
	}
	sections := make([]section, 0, len(media))
	for i := range media {
		m := &media[i]
		sec, known := old[m.mid]
		if known && !m.rejected && sec.kind != 0 && m.kind != sec.kind {
			return fmt.Errorf("%w: %q was %s and is %s", ErrMid, m.mid, sec.kind, m.kind)
		}
		sec.mid, sec.kind, sec.data = m.mid, m.kind, m.data
		sec.cooling = false // a new offer follows the answer in which the section was inactive
		sections = append(sections, sec)
	}
	s.sections = sections
	return nil
}

// mids is the complete map of a Result.
func (s *state) mids() map[string]string {
	out := make(map[string]string)
	for i := range s.sections {
		if p := s.sections[i].out; p != nil {
			out[s.sections[i].mid] = string(p.Publication)
		}
	}
	return out
}

// ssrc draws one that this Peer did not use before.
func (p *Peer) ssrc() uint32 { return drawSSRC(p.rng.Uint64, p.used) }

func drawSSRC(draw func() uint64, used map[uint32]bool) uint32 {
	for {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], draw())
		ssrc := binary.LittleEndian.Uint32(b[:])
		if ssrc != 0 && !used[ssrc] {
			used[ssrc] = true
			return ssrc
		}
	}
}

func (p *Peer) newPlacement(w Wanted) *placement {
	out := &placement{Wanted: w, ssrc: p.ssrc()}
	if w.Kind == sfu.Video {
		out.rtx = p.ssrc()
	}
	return out
}

// msid of a placement (livekit.md section 4): stream "PA_x|TR_y", track "TR_y".
func (w *Wanted) msid() (stream, track string) {
	stream = w.Stream
	if stream == "" {
		stream = string(w.Publication)
	}
	return string(w.Publisher) + "|" + stream, string(w.Publication)
}

// Snapshot is what a Peer has negotiated, for operators and failing tests.
type Snapshot struct {
	Remote   Remote
	Waiting  bool // for the answer to an offer of ours
	Sections []SectionSnapshot
}

// SectionSnapshot is one m-section.
type SectionSnapshot struct {
	Mid      string
	Kind     sfu.Kind
	Data     bool
	Receives sfu.PublicationID // bound here
	Sends    sfu.PublicationID // placed here
	Cooling  bool              // left inactive before it is used again
	Refused  bool              // by the client, for good
}

// Snapshot copies the state.
func (p *Peer) Snapshot() Snapshot {
	s := Snapshot{Remote: p.state.remote, Waiting: p.offered != nil}
	from := &p.state
	if p.offered != nil {
		from = p.offered
	}
	for _, sec := range from.sections {
		row := SectionSnapshot{Mid: sec.mid, Kind: sec.kind, Data: sec.data, Cooling: sec.cooling, Refused: sec.dead}
		if sec.in != nil {
			row.Receives = sec.in.Publication
		}
		if sec.out != nil {
			row.Sends = sec.out.Publication
		}
		s.Sections = append(s.Sections, row)
	}
	return s
}
