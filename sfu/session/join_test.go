package session

import (
	"testing"
	"time"

	"weir/sfu"
)

func TestJoin(t *testing.T) {
	sc := newScript(t, Config{})
	sc.run("the first", modern("ann"),
		"transports PA_ann",
		"ann ← welcome PA_ann []")
	sc.run("comes up", connected("ann"),
		"notify joined ann")
}

func TestJoinTwo(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.wait(time.Minute)
	sc.run("second", modern("bob"),
		"transports PA_bob",
		"bob ← welcome PA_bob [PA_ann active]",
		"ann ← update [PA_bob joined]")
	sc.run("active waits for the batch", connected("bob"), "notify joined bob")
	sc.waits("three seconds", 3*time.Second,
		"ann ← update [PA_bob active]",
		"bob ← update [PA_bob active]")
	sc.waits("counts", 2*time.Second,
		"ann ← session 2/0 ",
		"bob ← session 2/0 ")
}

func TestJoinWithOfferAndTracks(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.publishes("ann", camera("cam"))
	sc.wait(time.Minute)
	j := modern("bob")
	j.Publish = []AddTrack{microphone("mic")}
	j.Offer = &Description{SDP: "v=0", ID: 1}
	sc.run("subscriptions come before the offer", j,
		"transports PA_bob",
		"bob ← welcome PA_bob [PA_ann active cam]",
		"ann ← update [PA_bob joined]",
		"bob ← published mic audio/opus",
		"PA_bob > cam {0 7}",
		"ann ← demand cam vp8:L",
		"offer PA_bob to bob [mic]")
}

func TestJoinRefused(t *testing.T) {
	sc := newScript(t, Config{MaxParticipants: 1})
	sc.enter(modern("ann"))
	sc.run("full", modern("bob"), "bob ← goodbye 7 disconnect", "bob ← hangup")
	recorder := modern("rec")
	recorder.Grant.Recorder, recorder.Grant.Hidden = true, true
	sc.has("recorders take no place", recorder, "rec ← welcome PA_rec [PA_ann active]")
	again := modern("ann")
	again.ID, again.Sink = "PA_ann2", wire("ann2")
	sc.has("the same identity makes its own room", again, "ann2 ← welcome PA_ann2 []")
	sc.wait(batchPeriod)
	sc.run("blocked", Evict{Identity: "ann", Block: time.Minute},
		"ann2 ← goodbye 4 disconnect", "ann2 ← hangup", "close transports PA_ann2", "notify aborted ann 4",
		"rec ← update [PA_ann2 gone]", "result <nil>")
	sc.run("stays out", modern("ann"), "ann ← goodbye 4 disconnect", "ann ← hangup")
	sc.now = sc.now.Add(time.Minute)
	sc.has("until the block ends", modern("ann"), "ann ← welcome PA_ann []")
}

func TestDuplicateIdentity(t *testing.T) {
	sc := newScript(t, Config{})
	old := modern("old")
	old.Software.Protocol = 11
	sc.enter(modern("ann"), modern("bob"), old)
	sc.publishes("ann", microphone("mic"))
	sc.subscribed("bob")
	sc.subscribed("old")
	sc.wait(time.Minute)
	again := modern("ann")
	again.ID, again.Sink = "PA_ann2", wire("ann2")
	sc.run("the older goes; only old clients hear of it", again,
		"ann ← goodbye 2 disconnect",
		"ann ← hangup",
		"PA_old x mic",
		"PA_bob x mic",
		"close mic",
		"notify unpublished ann mic",
		"close transports PA_ann",
		"notify left ann 2",
		"old ← update [PA_ann gone]",
		"transports PA_ann2",
		"ann2 ← welcome PA_ann2 [PA_bob active, PA_old active]",
		"bob ← update [PA_ann2 joined]",
		"old ← update [PA_ann2 joined]")
	sc.run("the old connection has no say", ask("ann", Leave{}))
	sc.run("nor its end", ConnectionLost{Sink: wire("ann"), ID: "PA_ann"})
}

func TestNeverActive(t *testing.T) {
	sc := newScript(t, Config{})
	sc.quiet(modern("ann"))
	sc.waits("a minute", time.Minute,
		"ann ← session 1/0 ",
		"ann ← goodbye 7 disconnect", "ann ← hangup", "close transports PA_ann", "notify aborted ann 7")
}

func TestDualIsActiveBySubscriberTransport(t *testing.T) {
	sc := newScript(t, Config{})
	j := modern("ann")
	j.Settings.Dual = true
	sc.quiet(j)
	sc.run("publisher is not primary", connected("ann"))
	sc.run("subscriber is", TransportChanged{ID: "PA_ann", Target: Subscriber, State: TransportConnected}, "notify joined ann")
	k := modern("bob")
	k.Settings.Dual, k.Grant.Subscribe = true, false
	sc.quiet(k)
	sc.run("without subscriptions it is", connected("bob"), "notify joined bob")
}

func TestHiddenShowsToNobody(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	h := modern("eve")
	h.Grant.Hidden = true
	sc.run("joins unseen", h, "transports PA_eve", "eve ← welcome PA_eve [PA_ann active]")
	sc.run("is active unseen", connected("eve"), "eve ← update [PA_eve active]", "notify joined eve")
	sc.publishes("eve", microphone("mic"))
	if subs := sc.s.publications[sc.id("mic")].subs; len(subs) != 0 {
		t.Errorf("somebody receives a hidden participant: %v", subs)
	}
	sc.run("cannot be subscribed to", ask("ann", Subscribe{Publications: []sfu.PublicationID{sc.id("mic")}, On: true}),
		"ann ← SubscriptionFailed{mic false}")
	sc.run("leaves unseen", ask("eve", Leave{}),
		"eve ← hangup", "close mic", "notify unpublished eve mic", "close transports PA_eve", "notify left eve 1")
}

func TestLeave(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.wait(time.Minute)
	sc.run("a reason clients may give", ask("bob", Leave{Reason: UserRejected}),
		"bob ← hangup", "close transports PA_bob", "notify left bob 12", "ann ← update [PA_bob gone]")
	sc.run("one they may not", ask("ann", Leave{Reason: ServerShutdown}),
		"ann ← hangup", "close transports PA_ann", "notify left ann 1")
	sc.waits("departure timeout", 20*time.Second, "notify finished 10", "ended 10")
	sc.run("after the end nothing", modern("ann"))
	if !sc.s.Deadline().IsZero() {
		t.Error("an ended session has a deadline")
	}
}

func TestEmptySession(t *testing.T) {
	sc := newScript(t, Config{})
	sc.waits("just before", 299*time.Second)
	sc.waits("empty timeout", time.Second, "notify finished 10", "ended 10")

	sc = newScript(t, Config{EmptyTimeout: 5, DepartureTimeout: 7})
	sc.now = start.Add(5 * time.Second)
	sc.has("one who comes in that instant is welcome", modern("ann"), "ann ← welcome PA_ann []")
	sc.quiet(ask("ann", Leave{}))
	sc.waits("own departure timeout", 7*time.Second, "notify finished 10", "ended 10")
}

func TestConnectionLost(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.quiet(modern("bob"))
	sc.has("before ICE it leaves", ConnectionLost{Sink: wire("bob"), ID: "PA_bob"}, "close transports PA_bob", "notify aborted bob 9")
	sc.run("after ICE it stays", ConnectionLost{Sink: wire("ann"), ID: "PA_ann"})
	sc.run("but is not heard", ask("ann", Leave{}))
	sc.run("its transport fails", TransportChanged{ID: "PA_ann", State: TransportFailed})
	sc.waits("five seconds", 5*time.Second, "close transports PA_ann", "notify left ann 14")
}

func TestTransportFailed(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"))
	sc.run("it shall resume", TransportChanged{ID: "PA_ann", State: TransportFailed},
		"ann ← goodbye 14 resume", "ann ← hangup")
	sc.has("and does", Resume{Sink: wire("ann'"), ID: "PA_ann", Identity: "ann"}, "ann' ← resumed 0")
	sc.hasNot("it is back", connected("ann"), "close")
	if got := sc.wait(time.Minute); contains(got, "close transports PA_ann") {
		t.Errorf("removed although it came back: %v", got)
	}
	sc.quiet(TransportChanged{ID: "PA_ann", State: TransportFailed})
	sc.quiet(Resume{Sink: wire("ann\""), ID: "PA_ann", Identity: "ann"})
	sc.waits("a resume without media does not last", 20*time.Second, "close transports PA_ann", "notify left ann 14")
}
