package negotiate

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"weir/sfu"
)

// description is a far side's offer or answer, read.
type description struct {
	remote Remote
	media  []media
	mixed  bool // a=extmap-allow-mixed
}

// media is one section of it. Directions are the writer's.
type media struct {
	name     string // as in the m-line
	protos   []string
	fmts     []string
	mid      string
	kind     sfu.Kind // 0: data or unknown
	data     bool
	rejected bool // port 0 without bundle-only, outside the BUNDLE group, or of a kind we do not speak
	sends    bool
	receives bool
	rsize    bool

	formats   []format
	exts      []extension
	rids      []string // of the simulcast line if there is one
	ridsRecv  []string
	stream    string
	track     string
	streams   []Stream
	sctpPort  uint16
	maxBytes  uint32
	hasStream bool
}

// parse reads a description and checks all that does not depend on the state of the negotiation.
func parse(text string) (*description, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(text))
	}
	var raw sdp.SessionDescription
	if err := raw.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if len(raw.MediaDescriptions) > maxSections {
		return nil, fmt.Errorf("%w: %d sections", ErrTooLarge, len(raw.MediaDescriptions))
	}
	group, err := bundle(&raw)
	if err != nil {
		return nil, err
	}
	d := &description{media: make([]media, 0, len(raw.MediaDescriptions))}
	_, d.mixed = raw.Attribute("extmap-allow-mixed")
	seen := make(map[string]bool, len(raw.MediaDescriptions))
	for i, md := range raw.MediaDescriptions {
		m, err := parseMedia(md, &raw)
		if err != nil {
			return nil, fmt.Errorf("section %d: %w", i, err)
		}
		if !isToken(m.mid) || seen[m.mid] {
			return nil, fmt.Errorf("section %d: %w: %q", i, ErrMid, m.mid)
		}
		seen[m.mid] = true
		if !group[m.mid] {
			m.rejected = true
		}
		if _, ok := md.Attribute("extmap-allow-mixed"); ok {
			d.mixed = true
		}
		d.media = append(d.media, m)
	}
	for mid := range group {
		if !seen[mid] {
			return nil, fmt.Errorf("%w: group names unknown section %q", ErrMid, mid)
		}
	}
	if err := checkPayloadTypes(d.media); err != nil {
		return nil, err
	}
	if err := d.parseTransport(&raw); err != nil {
		return nil, err
	}
	d.own()
	return d, nil
}

// own copies the strings that outlive the description: as parts of its text they would keep all of it in memory.
func (d *description) own() {
	clone := func(list ...*string) {
		for _, s := range list {
			*s = strings.Clone(*s)
		}
	}
	each := func(list []string) {
		for i := range list {
			clone(&list[i])
		}
	}
	clone(&d.remote.Ufrag, &d.remote.Pwd, &d.remote.Fingerprint)
	each(d.remote.Candidates)
	for i := range d.media {
		m := &d.media[i]
		clone(&m.mid, &m.stream, &m.track)
		each(m.rids)
		each(m.ridsRecv)
		for j := range m.streams {
			clone(&m.streams[j].RID)
		}
		for j := range m.formats {
			clone(&m.formats[j].fmtp)
		}
	}
}

// bundle is the set of mids in the BUNDLE group (RFC 9143 section 7). The focus has one transport per description, so
// a description without a group is of no use.
func bundle(raw *sdp.SessionDescription) (map[string]bool, error) {
	for _, a := range raw.Attributes {
		if a.Key != "group" {
			continue
		}
		fields := strings.Fields(a.Value)
		if len(fields) < 2 || fields[0] != "BUNDLE" {
			continue
		}
		group := make(map[string]bool, len(fields)-1)
		for _, mid := range fields[1:] {
			group[mid] = true
		}
		return group, nil
	}
	return nil, ErrNoBundle
}

// isToken reports whether a mid may be echoed and put into header extensions: a token (RFC 5888 section 4), and not
// longer than a one-byte header extension holds (RFC 8285 section 4.2).
func isToken(s string) bool {
	if s == "" || len(s) > 16 {
		return false
	}
	for _, r := range []byte(s) {
		if r <= ' ' || r >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]`, r) >= 0 {
			return false
		}
	}
	return true
}

func parseMedia(md *sdp.MediaDescription, raw *sdp.SessionDescription) (media, error) {
	m := media{
		name:   md.MediaName.Media,
		protos: md.MediaName.Protos,
		fmts:   md.MediaName.Formats,
	}
	m.mid, _ = md.Attribute("mid")
	_, bundleOnly := md.Attribute("bundle-only")
	m.rejected = md.MediaName.Port.Value == 0 && !bundleOnly
	_, m.rsize = md.Attribute("rtcp-rsize")
	proto := strings.Join(m.protos, "/")
	switch {
	case m.name == "audio" && isRTP(proto):
		m.kind = sfu.Audio
	case m.name == "video" && isRTP(proto):
		m.kind = sfu.Video
	case m.name == "application" && strings.HasSuffix(proto, "/DTLS/SCTP") && slices.Equal(m.fmts, []string{"webrtc-datachannel"}):
		m.data = true
		m.parseData(md)
		return m, nil
	default:
		m.rejected = true
		return m, nil
	}
	m.sends, m.receives = direction(md, raw)
	if err := m.parseFormats(md); err != nil {
		return m, err
	}
	m.parseExtensions(md)
	m.parseStreams(md)
	m.parseSimulcast(md)
	return m, nil
}

func isRTP(proto string) bool {
	return proto == "UDP/TLS/RTP/SAVPF" || proto == "TCP/TLS/RTP/SAVPF" || proto == "RTP/SAVPF"
}

// direction of a section; sendrecv if nothing is said (RFC 8866 section 6.7).
func direction(md *sdp.MediaDescription, raw *sdp.SessionDescription) (sends, receives bool) {
	for _, attributes := range [][]sdp.Attribute{md.Attributes, raw.Attributes} {
		for _, a := range attributes {
			switch a.Key {
			case "sendrecv":
				return true, true
			case "sendonly":
				return true, false
			case "recvonly":
				return false, true
			case "inactive":
				return false, false
			}
		}
	}
	return true, true
}

// parseData reads a data channel section (RFC 8841).
func (m *media) parseData(md *sdp.MediaDescription) {
	m.sctpPort, m.maxBytes = 5000, 65536 // RFC 8841 section 6.1: 64 KiB if not said
	if v, ok := md.Attribute("sctp-port"); ok {
		if port, err := strconv.ParseUint(v, 10, 16); err == nil && port != 0 {
			m.sctpPort = uint16(port)
		} else {
			m.rejected = true
		}
	}
	if v, ok := md.Attribute("max-message-size"); ok {
		if n, err := strconv.ParseUint(v, 10, 64); err == nil {
			m.maxBytes = uint32(min(n, math.MaxUint32)) //nolint:gosec // bounded on the line
			if n == 0 {
				m.maxBytes = math.MaxUint32
			}
		}
	}
}

// parseExtensions keeps the extensions with ids that fit one-byte headers: two-byte ones cost a byte in every packet.
func (m *media) parseExtensions(md *sdp.MediaDescription) {
	for _, a := range md.Attributes {
		if a.Key != "extmap" {
			continue
		}
		fields := strings.Fields(a.Value)
		if len(fields) < 2 {
			continue
		}
		number, way, _ := strings.Cut(fields[0], "/")
		id, err := strconv.ParseUint(number, 10, 8)
		if err != nil || id < 1 || id > 14 { // RFC 8285 section 4.2: 15 is reserved
			continue
		}
		used := slices.ContainsFunc(m.exts, func(e extension) bool { return e.id == uint8(id) || e.uri == fields[1] })
		if used {
			continue // RFC 8285 section 7: an id has one meaning; the first counts
		}
		m.exts = append(m.exts, extension{id: uint8(id), uri: fields[1], sends: way != "recvonly" && way != "inactive", receives: way != "sendonly" && way != "inactive"})
	}
}

// parseStreams reads msid (RFC 8830) and SSRCs (RFC 5576).
func (m *media) parseStreams(md *sdp.MediaDescription) {
	var order, simulcast []uint32
	rtx, isRTX := map[uint32]uint32{}, map[uint32]bool{}
	for _, a := range md.Attributes {
		if a.Key != "msid" && a.Key != "ssrc" && a.Key != "ssrc-group" {
			continue
		}
		fields := strings.Fields(a.Value)
		switch {
		case a.Key == "msid" && len(fields) > 0 && !m.hasStream:
			m.setStream(fields)
		case a.Key == "ssrc" && len(fields) > 0:
			if ssrc, ok := parseSSRC(fields[0]); ok && !slices.Contains(order, ssrc) && len(order) < maxStreams {
				order = append(order, ssrc)
			}
			if len(fields) > 1 && strings.HasPrefix(fields[1], "msid:") && !m.hasStream {
				fields[1] = strings.TrimPrefix(fields[1], "msid:")
				m.setStream(fields[1:])
			}
		case a.Key == "ssrc-group" && len(fields) == 3 && fields[0] == "FID": // RFC 5576 section 4.2, RFC 4588
			first, ok1 := parseSSRC(fields[1])
			second, ok2 := parseSSRC(fields[2])
			if ok1 && ok2 && first != second && len(rtx) < maxStreams {
				rtx[first], isRTX[second] = second, true
			}
		case a.Key == "ssrc-group" && len(fields) > 1 && fields[0] == "SIM" && simulcast == nil:
			for _, f := range fields[1:] {
				if ssrc, ok := parseSSRC(f); ok && !slices.Contains(simulcast, ssrc) && len(simulcast) < maxRIDs {
					simulcast = append(simulcast, ssrc)
				}
			}
		}
	}
	if simulcast != nil {
		order = simulcast
	}
	for _, ssrc := range order {
		if !isRTX[ssrc] {
			m.streams = append(m.streams, Stream{SSRC: ssrc, RTX: rtx[ssrc]})
		}
	}
}

func (m *media) setStream(fields []string) {
	m.hasStream = true
	if fields[0] != "-" { // RFC 8830 section 2: no stream
		m.stream = fields[0]
	}
	if len(fields) > 1 {
		m.track = fields[1]
	}
}

func parseSSRC(s string) (uint32, bool) {
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err == nil && v != 0
}

// parseSimulcast reads rid and simulcast lines (RFC 8851, RFC 8853). Of alternatives the first counts; pause marks do not.
func (m *media) parseSimulcast(md *sdp.MediaDescription) {
	var lists [2][]string // send, recv
	for _, a := range md.Attributes {
		if a.Key != "rid" {
			continue
		}
		fields := strings.Fields(a.Value)
		if len(fields) < 2 || !isRID(fields[0]) {
			continue
		}
		if i := way(fields[1]); i >= 0 && !slices.Contains(lists[i], fields[0]) && len(lists[i]) < maxStreams {
			lists[i] = append(lists[i], fields[0])
		}
	}
	if line, ok := md.Attribute("simulcast"); ok {
		fields := strings.Fields(line)
		for k := 0; k+1 < len(fields); k += 2 {
			i := way(fields[k])
			if i < 0 {
				break
			}
			lists[i] = simulcastOrder(fields[k+1], lists[i])
		}
	}
	m.rids, m.ridsRecv = lists[0], lists[1]
	if len(m.rids) == len(m.streams) { // some clients tell both, in one order; the RID in the packets has the last word
		for i := range m.streams {
			m.streams[i].RID = m.rids[i]
		}
	}
}

func simulcastOrder(line string, known []string) []string {
	var order []string
	for item := range strings.SplitSeq(line, ";") {
		for rid := range strings.SplitSeq(item, ",") {
			rid = strings.TrimPrefix(rid, "~")
			if slices.Contains(known, rid) && !slices.Contains(order, rid) {
				order = append(order, rid)
				break
			}
		}
	}
	return order
}

func way(s string) int { return slices.Index([]string{"send", "recv"}, s) }

// isRID: letters and digits (RFC 8852 section 3.2 as corrected by its errata; "-" and "_" are used too), short enough for
// a one-byte header extension.
func isRID(s string) bool {
	if s == "" || len(s) > 16 {
		return false
	}
	for _, r := range []byte(s) {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
