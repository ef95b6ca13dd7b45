package negotiate

import (
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// maxCandidates bounds what one description may make us check.
const maxCandidates = 64

// parseTransport reads ICE (RFC 8839), DTLS (RFC 8842) and SCTP of the one transport. In a BUNDLE group they stand in the
// first section of the group, or at session level; browsers repeat them in every section.
func (d *description) parseTransport(raw *sdp.SessionDescription) error {
	places := make([][]sdp.Attribute, 0, 2)
	for i := range d.media {
		m := &d.media[i]
		if m.rejected {
			continue
		}
		if len(places) == 0 {
			places = append(places, raw.MediaDescriptions[i].Attributes)
		}
		if m.data && !d.remote.Data {
			d.remote.Data, d.remote.SCTPPort, d.remote.MaxMessageSize = true, m.sctpPort, m.maxBytes
		}
	}
	if len(places) == 0 {
		return fmt.Errorf("%w: every section is rejected or unknown", ErrTransport)
	}
	places = append(places, raw.Attributes)
	r := &d.remote
	r.Ufrag, r.Pwd = lookup(places, "ice-ufrag"), lookup(places, "ice-pwd")
	if !isICE(r.Ufrag, 4) || !isICE(r.Pwd, 22) {
		return fmt.Errorf("%w: ICE credentials missing or malformed", ErrTransport)
	}
	if r.Fingerprint = fingerprint(places); r.Fingerprint == "" {
		return fmt.Errorf("%w: no fingerprint", ErrTransport)
	}
	switch s := lookup(places, "setup"); s {
	case "actpass":
		r.Setup = ActPass
	case "active":
		r.Setup = ActiveSetup
	case "passive":
		r.Setup = PassiveSetup
	case "":
	default:
		return fmt.Errorf("%w: setup:%.16s", ErrTransport, s)
	}
	for _, place := range places {
		for _, a := range place {
			switch a.Key {
			case "candidate":
				if len(r.Candidates) < maxCandidates {
					r.Candidates = append(r.Candidates, a.Value)
				}
			case "end-of-candidates":
				r.EndOfCandidates = true
			case "ice-lite":
				r.Lite = true
			}
		}
	}
	return nil
}

func lookup(places [][]sdp.Attribute, key string) string {
	for _, place := range places {
		for _, a := range place {
			if a.Key == key {
				return strings.TrimSpace(a.Value)
			}
		}
	}
	return ""
}

// fingerprint prefers SHA-256 among several (RFC 8122 section 5.1 wants the strongest both know).
func fingerprint(places [][]sdp.Attribute) (best string) {
	for _, place := range places {
		for _, a := range place {
			fields := strings.Fields(a.Value)
			if a.Key != "fingerprint" || len(fields) != 2 || strings.Trim(fields[1], "0123456789abcdefABCDEF:") != "" {
				continue
			}
			algorithm := strings.ToLower(fields[0])
			if best == "" || algorithm == "sha-256" {
				best = algorithm + " " + strings.ToUpper(fields[1])
			}
			if algorithm == "sha-256" {
				return best
			}
		}
		if best != "" {
			return best
		}
	}
	return best
}

// isICE checks ice-char and length of a ufrag or password (RFC 8839 section 5.4).
func isICE(s string, least int) bool {
	if len(s) < least || len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}
