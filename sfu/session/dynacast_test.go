package session

import (
	"testing"
	"time"

	"weir/sfu"
)

func quality(id sfu.PublicationID, q sfu.Quality) TrackSetting {
	return TrackSetting{Publications: []sfu.PublicationID{id}, Quality: q}
}

func TestDemand(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), byHand("bob"), byHand("cas"))
	sc.wait(time.Minute)
	sc.publishes("ann", camera("cam"))
	cam := sc.id("cam")
	sc.waits("not off in the first ten seconds", 9*time.Second, "ann ← session 3/1 ", "bob ← session 3/1 ", "cas ← session 3/1 ")
	sc.waits("but then", time.Second, "ann ← demand cam vp8:")
	sc.run("one wants low", ask("bob", subscribe(true, cam)), "PA_bob > cam {0 7}", "ann ← demand cam vp8:L")
	sc.run("then medium, at once", ask("bob", quality(cam, sfu.Medium)), "PA_bob = cam {1 7}", "ann ← demand cam vp8:LM")
	sc.subscribed("bob")
	sc.quiet(ask("cas", quality(cam, sfu.High)))
	sc.run("another wants high", ask("cas", subscribe(true, cam)), "PA_cas > cam {2 7}", "ann ← demand cam vp8:LMH")
	sc.subscribed("cas")
	sc.quiet(ask("cas", subscribe(false, cam)))
	sc.waits("less waits", lowerDelay-time.Millisecond)
	sc.waits("five seconds", time.Millisecond, "ann ← demand cam vp8:LM")
	sc.run("a short absence", ask("bob", subscribe(false, cam)), "PA_bob x cam")
	sc.wait(lowerDelay - time.Millisecond)
	sc.run("is not told", ask("bob", subscribe(true, cam)), "PA_bob > cam {1 7}")
	sc.subscribed("bob")
	sc.waits("at all", time.Minute)
}

func TestDemandRepeatedAfterAnswers(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("ann", camera("cam"))
	sc.subscribed("bob")
	sc.wait(time.Minute)
	answer := ask("ann", Offer{})
	sc.run("an answer", answer, "offer PA_ann to ann [cammcam]")
	sc.waits("two seconds", againDelay, "ann ← demand cam vp8:L")
	for range 4 {
		sc.quiet(answer)
		sc.waits("a burst of answers puts it off", againDelay-time.Millisecond)
	}
	sc.quiet(answer)
	sc.waits("for eight seconds at most", againLimit-4*(againDelay-time.Millisecond), "ann ← demand cam vp8:L")
}

func TestDemandOfTwoLayers(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	r := camera("cam")
	r.Layers = []Encoding{{Quality: sfu.Low, Height: 180}, {Quality: sfu.High, Height: 720}}
	sc.publishes("ann", r)
	sc.subscribed("bob")
	sc.wait(time.Minute)
	sc.run("the upper layer is all that is above low", ask("bob", quality(sc.id("cam"), sfu.Medium)),
		"PA_bob = cam {1 7}", "ann ← demand cam vp8:LMH")
}

func TestBackupCodec(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), modern("cas"))
	r := camera("cam")
	r.Codecs = []CodecOffer{{Codec: sfu.VP9, CID: "cam"}, {Codec: sfu.VP8}}
	r.Backup = regression
	sc.publishes("ann", r)
	cam := sc.id("cam")
	sc.quiet(SubscriptionBound{Subscriber: "PA_cas", Publication: cam, Codec: sfu.VP9})
	sc.run("bob cannot take VP9: VP8 is asked for", SubscriptionRefused{Subscriber: "PA_bob", Publication: cam, Unsupported: true},
		"ann ← demand cam vp9:LMH vp8:L", "PA_bob x cam revoked")
	back := AddTrack{CID: "cam2", Kind: sfu.Video, Source: sfu.Camera, Publication: cam, Codecs: []CodecOffer{{Codec: sfu.VP8, CID: "cam2"}}}
	sc.run("the backup is announced", ask("ann", back), "ann ← published cam2 video/VP9")
	sc.names[string(cam)] = "cam"
	sc.run("offered", ask("ann", Offer{}), "offer PA_ann to ann [cammcam cam2]")
	sc.run("and found; bob gets it", Negotiated{ID: "PA_ann", Bound: []Bound{{Publication: cam, Codec: sfu.VP8, Mid: "9"}}},
		"ann ← update [PA_ann active cam]", "bob ← update [PA_ann active cam]", "cas ← update [PA_ann active cam]",
		"PA_bob > cam {0 7}")
	sc.run("bound to it", SubscriptionBound{Subscriber: "PA_bob", Publication: cam, Codec: sfu.VP8})
	sc.has("its media moves cas over", StreamSeen{Publication: cam, Codec: sfu.VP8}, "PA_cas x cam revoked", "PA_cas > cam {0 7}")
	sc.quiet(SubscriptionBound{Subscriber: "PA_cas", Publication: cam, Codec: sfu.VP8})
	if got := sc.wait(time.Minute); !contains(got, "ann ← demand cam vp8:L vp9:") {
		t.Errorf("VP9 is not switched off: %v", got)
	}
	sc.hasNot("and never back", StreamSeen{Publication: cam, Codec: sfu.VP9}, "x cam", ">")
}

func TestSVCDemand(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	r := camera("cam")
	r.Codecs = []CodecOffer{{Codec: sfu.VP9, CID: "cam"}}
	sc.publishes("ann", r)
	sc.subscribed("bob")
	if got := sc.wait(time.Minute); !contains(got, "ann ← demand cam vp9:L") {
		t.Errorf("one wants the lowest: %v", got)
	}
	for _, l := range sc.s.publications[sc.id("cam")].view.Layers {
		if l.RID != "" {
			t.Errorf("SVC layer with rid %q", l.RID)
		}
	}
}
