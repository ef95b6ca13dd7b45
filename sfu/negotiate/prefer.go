package negotiate

import (
	"slices"
	"strings"

	"weir/sfu"
)

// upstream and downstream feedback (livekit.md section 8). An answer never has more than was offered (RFC 4585 section 4.2).

func (p *Peer) upstream(m *media) Feedback {
	if m.kind == sfu.Audio {
		return NACK
	}
	if offersTransportCC(m) {
		return TransportCC | FIR | NACK | PLI
	}
	return REMB | FIR | NACK | PLI
}

func offersTransportCC(m *media) bool {
	return slices.ContainsFunc(m.formats, func(f format) bool { return f.feedback.Has(TransportCC) })
}

func (p *Peer) downstream(kind sfu.Kind) Feedback {
	switch {
	case kind == sfu.Audio:
		return NACK
	case p.cfg.REMB:
		return REMB | FIR | NACK | PLI
	}
	return TransportCC | FIR | NACK | PLI
}

// receiveFormats are the formats of a section that we let the client send, best first. pending is nil if the section
// is not bound.
func (p *Peer) receiveFormats(m *media, pending *Pending) []Format {
	var first []sfu.Codec
	red := false
	if pending != nil {
		first = pending.Codecs
		red = !pending.DisableRED
		if m.kind == sfu.Audio && red && !slices.Contains(first, sfu.RED) {
			first = append([]sfu.Codec{sfu.RED}, first...)
		}
	}
	codecs := prefer(first, p.publish)
	if pending != nil && !red {
		codecs = slices.DeleteFunc(codecs, func(c sfu.Codec) bool { return c == sfu.RED })
	}
	out := choose(m.formats, codecs, p.upstream(m))
	if len(out) > 0 && out[0].Codec == sfu.RED {
		for i := range out { // RED repairs by itself
			out[i].Feedback &^= NACK
		}
	}
	if m.kind == sfu.Video && len(out) > 1 && oneVideoCodec(p.cfg.Software) {
		out = out[:1]
	}
	return out
}

// sendFormats are the formats of a section that we may send in, best first. w is nil if nothing is placed there.
func (p *Peer) sendFormats(m *media, w *Wanted) []Format {
	var first []sfu.Codec
	if w != nil {
		first = w.Codecs
	}
	out := choose(m.formats, prefer(first, p.send), p.downstream(m.kind))
	for i := range out {
		if out[i].Codec == sfu.RED {
			out[i].Feedback &^= NACK
		}
	}
	return out
}

// prefer puts those of first that are in allowed before the rest of allowed.
func prefer(first, allowed []sfu.Codec) []sfu.Codec {
	out := make([]sfu.Codec, 0, len(allowed))
	for _, list := range [][]sfu.Codec{first, allowed} {
		for _, c := range list {
			if slices.Contains(allowed, c) && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// fits tells whether a publication in these codecs (nil: unknown) can be sent in one of the formats.
func fits(codecs []sfu.Codec, formats []Format) bool {
	return slices.ContainsFunc(formats, func(f Format) bool {
		return len(codecs) == 0 || slices.Contains(codecs, f.Codec) || f.Codec == sfu.Opus && slices.Contains(codecs, sfu.RED)
	})
}

// fmtpLine is what we say of a format. What a client says of its own decoder (levels, x-google-…) is not echoed, but for
// the profile, which must be the same on both sides.
func fmtpLine(f Format, receives *Pending, sends *Wanted) string {
	switch f.Codec {
	case sfu.Opus:
		line := "minptime=10;useinbandfec=1" // RFC 7587 section 6.1
		if receives != nil && !receives.DisableDTX {
			line += ";usedtx=1"
		}
		if receives != nil && receives.Stereo {
			line += ";stereo=1;maxaveragebitrate=510000"
		}
		if sends != nil && sends.Stereo {
			line += ";sprop-stereo=1"
		}
		return line
	case sfu.RED:
		return f.FMTP
	case sfu.H264: // RFC 6184 section 8.2.2: profile and mode as offered, the level our own with asymmetry allowed
		id := parameter(f.FMTP, "profile-level-id")
		if id == "" {
			id = "42000a"
		}
		return "level-asymmetry-allowed=1;packetization-mode=" + string('0'+rune(f.Mode)) + ";profile-level-id=" + strings.ToLower(id)
	case sfu.VP9:
		return "profile-id=0"
	case sfu.AV1, sfu.H265:
		return keep(f.FMTP, "level-idx", "profile", "tier", "level-id", "profile-id", "tier-flag", "tx-mode")
	}
	return ""
}

// keep leaves the named parameters of an fmtp line.
func keep(fmtp string, names ...string) string {
	var out []string
	for item := range strings.SplitSeq(fmtp, ";") {
		item = strings.TrimSpace(item)
		name, _, _ := strings.Cut(item, "=")
		if slices.Contains(names, strings.ToLower(name)) {
			out = append(out, item)
		}
	}
	return strings.Join(out, ";")
}
