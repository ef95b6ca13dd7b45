package negotiate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/sfu"
)

const testFingerprint = "sha-256 26:27:E9:1C:D8:C3:CC:55:8A:E5:A8:E9:D5:95:46:FA:DE:C1:00:4B:16:FA:56:81:54:DE:ED:25:F3:60:52:51"

func focusSide() Local {
	return Local{
		Ufrag: "focusfrag", Pwd: "focuspwdfocuspwdfocuspwd", Fingerprint: testFingerprint, Lite: true,
		Candidates: []string{"candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host"}, EndOfCandidates: true,
	}
}

func clientSide() Local {
	return Local{Ufrag: "botfrag", Pwd: "botpwdbotpwdbotpwdbotpwd", Fingerprint: testFingerprint}
}

// captured reads an SDP of Debian's Chromium 156.
func captured(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".sdp"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func audioWanted(n string) Wanted {
	return Wanted{Publisher: "PA_" + sfu.ParticipantID(n), Publication: "TR_A" + sfu.PublicationID(n), Kind: sfu.Audio, Codecs: []sfu.Codec{sfu.Opus}}
}

func videoWanted(n string, c ...sfu.Codec) Wanted {
	return Wanted{Publisher: "PA_" + sfu.ParticipantID(n), Publication: "TR_V" + sfu.PublicationID(n), Kind: sfu.Video, Codecs: c}
}

func mustAnswer(t testing.TB, p *Peer, offer string, pending []Pending, wanted []Wanted) Result {
	t.Helper()
	r, err := p.Answer(Offer{SDP: offer}, focusSide(), pending, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// section returns the lines of the section with a mid.
func sectionOf(t testing.TB, sdp, mid string) []string {
	t.Helper()
	for _, part := range strings.Split(sdp, "\r\nm=")[1:] {
		lines := strings.Split(strings.TrimSuffix("m="+part, "\r\n"), "\r\n")
		if slices.Contains(lines, "a=mid:"+mid) {
			return lines
		}
	}
	t.Fatalf("no section %q in\n%s", mid, sdp)
	return nil
}

func wantLines(t testing.TB, sdp, mid string, lines ...string) {
	t.Helper()
	have := sectionOf(t, sdp, mid)
	for _, l := range lines {
		if !slices.Contains(have, l) {
			t.Errorf("section %s lacks %q:\n%s", mid, l, strings.Join(have, "\n"))
		}
	}
}

func publications(sends []Send) (out []sfu.PublicationID) {
	for _, s := range sends {
		out = append(out, s.Publication)
	}
	return out
}
