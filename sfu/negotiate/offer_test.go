package negotiate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weir/sfu"
)

// round offers and lets a client answer.
func round(t *testing.T, p *Peer, c *Client, wanted ...Wanted) (offer, result Result) {
	t.Helper()
	offer, err := p.Offer(focusSide(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Answer(offer.SDP, clientSide())
	if err != nil {
		t.Fatalf("%v\n%s", err, offer.SDP)
	}
	result, err = p.Accept(a.SDP)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.SDP)
	}
	if len(a.Receives) != len(result.Sends) {
		t.Errorf("the client receives %d, we send %d", len(a.Receives), len(result.Sends))
	}
	return offer, result
}

func TestOfferReusesSections(t *testing.T) {
	p, c := NewPeer(Config{Data: true}), NewClient(ClientConfig{})
	o, r := round(t, p, c)
	if !r.Remote.Data || len(r.Sends) != 0 || r.Remote.Setup != ActiveSetup || !strings.Contains(o.SDP, "a=setup:actpass") {
		t.Errorf("data only: %+v", r)
	}
	_, r = round(t, p, c, audioWanted("a"), videoWanted("a", sfu.VP8), videoWanted("b", sfu.H264))
	if len(r.Sends) != 3 || r.Mids["1"] != "TR_Aa" || r.Mids["3"] != "TR_Vb" || r.Restart {
		t.Errorf("three: %+v", r)
	}
	for _, f := range r.Sends[2].Formats {
		if f.Codec != sfu.H264 || f.RTX == 0 || f.Profile == H264High {
			t.Errorf("format %+v", f)
		}
	}
	o, r = round(t, p, c, videoWanted("b", sfu.H264), videoWanted("c", sfu.VP9))
	if r.Mids["4"] != "TR_Vc" || r.Mids["3"] != "TR_Vb" || len(r.Mids) != 2 {
		t.Errorf("a section is not reused in the offer that frees it: %v", r.Mids)
	}
	wantLines(t, o.SDP, "2", "a=inactive")
	o, r = round(t, p, c, videoWanted("b", sfu.H264), videoWanted("c", sfu.VP9), videoWanted("d", sfu.AV1))
	if r.Mids["2"] != "" || r.Mids["5"] != "TR_Vd" || len(r.Sends) != 3 {
		t.Errorf("nor for another codec: %v", r.Mids)
	}
	wantLines(t, o.SDP, "5", "a=sendonly", "a=msid:PA_d|TR_Vd TR_Vd", "a=rtpmap:35 AV1/90000", "a=fmtp:36 apt=35")
	o, r = round(t, p, c, videoWanted("b", sfu.H264), videoWanted("c", sfu.VP9), videoWanted("e", sfu.VP8))
	if r.Mids["2"] != "TR_Ve" || len(r.Sends) != 3 {
		t.Errorf("but later, for the same: %v", r.Mids)
	}
	wantLines(t, o.SDP, "2", "a=sendonly", "a=msid:PA_e|TR_Ve TR_Ve", "a=rtpmap:96 VP8/90000")
}

func TestSafariGetsNewSections(t *testing.T) {
	p, c := NewPeer(Config{Software: sfu.Software{SDK: "js", Browser: "safari"}, Data: true}), NewClient(ClientConfig{})
	round(t, p, c, videoWanted("a", sfu.VP8))
	round(t, p, c)
	if _, r := round(t, p, c, videoWanted("b", sfu.VP8)); r.Mids["2"] != "TR_Vb" {
		t.Errorf("mids %v", r.Mids)
	}
}

func TestRefusedByAnswer(t *testing.T) {
	p, c := NewPeer(Config{Data: true}), NewClient(ClientConfig{Subscribe: []sfu.Codec{sfu.Opus, sfu.VP8}})
	_, r := round(t, p, c, videoWanted("a", sfu.H264), videoWanted("b", sfu.VP8))
	if !slices.Equal(r.Refused, []sfu.PublicationID{"TR_Va"}) || !slices.Equal(publications(r.Sends), []sfu.PublicationID{"TR_Vb"}) {
		t.Errorf("refused %v sends %v", r.Refused, publications(r.Sends))
	}
	o, r := round(t, p, c, videoWanted("b", sfu.VP8), videoWanted("c", sfu.VP8))
	if len(r.Sends) != 2 || r.Mids["1"] != "" {
		t.Errorf("after a refusal: %v", r.Mids)
	}
	wantLines(t, o.SDP, "1", "m=video 0 UDP/TLS/RTP/SAVPF 0")
}

func TestOfferReplacesUnanswered(t *testing.T) {
	p, c := NewPeer(Config{Data: true}), NewClient(ClientConfig{})
	if _, err := p.Accept("v=0"); !errors.Is(err, ErrNoOffer) {
		t.Errorf("an answer to nothing: %v", err)
	}
	if _, err := p.Offer(focusSide(), []Wanted{videoWanted("a", sfu.VP8)}); err != nil {
		t.Fatal(err)
	}
	_, r := round(t, p, c, videoWanted("b", sfu.VP8))
	if len(r.Mids) != 1 || r.Mids["2"] != "TR_Vb" {
		t.Errorf("mids %v", r.Mids)
	}
}

func TestAcceptRealAnswer(t *testing.T) {
	p := NewPeer(Config{Data: true})
	wanted := []Wanted{
		audioWanted("1"), videoWanted("1", sfu.VP8), videoWanted("2", sfu.H264), videoWanted("3", sfu.VP9), videoWanted("4", sfu.AV1), videoWanted("5", sfu.H265),
	}
	if _, err := p.Offer(focusSide(), wanted); err != nil {
		t.Fatal(err)
	}
	r, err := p.Accept(captured(t, "chromium-dual-answer"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Sends) != 5 || !slices.Equal(r.Refused, []sfu.PublicationID{"TR_V5"}) { // this build has no H265
		t.Errorf("sends %v refused %v", publications(r.Sends), r.Refused)
	}
	if s := r.Sends[1]; s.Formats[0].PT != 96 || s.Formats[0].RTX != 97 || !s.Formats[0].Feedback.Has(TransportCC|NACK|PLI|FIR) || s.Extensions.TransportCC != 3 {
		t.Errorf("send %+v", s)
	}
	if r.Remote.Fingerprint == "" || r.Remote.Setup != ActiveSetup {
		t.Errorf("remote %+v", r.Remote)
	}
}

func TestAnswerMustFit(t *testing.T) {
	answer := captured(t, "chromium-dual-answer")
	for name, wanted := range map[string][]Wanted{
		"fewer sections": {audioWanted("1")},
		"other kinds":    {videoWanted("1", sfu.VP8), audioWanted("1"), videoWanted("2", sfu.H264), videoWanted("3", sfu.VP9), videoWanted("4", sfu.AV1), videoWanted("5", sfu.H265)},
	} {
		p := NewPeer(Config{Data: true})
		if _, err := p.Offer(focusSide(), wanted); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Accept(answer); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewPeer(Config{}).Offer(focusSide(), nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing to offer: %v", err)
	}
}
