package negotiate

import (
	"slices"
	"testing"

	"weir/sfu"
)

// A bot joins as livekit-client does on /rtc/v1, publishes, and receives.
func TestClientAndPeer(t *testing.T) {
	c, p := NewClient(ClientConfig{Data: true, Seed: [32]byte{7}}), NewPeer(Config{})
	c.AddReceive(3, 3)
	exchange := func(pending []Pending, wanted ...Wanted) (focus, bot Result) {
		t.Helper()
		o, err := c.Offer(clientSide())
		if err != nil {
			t.Fatal(err)
		}
		focus, err = p.Answer(Offer{SDP: o.SDP, Mids: o.Mids}, focusSide(), pending, wanted)
		if err != nil {
			t.Fatal(err)
		}
		bot, err = c.Accept(focus.SDP)
		if err != nil {
			t.Fatal(err)
		}
		return focus, bot
	}
	focus, bot := exchange(nil, videoWanted("a", sfu.VP8))
	if len(bot.Receives) != 1 || bot.Receives[0].Publication != "TR_Va" || bot.Receives[0].Stream != "PA_a|TR_Va" || !bot.Remote.Lite || !bot.Remote.Data {
		t.Fatalf("bot %+v", bot)
	}
	if s := bot.Receives[0].Streams; s[0].SSRC != focus.Sends[0].SSRC || s[0].RTX != focus.Sends[0].RTX {
		t.Errorf("streams %+v", s)
	}

	c.Publish(Publishing{CID: "cam", Kind: sfu.Video, Codecs: []sfu.Codec{sfu.VP8}, RIDs: []string{"q", "h", "f"}})
	c.Publish(Publishing{CID: "mic", Kind: sfu.Audio, Codecs: []sfu.Codec{sfu.Opus}})
	pending := []Pending{{Publication: "TR_1", CID: "mic", Kind: sfu.Audio}, {Publication: "TR_2", CID: "cam", Kind: sfu.Video, Codecs: []sfu.Codec{sfu.VP8}}}
	focus, bot = exchange(pending, videoWanted("a", sfu.VP8), audioWanted("a"))
	if len(bot.Sends) != 2 || len(bot.Receives) != 2 || len(focus.Bound) != 2 {
		t.Fatalf("bot %+v", bot)
	}
	video := bot.Sends[0]
	if len(video.Layers) != 3 || video.Layers[2].RID != "f" || video.Formats[0].Codec != sfu.VP8 || video.Extensions.RID == 0 || video.Extensions.Mid == 0 {
		t.Errorf("video %+v", video)
	}
	if r := focus.Receives[0]; !slices.Equal(r.RIDs, []string{"q", "h", "f"}) || r.Formats[0].PT != video.Formats[0].PT || len(r.Streams) != 0 {
		t.Errorf("receive %+v", r)
	}
	if r := focus.Receives[1]; len(r.Streams) != 1 || r.Streams[0].SSRC != bot.Sends[1].SSRC {
		t.Errorf("receive %+v", r)
	}

	c.Unpublish("cam")
	focus, bot = exchange(nil, audioWanted("a"))
	if len(bot.Sends) != 1 || len(bot.Receives) != 1 || len(focus.Receives) != 1 || focus.Receives[0].Publication != "TR_1" {
		t.Errorf("after unpublish: bot %+v", bot)
	}
}

func TestFormatOfASubscription(t *testing.T) {
	h264 := func(profile, mode uint8) Format { return Format{Codec: sfu.H264, Profile: profile, Mode: mode} }
	s := Send{Formats: []Format{{Codec: sfu.VP8, PT: 96}, h264(H264ConstrainedBaseline, 1), h264(H264Main, 0), h264(H264Main, 1)}}
	for _, tc := range []struct {
		name string
		in   Format
		want int // index, -1 none
	}{
		{"same codec", Format{Codec: sfu.VP8, PT: 100}, 0},
		{"another codec", Format{Codec: sfu.VP9}, -1},
		{"same profile and mode", h264(H264ConstrainedBaseline, 1), 1},
		{"baseline as constrained baseline", h264(H264Baseline, 1), 1},
		{"single NAL units go as mode 1", h264(H264ConstrainedBaseline, 0), 1},
		{"main in its own mode", h264(H264Main, 0), 2},
		{"high is above all", h264(H264High, 1), -1},
	} {
		got, ok := s.Format(tc.in)
		if ok != (tc.want >= 0) || ok && got != s.Formats[tc.want] {
			t.Errorf("%s: %+v %v", tc.name, got, ok)
		}
	}
}
