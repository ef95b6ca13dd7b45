package negotiate

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"weir/sfu"
)

// writer builds one description of ours.
type writer struct {
	sdp   sdp.SessionDescription
	local Local
	setup Setup
	group []string
	mixed bool
}

func newWriter(session, version uint64, l Local, setup Setup, mixed bool) *writer {
	return &writer{
		local: l, setup: setup, mixed: mixed,
		sdp: sdp.SessionDescription{
			Origin:           sdp.Origin{Username: "-", SessionID: session, SessionVersion: version, NetworkType: "IN", AddressType: "IP4", UnicastAddress: "0.0.0.0"},
			SessionName:      "-",
			TimeDescriptions: []sdp.TimeDescription{{}},
		},
	}
}

// text is the description: session lines last, for the group is known only then.
func (w *writer) text() string {
	s := &w.sdp
	if len(w.group) > 0 {
		s.WithValueAttribute("group", "BUNDLE "+strings.Join(w.group, " "))
	}
	if w.local.Lite {
		s.WithPropertyAttribute("ice-lite") // RFC 8839 section 5.3
	}
	s.WithValueAttribute("ice-options", "trickle") // RFC 8840 section 4.1.1
	if w.mixed {
		s.WithPropertyAttribute("extmap-allow-mixed") // RFC 8285 section 6
	}
	s.WithValueAttribute("msid-semantic", "WMS *")
	b, err := s.Marshal()
	if err != nil {
		panic("negotiate: a description built in memory did not marshal: " + err.Error())
	}
	return string(b)
}

func (w *writer) add(name string, protos, formats []string, port int) *sdp.MediaDescription {
	md := &sdp.MediaDescription{
		MediaName:             sdp.MediaName{Media: name, Port: sdp.RangedPort{Value: port}, Protos: protos, Formats: formats},
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}},
	}
	w.sdp.MediaDescriptions = append(w.sdp.MediaDescriptions, md)
	return md
}

// reject refuses an offered section (RFC 3264 section 6): port 0, and any of the offered formats.
func (w *writer) reject(m *media) {
	formats := m.fmts
	if len(formats) > 1 {
		formats = formats[:1]
	}
	md := w.add(m.name, m.protos, formats, 0)
	md.WithValueAttribute("mid", m.mid)
	md.WithPropertyAttribute("inactive")
}

// transport writes ICE and DTLS lines, the mid and the direction. Browsers want them in every section; candidates stand
// in the first one only.
func (w *writer) transport(md *sdp.MediaDescription, mid, direction string) {
	first := len(w.group) == 0
	w.group = append(w.group, mid)
	md.WithICECredentials(w.local.Ufrag, w.local.Pwd)
	md.WithValueAttribute("fingerprint", w.local.Fingerprint)
	md.WithValueAttribute("setup", w.setup.String())
	md.WithValueAttribute("mid", mid)
	if direction != "" {
		md.WithPropertyAttribute(direction)
	}
	if !first {
		return
	}
	for _, c := range w.local.Candidates {
		md.WithValueAttribute("candidate", strings.TrimPrefix(c, "candidate:"))
	}
	if w.local.EndOfCandidates {
		md.WithPropertyAttribute("end-of-candidates")
	}
}

// data writes a data channel section (RFC 8841).
func (w *writer) data(mid string, protos []string, maxMessage uint32) {
	md := w.add("application", protos, []string{"webrtc-datachannel"}, 9)
	w.transport(md, mid, "")
	md.WithValueAttribute("sctp-port", "5000")
	md.WithValueAttribute("max-message-size", strconv.FormatUint(uint64(maxMessage), 10))
}

// media begins an audio or video section that answers m.
func (w *writer) media(m *media, formats []Format) *sdp.MediaDescription {
	return w.add(m.name, m.protos, payloadTypes(formats), 9)
}

func payloadTypes(formats []Format) []string {
	out := make([]string, 0, 2*len(formats))
	for _, f := range formats {
		out = append(out, strconv.Itoa(int(f.PT)))
		if f.RTX != 0 {
			out = append(out, strconv.Itoa(int(f.RTX)))
		}
	}
	return out
}

func (w *writer) rtcp(md *sdp.MediaDescription, rsize bool) {
	md.WithPropertyAttribute("rtcp-mux") // RFC 5761; BUNDLE needs it
	if rsize {
		md.WithPropertyAttribute("rtcp-rsize") // RFC 5506
	}
}

// extensions writes the extmap lines of what both sides use, in the order offered.
func (w *writer) extensions(md *sdp.MediaDescription, offered []extension, used Extensions) {
	for _, e := range offered {
		if id := used.slot(e.uri); id != nil && *id == e.id {
			md.WithValueAttribute("extmap", strconv.Itoa(int(e.id))+" "+e.uri)
		}
	}
}

// format writes rtpmap, feedback, fmtp and retransmissions of one payload type.
func (w *writer) format(md *sdp.MediaDescription, f Format, receives *Pending, sends *Wanted) {
	pt := strconv.Itoa(int(f.PT))
	md.WithValueAttribute("rtpmap", pt+" "+rtpmapOf(f.Codec))
	for _, row := range feedbackLines {
		if f.Feedback.Has(row.bit) {
			md.WithValueAttribute("rtcp-fb", pt+" "+row.line)
		}
	}
	if line := fmtpLine(f, receives, sends); line != "" {
		md.WithValueAttribute("fmtp", pt+" "+line)
	}
	if f.RTX != 0 {
		rtx := strconv.Itoa(int(f.RTX))
		md.WithValueAttribute("rtpmap", rtx+" rtx/90000")
		md.WithValueAttribute("fmtp", rtx+" apt="+pt)
	}
}

func rtpmapOf(c sfu.Codec) string {
	_, name, _ := strings.Cut(c.Mime(), "/")
	name += "/" + strconv.FormatUint(uint64(c.ClockRate()), 10)
	if c == sfu.Opus || c == sfu.RED {
		name += "/2" // RFC 7587 section 7: always two channels
	}
	return name
}

// simulcast writes rid and simulcast lines in one direction (RFC 8853 section 5.3).
func (w *writer) simulcast(md *sdp.MediaDescription, rids []string, way string) {
	for _, rid := range rids {
		md.WithValueAttribute("rid", rid+" "+way)
	}
	if len(rids) > 0 {
		md.WithValueAttribute("simulcast", way+" "+strings.Join(rids, ";"))
	}
}

// stream writes msid and SSRCs of what we send.
func (w *writer) stream(md *sdp.MediaDescription, s *Send) {
	md.WithValueAttribute("msid", orNone(s.Stream)+" "+s.Track)
	var ssrcs []uint32
	streams := s.Layers
	if len(streams) == 0 {
		streams = []Stream{{SSRC: s.SSRC, RTX: s.RTX}}
	}
	if len(streams) > 1 {
		group := "SIM"
		for _, l := range streams {
			group += " " + strconv.FormatUint(uint64(l.SSRC), 10)
		}
		md.WithValueAttribute("ssrc-group", group)
	}
	for _, l := range streams {
		ssrcs = append(ssrcs, l.SSRC)
		if l.RTX != 0 {
			md.WithValueAttribute("ssrc-group", "FID "+strconv.FormatUint(uint64(l.SSRC), 10)+" "+strconv.FormatUint(uint64(l.RTX), 10))
			ssrcs = append(ssrcs, l.RTX)
		}
	}
	for _, ssrc := range slices.Compact(ssrcs) {
		md.WithValueAttribute("ssrc", strconv.FormatUint(uint64(ssrc), 10)+" cname:"+s.CNAME)
	}
}

func orNone(stream string) string {
	if stream == "" {
		return "-"
	}
	return stream
}
