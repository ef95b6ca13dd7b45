package negotiate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weir/sfu"
)

func TestRefusedOffers(t *testing.T) {
	good := captured(t, "chromium-dual-publish")
	d, _ := parse(good)
	edit := func(old, fresh string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample lacks %q", old)
		}
		return strings.ReplaceAll(good, old, fresh)
	}
	for _, tc := range []struct {
		name, offer string
		want        error
	}{
		{"empty", "", ErrNoBundle},
		{"not SDP", "hello", ErrSyntax},
		{"over a mebibyte", good + strings.Repeat("a=x:y\r\n", 1<<20/7), ErrTooLarge},
		{"no group", edit("a=group:BUNDLE 0 1 2\r\n", ""), ErrNoBundle},
		{"empty group", edit("a=group:BUNDLE 0 1 2", "a=group:BUNDLE"), ErrNoBundle},
		{"group of strangers", edit("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1 2 3"), ErrMid},
		{"repeated mid", edit("a=mid:1", "a=mid:0"), ErrMid},
		{"no mid", edit("a=mid:1\r\n", ""), ErrMid},
		{"long mid", edit("a=mid:1", "a=mid:"+strings.Repeat("1", 17)), ErrMid},
		{"no ufrag", edit("a=ice-ufrag:"+d.remote.Ufrag+"\r\n", ""), ErrTransport},
		{"short password", edit(d.remote.Pwd, "short"), ErrTransport},
		{"no fingerprint", edit("a=fingerprint:", "a=footprint:"), ErrTransport},
		{"client as DTLS server", edit("a=setup:actpass", "a=setup:passive"), ErrTransport},
		{"held connection", edit("a=setup:actpass", "a=setup:holdconn"), ErrTransport},
		{"payload type twice in a line", edit("m=audio 9 UDP/TLS/RTP/SAVPF 111 ", "m=audio 9 UDP/TLS/RTP/SAVPF 111 111 "), ErrPayload},
		{"payload type of two codecs in a section", edit("a=rtpmap:96 VP8/90000\r\n", "a=rtpmap:96 VP8/90000\r\na=rtpmap:96 VP9/90000\r\n"), ErrPayload},
		{"payload type of two codecs in two sections", edit("m=audio 9 UDP/TLS/RTP/SAVPF 111 ", "m=audio 9 UDP/TLS/RTP/SAVPF 111 96 "), nil},
		{"the same with a name", strings.Replace(edit("m=audio 9 UDP/TLS/RTP/SAVPF 111 ", "m=audio 9 UDP/TLS/RTP/SAVPF 111 96 "), "a=rtpmap:111", "a=rtpmap:96 L16/48000\r\na=rtpmap:111", 1), ErrPayload},
		{"payload type over 127", edit("m=audio 9 UDP/TLS/RTP/SAVPF 111 ", "m=audio 9 UDP/TLS/RTP/SAVPF 111 128 "), ErrSyntax},
		{"no codec of ours anywhere", firefoxHead + "m=audio 9 UDP/TLS/RTP/SAVPF 9\r\na=mid:0\r\na=sendonly\r\n", ErrTransport},
		{"every section refused", strings.NewReplacer("m=audio 9", "m=audio 0", "m=video 9", "m=video 0", "m=application 9", "m=application 0").Replace(good), ErrTransport},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewPeer(Config{}).Answer(Offer{SDP: tc.offer}, focusSide(), nil, nil)
			if tc.want == nil && err != nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestSectionsRefused(t *testing.T) {
	good := captured(t, "chromium-dual-publish")
	for _, tc := range []struct {
		name, old, fresh, mid string
		want                  string
	}{
		{"stopped", "m=video 9", "m=video 0", "1", "m=video 0 UDP/TLS/RTP/SAVPF 96"},
		{"of an unknown kind", "m=video 9", "m=text 9", "1", "m=text 0 UDP/TLS/RTP/SAVPF 96"},
		{"without DTLS", "m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP", "1", "m=video 0 RTP/AVP 96"},
		{"outside the group", "BUNDLE 0 1 2", "BUNDLE 0 2", "1", "m=video 0 UDP/TLS/RTP/SAVPF 96"},
		{"without a codec of ours", "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "m=audio 9 UDP/TLS/RTP/SAVPF 9", "0", "m=audio 0 UDP/TLS/RTP/SAVPF 9"},
		{"an old kind of data channel", "webrtc-datachannel", "5000", "2", "m=application 0 UDP/DTLS/SCTP 5000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(good, tc.old) {
				t.Fatalf("the sample lacks %q", tc.old)
			}
			r := mustAnswer(t, NewPeer(Config{}), strings.Replace(good, tc.old, tc.fresh, 1), nil, nil)
			wantLines(t, r.SDP, tc.mid, tc.want)
			for _, receive := range r.Receives {
				if receive.Mid == tc.mid {
					t.Error("a refused section receives")
				}
			}
			group, _, _ := strings.Cut(r.SDP[strings.Index(r.SDP, "a=group:BUNDLE"):], "\r\n")
			if slices.Contains(strings.Fields(group), tc.mid) {
				t.Errorf("a refused section is in the group: %s", group)
			}
		})
	}
	bundleOnly := strings.Replace(good, "m=video 9", "m=video 0", 1)
	bundleOnly = strings.Replace(bundleOnly, "a=mid:1\r\n", "a=mid:1\r\na=bundle-only\r\n", 1)
	if r := mustAnswer(t, NewPeer(Config{}), bundleOnly, nil, nil); len(r.Receives) != 2 {
		t.Error("port 0 with bundle-only is no refusal (RFC 9143 section 6)")
	}
}

func TestSimulcastLine(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		want       []string
	}{
		{"order of the line", "send f;h;q", []string{"f", "h", "q"}},
		{"paused ones count", "send q;~h;~f", []string{"q", "h", "f"}},
		{"the first of alternatives", "send q,h;f", []string{"q", "f"}},
		{"unknown ids", "send q;z;f", []string{"q", "f"}},
		{"both directions", "recv x send h", []string{"h"}},
		{"nonsense", "q;h;f", []string{"q", "h", "f"}},
	} {
		offer := strings.Replace(captured(t, "chromium-single-publish"), "a=simulcast:send q;h;f", "a=simulcast:"+tc.line, 1)
		r := mustAnswer(t, NewPeer(Config{}), offer, nil, nil)
		if got := r.Receives[1].RIDs; !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, tc := range []struct {
		codec       sfu.Codec
		fmtp        string
		class, mode uint8
		ok          bool
	}{
		{sfu.H264, "", H264Baseline, 0, true},
		{sfu.H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", H264ConstrainedBaseline, 1, true},
		{sfu.H264, "profile-level-id=42001f", H264Baseline, 0, true},
		{sfu.H264, "profile-level-id=4D001F;packetization-mode=1", H264Main, 1, true},
		{sfu.H264, "profile-level-id=640c1f", H264ConstrainedHigh, 0, true},
		{sfu.H264, "profile-level-id=640032", H264High, 0, true},
		{sfu.H264, "profile-level-id=f4001f", 0, 0, false},
		{sfu.H264, "profile-level-id=zz", 0, 0, false},
		{sfu.H264, "packetization-mode=2", 0, 0, false},
		{sfu.VP9, "", 0, 0, true},
		{sfu.VP9, "profile-id=0", 0, 0, true},
		{sfu.VP9, "profile-id=2", 0, 0, false},
		{sfu.AV1, "level-idx=5;profile=0;tier=0", 0, 0, true},
		{sfu.AV1, "profile=1", 0, 0, false},
		{sfu.H265, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST", 0, 0, true},
		{sfu.H265, "profile-id=2", 0, 0, false},
	} {
		class, mode, ok := profile(tc.codec, tc.fmtp)
		if ok != tc.ok || ok && (class != tc.class || mode != tc.mode) {
			t.Errorf("%v %q: %d %d %v", tc.codec, tc.fmtp, class, mode, ok)
		}
	}
}

// firefoxOffer has the habits of Firefox: session-level fingerprint, direction of extensions, track ids of its own making,
// rtcp-fb of every payload type, payload types unlike Chromium's.
var firefoxHead = strings.ReplaceAll(strings.Replace(firefoxOffer[:strings.Index(firefoxOffer, "m=audio")], "BUNDLE 0 1", "BUNDLE 0", 1)+
	"a=ice-pwd:c1e7b8d9a0f34bd0c1e7b8d9a0f34bd0\na=ice-ufrag:1a2b3c4d\na=setup:actpass\n", "\n", "\r\n")

const firefoxOffer = `v=0
o=mozilla...THIS_IS_SDPARTA-99.0 5170413 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 26:27:E9:1C:D8:C3:CC:55:8A:E5:A8:E9:D5:95:46:FA:DE:C1:00:4B:16:FA:56:81:54:DE:ED:25:F3:60:52:51
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=sendonly
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:c1e7b8d9a0f34bd0c1e7b8d9a0f34bd0
a=ice-ufrag:1a2b3c4d
a=mid:0
a=msid:{aaaa} {mic-of-firefox}
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:3245 cname:{c}
m=video 9 UDP/TLS/RTP/SAVPF 120 124 121 125 126 127 97 98
c=IN IP4 0.0.0.0
a=sendonly
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=fmtp:126 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1
a=fmtp:97 profile-level-id=42e01f;level-asymmetry-allowed=1
a=fmtp:120 max-fs=12288;max-fr=60
a=fmtp:124 apt=120
a=fmtp:121 max-fs=12288;max-fr=60
a=fmtp:125 apt=121
a=fmtp:127 apt=126
a=fmtp:98 apt=97
a=ice-pwd:c1e7b8d9a0f34bd0c1e7b8d9a0f34bd0
a=ice-ufrag:1a2b3c4d
a=mid:1
a=msid:{aaaa} {cam-of-firefox}
a=rtcp-fb:* nack
a=rtcp-fb:* nack pli
a=rtcp-fb:* ccm fir
a=rtcp-fb:* goog-remb
a=rtcp-fb:* transport-cc
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:120 VP8/90000
a=rtpmap:124 rtx/90000
a=rtpmap:121 VP9/90000
a=rtpmap:125 rtx/90000
a=rtpmap:126 H264/90000
a=rtpmap:127 rtx/90000
a=rtpmap:97 H264/90000
a=rtpmap:98 rtx/90000
a=setup:actpass
a=ssrc:100 cname:{c}
a=ssrc:101 cname:{c}
a=ssrc-group:FID 100 101
`

func TestFirefox(t *testing.T) {
	p := NewPeer(Config{Software: sfu.Software{SDK: "js", Browser: "firefox", OS: "Linux"}})
	r := mustAnswer(t, p, strings.ReplaceAll(firefoxOffer, "\n", "\r\n"), []Pending{
		{Publication: "TR_A", CID: "mic", Kind: sfu.Audio, Codecs: []sfu.Codec{sfu.Opus}},
		{Publication: "TR_V", CID: "cam", Kind: sfu.Video, Codecs: []sfu.Codec{sfu.VP9}},
	}, nil)
	audio, video := r.Receives[0], r.Receives[1]
	if audio.Publication != "TR_A" || audio.Formats[0].PT != 109 || r.Bound[0].SDPCID != "{mic-of-firefox}" {
		t.Errorf("audio %+v, bound %+v", audio, r.Bound)
	}
	if len(video.Formats) != 1 || video.Formats[0].PT != 121 || video.Formats[0].RTX != 125 || !video.Formats[0].Feedback.Has(NACK|TransportCC) {
		t.Errorf("one video codec, the announced: %+v", video.Formats)
	}
	if !slices.Equal(video.Streams, []Stream{{SSRC: 100, RTX: 101}}) {
		t.Errorf("streams %+v", video.Streams)
	}
	wantLines(t, r.SDP, "1", "m=video 9 UDP/TLS/RTP/SAVPF 121 125", "a=recvonly")
}

func TestQuirks(t *testing.T) {
	for _, tc := range []struct {
		name           string
		sw             sfu.Software
		codec          sfu.Codec
		publish, watch bool
	}{
		{"AV1 in Safari", sfu.Software{SDK: "js", Browser: "safari", BrowserVersion: "17.1"}, sfu.AV1, false, false},
		{"RED in Firefox", sfu.Software{SDK: "js", Browser: "firefox"}, sfu.RED, false, false},
		{"VP9 in Safari 18.3", sfu.Software{SDK: "js", Browser: "safari", BrowserVersion: "18.3"}, sfu.VP9, true, true},
		{"VP9 in Safari 18.4", sfu.Software{SDK: "js", Browser: "safari", BrowserVersion: "18.4.1"}, sfu.VP9, false, true},
		{"VP9 in Safari 26", sfu.Software{SDK: "js", Browser: "mobile safari", BrowserVersion: "26"}, sfu.VP9, false, true},
		{"H264 in Firefox on Android", sfu.Software{SDK: "js", Browser: "firefox", OS: "Android"}, sfu.H264, false, true},
		{"H264 on a bad phone", sfu.Software{SDK: "android", DeviceModel: "2201117TI"}, sfu.H264, false, true},
		{"AV1 in Chrome", sfu.Software{SDK: "js", Browser: "chrome"}, sfu.AV1, true, true},
		{"unknown", sfu.Software{}, sfu.RED, true, true},
	} {
		if got := slices.Contains(Publishable(tc.sw, nil), tc.codec); got != tc.publish {
			t.Errorf("%s: publishable %v", tc.name, got)
		}
		if got := slices.Contains(Receivable(tc.sw, nil), tc.codec); got != tc.watch {
			t.Errorf("%s: receivable %v", tc.name, got)
		}
	}
}
