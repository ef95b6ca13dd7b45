package negotiate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"weir/sfu"
)

// ClientConfig of a Client. The zero value works.
type ClientConfig struct {
	Seed      [32]byte
	Publish   []sfu.Codec // the client can send, best first; nil: all
	Subscribe []sfu.Codec // the client can receive; nil: all
	Data      bool        // offers have a data channel section
}

// Publishing is a publication a Client offers.
type Publishing struct {
	CID    string // track id
	Stream string // stream id, "": CID
	Kind   sfu.Kind
	Codecs []sfu.Codec // best first; nil: all of the kind
	RIDs   []string    // simulcast, lowest first; none: one stream with an explicit SSRC
	Legacy bool        // simulcast by explicit SSRCs in a SIM group, as many as RIDs
	Stereo bool
}

// Client is a client's side of one PeerConnection, for bots and tests. One goroutine owns it.
type Client struct {
	cfg      ClientConfig
	rng      *rand.ChaCha8
	used     map[uint32]bool
	session  uint64
	version  uint64
	mids     int
	sections []clientSection
	remote   Remote
	offered  bool
}

// clientSection is one m-section of a Client, and what it is for.
type clientSection struct {
	mid    string
	kind   sfu.Kind
	data   bool
	pub    *Publishing // nil: receives
	layers []Stream
	off    bool // unpublished
}

// NewClient makes a Client that has not negotiated yet.
func NewClient(cfg ClientConfig) *Client {
	rng := rand.NewChaCha8(cfg.Seed)
	if cfg.Publish == nil {
		cfg.Publish = everyCodec
	}
	if cfg.Subscribe == nil {
		cfg.Subscribe = everyCodec
	}
	return &Client{cfg: cfg, rng: rng, used: map[uint32]bool{}, session: rng.Uint64() >> 2}
}

func (c *Client) add(s clientSection) string {
	s.mid = strconv.Itoa(c.mids)
	c.mids++
	c.sections = append(c.sections, s)
	return s.mid
}

// AddReceive adds sections to receive into, for the next offer (SectionsNeeded).
func (c *Client) AddReceive(audios, videos int) {
	for range audios {
		c.add(clientSection{kind: sfu.Audio})
	}
	for range videos {
		c.add(clientSection{kind: sfu.Video})
	}
}

// Publish adds a publication, for the next offer; its mid is returned.
func (c *Client) Publish(p Publishing) string {
	if p.Stream == "" {
		p.Stream = p.CID
	}
	s := clientSection{kind: p.Kind, pub: &p}
	for i := range max(1, len(p.RIDs)) {
		l := Stream{SSRC: drawSSRC(c.rng.Uint64, c.used)}
		if p.Kind == sfu.Video {
			l.RTX = drawSSRC(c.rng.Uint64, c.used)
		}
		if len(p.RIDs) > 0 {
			l.RID = p.RIDs[i]
		}
		s.layers = append(s.layers, l)
	}
	return c.add(s)
}

// Unpublish makes the section of a publication inactive in the next offer.
func (c *Client) Unpublish(cid string) {
	for i := range c.sections {
		if s := &c.sections[i]; s.pub != nil && s.pub.CID == cid {
			s.off = true
		}
	}
}

// Offer writes the client's offer as livekit-client makes it: sections in the order they were added, data channels behind
// those of the first offer. Mids of the result is what the offer's message says: mid → CID.
func (c *Client) Offer(l Local) (Result, error) {
	if c.cfg.Data && !slices.ContainsFunc(c.sections, func(s clientSection) bool { return s.data }) {
		c.add(clientSection{data: true})
	}
	if len(c.sections) == 0 {
		return Result{}, fmt.Errorf("offer: %w", ErrEmpty)
	}
	w := newWriter(c.session, c.version, l, ActPass, true)
	r := Result{Mids: map[string]string{}}
	for i := range c.sections {
		s := &c.sections[i]
		switch {
		case s.data:
			w.data(s.mid, sctpProtos, 262144) // what browsers say
		case s.pub != nil:
			r.Mids[s.mid] = s.pub.CID
			c.offerPublication(w, s)
		default:
			c.offerReceive(w, s)
		}
	}
	r.SDP = w.text()
	c.version++
	c.offered = true
	return r, nil
}

const (
	clientAudioFeedback = TransportCC // Chromium offers to receive no repairs of audio; offered them, livekit-client takes them
	clientVideoFeedback = REMB | TransportCC | FIR | NACK | PLI
)

func clientFormats(kind sfu.Kind, first, codecs []sfu.Codec) []Format {
	codecs = slices.DeleteFunc(prefer(first, codecs), func(c sfu.Codec) bool { return c.Kind() != kind })
	if kind == sfu.Audio {
		return ownFormats(codecs, clientAudioFeedback)
	}
	return ownFormats(codecs, clientVideoFeedback)
}

func (c *Client) publishFormats(s *clientSection) []Format {
	if len(s.pub.Codecs) > 0 { // browsers are told by setCodecPreferences
		return clientFormats(s.kind, nil, s.pub.Codecs)
	}
	return clientFormats(s.kind, nil, c.cfg.Publish)
}

func publishIDs(kind sfu.Kind) Extensions { return ownIDs(upstreamURIs(kind, true)) }

func receiveIDs(sfu.Kind) Extensions {
	return ownIDs([]string{uriMid, uriAbsCaptureTime, uriDependency, uriPlayoutDelay, uriAbsSendTime, uriTransportCC})
}

func (c *Client) offerPublication(w *writer, s *clientSection) {
	formats := c.publishFormats(s)
	md := w.media(&media{name: s.kind.String(), protos: rtpProtos}, formats)
	w.transport(md, s.mid, setDirection(!s.off, false))
	w.rtcp(md, true)
	w.extensions(md, ownExtensions, publishIDs(s.kind))
	for _, f := range formats {
		w.format(md, f, nil, &Wanted{Stereo: s.pub.Stereo})
	}
	if s.off {
		return
	}
	send := Send{CNAME: s.pub.Stream, Stream: s.pub.Stream, Track: s.pub.CID, Layers: s.layers}
	if len(s.pub.RIDs) > 0 && !s.pub.Legacy {
		md.WithValueAttribute("msid", send.Stream+" "+send.Track)
		w.simulcast(md, s.pub.RIDs, "send")
		return
	}
	w.stream(md, &send)
}

func (c *Client) offerReceive(w *writer, s *clientSection) {
	formats := clientFormats(s.kind, nil, c.cfg.Subscribe)
	md := w.media(&media{name: s.kind.String(), protos: rtpProtos}, formats)
	w.transport(md, s.mid, setDirection(false, true))
	w.rtcp(md, true)
	w.extensions(md, ownExtensions, receiveIDs(s.kind))
	for _, f := range formats {
		w.format(md, f, nil, nil)
	}
}

// Accept reads the focus' answer. Sends are the publications agreed on (Track is the CID), Receives the subscriptions
// placed (Track is the publication id); Mids is empty: the answer's message has it.
func (c *Client) Accept(answer string) (Result, error) {
	if !c.offered {
		return Result{}, fmt.Errorf("accept: %w", ErrNoOffer)
	}
	d, err := parse(answer)
	if err != nil {
		return Result{}, fmt.Errorf("accept: %w", err)
	}
	expected := state{sections: make([]section, len(c.sections))}
	for i, s := range c.sections {
		expected.sections[i] = section{mid: s.mid, kind: s.kind, data: s.data}
	}
	if err := fitsOffer(d, &expected, ActPass); err != nil {
		return Result{}, fmt.Errorf("accept: %w", err)
	}
	r := Result{Remote: d.remote, Restart: (&state{remote: c.remote}).restarts(d)}
	for i := range d.media {
		m, s := &d.media[i], &c.sections[i]
		switch {
		case m.rejected || s.data || s.off:
		case s.pub != nil && m.receives:
			if send, ok := c.agreedSend(m, s); ok {
				r.Sends = append(r.Sends, send)
			}
		case s.pub == nil && m.sends:
			r.Receives = append(r.Receives, clientReceive(m, agreed(clientFormats(s.kind, nil, c.cfg.Subscribe), m), agreedExtensions(receiveIDs(s.kind), m)))
		}
	}
	c.remote, c.offered = d.remote, false
	return r, nil
}

func (c *Client) agreedSend(m *media, s *clientSection) (Send, bool) {
	out := Send{
		Mid: s.mid, Kind: s.kind, CNAME: s.pub.Stream, Stream: s.pub.Stream, Track: s.pub.CID,
		Formats: agreed(c.publishFormats(s), m), Extensions: agreedExtensions(publishIDs(s.kind), m),
	}
	for _, l := range s.layers { // layers the focus did not take are not sent (RFC 8853 section 5.3.3)
		if l.RID == "" || s.pub.Legacy || slices.Contains(m.ridsRecv, l.RID) {
			out.Layers = append(out.Layers, l)
		}
	}
	if len(out.Formats) == 0 {
		return out, false
	}
	if len(out.Layers) == 0 { // no simulcast: one stream without a rid (RFC 8853 section 5.3.2)
		out.Layers = []Stream{{SSRC: s.layers[0].SSRC, RTX: s.layers[0].RTX}}
	}
	out.SSRC, out.RTX = out.Layers[0].SSRC, out.Layers[0].RTX
	return out, true
}

func clientReceive(m *media, formats []Format, exts Extensions) Receive {
	return Receive{
		Mid: m.mid, Kind: m.kind, Publication: sfu.PublicationID(m.track), Stream: m.stream, Track: m.track,
		Formats: formats, Extensions: exts, Streams: m.streams,
	}
}

// Answer answers an offer of the focus (subscriber transport, dual mode): it receives whatever the focus sends.
func (c *Client) Answer(offer string, l Local) (Result, error) {
	d, err := parse(offer)
	if err != nil {
		return Result{}, fmt.Errorf("answer: %w", err)
	}
	if d.remote.Setup == ActiveSetup {
		return Result{}, fmt.Errorf("answer: %w: the focus wants to be the DTLS client", ErrTransport)
	}
	r := Result{Remote: d.remote, Restart: (&state{remote: c.remote}).restarts(d), Mids: map[string]string{}}
	w := newWriter(c.session, c.version, l, ActiveSetup, d.mixed)
	for i := range d.media {
		m := &d.media[i]
		if m.data && !m.rejected {
			w.data(m.mid, m.protos, 262144)
			continue
		}
		formats := choose(m.formats, clientCodecs(m, c.cfg.Subscribe), clientVideoFeedback)
		if m.rejected || len(formats) == 0 {
			w.reject(m)
			continue
		}
		exts := agreedExtensions(offeredIDs(m), m)
		md := w.media(m, formats)
		w.transport(md, m.mid, setDirection(false, m.sends))
		w.rtcp(md, m.rsize)
		w.extensions(md, m.exts, exts)
		for _, f := range formats {
			w.format(md, f, nil, nil)
		}
		if m.sends {
			r.Mids[m.mid] = m.track
			r.Receives = append(r.Receives, clientReceive(m, formats, exts))
		}
	}
	if len(w.group) == 0 {
		return Result{}, fmt.Errorf("answer: %w: no section has a codec of ours", ErrTransport)
	}
	r.SDP = w.text()
	c.remote = d.remote
	c.version++
	return r, nil
}

// clientCodecs is the codecs of an offered section that the client knows, in the offer's order.
func clientCodecs(m *media, known []sfu.Codec) []sfu.Codec {
	var first []sfu.Codec
	for _, f := range m.formats {
		first = append(first, f.codec)
	}
	return slices.DeleteFunc(prefer(first, known), func(c sfu.Codec) bool { return !slices.Contains(first, c) })
}

// offeredIDs is every extension of a section that we know.
func offeredIDs(m *media) (out Extensions) {
	for _, e := range m.exts {
		if id := out.slot(e.uri); id != nil {
			*id = e.id
		}
	}
	return out
}
