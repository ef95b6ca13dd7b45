package media

import (
	"slices"

	"weir/sfu"
	"weir/sfu/negotiate"
)

// section is one part of a description in which media comes to us, as the packet path reads it.
type section struct {
	receive negotiate.Receive
	pub     *Publication // nil: nobody announced it, and what comes is dropped
	rank    int          // 0: the publication's primary codec
	formats [128]uint8   // payload type → index of its format + 1
	repairs [128]uint8   // the same by the payload type of retransmissions
}

// origin is what an SSRC stands for.
type origin struct {
	section *section
	stream  *stream
	rtx     bool
}

// parking remembers the place of an SSRC whose publication ended: a browser that uses its section for another one does
// not say again what the SSRC is.
type parking struct {
	mid     string
	spatial int8
	rtx     bool
}

// ApplyReceives takes the sections of the publisher's transport, all of them, each time they were negotiated.
// Streams that stay in a section with the same publication live on.
func (p *Participant) ApplyReceives(rs []negotiate.Receive) {
	l := p.up
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds = extensionMap{}
	l.sections = make(map[string]*section, len(rs))
	ranks := make(map[sfu.PublicationID]int)
	for _, r := range rs {
		s := &section{receive: r}
		if r.Publication != "" {
			s.pub = p.pubs[r.Publication]
			s.rank = ranks[r.Publication]
			ranks[r.Publication]++
		}
		for i, f := range s.receive.Formats {
			s.formats[f.PT&0x7f] = uint8(i + 1)
			if f.RTX != 0 {
				s.repairs[f.RTX&0x7f] = uint8(i + 1)
			}
		}
		l.kinds.learn(&r.Extensions)
		l.sections[r.Mid] = s
	}
	for ssrc, rt := range l.origins {
		s := l.sections[rt.section.receive.Mid]
		if s == nil || s.pub == nil || s.pub != rt.section.pub {
			l.park(ssrc, rt)
			continue
		}
		rt.section = s
		if !rt.rtx {
			rt.stream.learn(s)
		}
		if rt.stream.format != nil {
			rt.stream.format = s.format(rt.stream.format.PT)
		}
		l.origins[ssrc] = rt
	}
	for _, s := range l.sections {
		l.declare(s)
	}
}

// declare origins the SSRCs that the description tells.
func (l *Leg) declare(s *section) {
	if s.pub == nil {
		return
	}
	for i, told := range s.receive.Streams {
		if told.SSRC == 0 {
			continue
		}
		spatial := int8(0)
		if len(s.receive.Streams) > 1 || told.RID != "" {
			spatial = s.pub.spatialOf(told.RID, i)
		}
		rt, known := l.origins[told.SSRC]
		if !known {
			rt = l.open(s, told.SSRC, spatial)
		}
		if told.RTX != 0 && rt.stream != nil {
			l.pair(s, rt.stream, told.RTX)
		}
	}
}

// streamHold is how long a stream stands before a packet of another SSRC may take its layer.
const streamHold = 100e6 // ns

// open makes a stream of an SSRC seen for the first time; an older stream of the same layer is replaced.
func (l *Leg) open(s *section, ssrc uint32, spatial int8) origin {
	if len(l.origins) >= maxSSRCs {
		return origin{}
	}
	if st := s.layer(spatial); st != nil {
		l.dropOrigin(st.ssrc)
		l.dropOrigin(st.rtx)
	}
	st := newStream(ssrc, s, spatial, l.engine.streamID(s.pub))
	st.opened = l.lastIn
	s.pub.setStreams(append(slices.Clone(s.pub.streams), st))
	rt := origin{section: s, stream: st}
	l.origins[ssrc] = rt
	return rt
}

// pair ties a retransmission SSRC to its stream. An SSRC that already means something keeps its meaning.
func (l *Leg) pair(s *section, st *stream, rtx uint32) {
	if _, known := l.origins[rtx]; known || len(l.origins) >= maxSSRCs {
		return
	}
	st.rtx = rtx
	l.origins[rtx] = origin{section: s, stream: st, rtx: true}
}

// park drops an origin but remembers its place.
func (l *Leg) park(ssrc uint32, rt origin) {
	if len(l.parked) >= maxSSRCs {
		for any := range l.parked { // mostly of sections that have new SSRCs by now
			delete(l.parked, any)
			break
		}
	}
	l.parked[ssrc] = parking{mid: rt.section.receive.Mid, spatial: rt.stream.spatial, rtx: rt.rtx}
	l.dropOrigin(ssrc)
}

// unpark gives an SSRC back the place that it had, now that something else is published there.
func (l *Leg) unpark(ssrc uint32) (origin, bool) {
	was, ok := l.parked[ssrc]
	if !ok {
		return origin{}, false
	}
	s := l.sections[was.mid]
	if s == nil || s.pub == nil {
		return origin{}, false
	}
	delete(l.parked, ssrc)
	if !was.rtx {
		rt := l.open(s, ssrc, was.spatial)
		return rt, rt.stream != nil
	}
	return l.repairOf(s, ssrc, was.spatial)
}

func (l *Leg) dropOrigin(ssrc uint32) {
	rt, ok := l.origins[ssrc]
	if !ok {
		return
	}
	delete(l.origins, ssrc)
	if rt.stream == nil || rt.rtx {
		return
	}
	p := rt.stream.pub
	p.setStreams(slices.DeleteFunc(slices.Clone(p.streams), func(o *stream) bool { return o == rt.stream }))
}

// origin finds what a packet belongs to: by its SSRC, else by the MID and RID it carries (RFC 9143 section 9.2,
// RFC 8852), else by a payload type that only one section has.
func (l *Leg) origin(p *sfu.Packet, e *elements) (origin, bool) {
	if rt, ok := l.origins[p.SSRC]; ok {
		return rt, true
	}
	if e[extMID] == nil {
		if rt, ok := l.unpark(p.SSRC); ok {
			return rt, true
		}
	}
	s := l.sectionOf(p, e)
	if s == nil || s.pub == nil {
		return origin{}, false
	}
	if rid := e[extRepairedRID]; rid != nil {
		return l.originOfRepair(s, p.SSRC, string(rid))
	}
	if s.formats[p.PayloadType] == 0 {
		return origin{}, false // of no format that was agreed, or retransmissions of a stream that nobody named
	}
	spatial := int8(0)
	if rid := e[extRID]; rid != nil {
		place := slices.Index(s.receive.RIDs, string(rid))
		if place < 0 {
			return origin{}, false
		}
		spatial = s.pub.spatialOf(string(rid), place)
	} else if len(s.receive.RIDs) > 1 {
		return origin{}, false // a layer must say which it is
	}
	if st := s.layer(spatial); st != nil && l.lastIn-st.opened < streamHold {
		return origin{}, false // streams that take turns would cost a history for each packet
	}
	rt := l.open(s, p.SSRC, spatial)
	return rt, rt.stream != nil
}

func (l *Leg) originOfRepair(s *section, ssrc uint32, rid string) (origin, bool) {
	place := slices.Index(s.receive.RIDs, rid)
	if place < 0 {
		return origin{}, false
	}
	return l.repairOf(s, ssrc, s.pub.spatialOf(rid, place))
}

func (l *Leg) repairOf(s *section, ssrc uint32, spatial int8) (origin, bool) {
	st := s.layer(spatial)
	if st == nil {
		return origin{}, false // retransmissions or padding before the first packet: nothing to repair
	}
	if st.rtx != 0 && st.rtx != ssrc {
		delete(l.origins, st.rtx)
	}
	l.pair(s, st, ssrc)
	rt, ok := l.origins[ssrc]
	return rt, ok
}

// layer finds the stream of a layer that the section brings.
func (s *section) layer(spatial int8) *stream {
	for _, st := range s.pub.streams {
		if st.spatial == spatial && st.rank == s.rank {
			return st
		}
	}
	return nil
}

func (l *Leg) sectionOf(p *sfu.Packet, e *elements) *section {
	if mid := e[extMID]; mid != nil {
		return l.sections[string(mid)]
	}
	var found *section
	for _, s := range l.sections {
		if s.formats[p.PayloadType] != 0 {
			if found != nil {
				return nil
			}
			found = s
		}
	}
	return found
}

// svc tells whether all spatial layers come in one stream: in a codec that can, unless there is a stream for each.
func (s *section) svc() bool {
	if len(s.receive.RIDs) > 1 || len(s.receive.Streams) > 1 {
		return false
	}
	for _, f := range s.receive.Formats {
		return f.Codec == sfu.VP9 || f.Codec == sfu.AV1
	}
	return false
}

func (s *section) format(pt uint8) *negotiate.Format {
	if i := s.formats[pt&0x7f]; i != 0 {
		return &s.receive.Formats[i-1]
	}
	return nil
}
