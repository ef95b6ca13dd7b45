package session

import (
	"testing"
	"time"

	"weir/sfu"
)

func resumes(name string, sink string) Resume {
	return Resume{
		Sink: wire(sink), ID: sfu.ParticipantID("PA_" + name), Identity: sfu.Identity(name),
		Software: sfu.Software{SDK: "js", Protocol: 17},
	}
}

func TestResume(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), modern("cas"))
	sc.publishes("bob", microphone("mic"))
	sc.subscribed("ann")
	sc.quiet(says("ann", Reliable, Data{Sequence: 41}, "x"))
	sc.wait(time.Minute)
	sc.run("the socket goes", ConnectionLost{Sink: wire("ann"), ID: "PA_ann"})
	sc.hasNot("nothing for ann meanwhile", ask("bob", Mute{sc.id("mic"), true}), "ann ←")
	sc.quiet(ask("cas", Leave{}))
	sc.wait(time.Second)
	sc.run("Resumed comes first", resumes("ann", "ann2"),
		"ann2 ← resumed 41",
		"ann2 ← update [PA_cas gone]",
		"ann2 ← update [PA_ann active, PA_bob active mic(muted)]",
		"ann2 ← session 2/1 ",
		"restart PA_ann to ann2")
	sc.run("the new connection counts", ask("ann", Mute{"?", true}))
	sc.run("it does", FromParticipant{Sink: wire("ann2"), ID: "PA_ann", Request: Mute{"?", true}}, "ann2 ← response 1 to session.Mute")
	sc.hasNot("a resume without a lost socket hangs up the old one", resumes("ann", "ann3"), "ann2 ← resumed")
	sc.run("an answer goes to the newest", FromParticipant{Sink: wire("ann3"), ID: "PA_ann", Request: Offer{}}, "offer PA_ann to ann3 []")
}

func TestResumeRefused(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.run("unknown", resumes("bob", "b"), "b ← goodbye 6 reconnect", "b ← hangup")
	wrong := resumes("ann", "b")
	wrong.Identity = "bob"
	sc.run("not one's own", wrong, "b ← goodbye 6 reconnect", "b ← hangup")
}

func TestResumeTellsDepartures(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), modern("cas"))
	sc.wait(time.Minute)
	sc.quiet(ask("bob", Leave{}))
	sc.wait(goneSlack)
	sc.quiet(ConnectionLost{Sink: wire("ann"), ID: "PA_ann"})
	sc.has("within the slack", resumes("ann", "a2"), "a2 ← update [PA_bob gone]")
	sc.wait(time.Second)
	sc.quiet(ConnectionLost{Sink: wire("a2"), ID: "PA_ann"})
	sc.hasNot("before it", resumes("ann", "a3"), "PA_bob")
	sc.quiet(ConnectionLost{Sink: wire("a3"), ID: "PA_ann"})
	again := modern("cas")
	again.ID, again.Sink = "PA_cas2", wire("cas2")
	sc.quiet(again)
	sc.hasNot("a replaced stay is not gone", resumes("ann", "a4"), "PA_cas gone")
}

func TestResumeRepeatsWhatWasLost(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("bob", microphone("mic"))
	sc.publishes("ann", camera("cam"))
	sc.subscribed("ann")
	sc.subscribed("bob")
	sc.wait(time.Minute)
	sc.quiet(ConnectionLost{Sink: wire("ann"), ID: "PA_ann"})
	sc.run("a permission goes while ann is away", ask("bob", Permission{}), "PA_ann x mic revoked")
	grant := everything
	grant.Metrics = true
	sc.quiet(UpdateParticipant{Identity: "ann", Grant: &grant})
	sc.has("ann hears of it, of its grant and of what is wanted", resumes("ann", "a2"),
		"a2 ← PermissionUpdate{PA_bob mic false}",
		"a2 ← GrantChanged{{true [] true true true true false false false}   map[]}",
		"a2 ← demand cam vp8:L")
}

func TestSync(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("bob", camera("cam"), microphone("mic"))
	sc.quiet(ask("ann", microphone("pending")))
	sc.quiet(ask("bob", PublishData{Handle: 1, Name: "pos"}))
	cam := sc.id("cam")
	sub := subscribe(false, sc.id("mic"))
	sc.run("agrees", ask("ann", Sync{
		Publications: []SyncPublication{{"pending", sc.id("pending")}}, Subscription: &sub, Disabled: []sfu.PublicationID{cam},
	}), "PA_ann x mic")
	sc.waits("disabled ones settle", settleTime, "PA_ann = cam {0 7} paused")
	for name, r := range map[string]Sync{
		"unknown track":     {Publications: []SyncPublication{{"x", "TR_?"}}},
		"track without sid": {Publications: []SyncPublication{{"pending", ""}}},
		"somebody else's":   {Publications: []SyncPublication{{"cam", cam}}},
		"unknown data":      {DataTracks: []DataTrack{{ID: "DTR_?"}}},
		"data without sid":  {DataTracks: []DataTrack{{}}},
		"other's data":      {DataTracks: []DataTrack{{ID: sc.id("pos")}}},
	} {
		sc.enter(modern("eve"))
		sc.has(name, ask("eve", r), "eve ← goodbye 6 reconnect", "eve ← hangup", "close transports PA_eve", "notify left eve 6")
	}
}

func TestNegotiationFailed(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.has("full reconnect", NegotiationFailed{ID: "PA_ann"}, "ann ← goodbye 6 reconnect", "ann ← hangup", "close transports PA_ann")
	sc.enter(modern("bob"))
	sc.has("no answer", NegotiationFailed{ID: "PA_bob", Unanswered: true}, "bob ← goodbye 6 reconnect", "bob ← hangup", "close transports PA_bob")
	sc.enter(modern("cas"))
	sc.quiet(ConnectionLost{Sink: wire("cas"), ID: "PA_cas"})
	sc.run("cannot answer", NegotiationFailed{ID: "PA_cas", Unanswered: true})
	sc.has("but can fail", NegotiationFailed{ID: "PA_cas"}, "close transports PA_cas")
}

func TestSimulate(t *testing.T) {
	simulates := func(sc *script, sn Scenario) FromParticipant { return ask("ann", Simulate{Scenario: sn, Seconds: 2}) }
	begin := func() *script {
		sc := newScript(t, Config{})
		sc.enter(modern("ann"), modern("bob"))
		sc.publishes("ann", microphone("mic"))
		sc.subscribed("bob")
		sc.wait(10 * time.Second)
		return sc
	}
	sc := begin()
	sc.run("speaker", simulates(sc, SimulateSpeaker), "ann ← Speakers{[{PA_ann 1 true}]}", "bob ← Speakers{[{PA_ann 1 true}]}")
	sc.waits("falls silent", 2*time.Second, "ann ← Speakers{[{PA_ann 0 false}]}", "bob ← Speakers{[{PA_ann 0 false}]}")
	sc.run("protocol", simulates(sc, SimulateSwitchProtocol), "simulated PA_ann 5")
	sc.run("armed", simulates(sc, SimulateDisconnectOnResume))
	sc.run("cut after the first message", resumes("ann", "a2"), "ann ← hangup", "a2 ← resumed 0", "a2 ← hangup")
	sc.has("not the next", resumes("ann", "a3"), "a3 ← resumed 0")
	sc = begin()
	sc.quiet(simulates(sc, SimulateDisconnectOnResumeNoMessages))
	sc.run("cut before", resumes("ann", "a2"), "ann ← hangup", "a2 ← hangup")
	sc = begin()
	sc.quiet(simulates(sc, SimulateDisconnectOnResume))
	sc.wait(armedFor)
	sc.hasNot("disarmed by time", resumes("ann", "a2"), "a2 ← hangup")
	sc = begin()
	sc.run("migration", simulates(sc, SimulateMigration), "ann ← hangup")
	sc.has("resumes", resumes("ann", "a2"), "a2 ← resumed 0")
	sc = begin()
	sc.hasNot("node failure says no goodbye", simulates(sc, SimulateNodeFailure), "goodbye")
	sc.has("and forgets", resumes("ann", "a2"), "a2 ← goodbye 6 reconnect")
	sc = begin()
	sc.has("server leave", simulates(sc, SimulateServerLeave), "ann ← goodbye 3 disconnect")
	sc = begin()
	sc.has("full reconnect", simulates(sc, SimulateFullReconnect), "ann ← goodbye 6 reconnect")
}
