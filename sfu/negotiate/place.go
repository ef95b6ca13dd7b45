package negotiate

import (
	"slices"

	"weir/sfu"
)

// place puts wanted publications on sections of a client's offer that can send to it, and takes unwanted ones off.
func (p *Peer) place(next *state, all []media, wanted []Wanted, r *Result) {
	at := p.release(next, all, wanted)
	var missing, cooling [3]int // by kind
	for i := range next.sections {
		if sec := &next.sections[i]; sec.cooling {
			cooling[sec.kind]++
		}
	}
	for k := range wanted {
		w := &wanted[k]
		if at[w.Publication] || w.Kind != sfu.Audio && w.Kind != sfu.Video {
			continue
		}
		i, refused := p.freeSection(next, all, w)
		switch {
		case refused:
			r.Refused = append(r.Refused, w.Publication)
		case i < 0:
			missing[w.Kind]++
		default:
			next.sections[i].out = p.newPlacement(*w)
			at[w.Publication] = true
		}
	}
	for kind := sfu.Audio; kind <= sfu.Video; kind++ {
		r.Again = r.Again || missing[kind] > 0 && cooling[kind] > 0
		missing[kind] = max(0, missing[kind]-cooling[kind])
	}
	r.MissingAudios, r.MissingVideos = missing[sfu.Audio], missing[sfu.Video]
	for i := range all {
		if m, sec := &all[i], &next.sections[i]; m.receives && !m.rejected && sec.out == nil {
			switch m.kind {
			case sfu.Audio:
				r.FreeAudios++
			case sfu.Video:
				r.FreeVideos++
			}
		}
	}
}

// release takes off what is no longer wanted or no longer possible; it returns what stays. A section from which a
// publication was taken is left inactive for one round: browsers tell their application of a publication only when
// the section begins to receive (WebRTC section 5.1.4: FiredDirection).
func (p *Peer) release(next *state, all []media, wanted []Wanted) map[sfu.PublicationID]bool {
	stays := make(map[sfu.PublicationID]bool, len(wanted))
	for i := range next.sections {
		sec := &next.sections[i]
		if sec.out == nil {
			continue
		}
		m := &all[i]
		k := slices.IndexFunc(wanted, func(w Wanted) bool { return w.Publication == sec.out.Publication })
		possible := !m.rejected && m.receives
		if k >= 0 && possible && fits(wanted[k].Codecs, p.sendFormats(m, &wanted[k])) {
			sec.out = &placement{Wanted: wanted[k], ssrc: sec.out.ssrc, rtx: sec.out.rtx}
			stays[sec.out.Publication] = true
			continue
		}
		sec.out, sec.cooling = nil, possible
	}
	return stays
}

// freeSection finds the section for a publication: one that only receives if there is any, so that sections a client
// shares with its own publications go last. refused: sections are free, but none has a codec for it.
func (p *Peer) freeSection(next *state, all []media, w *Wanted) (at int, refused bool) {
	seen := false
	for _, shared := range []bool{false, true} {
		for i := range all {
			m, sec := &all[i], &next.sections[i]
			if m.kind != w.Kind || m.rejected || !m.receives || m.sends != shared || sec.out != nil || sec.cooling {
				continue
			}
			seen = true
			if fits(w.Codecs, p.sendFormats(m, w)) {
				return i, false
			}
		}
	}
	return -1, seen
}
