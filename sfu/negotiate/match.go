package negotiate

import (
	"slices"

	"weir/sfu"
)

// matcher finds the announced publications of one offer (livekit.md section 4).
type matcher struct {
	p       *Peer
	next    *state
	media   []media
	labels  map[string]string // mid → track id, as the client's message says
	pending []Pending
	taken   []bool // by pending
	bound   []Bound
}

// bind gives every section in which the client sends its publication, if it was announced. What the client says by name
// goes first over the whole offer, so that a guess never takes another's section.
func (p *Peer) bind(next *state, all []media, labels map[string]string, pending []Pending) []Bound {
	t := &matcher{p: p, next: next, media: all, labels: labels, pending: pending, taken: make([]bool, len(pending))}
	t.each(func(m *media, sec *section) int { return t.byName(m, sec) })
	t.keep()
	t.each(func(m *media, sec *section) int {
		return t.first(m, sec, func(q *Pending) bool { return q.Mid == m.mid })
	})
	t.each(func(m *media, sec *section) int {
		return t.first(m, sec, func(q *Pending) bool { return t.hasCodec(m, q) })
	})
	return t.bound
}

// each offers every open section to find, which returns the pending publication it belongs to, or -1.
func (t *matcher) each(find func(*media, *section) int) {
	for i := range t.media {
		m, sec := &t.media[i], &t.next.sections[i]
		if m.kind == 0 || m.rejected || !m.sends {
			continue
		}
		if k := find(m, sec); k >= 0 {
			t.take(m, sec, k)
		}
	}
}

// byName: the track id in the SDP or in the message is the announced one. It counts for bound sections too: a client
// may put a new publication on an old section.
func (t *matcher) byName(m *media, sec *section) int {
	label := t.labels[m.mid]
	for k := range t.pending {
		q := &t.pending[k]
		if q.Kind == m.kind && q.CID != "" && (q.CID == m.track || q.CID == label) && !t.taken[k] {
			if sec.in != nil && sec.in.Publication == q.Publication && sec.in.CID == q.CID {
				t.taken[k] = true
				return -1
			}
			return k
		}
	}
	return -1
}

// keep lets bound sections be what they were, unless their track changed. A section in which the client stopped sending
// keeps its publication too: it may go on.
func (t *matcher) keep() {
	for i := range t.media {
		m, sec := &t.media[i], &t.next.sections[i]
		if sec.in == nil {
			continue
		}
		label := t.labels[m.mid]
		same := m.track == sec.in.track || m.track == sec.in.CID || label != "" && (label == sec.in.CID || label == sec.in.label)
		if m.rejected || m.sends && !same {
			sec.in = nil
			continue
		}
		for k := range t.pending {
			if t.pending[k].Publication == sec.in.Publication && t.pending[k].CID == sec.in.CID {
				t.taken[k] = true
			}
		}
	}
}

func (t *matcher) first(m *media, sec *section, fits func(*Pending) bool) int {
	if sec.in != nil {
		return -1
	}
	return slices.IndexFunc(t.pending, func(q Pending) bool {
		k := slices.IndexFunc(t.pending, func(o Pending) bool { return o.Publication == q.Publication && o.CID == q.CID })
		return !t.taken[k] && q.Kind == m.kind && fits(&q)
	})
}

func (t *matcher) hasCodec(m *media, q *Pending) bool {
	formats := t.p.receiveFormats(m, q)
	return len(formats) > 0 && (len(q.Codecs) == 0 || slices.ContainsFunc(formats, func(f Format) bool { return slices.Contains(q.Codecs, f.Codec) }))
}

func (t *matcher) take(m *media, sec *section, k int) {
	q := t.pending[k]
	formats := t.p.receiveFormats(m, &q)
	if len(formats) == 0 {
		return
	}
	t.taken[k] = true
	sec.in = &binding{Pending: q, track: m.track, label: t.labels[m.mid]}
	b := Bound{Publication: q.Publication, CID: q.CID, Mid: m.mid, Codec: formats[0].Codec, Codecs: codecsOf(formats)}
	if m.track != q.CID {
		b.SDPCID = m.track
	}
	t.bound = append(t.bound, b)
}

func codecsOf(formats []Format) (out []sfu.Codec) {
	for _, f := range formats {
		if !slices.Contains(out, f.Codec) {
			out = append(out, f.Codec)
		}
	}
	return out
}
