package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/sfu"
)

func subscribe(on bool, ids ...sfu.PublicationID) Subscribe {
	return Subscribe{Publications: ids, On: on}
}

// byHand is a participant that subscribes to nothing by itself.
func byHand(name string) Join {
	j := modern(name)
	j.Settings.AutoSubscribe = false
	return j
}

func TestSubscribe(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), byHand("bob"))
	sc.publishes("ann", camera("cam"))
	cam := sc.id("cam")
	sc.run("asks", ask("bob", subscribe(true, cam)), "PA_bob > cam {0 7}")
	sc.run("again is nothing new", ask("bob", subscribe(true, cam)))
	sc.run("gives up", ask("bob", subscribe(false, cam)), "PA_bob x cam")
	sc.run("by participant", ask("bob", Subscribe{On: true, ByParticipant: map[sfu.ParticipantID][]sfu.PublicationID{"PA_ann": {cam}}}),
		"PA_bob > cam {0 7}")
	sc.run("under a wrong publisher", ask("bob", Subscribe{ByParticipant: map[sfu.ParticipantID][]sfu.PublicationID{"PA_bob": {cam}}}))
	sc.run("own tracks are not for oneself", ask("ann", subscribe(true, cam)), "ann ← SubscriptionFailed{cam false}")
}

func TestSubscribeIntent(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), byHand("bob"))
	sc.quiet(ask("ann", camera("cam")))
	cam := sc.id("cam")
	sc.run("wished before it exists", ask("bob", subscribe(true, cam)))
	sc.has("comes true", sc.bound("ann", camera("cam")), "PA_bob > cam {0 7}")
	sc.run("for nothing", ask("bob", subscribe(true, "TR_never")))
	sc.subscribed("bob")
	if got := sc.wait(time.Minute); !contains(got, "bob ← SubscriptionFailed{TR_never false}") {
		t.Errorf("a wish that did not come true: %v", got)
	}
	if p := sc.s.byID["PA_bob"]; p.intents != 0 || len(p.subs) != 1 {
		t.Errorf("left over: %d intents, %d entries", p.intents, len(p.subs))
	}
	for i := range maxIntents {
		sc.quiet(ask("bob", subscribe(true, sfu.PublicationID(fmt.Sprint("TR_", i)))))
	}
	long := sfu.PublicationID(strings.Repeat("T", maxID+1))
	sc.run("no room for long ids", ask("ann", subscribe(true, long)), fmt.Sprintf("ann ← SubscriptionFailed{%s false}", long))
	sc.quiet(ask("ann", SubscribeData{Updates: []DataSubscription{{Publication: long, On: true}}}))
	if n := len(sc.s.byID["PA_ann"].dataSubs); n != 0 {
		t.Errorf("%d data wishes are kept for a long id", n)
	}
	for i := range maxDataIntents + 1 {
		sc.quiet(ask("ann", SubscribeData{Updates: []DataSubscription{{Publication: sfu.PublicationID(fmt.Sprint("DTR_", i)), On: true}}}))
	}
	if n := len(sc.s.byID["PA_ann"].dataSubs); n != maxDataIntents {
		t.Errorf("%d data wishes are kept", n)
	}
	sc.run("wishes are bounded", ask("bob", subscribe(true, "TR_more")), "bob ← SubscriptionFailed{TR_more false}")
	sc.wait(intentPatience)
	if n, m := len(sc.s.byID["PA_ann"].dataSubs), len(sc.s.byID["PA_bob"].subs); n != 0 || m != 1 {
		t.Errorf("%d data wishes and %d entries, one of them true, outlive their patience", n, m)
	}
}

func TestSubscribeBeforeActive(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.quiet(modern("bob"))
	sc.quiet(ask("ann", camera("cam")))
	sc.now = sc.now.Add(time.Second)
	sc.hasNot("a new one is for the active", sc.bound("ann", camera("cam")), "PA_bob >")
	sc.has("and comes with being active", connected("bob"), "PA_bob > cam {0 7}")

	old := modern("old")
	old.Software.Protocol = 7
	sc.hasNot("old clients subscribe when active", old, "PA_old >")
	sc.has("then", connected("old"), "PA_old > cam {0 7}")
	off := modern("off")
	sc.quiet(off)
	sc.run("given up while joining", ask("off", subscribe(false, sc.id("cam"))), "PA_off x cam")
	sc.hasNot("stays so", connected("off"), "PA_off >")
}

func TestSubscriptionFails(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("ann", microphone("mic"))
	mic := sc.id("mic")
	refused := SubscriptionRefused{Subscriber: "PA_bob", Publication: mic}
	sc.run("refused", refused, "PA_bob x mic revoked")
	sc.waits("tried again", retryPeriod, "PA_bob > mic {7 7}")
	sc.wait(subscribeLimit - retryPeriod - time.Millisecond)
	sc.run("and again", refused, "PA_bob x mic revoked")
	sc.waits("and again", retryPeriod, "PA_bob > mic {7 7}")
	sc.run("until it is late", refused, "PA_bob x mic revoked", "bob ← SubscriptionFailed{mic false}")
	sc.run("asked for anew", ask("bob", subscribe(true, mic)), "PA_bob > mic {7 7}")
	sc.run("an unknown codec is final", SubscriptionRefused{Subscriber: "PA_bob", Publication: mic, Unsupported: true},
		"PA_bob x mic revoked", "bob ← SubscriptionFailed{mic true}")
	sc.quiet(ask("bob", subscribe(true, mic)))
	if got := sc.wait(subscribeLimit); !contains(got, "bob ← SubscriptionFailed{mic false}") {
		t.Errorf("never bound: %v", got)
	}
	sc.quiet(ask("bob", subscribe(true, mic)))
	sc.quiet(ConnectionLost{Sink: wire("bob"), ID: "PA_bob"})
	if got := sc.wait(time.Minute); contains(got, "PA_bob x mic") {
		t.Errorf("given up while the connection was down: %v", got)
	}
}

func TestPermission(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), modern("cas"))
	sc.publishes("ann", microphone("mic"), camera("cam"))
	mic, cam := sc.id("mic"), sc.id("cam")
	sc.subscribed("bob")
	sc.subscribed("cas")
	sc.run("bob may hear, cas all", ask("ann", Permission{Tracks: []TrackPermission{
		{Identity: "bob", Publications: []sfu.PublicationID{mic}}, {Participant: "PA_cas", All: true},
	}}),
		"bob ← PermissionUpdate{PA_ann cam false}", "PA_bob x cam revoked")
	sc.run("asking does not help", ask("bob", subscribe(true, cam)))
	sc.run("a new one is denied too", ask("ann", microphone("two")), "ann ← published two audio/opus")
	sc.has("bob hears of it", sc.bound("ann", microphone("two")),
		"bob ← PermissionUpdate{PA_ann two false}", "PA_cas > two {7 7}")
	sc.run("for all", ask("ann", Permission{AllParticipants: true}),
		"bob ← PermissionUpdate{PA_ann cam true}", "PA_bob > cam {0 7}",
		"bob ← PermissionUpdate{PA_ann two true}", "PA_bob > two {7 7}")
}

// What is withheld is as if its publisher forbade it to all, whom it permits notwithstanding.
func TestWithhold(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), modern("cas"))
	sc.publishes("ann", microphone("mic"))
	sc.subscribed("bob")
	sc.subscribed("cas")
	sc.has("withheld", Withhold{"ann", true},
		"bob ← PermissionUpdate{PA_ann mic false}", "PA_bob x mic revoked", "cas ← PermissionUpdate{PA_ann mic false}", "PA_cas x mic revoked")
	sc.hasNot("ann is told nothing", Withhold{"ann", true}, "ann ←")
	sc.has("she permits it", ask("ann", Permission{AllParticipants: true}))
	sc.run("asking does not help", ask("bob", subscribe(true, sc.id("mic"))))
	sc.quiet(ask("ann", microphone("two")))
	sc.hasNot("nor does a new one", sc.bound("ann", microphone("two")), "PA_bob > two")
	sc.has("bob goes on himself", ask("bob", microphone("bobs")), "bob ← published bobs audio/opus")
	sc.has("released", Withhold{"ann", false},
		"bob ← PermissionUpdate{PA_ann mic true}", "PA_bob > mic {7 7}", "PA_cas > mic {7 7}", "PA_bob > two {7 7}")
	sc.has("nobody", Withhold{"eve", true}, "result session: no such participant")
}

func TestTrackSetting(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("ann", camera("cam"), microphone("mic"))
	sc.subscribed("bob")
	cam := sc.id("cam")
	set := func(r TrackSetting) FromParticipant {
		r.Publications = []sfu.PublicationID{cam}
		return ask("bob", r)
	}
	sc.run("becoming visible is at once", set(TrackSetting{Width: 1280, Height: 720}), "PA_bob = cam {2 7}")
	sc.run("a change waits", set(TrackSetting{Width: 320, Height: 180}))
	sc.run("for the last", set(TrackSetting{Width: 640, Height: 360, FPS: 15}))
	sc.waits("a tenth of a second", settleTime, "PA_bob = cam {1 1}")
	sc.run("out of sight waits", set(TrackSetting{Disabled: true}))
	sc.waits("too", settleTime, "PA_bob = cam {0 7} paused")
	sc.run("back", set(TrackSetting{Quality: sfu.High}), "PA_bob = cam {2 7}")
	sc.run("audio can be disabled", ask("bob", TrackSetting{Publications: []sfu.PublicationID{sc.id("mic")}, Disabled: true}))
	sc.waits("in time", settleTime, "PA_bob = mic {7 7} paused")

	sc.enter(byHand("cas"))
	sc.run("kept before there is a subscription", ask("cas", TrackSetting{Publications: []sfu.PublicationID{cam}, Quality: sfu.Medium}))
	sc.run("and used then", ask("cas", subscribe(true, cam)), "PA_cas > cam {1 7}")
}

func TestWantedLayer(t *testing.T) {
	three := camera("x").Layers
	two := []Encoding{{Quality: sfu.Low, Height: 180}, {Quality: sfu.High, Height: 720}}
	for _, c := range []struct {
		name          string
		layers        []Encoding
		source        [2]int
		width, height int
		want          int
	}{
		{"tiny", three, [2]int{1280, 720}, 10, 10, 0},
		{"a little larger than low", three, [2]int{1280, 720}, 355, 200, 0},
		{"more than a tenth larger", three, [2]int{1280, 720}, 358, 201, 1},
		{"exactly medium", three, [2]int{1280, 720}, 640, 360, 1},
		{"huge", three, [2]int{1280, 720}, 4000, 3000, 2},
		{"two layers", two, [2]int{1280, 720}, 640, 360, 1},
		{"equal sizes mean the last", []Encoding{{Height: 720}, {Height: 720}, {Height: 1080}}, [2]int{}, 100, 100, 1},
		{"no sizes, landscape", nil, [2]int{1280, 720}, 640, 360, 1},
		{"no sizes, portrait takes the width", nil, [2]int{720, 1280}, 180, 1000, 0},
		{"nothing known", nil, [2]int{}, 10, 10, 2},
	} {
		v := PublicationView{Width: c.source[0], Height: c.source[1]}
		if got := spatialOfSize(c.layers, &v, c.width, c.height); got != c.want {
			t.Errorf("%s: layer %d, want %d", c.name, got, c.want)
		}
	}
	for fps, want := range map[int]int8{-1: 7, 0: 7, 1: 0, 8: 0, 9: 1, 15: 1, 16: 1, 17: 7, 60: 7} {
		if got := temporalOfRate(fps); got != want {
			t.Errorf("%d frames/s: %d, want %d", fps, got, want)
		}
	}
	for q, want := range map[sfu.Quality]int{sfu.Low: 0, sfu.Medium: 1, sfu.High: 1} {
		if got := spatialOfQuality(two, q); got != want {
			t.Errorf("quality %d of LOW and HIGH: %d, want %d", q, got, want)
		}
	}
}

func TestNoAdaptiveStreamStartsHigh(t *testing.T) {
	sc := newScript(t, Config{})
	j := modern("bob")
	j.Settings.AdaptiveStream = false
	sc.enter(modern("ann"), j)
	sc.quiet(ask("ann", camera("cam")))
	sc.has("top layer", sc.bound("ann", camera("cam")), "PA_bob > cam {2 7}")
}

func TestSubscriptionPaused(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("ann", camera("cam"))
	ev := SubscriptionPaused{Subscriber: "PA_bob", Publication: sc.id("cam"), Paused: true}
	sc.run("paused", ev, "bob ← StreamStates{[{PA_ann cam true}]}")
	sc.run("once", ev)
	ev.Paused = false
	sc.run("runs", ev, "bob ← StreamStates{[{PA_ann cam false}]}")
}
