package negotiate

import (
	"math"
	"slices"
	"strings"
	"testing"

	"weir/sfu"
)

func TestAnswerJoin(t *testing.T) {
	p := NewPeer(Config{})
	r := mustAnswer(t, p, captured(t, "chromium-single-join"), nil, []Wanted{
		audioWanted("a"), videoWanted("a", sfu.VP8), videoWanted("b", sfu.H264), videoWanted("c", sfu.VP9), videoWanted("d", sfu.AV1), audioWanted("b"),
	})
	if got, want := publications(r.Sends), []sfu.PublicationID{"TR_Aa", "TR_Ab", "TR_Va", "TR_Vb", "TR_Vc"}; !slices.Equal(got, want) {
		t.Errorf("sends %v, want %v", got, want)
	}
	if r.MissingVideos != 1 || r.MissingAudios != 0 || r.Again {
		t.Errorf("missing %d audios, %d videos, again %v", r.MissingAudios, r.MissingVideos, r.Again)
	}
	if len(r.Mids) != 5 || r.Mids["3"] != "TR_Va" {
		t.Errorf("mids %v", r.Mids)
	}
	if !r.Remote.Data || r.Remote.SCTPPort != 5000 || r.Remote.MaxMessageSize != 262144 || r.Remote.Setup != ActPass || r.Restart {
		t.Errorf("remote %+v", r.Remote)
	}
	for _, line := range []string{"a=ice-lite", "a=ice-options:trickle", "a=group:BUNDLE 0 1 2 3 4 5 6", "a=extmap-allow-mixed"} {
		if !strings.Contains(r.SDP, line+"\r\n") {
			t.Errorf("no %q", line)
		}
	}
	wantLines(t, r.SDP, "0", "a=sendonly", "a=setup:passive", "a=msid:PA_a|TR_Aa TR_Aa", "a=rtcp-mux", "a=rtcp-rsize",
		"a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host", "a=end-of-candidates", "a=ice-ufrag:focusfrag", "a=fmtp:111 minptime=10;useinbandfec=1")
	wantLines(t, r.SDP, "2", "a=inactive")
	// RTP extensions that later offers need are kept alive on sections that only receive.
	wantLines(t, r.SDP, "3", "a=sendonly", "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "a=rtcp-fb:96 transport-cc", "a=fmtp:97 apt=96")
	wantLines(t, r.SDP, "6", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000", "a=max-message-size:65535")
	if strings.Count(r.SDP, "a=candidate:") != 1 {
		t.Error("candidates belong into the first section only")
	}
	for _, s := range r.Sends {
		if s.Kind == sfu.Video && (s.RTX == 0 || s.RTX == s.SSRC || s.Extensions.TransportCC != 3 || s.Extensions.Mid != 4) {
			t.Errorf("send %+v", s)
		}
	}
	if got := r.Sends[3].Formats[0]; got.Codec != sfu.H264 || got.Mode != 1 || got.Profile != H264ConstrainedBaseline {
		t.Errorf("a publication in H264 is best sent as %+v", got)
	}
}

func TestAnswerPublish(t *testing.T) {
	offer := captured(t, "chromium-single-publish")
	d, err := parse(offer)
	if err != nil {
		t.Fatal(err)
	}
	mic, cam := d.media[7].track, d.media[8].track
	pending := []Pending{
		{Publication: "TR_VC1", CID: cam, Kind: sfu.Video, Codecs: []sfu.Codec{sfu.VP9}},
		{Publication: "TR_AM1", CID: mic, Kind: sfu.Audio, Codecs: []sfu.Codec{sfu.Opus}, DisableRED: true, Stereo: true},
	}
	p := NewPeer(Config{})
	r := mustAnswer(t, p, offer, pending, nil)
	if len(r.Bound) != 2 || r.Bound[0].Publication != "TR_AM1" || r.Bound[0].SDPCID != "" || r.Bound[1].Codec != sfu.VP9 {
		t.Errorf("bound %+v", r.Bound)
	}
	if len(r.Receives) != 2 {
		t.Fatalf("receives %+v", r.Receives)
	}
	audio, video := r.Receives[0], r.Receives[1]
	if audio.Publication != "TR_AM1" || audio.Formats[0].Codec != sfu.Opus || len(audio.Streams) != 1 || audio.Extensions.TransportCC != 0 {
		t.Errorf("audio %+v", audio)
	}
	if !slices.Equal(video.RIDs, []string{"q", "h", "f"}) || video.Extensions.RID == 0 || video.Extensions.RepairedRID == 0 || video.Extensions.Dependency == 0 || video.Extensions.TransportCC == 0 {
		t.Errorf("video %+v", video)
	}
	if f := video.Formats[0]; f.Codec != sfu.VP9 || f.RTX == 0 || !f.Feedback.Has(TransportCC|NACK|PLI|FIR) || f.Feedback.Has(REMB) {
		t.Errorf("format %+v", f)
	}
	wantLines(t, r.SDP, "7", "a=recvonly", "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;stereo=1;maxaveragebitrate=510000")
	wantLines(t, r.SDP, "8", "a=recvonly", "a=rid:q recv", "a=rid:f recv", "a=simulcast:recv q;h;f")
	if strings.Contains(strings.Join(sectionOf(t, r.SDP, "7"), "\n"), "red/48000") {
		t.Error("RED was forbidden")
	}
	if f, rtx, ok := video.ByPT(video.Formats[0].RTX); !ok || !rtx || f.Codec != sfu.VP9 {
		t.Error("no format of a retransmission")
	}

	// The same offer again: still there, nothing new, and pending may leave out what is bound.
	r = mustAnswer(t, p, offer, nil, nil)
	if len(r.Bound) != 0 || len(r.Receives) != 2 || r.Receives[1].Publication != "TR_VC1" {
		t.Errorf("again: bound %+v receives %+v", r.Bound, r.Receives)
	}
	p.Unbind("TR_VC1")
	r = mustAnswer(t, p, offer, nil, nil)
	if r.Receives[1].Publication != "" {
		t.Error("an ended publication is still bound")
	}
}

func TestREDFirst(t *testing.T) {
	offer := captured(t, "chromium-dual-publish")
	r := mustAnswer(t, NewPeer(Config{}), offer, []Pending{{Publication: "TR_AM1", CID: "x", Kind: sfu.Audio, Codecs: []sfu.Codec{sfu.Opus}}}, nil)
	if got := r.Receives[0].Formats; got[0].Codec != sfu.RED || got[1].Codec != sfu.Opus || got[0].FMTP != "111/111" {
		t.Errorf("formats %+v", got)
	}
	if r.Bound[0].SDPCID == "" || r.Bound[0].SDPCID != r.Receives[0].Track {
		t.Errorf("bound by kind without its SDP track id: %+v", r.Bound[0])
	}
	if s := r.Receives[1].Streams; len(s) != 1 || s[0].SSRC == 0 || s[0].RTX == 0 {
		t.Errorf("streams %+v", s)
	}
}

func TestMatching(t *testing.T) {
	offer := captured(t, "chromium-single-publish")
	d, _ := parse(offer)
	cam := d.media[8].track
	video := func(id sfu.PublicationID, cid string, codecs ...sfu.Codec) Pending {
		return Pending{Publication: id, CID: cid, Kind: sfu.Video, Codecs: codecs}
	}
	for _, tc := range []struct {
		name    string
		mids    map[string]string
		pending []Pending
		want    sfu.PublicationID
	}{
		{"by track id, not by order", nil, []Pending{video("TR_1", "else", sfu.VP8), video("TR_2", cam, sfu.VP8)}, "TR_2"},
		{"by the map of the message", map[string]string{"8": "mine"}, []Pending{video("TR_1", "else", sfu.VP8), video("TR_2", "mine", sfu.VP8)}, "TR_2"},
		{"by an earlier mid", nil, []Pending{video("TR_1", "else", sfu.VP8), {Publication: "TR_2", CID: "y", Kind: sfu.Video, Mid: "8"}}, "TR_2"},
		{"by kind", nil, []Pending{{Publication: "TR_1", CID: "a", Kind: sfu.Audio}, video("TR_2", "else", sfu.VP8)}, "TR_2"},
		{"by codec", nil, []Pending{video("TR_1", "else", sfu.H265), video("TR_2", "else2", sfu.VP9)}, "TR_2"},
		{"a track id of the wrong kind", nil, []Pending{{Publication: "TR_1", CID: cam, Kind: sfu.Audio}}, ""},
		{"nothing announced", nil, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := NewPeer(Config{}).Answer(Offer{SDP: offer, Mids: tc.mids}, focusSide(), tc.pending, nil)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Receives, func(r Receive) bool { return r.Mid == "8" })
			if got := r.Receives[i].Publication; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReannounceOnTheSameSection(t *testing.T) {
	offer := captured(t, "chromium-dual-publish")
	d, _ := parse(offer)
	p := NewPeer(Config{})
	mustAnswer(t, p, offer, []Pending{{Publication: "TR_1", CID: d.media[1].track, Kind: sfu.Video}}, nil)
	r := mustAnswer(t, p, offer, []Pending{{Publication: "TR_2", CID: d.media[1].track, Kind: sfu.Video}}, nil)
	if len(r.Bound) != 1 || r.Bound[0].Publication != "TR_2" || r.Receives[1].Publication != "TR_2" {
		t.Errorf("bound %+v", r.Bound)
	}
	// The track id changes, as when a client puts a fresh track on an old section: the old binding must not stick.
	r = mustAnswer(t, p, strings.ReplaceAll(offer, d.media[1].track, "fresh"), nil, nil)
	if r.Receives[1].Publication != "" {
		t.Errorf("receives %+v", r.Receives[1])
	}
}

func TestLegacySimulcast(t *testing.T) {
	c := NewClient(ClientConfig{})
	c.Publish(Publishing{CID: "cam", Kind: sfu.Video, RIDs: []string{"q", "h", "f"}, Legacy: true})
	o, err := c.Offer(clientSide())
	if err != nil {
		t.Fatal(err)
	}
	r := mustAnswer(t, NewPeer(Config{}), o.SDP, []Pending{{Publication: "TR_1", CID: "cam", Kind: sfu.Video}}, nil)
	streams := r.Receives[0].Streams
	if len(streams) != 3 || len(r.Receives[0].RIDs) != 0 {
		t.Fatalf("streams %+v", streams)
	}
	for i, s := range streams {
		if s.SSRC != c.sections[0].layers[i].SSRC || s.RTX != c.sections[0].layers[i].RTX {
			t.Errorf("stream %d: %+v", i, s)
		}
	}
}

func TestICERestart(t *testing.T) {
	offer := captured(t, "chromium-dual-publish")
	p := NewPeer(Config{})
	if _, restart, err := p.Inspect(offer); err != nil || restart {
		t.Errorf("first offer: restart %v, %v", restart, err)
	}
	mustAnswer(t, p, offer, nil, nil)
	d, _ := parse(offer)
	again := strings.ReplaceAll(strings.ReplaceAll(offer, d.remote.Ufrag, "newfrag"), d.remote.Pwd, "newpwdnewpwdnewpwdnewpwd")
	if _, restart, _ := p.Inspect(offer); restart {
		t.Error("the same credentials are no restart")
	}
	remote, restart, err := p.Inspect(again)
	if err != nil || !restart || remote.Ufrag != "newfrag" {
		t.Errorf("restart %v, %+v, %v", restart, remote, err)
	}
	if r := mustAnswer(t, p, again, nil, nil); !r.Restart || len(r.Receives) != 2 {
		t.Error("the answer does not tell of the restart")
	}
}

func TestFailureChangesNothing(t *testing.T) {
	offer := captured(t, "chromium-single-join")
	p := NewPeer(Config{})
	before := mustAnswer(t, p, offer, nil, []Wanted{audioWanted("a")})
	if _, err := p.Answer(Offer{SDP: strings.Replace(offer, "a=mid:5", "a=mid:4", 1)}, focusSide(), nil, nil); err == nil {
		t.Fatal("a repeated mid was taken")
	}
	after := mustAnswer(t, p, offer, nil, []Wanted{audioWanted("a")})
	if before.Sends[0].SSRC != after.Sends[0].SSRC || len(after.Mids) != 1 {
		t.Error("a refused offer changed the state")
	}
}

func TestDeterministic(t *testing.T) {
	offer := captured(t, "chromium-single-join")
	wanted := []Wanted{audioWanted("a"), videoWanted("a", sfu.VP8)}
	one, two := mustAnswer(t, NewPeer(Config{}), offer, nil, wanted), mustAnswer(t, NewPeer(Config{}), offer, nil, wanted)
	if one.SDP != two.SDP {
		t.Error("one seed, two answers")
	}
	if other := mustAnswer(t, NewPeer(Config{Seed: [32]byte{1}}), offer, nil, wanted); other.Sends[0].SSRC == one.Sends[0].SSRC {
		t.Error("two seeds, one SSRC")
	}
}

func TestRemoteLimits(t *testing.T) {
	offer := captured(t, "chromium-dual-publish")
	r := mustAnswer(t, NewPeer(Config{}), strings.Replace(offer, "a=max-message-size:262144", "a=max-message-size:0", 1), nil, nil)
	if r.Remote.MaxMessageSize != math.MaxUint32 {
		t.Errorf("0 means no limit (RFC 8841 section 6.1), not %d", r.Remote.MaxMessageSize)
	}
	r = mustAnswer(t, NewPeer(Config{}), strings.Replace(offer, "a=max-message-size:262144\r\n", "", 1), nil, nil)
	if r.Remote.MaxMessageSize != 65536 {
		t.Errorf("64 KiB if nothing is said, not %d", r.Remote.MaxMessageSize)
	}
}

func TestREMBDownstream(t *testing.T) {
	r := mustAnswer(t, NewPeer(Config{REMB: true}), captured(t, "chromium-single-join"), nil, []Wanted{videoWanted("a", sfu.VP8)})
	s := r.Sends[0]
	if s.Extensions.AbsSendTime != 2 || s.Extensions.TransportCC != 0 || !s.Formats[0].Feedback.Has(REMB) || s.Formats[0].Feedback.Has(TransportCC) {
		t.Errorf("send %+v", s)
	}
}
