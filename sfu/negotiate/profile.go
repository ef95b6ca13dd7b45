package negotiate

import (
	"strconv"

	"weir/sfu"
)

// H264 profile classes (RFC 6184 table 5), in the order in which a decoder of one decodes those before it.
const (
	H264ConstrainedBaseline uint8 = iota
	H264Baseline
	H264Main
	H264ConstrainedHigh
	H264High
)

// profile reads the profile of a format; false: one that we do not forward.
func profile(c sfu.Codec, fmtp string) (class, mode uint8, ok bool) {
	switch c {
	case sfu.VP9: // RFC 9628 section 7: profile-id, 0 if absent; others need more than 8 bit 4:2:0
		id := parameter(fmtp, "profile-id")
		return 0, 0, id == "" || id == "0"
	case sfu.AV1: // AV1 RTP section 7.2: profile, 0 (main) if absent
		id := parameter(fmtp, "profile")
		return 0, 0, id == "" || id == "0"
	case sfu.H265: // RFC 7798 section 7.1: profile-id, 1 (main) if absent; tx-mode must be single stream
		id, tx := parameter(fmtp, "profile-id"), parameter(fmtp, "tx-mode")
		return 0, 0, (id == "" || id == "1") && (tx == "" || tx == "SRST")
	case sfu.H264:
		switch parameter(fmtp, "packetization-mode") { // RFC 6184 section 8.1: 0 if absent; 2 is interleaved
		case "", "0":
		case "1":
			mode = 1
		default:
			return 0, 0, false
		}
		class, ok = h264Class(parameter(fmtp, "profile-level-id"))
		return class, mode, ok
	}
	return 0, 0, true
}

// h264Class reads profile_idc and profile-iop of a profile-level-id (RFC 6184 table 5).
func h264Class(id string) (class uint8, ok bool) {
	if id == "" {
		return H264Baseline, true // RFC 6184 section 8.1
	}
	v, err := strconv.ParseUint(id, 16, 24)
	if err != nil || len(id) != 6 {
		return 0, false
	}
	idc, iop := uint8(v>>16), uint8(v>>8)
	for _, row := range []struct{ idc, mask, value, class uint8 }{
		{0x42, 0x4f, 0x40, H264ConstrainedBaseline},
		{0x4d, 0x8f, 0x80, H264ConstrainedBaseline},
		{0x58, 0xcf, 0xc0, H264ConstrainedBaseline},
		{0x42, 0x4f, 0x00, H264Baseline},
		{0x58, 0xcf, 0x80, H264Baseline},
		{0x4d, 0xaf, 0x00, H264Main},
		{0x64, 0xff, 0x0c, H264ConstrainedHigh},
		{0x64, 0xff, 0x00, H264High},
	} {
		if idc == row.idc && iop&row.mask == row.value {
			return row.class, true
		}
	}
	return 0, false
}

// rank orders formats of one codec: what every receiver decodes first.
func rank(f Format) int { return 16*int(f.Mode) - int(f.Profile) }

// matchFormat is Send.Format.
func matchFormat(out []Format, in Format) (best Format, ok bool) {
	score := -1
	for _, f := range out {
		if f.Codec != in.Codec {
			continue
		}
		now := 0
		switch {
		case f.Codec != sfu.H264:
			if f.Profile != in.Profile {
				continue
			}
		case f.Profile == in.Profile:
			now = 2
		case f.Profile > in.Profile || f.Profile == H264ConstrainedBaseline && in.Profile == H264Baseline:
			// nobody uses what baseline has beyond the constrained one (FMO, ASO)
			now = 1
		default:
			continue
		}
		now *= 2
		if f.Mode == in.Mode { // a depacketizer of either mode reads single NAL units; a fragment needs mode 1
			now++
		} else if f.Mode < in.Mode {
			continue
		}
		if now > score {
			best, score, ok = f, now, true
		}
	}
	return best, ok
}
