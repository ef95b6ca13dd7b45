package negotiate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"weir/sfu"
)

// format is an offered payload type.
type format struct {
	pt       uint8
	name     string // encoding name as written
	clock    uint32
	channels string
	fmtp     string
	feedback Feedback
	codec    sfu.Codec
	profile  uint8
	mode     uint8
	rtx      uint8 // the payload type of its retransmissions, 0: none
	apt      int   // of an RTX format; -1: none
}

// parseFormats reads rtpmap, fmtp and rtcp-fb lines of the payload types in the m-line.
func (m *media) parseFormats(md *sdp.MediaDescription) error {
	if len(m.fmts) > maxFormats {
		return fmt.Errorf("%w: %d payload types", ErrTooLarge, len(m.fmts))
	}
	at := make(map[uint8]int, len(m.fmts))
	for _, f := range m.fmts {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil || len(f) > 1 && f[0] == '0' { // an answer has to name it as the offer does
			return fmt.Errorf("%w: payload type %.16q", ErrSyntax, f)
		}
		if _, twice := at[uint8(pt)]; twice {
			return fmt.Errorf("%w: %d is listed twice", ErrPayload, pt)
		}
		at[uint8(pt)] = len(m.formats)
		m.formats = append(m.formats, staticFormat(uint8(pt)))
	}
	for _, a := range md.Attributes {
		if a.Key != "rtpmap" && a.Key != "fmtp" && a.Key != "rtcp-fb" {
			continue
		}
		number, value, _ := strings.Cut(a.Value, " ")
		value = strings.TrimSpace(value)
		if a.Key == "rtcp-fb" && number == "*" { // RFC 4585 section 4.2
			for i := range m.formats {
				m.formats[i].feedback |= feedbackOf(value)
			}
			continue
		}
		pt, err := strconv.ParseUint(number, 10, 7)
		if err != nil {
			continue
		}
		i, ok := at[uint8(pt)]
		if !ok {
			continue
		}
		f := &m.formats[i]
		switch a.Key {
		case "rtpmap":
			if f.name != "" && !f.isStatic() && !strings.EqualFold(f.rtpmap(), value) {
				return fmt.Errorf("%w: %d is %s and %.32s", ErrPayload, pt, f.rtpmap(), value)
			}
			f.setRTPMap(value)
		case "fmtp":
			f.fmtp = value
		case "rtcp-fb":
			f.feedback |= feedbackOf(value)
		}
	}
	m.classify(at)
	return nil
}

// staticFormat knows the payload types that need no rtpmap (RFC 3551 section 6).
func staticFormat(pt uint8) format {
	switch pt {
	case 0:
		return format{pt: pt, name: "PCMU", clock: 8000, apt: -1}
	case 8:
		return format{pt: pt, name: "PCMA", clock: 8000, apt: -1}
	}
	return format{pt: pt, apt: -1}
}

func (f *format) isStatic() bool { return f.pt == 0 || f.pt == 8 }

func (f *format) setRTPMap(value string) {
	parts := strings.SplitN(value, "/", 3)
	f.name, f.clock, f.channels = parts[0], 0, ""
	if len(parts) > 1 {
		clock, err := strconv.ParseUint(parts[1], 10, 32)
		if err == nil {
			f.clock = uint32(clock)
		}
	}
	if len(parts) > 2 {
		f.channels = parts[2]
	}
}

func (f *format) rtpmap() string {
	s := f.name + "/" + strconv.FormatUint(uint64(f.clock), 10)
	if f.channels != "" {
		s += "/" + f.channels
	}
	return s
}

// classify finds out which codecs the formats are, and joins them with their retransmission formats.
func (m *media) classify(at map[uint8]int) {
	for i := range m.formats {
		f := &m.formats[i]
		if strings.EqualFold(f.name, "rtx") { // RFC 4588 section 8.6
			apt, err := strconv.ParseUint(parameter(f.fmtp, "apt"), 10, 7)
			if j, ok := at[uint8(apt)]; err == nil && ok && j != i && m.formats[j].rtx == 0 && f.pt != 0 {
				f.apt, m.formats[j].rtx = int(apt), f.pt
			}
			continue
		}
		c := sfu.ParseCodec(f.name)
		if c == sfu.NoCodec || c.Kind() != m.kind || c.ClockRate() != f.clock {
			continue
		}
		var ok bool
		if f.profile, f.mode, ok = profile(c, f.fmtp); ok {
			f.codec = c
		}
	}
	for i := range m.formats { // RFC 2198 section 5: RED is of use only around a format that is offered too
		f := &m.formats[i]
		if f.codec != sfu.RED {
			continue
		}
		inner, _, _ := strings.Cut(f.fmtp, "/")
		pt, err := strconv.ParseUint(inner, 10, 7)
		if j, ok := at[uint8(pt)]; f.fmtp != "" && (err != nil || !ok || m.formats[j].codec != sfu.Opus) {
			f.codec = sfu.NoCodec
		}
	}
}

// parameter finds key=value in an fmtp line.
func parameter(fmtp, key string) string {
	for item := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(item), "=")
		if strings.EqualFold(k, key) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// checkPayloadTypes refuses a payload type that means two things within the BUNDLE group (RFC 9143 section 9.1).
func checkPayloadTypes(all []media) error {
	meaning := map[uint8]string{}
	for i := range all {
		if all[i].rejected {
			continue
		}
		for _, f := range all[i].formats {
			if f.name == "" {
				continue
			}
			now := strings.ToLower(f.rtpmap())
			if f.apt >= 0 {
				now += " of " + strconv.Itoa(f.apt)
			}
			if was, ok := meaning[f.pt]; ok && was != now {
				return fmt.Errorf("%w: %d is %.40s and %.40s", ErrPayload, f.pt, was, now)
			}
			meaning[f.pt] = now
		}
	}
	return nil
}

// feedbackOf is the kind an rtcp-fb line names, 0 if we have no use for it.
func feedbackOf(line string) Feedback {
	for _, row := range feedbackLines {
		if line == row.line {
			return row.bit
		}
	}
	return 0
}

var feedbackLines = []struct {
	bit  Feedback
	line string
}{{REMB, "goog-remb"}, {TransportCC, "transport-cc"}, {FIR, "ccm fir"}, {NACK, "nack"}, {PLI, "nack pli"}}

// choose keeps the offered formats of the wanted codecs, in the order of the codecs and of our preference of profiles.
func choose(offered []format, codecs []sfu.Codec, allowed Feedback) []Format {
	var out []Format
	for _, c := range codecs {
		from := len(out)
		for _, f := range offered {
			if f.codec == c {
				out = append(out, Format{Codec: c, PT: f.pt, RTX: f.rtx, FMTP: f.fmtp, Profile: f.profile, Mode: f.mode, Feedback: f.feedback & allowed})
			}
		}
		slices.SortStableFunc(out[from:], func(a, b Format) int { return rank(b) - rank(a) })
	}
	return out
}
