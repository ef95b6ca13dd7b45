package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/sfu"
)

func TestPublish(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.wait(time.Minute)
	sc.run("announced to the publisher only", ask("ann", camera("cam")), "ann ← published cam video/VP8")
	if id := sc.id("cam"); !strings.HasPrefix(string(id), "TR_VC") {
		t.Errorf("id %s", id)
	}
	sc.run("its offer may carry it", ask("ann", Offer{Description{SDP: "v=0"}}), "offer PA_ann to ann [cam]")
	sc.run("when it does, the others learn before media flows", sc.bound("ann", camera("cam")),
		"open cam video/VP8",
		"ann ← update [PA_ann active cam]",
		"bob ← update [PA_ann active cam]",
		"notify published ann cam",
		"PA_bob > cam {0 7}")
	sc.run("a later offer changes nothing", sc.bound("ann", camera("cam")))
	sc.run("its place is known", ask("ann", Offer{Description{SDP: "v=0"}}), "offer PA_ann to ann [cammcam]")
	sc.run("bound at bob's", SubscriptionBound{Subscriber: "PA_bob", Publication: sc.id("cam")}, "ann ← Subscribed{cam}")
	sc.run("once", SubscriptionBound{Subscriber: "PA_bob", Publication: sc.id("cam")})
	sc.run("another codec than announced", StreamSeen{Publication: sc.id("cam"), Codec: sfu.H264},
		"ann ← update [PA_ann active cam]", "bob ← update [PA_ann active cam]")
	sc.run("muted", ask("ann", Mute{sc.id("cam"), true}),
		"mute cam true", "ann ← update [PA_ann active cam(muted)]", "bob ← update [PA_ann active cam(muted)]")
	sc.run("twice is once", ask("ann", Mute{sc.id("cam"), true}))
	sc.run("unmuted", ask("ann", Mute{sc.id("cam"), false}),
		"mute cam false", "ann ← update [PA_ann active cam]", "bob ← update [PA_ann active cam]", "keyframe cam")
	sc.run("its section goes", Negotiated{ID: "PA_ann", Ended: []sfu.PublicationID{sc.id("cam")}},
		"PA_bob x cam", "close cam", "notify unpublished ann cam",
		"ann ← update [PA_ann active]", "bob ← update [PA_ann active]")
}

func TestAddTrackOutcomes(t *testing.T) {
	microphoneOnly := modern("ann")
	microphoneOnly.Grant.Sources = []sfu.Source{sfu.Microphone}
	silent := modern("ann")
	silent.Grant.Publish = false
	for _, c := range []struct {
		name string
		as   Join
		cfg  Config
		r    AddTrack
		want string
	}{
		{"no right", silent, Config{}, microphone("x"), "response 2 to session.AddTrack"},
		{"source not granted", microphoneOnly, Config{}, camera("x"), "response 2 to session.AddTrack"},
		{"source granted", microphoneOnly, Config{}, microphone("x"), "published x audio/opus"},
		{"neither audio nor video", modern("ann"), Config{}, AddTrack{CID: "x"}, "response 5 to session.AddTrack"},
		{"no client id", modern("ann"), Config{}, AddTrack{Kind: sfu.Audio}, "response 11 to session.AddTrack"},
		{"long rid", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Video, Layers: []Encoding{{}, {RID: strings.Repeat("x", 65)}}}, "response 3 to session.AddTrack"},
		{"long codec", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Video, Codecs: []CodecOffer{{Mime: strings.Repeat("x", 65)}}}, "response 3 to session.AddTrack"},
		{"long codec's cid", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Video, Codecs: []CodecOffer{{CID: strings.Repeat("x", 257)}}}, "response 3 to session.AddTrack"},
		{"long rid of a codec", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Video, Codecs: []CodecOffer{{Layers: []Encoding{{RID: strings.Repeat("x", 65)}}}}},
			"response 3 to session.AddTrack"},
		{"long backup", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Video, Publication: "TR_x", Codecs: []CodecOffer{{CID: strings.Repeat("x", 257)}}},
			"response 3 to session.AddTrack"},
		{"long name", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Audio, Name: strings.Repeat("x", 257)}, "response 3 to session.AddTrack"},
		{"backup of nothing", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Video, Publication: "TR_?"}, "response 1 to session.AddTrack"},
		{"codec off", modern("ann"), Config{Encoding: Encodings{sfu.Opus, sfu.H264}}, camera("x"), "published x video/H264"},
		{"kind off", modern("ann"), Config{Encoding: Encodings{sfu.Opus}}, camera("x"), "response 5 to session.AddTrack"},
		{"codec not named", modern("ann"), Config{}, AddTrack{CID: "x", Kind: sfu.Video}, "published x video/VP8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := newScript(t, c.cfg)
			sc.enter(c.as)
			sc.run("asks", ask("ann", c.r), "ann ← "+c.want)
		})
	}
}

func TestAddTrackQueue(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.publishes("ann", camera("cam"))
	first := sc.id("cam")
	for range maxQueued {
		sc.run("same client track waits", ask("ann", camera("cam")), "ann ← response 4 to session.AddTrack")
	}
	sc.run("three at most", ask("ann", camera("cam")), "ann ← response 3 to session.AddTrack")
	sc.has("the next one's turn", Negotiated{ID: "PA_ann", Ended: []sfu.PublicationID{first}}, "ann ← published cam video/VP8")
	if n := len(sc.s.byID["PA_ann"].queued); n != 2 {
		t.Errorf("%d still wait, want 2", n)
	}
}

func TestAddTrackPendingLimit(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	for i := range maxPending {
		cid := fmt.Sprint("c", i)
		sc.run("announced", ask("ann", microphone(cid)), "ann ← published "+cid+" audio/opus")
	}
	sc.run("too many", ask("ann", microphone("more")), "ann ← response 3 to session.AddTrack")
	sc.wait(pendingPatience)
	sc.run("those without media are released", ask("ann", microphone("more")), "ann ← published more audio/opus")
}

func TestLayersFilled(t *testing.T) {
	low, high := Encoding{Quality: sfu.Low, Height: 180}, Encoding{Quality: sfu.High, Height: 720}
	for _, c := range []struct {
		name string
		in   []Encoding
		mode LayerMode
		want string
	}{
		{"two of three are q and h", []Encoding{high, low}, ModeOneLayerPerStream, "0q180 1h720 "},
		{"one is q", []Encoding{high}, ModeOneLayerPerStream, "0q720 "},
		{"svc has no rid", []Encoding{low, high}, ModeManyLayersPerStream, "0180 1720 "},
		{"twice the same counts once", []Encoding{low, low, low, low, high}, ModeOneLayerPerStream, "0q180 1h720 "},
		{"off is no layer", []Encoding{{Quality: sfu.Off}, {Quality: 200}}, ModeOneLayerPerStream, ""},
	} {
		got := ""
		for _, e := range fillLayers(c.in, c.mode) {
			got += fmt.Sprintf("%d%s%d ", e.Spatial, e.RID, e.Height)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestUpdateOwn(t *testing.T) {
	sc := newScript(t, Config{})
	poor := modern("bob")
	poor.Grant.UpdateOwn = false
	sc.enter(modern("ann"), poor)
	sc.run("all see it", ask("ann", UpdateOwn{RequestID: 7, Name: "Ann", Metadata: "m", Attributes: map[string]string{"a": "1", "b": "2"}}),
		"ann ← response 0 to session.UpdateOwn",
		fmt.Sprintf("ann ← GrantChanged{%v Ann m map[a:1 b:2]}", everything),
		"ann ← update [PA_ann active]", "bob ← update [PA_ann active]")
	sc.quiet(ask("ann", UpdateOwn{Attributes: map[string]string{"a": ""}}))
	if p := sc.s.byID["PA_ann"]; len(p.attributes) != 1 || p.attributes["b"] != "2" || p.name != "Ann" {
		t.Errorf("after removing one: %v %q", p.attributes, p.name)
	}
	sc.run("no right", ask("bob", UpdateOwn{Name: "x"}), "bob ← response 2 to session.UpdateOwn")
	for _, r := range []UpdateOwn{
		{Name: strings.Repeat("x", maxName+1)}, {Metadata: strings.Repeat("x", maxMetadata+1)},
		{Attributes: map[string]string{"k": strings.Repeat("x", maxAttributes)}},
	} {
		sc.run("too large", ask("ann", r), "ann ← response 3 to session.UpdateOwn")
	}
	sc.run("just right", ask("ann", UpdateOwn{Metadata: strings.Repeat("x", maxMetadata)}),
		"ann ← response 0 to session.UpdateOwn",
		fmt.Sprintf("ann ← GrantChanged{%v Ann %s map[b:2]}", everything, strings.Repeat("x", maxMetadata)),
		"ann ← update [PA_ann active]", "bob ← update [PA_ann active]")
}

func TestUpdateTracks(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.publishes("ann", camera("cam"), microphone("mic"))
	both := "ann ← update [PA_ann active cam mic]"
	sc.run("size", ask("ann", UpdateVideo{sc.id("cam"), 640, 360}), both)
	sc.run("features", ask("ann", UpdateAudio{sc.id("mic"), []uint8{1, 2}}), both)
	sc.run("video is not audio", ask("ann", UpdateAudio{sc.id("cam"), nil}), "ann ← response 1 to session.UpdateAudio")
	sc.run("audio is not video", ask("ann", UpdateVideo{sc.id("mic"), 1, 1}), "ann ← response 1 to session.UpdateVideo")
	sc.run("unknown", ask("ann", Mute{"TR_?", true}), "ann ← response 1 to session.Mute")
	sc.run("bad candidate", ask("ann", Trickle{Bad: true}), "ann ← response 6 to session.Trickle")
	sc.run("good candidate", ask("ann", Trickle{Init: "c"}), `candidate PA_ann "c"`)
	sc.s.byID["PA_ann"].software.Protocol = 14
	sc.hasNot("old clients hear of failures only", ask("ann", UpdateOwn{Name: "x"}), "response")
	rust := sc.s.byID["PA_ann"]
	rust.software.SDK, rust.software.Protocol = "rust", 9
	sc.run("old Rust SDKs know no responses", ask("ann", Mute{"TR_?", true}))
}
