package session

import (
	"strings"
	"testing"
	"time"

	"weir/sfu"
)

func TestEvict(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.wait(time.Minute)
	sc.run("removed", Evict{Identity: "ann"},
		"ann ← goodbye 4 disconnect", "ann ← hangup", "close transports PA_ann", "notify left ann 4",
		"bob ← update [PA_ann gone]", "result <nil>")
	sc.run("not here", Evict{Identity: "ann"}, "result session: no such participant")
	sc.run("blocked beforehand", Evict{Identity: "cas", Block: time.Minute}, "result session: no such participant")
	sc.run("stays out", modern("cas"), "cas ← goodbye 4 disconnect", "cas ← hangup")
}

func TestMuteFromOutside(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.publishes("ann", microphone("mic"))
	mic := sc.id("mic")
	sc.run("muted", MutePublication{"ann", mic, true},
		"ann ← MuteOwn{mic true}", "mute mic true", "ann ← update [PA_ann active mic(muted)]", "result <nil>")
	sc.run("again", MutePublication{"ann", mic, true}, "result <nil>")
	sc.run("unmute is off", MutePublication{"ann", mic, false}, "result session: unmuting others is off")
	sc.run("unknown track", MutePublication{"ann", "?", true}, "result session: no such publication")
	sc.run("unknown participant", MutePublication{"bob", mic, true}, "result session: no such participant")
	sc.quiet(Configure{Config{RemoteUnmute: true}})
	sc.has("unmute is on", MutePublication{"ann", mic, false}, "ann ← MuteOwn{mic false}", "mute mic false")
}

func TestUpdateParticipant(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("ann", microphone("mic"), camera("cam"))
	sc.quiet(ask("ann", PublishData{Handle: 1, Name: "pos"}))
	sc.quiet(ask("bob", SubscribeData{[]DataSubscription{{Publication: sc.id("pos"), On: true}}}))
	sc.subscribed("bob")
	g := everything
	g.Sources = []sfu.Source{sfu.Microphone}
	sc.run("only the microphone stays", UpdateParticipant{Identity: "ann", Grant: &g},
		"ann ← Unpublished{cam}", "PA_bob x cam", "close cam", "notify unpublished ann cam",
		"ann ← update [PA_ann active mic pos]", "bob ← update [PA_ann active mic pos]",
		"ann ← GrantChanged{{true [microphone] true true true false false false false}   map[]}",
		"ann ← update [PA_ann active mic pos]", "bob ← update [PA_ann active mic pos]", "result <nil>")
	g.PublishData = false
	sc.has("data tracks end", UpdateParticipant{Identity: "ann", Grant: &g}, "ann ← DataUnpublished{{pos 1 pos 0 []}}", "bob ← handles ")
	deaf := everything
	deaf.Subscribe = false
	sc.has("bob may not receive", UpdateParticipant{Identity: "bob", Grant: &deaf}, "PA_bob x mic revoked")
	sc.run("nor ask", ask("bob", subscribe(true, sc.id("mic"))))
	sc.has("until he may again", UpdateParticipant{Identity: "bob", Grant: &everything}, "PA_bob > mic {7 7}")
	name, long := "Ann", strings.Repeat("x", maxName+1)
	sc.has("name", UpdateParticipant{Identity: "ann", Name: &name, Attributes: map[string]string{"k": "v"}},
		"ann ← GrantChanged{{true [microphone] true false true false false false false} Ann  map[k:v]}")
	sc.run("too long", UpdateParticipant{Identity: "ann", Name: &long}, "result session: over a size limit")
	sc.run("unknown", UpdateParticipant{Identity: "eve"}, "result session: no such participant")
}

func TestHideAndShow(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.publishes("ann", microphone("mic"))
	sc.subscribed("bob")
	sc.wait(time.Minute)
	g := everything
	g.Hidden = true
	sc.has("hidden", UpdateParticipant{Identity: "ann", Grant: &g}, "bob ← update [PA_ann gone]", "PA_bob x mic revoked")
	sc.hasNot("unseen", ask("ann", Mute{sc.id("mic"), true}), "bob")
	g.Hidden = false
	sc.has("shown", UpdateParticipant{Identity: "ann", Grant: &g}, "PA_bob > mic {7 7}", "bob ← update [PA_ann active mic(muted)]")
}

func TestSessionFromOutside(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.wait(time.Minute)
	sc.run("metadata", SetMetadata{"hello"}, "ann ← session 1/0 hello", "result <nil>")
	sc.run("too large", SetMetadata{strings.Repeat("x", maxMetadata+1)}, "result session: over a size limit")
	sc.run("configure", Configure{Config{Metadata: "new", DepartureTimeout: 3}}, "ann ← session 1/0 new", "result <nil>")
	sc.run("subscriptions", UpdateSubscriptions{Identity: "eve"}, "result session: no such participant")
	sc.run("closed", Close{SessionDeleted},
		"ann ← goodbye 5 disconnect", "ann ← hangup", "close transports PA_ann", "notify left ann 5",
		"notify finished 5", "result <nil>", "ended 5")
	sc.run("nothing after", Close{})
}

func TestConfigureRestartsTheEmptyClock(t *testing.T) {
	sc := newScript(t, Config{})
	sc.wait(290 * time.Second)
	sc.run("wanted again", Configure{Config{EmptyTimeout: 60}}, "result <nil>")
	sc.waits("not yet", 59*time.Second)
	sc.waits("now", time.Second, "notify finished 10", "ended 10")
}

// TestHostile plays what one participant may try against another.
func TestHostile(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), byHand("eve"))
	sc.publishes("ann", microphone("mic"), camera("cam"))
	sc.quiet(ask("ann", PublishData{Handle: 1, Name: "pos"}))
	sc.subscribed("bob")
	sc.wait(time.Minute)
	mic, cam, pos := sc.id("mic"), sc.id("cam"), sc.id("pos")
	as := func(id sfu.ParticipantID, r Request) FromParticipant {
		return FromParticipant{Sink: wire("eve"), ID: id, Request: r}
	}
	sc.run("speak for another", as("PA_ann", Mute{mic, true}))
	sc.run("end another's stay", as("PA_ann", Leave{}))
	sc.run("lose another's connection", ConnectionLost{Sink: wire("eve"), ID: "PA_ann"})
	sc.run("mute another", as("PA_eve", Mute{mic, true}), "eve ← response 1 to session.Mute")
	sc.run("resize another", as("PA_eve", UpdateVideo{cam, 1, 1}), "eve ← response 1 to session.UpdateVideo")
	sc.run("a backup for another", as("PA_eve", AddTrack{CID: "x", Kind: sfu.Video, Publication: cam}), "eve ← response 1 to session.AddTrack")
	sc.run("bind another's", Negotiated{ID: "PA_eve", Bound: []Bound{{Publication: cam, Mid: "x"}}, Ended: []sfu.PublicationID{mic}})
	sc.run("end another's data", as("PA_eve", UnpublishData{1}), "eve ← response 1 to session.UnpublishData")
	sc.run("write another's data", DataArrived{ID: "PA_eve", Channel: DataTracks, Payload: framed(1, 0, "x")})
	sc.run("change what another receives", as("PA_eve", TrackSetting{Publications: []sfu.PublicationID{mic, cam, pos}, Disabled: true}))
	sc.waits("nothing follows", settleTime)
	sc.run("forbid another's", as("PA_eve", Permission{}))
	sc.run("take another's id", Join{Sink: wire("eve2"), ID: "PA_ann", Identity: "eve2"}, "eve2 ← goodbye 7 disconnect", "eve2 ← hangup")
	sc.run("an unknown participant", as("PA_?", Leave{}))
	if v := sc.s.byID["PA_ann"].info(); v.Publications[0].Muted || len(v.Publications) != 2 || len(v.DataTracks) != 1 {
		t.Errorf("ann changed: %+v", v)
	}
}
