package session

import (
	"testing"
	"time"

	"weir/sfu"
)

func levels(n int, level uint8) []uint8 {
	l := make([]uint8, n)
	for i := range l {
		l[i] = level
	}
	return l
}

func TestSpeakers(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), byHand("cas"))
	sc.publishes("ann", microphone("mic"))
	mic := sc.id("mic")
	sc.subscribed("bob")
	sc.wait(time.Minute)
	talk := Observed{Audio: []AudioObserved{{mic, levels(20, 10)}}}
	sc.run("ann talks: self and bob hear of it", talk,
		"ann ← Speakers{[{PA_ann 0.25 true}]}", "bob ← Speakers{[{PA_ann 0.25 true}]}")
	sc.run("steady", talk, "ann ← Speakers{[{PA_ann 0.375 true}]}", "bob ← Speakers{[{PA_ann 0.375 true}]}")
	sc.run("no change", talk)
	sc.run("on subscribing", ask("cas", subscribe(true, mic)), "PA_cas > mic {7 7}", "cas ← Speakers{[{PA_ann 0.375 true}]}")
	sc.run("on unsubscribing", ask("cas", subscribe(false, mic)), "PA_cas x mic", "cas ← Speakers{[{PA_ann 0 false}]}")
	sc.has("muting ends it at once", ask("ann", Mute{mic, true}), "bob ← Speakers{[{PA_ann 0 false}]}")
	sc.run("a muted one does not talk", talk)
	sc.run("somebody unknown", Observed{Audio: []AudioObserved{{"?", levels(20, 0)}}})
}

func TestQuality(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"), byHand("cas"))
	sc.publishes("ann", microphone("mic"))
	sc.subscribed("bob")
	observe := func(loss float64, rtt time.Duration) []string {
		var lines []string
		for range 13 { // 5.2 s
			sc.now = sc.now.Add(ObservePeriod)
			lines = append(lines, sc.quiet(Observed{Participants: []LinkObserved{
				{ID: "PA_ann", UpstreamLoss: loss, RTT: rtt, MediaSeen: true}, {ID: "PA_bob", RTT: 20 * time.Millisecond}, {ID: "?"},
			}})...)
		}
		return lines
	}
	observe(0, 0)
	sc.quiet(ask("cas", Leave{}))
	for _, c := range []struct {
		loss float64
		want ConnectionQuality
	}{{0.05, Good}, {0.2, Poor}, {1, Poor}} {
		observe(c.loss, 0)
		observe(c.loss, 0)
		if got := sc.s.byID["PA_ann"].link.told; got != c.want {
			t.Errorf("loss %v: quality %d, want %d", c.loss, got, c.want)
		}
	}
	for range 10 {
		observe(0, 0)
	}
	if got := sc.s.byID["PA_ann"].link.told; got != Excellent {
		t.Errorf("recovered to %d", got)
	}
	lines := append(observe(0.4, 0), observe(0.4, 0)...)
	told := 0
	for _, l := range lines {
		if l == "bob ← Quality{[{PA_ann 0 2.05}]}" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("a subscriber was told %d times: %v", told, lines)
	}
}

func TestQualityIsNeverLost(t *testing.T) {
	for score := -10.0; score < 110; score++ {
		if qualityOf(score) == Lost {
			t.Fatalf("lost at %v", score)
		}
	}
	l := LinkObserved{RTT: time.Hour, UpstreamLoss: 1, DownstreamLoss: 1, JitterMS: 1e9}
	p := &participant{link: link{worst: l}, pubs: []*publication{{published: true, view: PublicationView{Kind: sfu.Video}}}}
	if m := p.measure(); m < 0 {
		t.Errorf("score %v", m)
	}
}
