package negotiate

import (
	"fmt"
	"slices"
	"strconv"

	"weir/sfu"
)

// Offer writes our offer of the subscriber transport (dual mode): wanted publications get sections, others lose theirs.
// An offer that was not answered is replaced; sections it had are in the new one too, for the client may have seen them.
func (p *Peer) Offer(l Local, wanted []Wanted) (Result, error) {
	from := p.state
	if p.offered != nil {
		from = *p.offered
	}
	next := from.clone()
	if p.cfg.Data && len(next.sections) == 0 {
		next.sections = append(next.sections, section{mid: "0", data: true})
	}
	var r Result
	p.spread(&next, wanted, &r)
	if len(next.sections) == 0 {
		return Result{}, fmt.Errorf("offer: %w", ErrEmpty)
	}
	if len(next.sections) > maxSections {
		return Result{}, fmt.Errorf("offer: %w: %d sections", ErrTooLarge, len(next.sections))
	}
	w := newWriter(p.session, p.version, l, ActPass, true)
	for i := range next.sections {
		sec := &next.sections[i]
		switch {
		case sec.dead:
			w.reject(&media{name: sec.name(), protos: sec.protos(), fmts: sec.deadFormats(), mid: sec.mid})
		case sec.data:
			w.data(sec.mid, sctpProtos, p.cfg.MaxMessageSize)
		default:
			p.offerMedia(w, sec)
		}
	}
	r.SDP, r.Mids = w.text(), next.mids()
	p.offered = &next
	p.version++
	return r, nil
}

// spread takes unwanted publications off and puts new ones on: on a section that was seen inactive, if this client can
// reuse one, else on a new one.
func (p *Peer) spread(next *state, wanted []Wanted, r *Result) {
	placed := make(map[sfu.PublicationID]bool, len(wanted))
	for i := range next.sections {
		sec := &next.sections[i]
		if sec.out == nil {
			continue
		}
		k := slices.IndexFunc(wanted, func(w Wanted) bool { return w.Publication == sec.out.Publication })
		if k < 0 || !p.canSend(&wanted[k]) {
			sec.out, sec.cooling = nil, true
			continue
		}
		sec.out = &placement{Wanted: wanted[k], ssrc: sec.out.ssrc, rtx: sec.out.rtx}
		sec.codecs = wanted[k].Codecs
		placed[sec.out.Publication] = true
	}
	for k := range wanted {
		w := &wanted[k]
		if placed[w.Publication] || w.Kind != sfu.Audio && w.Kind != sfu.Video {
			continue
		}
		if !p.canSend(w) {
			r.Refused = append(r.Refused, w.Publication)
			continue
		}
		placed[w.Publication] = true
		i := -1
		if mayReuse(p.cfg.Software) {
			i = slices.IndexFunc(next.sections, func(s section) bool { return s.isFreeFor(w) })
		}
		if i < 0 {
			i = len(next.sections)
			next.sections = append(next.sections, section{mid: strconv.Itoa(i), kind: w.Kind})
		}
		next.sections[i].out = p.newPlacement(*w)
		next.sections[i].codecs = w.Codecs
	}
}

// isFreeFor tells whether a publication may take over a section. Its codecs must be the old ones: Go clients remember for
// ever which codecs a section began with, and refuse others.
func (s *section) isFreeFor(w *Wanted) bool {
	return s.kind == w.Kind && !s.data && s.out == nil && !s.cooling && !s.dead && slices.Equal(s.codecs, w.Codecs)
}

func (p *Peer) canSend(w *Wanted) bool { return fits(w.Codecs, p.offerFormats(w.Kind, w.Codecs)) }

// offerFormats are the formats of a section that we offer: the codecs of its publication (nil: unknown), as far as we send
// them to this client. We can offer again when they change, so there is no need to list every codec in every section.
func (p *Peer) offerFormats(kind sfu.Kind, known []sfu.Codec) []Format {
	codecs := make([]sfu.Codec, 0, len(p.send))
	for _, c := range p.send {
		if c.Kind() != kind {
			continue
		}
		if len(known) == 0 || slices.Contains(known, c) || c == sfu.Opus && slices.Contains(known, sfu.RED) {
			codecs = append(codecs, c)
		}
	}
	codecs = prefer(known, codecs)
	if i := slices.Index(codecs, sfu.RED); i >= 0 && !slices.Contains(codecs, sfu.Opus) {
		codecs = slices.Delete(codecs, i, i+1) // RED is nothing without what it wraps
	}
	return slices.DeleteFunc(ownFormats(codecs, p.downstream(kind)), func(f Format) bool {
		return f.Codec == sfu.H264 && f.Profile == H264High // livekit.md section 8
	})
}

func (p *Peer) offerMedia(w *writer, sec *section) {
	var wanted *Wanted
	if sec.out != nil {
		wanted = &sec.out.Wanted
	}
	formats := p.offerFormats(sec.kind, sec.codecs)
	md := w.media(&media{name: sec.name(), protos: rtpProtos}, formats)
	w.transport(md, sec.mid, setDirection(sec.out != nil, false))
	w.rtcp(md, true)
	ids := ownIDs(p.downstreamURIs(sec.kind))
	w.extensions(md, ownExtensions, ids)
	for _, f := range formats {
		w.format(md, f, nil, wanted)
	}
	if sec.out != nil {
		s := sendOf(sec, formats, ids)
		w.stream(md, &s)
	}
}

func (s *section) name() string {
	if s.data {
		return "application"
	}
	return s.kind.String()
}

func (s *section) protos() []string {
	if s.data {
		return sctpProtos
	}
	return rtpProtos
}

func (s *section) deadFormats() []string {
	if s.data {
		return []string{"webrtc-datachannel"}
	}
	return []string{"0"} // any payload type: the section is refused
}

// Accept reads the client's answer to the last Offer. Sends are what it lets us send.
func (p *Peer) Accept(answer string) (Result, error) {
	if p.offered == nil {
		return Result{}, fmt.Errorf("accept: %w", ErrNoOffer)
	}
	d, err := parse(answer)
	if err != nil {
		return Result{}, fmt.Errorf("accept: %w", err)
	}
	next := p.offered.clone()
	if err := fitsOffer(d, &next, ActPass); err != nil {
		return Result{}, fmt.Errorf("accept: %w", err)
	}
	r := Result{Remote: d.remote, Restart: p.state.restarts(d)}
	for i := range d.media {
		p.acceptMedia(&d.media[i], &next.sections[i], &r)
	}
	r.Mids = next.mids()
	next.remote = d.remote
	p.state, p.offered = next, nil
	return r, nil
}

// acceptMedia notes what the client took of one section.
func (p *Peer) acceptMedia(m *media, sec *section, r *Result) {
	if m.rejected {
		sec.dead = true
	}
	sec.cooling = false // the client has seen it as it is
	if sec.data || sec.out == nil {
		return
	}
	formats := agreed(p.offerFormats(sec.kind, sec.codecs), m)
	if m.rejected || len(formats) == 0 {
		r.Refused = append(r.Refused, sec.out.Publication)
		sec.out = nil
		return
	}
	if m.receives {
		r.Sends = append(r.Sends, sendOf(sec, formats, agreedExtensions(ownIDs(p.downstreamURIs(sec.kind)), m)))
	}
}

// fitsOffer checks an answer against the sections offered (RFC 3264 section 6, RFC 9429 section 5.3).
func fitsOffer(d *description, offered *state, mine Setup) error {
	if len(d.media) != len(offered.sections) {
		return fmt.Errorf("%w: %d sections, not %d", ErrMismatch, len(d.media), len(offered.sections))
	}
	for i := range d.media {
		m, sec := &d.media[i], &offered.sections[i]
		if m.mid != sec.mid || m.name != sec.name() {
			return fmt.Errorf("%w: section %d is %s %q, not %s %q", ErrMismatch, i, m.name, m.mid, sec.name(), sec.mid)
		}
	}
	if mine == ActPass && d.remote.Setup != ActiveSetup && d.remote.Setup != PassiveSetup {
		return fmt.Errorf("%w: an answer must choose its DTLS role", ErrMismatch)
	}
	return nil
}
