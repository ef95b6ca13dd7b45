package negotiate

import (
	"fmt"
	"slices"

	"github.com/pion/sdp/v3"

	"weir/sfu"
)

// Inspect reads the transport part of a description without changing anything. Call it before Answer, to renew Local if
// the offer restarts ICE: an answer to it needs new credentials too (RFC 8839 section 4.4.3). restart is false as long
// as nothing was negotiated.
func (p *Peer) Inspect(description string) (r Remote, restart bool, err error) {
	d, err := parse(description)
	if err != nil {
		return Remote{}, false, fmt.Errorf("inspect: %w", err)
	}
	p.read.text, p.read.d = description, d
	return d.remote, p.state.restarts(d), nil
}

// parseOnce takes what Inspect read of the same text. It is good for one use: a Result borrows from it.
func (p *Peer) parseOnce(text string) (*description, error) {
	was := p.read
	p.read.text, p.read.d = "", nil
	if was.d != nil && was.text == text {
		return was.d, nil
	}
	return parse(text)
}

func (s *state) restarts(d *description) bool {
	return s.remote.Ufrag != "" && (s.remote.Ufrag != d.remote.Ufrag || s.remote.Pwd != d.remote.Pwd)
}

// Unbind forgets where a publication was, after it ended: its section is open to others.
func (p *Peer) Unbind(publication sfu.PublicationID) {
	for i := range p.state.sections {
		if in := p.state.sections[i].in; in != nil && in.Publication == publication {
			p.state.sections[i].in = nil
		}
	}
}

// Answer answers a client's offer. pending are announced publications that may be in it; those already bound may be left
// out. wanted are all publications the client shall receive through this transport, most important first: what is missing
// from it is taken off.
func (p *Peer) Answer(o Offer, l Local, pending []Pending, wanted []Wanted) (Result, error) {
	d, err := p.parseOnce(o.SDP)
	if err != nil {
		return Result{}, fmt.Errorf("answer: %w", err)
	}
	if d.remote.Setup == PassiveSetup { // the focus is the DTLS server; every client offers actpass (RFC 8842 section 5.2)
		return Result{}, fmt.Errorf("answer: %w: the client wants to be the DTLS server", ErrTransport)
	}
	next := p.state.clone()
	if err := next.align(d.media); err != nil {
		return Result{}, fmt.Errorf("answer: %w", err)
	}
	r := Result{Remote: d.remote, Restart: p.state.restarts(d)}
	r.Bound = p.bind(&next, d.media, o.Mids, pending)
	p.place(&next, d.media, wanted, &r)

	w := newWriter(p.session, p.version, l, PassiveSetup, d.mixed)
	data := false
	for i := range d.media {
		m, sec := &d.media[i], &next.sections[i]
		switch {
		case m.data && !m.rejected && !data: // RFC 8841 section 9: one association per transport
			data = true
			w.data(m.mid, m.protos, p.cfg.MaxMessageSize)
		case m.data || m.rejected:
			w.reject(m)
		default:
			p.answerMedia(w, m, sec, &r)
		}
	}
	if len(w.group) == 0 {
		return Result{}, fmt.Errorf("answer: %w: no section has a codec of ours", ErrTransport)
	}
	r.SDP, r.Mids = w.text(), next.mids()
	next.remote = d.remote
	p.state = next
	p.version++
	return r, nil
}

// answerMedia writes one audio or video section and notes what was agreed.
func (p *Peer) answerMedia(w *writer, m *media, sec *section, r *Result) {
	var pending *Pending
	var wanted *Wanted
	if sec.in != nil {
		pending = &sec.in.Pending
	}
	if sec.out != nil {
		wanted = &sec.out.Wanted
	}
	var receive, send []Format
	if m.sends || !m.receives {
		receive = p.receiveFormats(m, pending)
	}
	if m.receives || !m.sends {
		send = p.sendFormats(m, wanted)
	}
	both := union(receive, send)
	if len(both) == 0 {
		sec.in, sec.out = nil, nil
		w.reject(m)
		return
	}
	receives, sends := m.sends && len(receive) > 0, sec.out != nil
	md := w.media(m, both)
	w.transport(md, m.mid, setDirection(sends, receives))
	w.rtcp(md, m.rsize)
	w.extensions(md, m.exts, p.echoed(m))
	for _, f := range both {
		w.format(md, f, pending, wanted)
	}
	if receives {
		rids := m.rids[:min(len(m.rids), maxRIDs)]
		w.simulcast(md, rids, "recv")
		r.Receives = append(r.Receives, receiveOf(m, sec, receive, p.receiveExtensions(m), rids))
	}
	if sends {
		s := sendOf(sec, send, p.sendExtensions(m))
		w.stream(md, &s)
		r.Sends = append(r.Sends, s)
	}
}

func receiveOf(m *media, sec *section, formats []Format, exts Extensions, rids []string) Receive {
	out := Receive{
		Mid: m.mid, Kind: m.kind, Stream: m.stream, Track: m.track,
		Formats: formats, Extensions: exts, RIDs: rids, Streams: m.streams,
	}
	if sec.in != nil {
		out.Publication, out.CID = sec.in.Publication, sec.in.CID
	}
	return out
}

func sendOf(sec *section, formats []Format, exts Extensions) Send {
	s := Send{
		Mid: sec.mid, Kind: sec.kind, Publication: sec.out.Publication,
		SSRC: sec.out.ssrc, RTX: sec.out.rtx, Formats: formats, Extensions: exts,
		CNAME: string(sec.out.Publisher),
	}
	if !slices.ContainsFunc(formats, func(f Format) bool { return f.RTX != 0 }) {
		s.RTX = 0
	}
	s.Stream, s.Track = sec.out.msid()
	return s
}

// union joins formats by payload type, those of a first, and what feedback they have.
func union(a, b []Format) []Format {
	out := slices.Clone(a)
	for _, f := range b {
		if i := slices.IndexFunc(out, func(g Format) bool { return g.PT == f.PT }); i >= 0 {
			out[i].Feedback |= f.Feedback
		} else {
			out = append(out, f)
		}
	}
	return out
}

func setDirection(sends, receives bool) string {
	switch {
	case sends && receives:
		return sdp.AttrKeySendRecv
	case sends:
		return sdp.AttrKeySendOnly
	case receives:
		return sdp.AttrKeyRecvOnly
	}
	return sdp.AttrKeyInactive
}
