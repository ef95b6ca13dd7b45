package negotiate

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"weir/sfu"
)

var known = []error{ErrTooLarge, ErrSyntax, ErrNoBundle, ErrMid, ErrTransport, ErrPayload, ErrMismatch, ErrNoOffer, ErrEmpty}

func isKnown(err error) bool {
	return slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) })
}

// Whatever the offer: an error with a name, or an answer with the sections of the offer in their order, that reads back,
// and that has payload types, extension ids and rids of the offer only (RFC 3264 section 6).
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"chromium-single-join", "chromium-single-publish", "chromium-dual-publish", "chromium-sendrecv", "chromium-dual-answer"} {
		f.Add(captured(f, name))
	}
	f.Add(strings.ReplaceAll(firefoxOffer, "\n", "\r\n"))
	f.Fuzz(func(t *testing.T, offer string) {
		p := NewPeer(Config{})
		pending := []Pending{
			{Publication: "TR_1", CID: "cam", Kind: sfu.Video, Codecs: []sfu.Codec{sfu.VP9}},
			{Publication: "TR_2", CID: "mic", Kind: sfu.Audio},
		}
		wanted := []Wanted{audioWanted("a"), videoWanted("b", sfu.VP8), videoWanted("c", sfu.AV1), videoWanted("d")}
		r, err := p.Answer(Offer{SDP: offer}, focusSide(), pending, wanted)
		if err != nil {
			if !isKnown(err) {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		checkAnswer(t, offer, r.SDP)
		if _, err := parse(r.SDP); err != nil {
			t.Fatalf("the answer does not read back: %v\n%s", err, r.SDP)
		}
		if len(r.Mids) != len(r.Sends) {
			t.Fatalf("%d mids, %d sends", len(r.Mids), len(r.Sends))
		}
		again, err := p.Answer(Offer{SDP: offer}, focusSide(), nil, wanted)
		if err != nil || again.Restart || len(again.Bound) != 0 || len(again.Receives) != len(r.Receives) || len(again.Sends) != len(r.Sends) {
			t.Fatalf("the same offer again: %v, %+v", err, again)
		}
	})
}

func checkAnswer(t *testing.T, offer, answer string) {
	t.Helper()
	var o, a sdp.SessionDescription
	if err := o.UnmarshalString(offer); err != nil {
		t.Fatal(err)
	}
	if err := a.UnmarshalString(answer); err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	if len(o.MediaDescriptions) != len(a.MediaDescriptions) {
		t.Fatalf("%d sections, not %d", len(a.MediaDescriptions), len(o.MediaDescriptions))
	}
	for i, theirs := range o.MediaDescriptions {
		ours := a.MediaDescriptions[i]
		mid, _ := theirs.Attribute("mid")
		if got, _ := ours.Attribute("mid"); got != mid || theirs.MediaName.Media != ours.MediaName.Media {
			t.Fatalf("section %d is %q, not %q", i, got, mid)
		}
		for _, pt := range ours.MediaName.Formats {
			if !slices.Contains(theirs.MediaName.Formats, pt) {
				t.Fatalf("section %q has payload type %s of its own", mid, pt)
			}
		}
		for _, attribute := range ours.Attributes {
			first, _, _ := strings.Cut(attribute.Value, " ")
			switch attribute.Key {
			case "extmap", "rid":
				if !slices.ContainsFunc(theirs.Attributes, func(b sdp.Attribute) bool {
					have := strings.FieldsFunc(b.Value, func(r rune) bool { return r == ' ' || r == '/' || r == '\t' })
					return b.Key == attribute.Key && len(have) > 0 && strings.TrimLeft(have[0], "+0") == strings.TrimLeft(first, "0")
				}) {
					t.Fatalf("section %q has %s:%s of its own", mid, attribute.Key, attribute.Value)
				}
			case "rtpmap", "fmtp", "rtcp-fb":
				if !slices.Contains(ours.MediaName.Formats, first) {
					t.Fatalf("section %q describes payload type %s that it does not list", mid, first)
				}
			}
		}
	}
}

// Whatever the answer: an error with a name that leaves the offer open, or sends of wanted publications only, with payload
// types that were offered.
func FuzzAccept(f *testing.F) {
	f.Add(captured(f, "chromium-dual-answer"))
	f.Fuzz(func(t *testing.T, answer string) {
		p := NewPeer(Config{Data: true})
		wanted := []Wanted{
			audioWanted("1"), videoWanted("1", sfu.VP8), videoWanted("2", sfu.H264), videoWanted("3", sfu.VP9), videoWanted("4", sfu.AV1), videoWanted("5", sfu.H265),
		}
		if _, err := p.Offer(focusSide(), wanted); err != nil {
			t.Fatal(err)
		}
		r, err := p.Accept(answer)
		if err != nil {
			if !isKnown(err) || p.offered == nil {
				t.Fatalf("error %v, offer %v", err, p.offered)
			}
			return
		}
		for _, s := range r.Sends {
			i := slices.IndexFunc(wanted, func(w Wanted) bool { return w.Publication == s.Publication })
			if i < 0 || len(s.Formats) == 0 {
				t.Fatalf("send %+v", s)
			}
			for _, f := range s.Formats {
				if !slices.ContainsFunc(table, func(o format) bool { return o.pt == f.PT && o.codec == f.Codec && (f.RTX == 0 || f.RTX == o.rtx) }) {
					t.Fatalf("format %+v was not offered", f)
				}
			}
		}
	})
}

// Whatever the focus offers, a bot answers with the same sections, or says what is wrong.
func FuzzClientAnswer(f *testing.F) {
	p := NewPeer(Config{Data: true})
	r, err := p.Offer(focusSide(), []Wanted{audioWanted("1"), videoWanted("1", sfu.VP8), videoWanted("2", sfu.H264)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.SDP)
	f.Add(captured(f, "chromium-sendrecv"))
	f.Add(strings.Replace(captured(f, "chromium-sendrecv"), " 114 ", " 0114 ", 1))
	f.Fuzz(func(t *testing.T, offer string) {
		r, err := NewClient(ClientConfig{}).Answer(offer, clientSide())
		if err != nil {
			if !isKnown(err) {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		checkAnswer(t, offer, r.SDP)
	})
}

// The same property for offers that are nearly right: real ones with lines dropped, doubled, moved and renumbered.
func FuzzAnswerLines(f *testing.F) {
	var samples []string
	for _, name := range []string{"chromium-single-publish", "chromium-dual-publish", "chromium-sendrecv"} {
		samples = append(samples, captured(f, name))
	}
	samples = append(samples, strings.ReplaceAll(firefoxOffer, "\n", "\r\n"))
	for i := range samples {
		f.Add(uint64(i), uint8(i), uint8(4*i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, which, changes uint8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		lines := strings.SplitAfter(samples[int(which)%len(samples)], "\n")
		for range changes % 32 {
			lines = disturb(rng, lines)
		}
		offer := strings.Join(lines, "")
		p := NewPeer(Config{})
		wanted := []Wanted{audioWanted("a"), videoWanted("b", sfu.VP8), videoWanted("c")}
		r, err := p.Answer(Offer{SDP: offer}, focusSide(), []Pending{{Publication: "TR_1", CID: "x", Kind: sfu.Video}}, wanted)
		if err != nil {
			if !isKnown(err) {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		checkAnswer(t, offer, r.SDP)
		for _, s := range r.Sends {
			if len(s.Formats) == 0 || s.SSRC == 0 || s.SSRC == s.RTX || r.Mids[s.Mid] != string(s.Publication) {
				t.Fatalf("send %+v", s)
			}
		}
		for _, b := range r.Bound {
			if !slices.ContainsFunc(r.Receives, func(r Receive) bool { return r.Mid == b.Mid && r.Publication == b.Publication }) {
				t.Fatalf("bound %+v, but receives %+v", b, r.Receives)
			}
		}
	})
}

// disturb makes one change that keeps the lines lines.
func disturb(rng *rand.Rand, lines []string) []string {
	i, j := rng.IntN(len(lines)), rng.IntN(len(lines))
	switch rng.IntN(6) {
	case 0:
		return slices.Delete(lines, i, i+1)
	case 1:
		return slices.Insert(lines, j, lines[i])
	case 2:
		lines[i], lines[j] = lines[j], lines[i]
	case 3: // another number
		if at := strings.IndexAny(lines[i], "0123456789"); at >= 0 {
			lines[i] = lines[i][:at] + strconv.Itoa(rng.IntN(300)) + lines[i][at+1:]
		}
	case 4: // another direction
		names := []string{"sendrecv", "sendonly", "recvonly", "inactive"}
		if slices.Contains(names, strings.TrimSpace(strings.TrimPrefix(lines[i], "a="))) {
			lines[i] = "a=" + names[rng.IntN(len(names))] + "\r\n"
		}
	case 5: // the end of a value
		if at := strings.LastIndexAny(lines[i], " :;="); at > 1 {
			lines[i] = lines[i][:at+1] + "\r\n"
		}
	}
	if len(lines) < 2 {
		lines = append(lines, "", "")
	}
	return lines
}
