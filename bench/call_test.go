package bench

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/sfu/sfutest"
)

// layersSmall are rates that a fake network carries at little cost.
var layersSmall = []LayerRate{{320, 180, 60_000, 10}, {640, 360, 200_000, 10}, {1280, 720, 500_000, 20}}

func talker() []Publication {
	return []Publication{Camera("camera", sfu.VP8, layersSmall), Microphone("microphone", 80)}
}

// awaitStreams waits until packets of so many streams were seen. Streams begin without a message, so time is let pass.
func (h *hall) awaitStreams(b *Bot, n int) {
	h.t.Helper()
	for range 400 {
		s := b.Snapshot()
		if hears(n)(&s) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s := b.Snapshot()
	s.Latency = Histogram{}
	h.t.Fatalf("%d streams after 20 s, want %d: %+v", len(s.Streams), n, s)
}

func TestCall(t *testing.T) {
	for name, c := range map[string]struct {
		count      int
		dual       bool
		impairment sfutest.Impairment
		password   string
	}{
		"two":                     {count: 2},
		"two with two transports": {count: 2, dual: true},
		"six":                     {count: 6, impairment: sfutest.Impairment{Delay: 20 * time.Millisecond}},
		"six with two transports": {count: 6, dual: true, impairment: sfutest.Impairment{Delay: 20 * time.Millisecond}},
		"four, lossy":             {count: 4, impairment: sfutest.Impairment{Loss: .02, Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}},
		"two, encrypted":          {count: 2, password: "sesame"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t)
				h.network.Impair(c.impairment)
				var bots []*Bot
				for i := range c.count {
					bots = append(bots, h.bot(fmt.Sprintf("user%d", i), "hall", BotConfig{
						Publish: talker(), Subscribe: true, Quality: sfu.High, Dual: c.dual, KeyPassword: c.password, PhaseSpread: 50 * time.Millisecond,
					}))
				}
				for _, b := range bots {
					h.await(b, "connection", connected)
				}
				for _, b := range bots {
					h.awaitStreams(b, 2*(c.count-1))
				}
				time.Sleep(3 * time.Second) // the top layer is reached
				const seconds = 10
				for i, s := range h.flow(seconds*time.Second, bots...) {
					// Of each other: 50 packets of audio; the top layer's 20 frames of 3125 bytes are 3 packets each.
					want := uint64((c.count - 1) * seconds * (50 + 60))
					if s.PacketsIn < want*9/10 || s.PacketsIn > want*11/10 {
						t.Errorf("bot %d got %d packets in %d s, want about %d\n%+v", i, s.PacketsIn, seconds, want, s.Streams)
					}
					if c.impairment.Loss == 0 && (s.Lost != 0 || s.Freezes != 0 || s.Duplicate != 0 || s.Strangers != 0) {
						t.Errorf("bot %d: lost %d, freezes %d, twice %d, strangers %d", i, s.Lost, s.Freezes, s.Duplicate, s.Strangers)
					}
					if c.impairment.Loss > 0 && s.Repaired == 0 {
						t.Errorf("bot %d: nothing was repaired", i)
					}
					if c.password != "" && (s.Unopened != 0 || s.Opened < 600) {
						t.Errorf("bot %d: %d frames opened, %d not", i, s.Opened, s.Unopened)
					}
					if s.Latency.Count() == 0 || s.Latency.Quantile(.5) > 2*c.impairment.Delay+2*c.impairment.Jitter+10*time.Millisecond {
						t.Errorf("bot %d: latency %v", i, s.Latency.Quantile(.5))
					}
				}
				for _, b := range bots {
					b.Leave()
				}
				h.noSessions()
				h.close()
			})
		})
	}
}

// TestLayers: what is received follows what is asked for.
func TestLayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		speaker := h.bot("speaker", "hall", BotConfig{Publish: talker()[:1]})
		viewer := h.bot("viewer", "hall", BotConfig{Subscribe: true, Quality: sfu.High})
		h.awaitStreams(viewer, 1)
		var id sfu.PublicationID
		for p := range viewer.Snapshot().Remote {
			id = p
		}
		for _, step := range []struct {
			quality  sfu.Quality
			disabled bool
			perS     uint64
		}{{sfu.High, false, 60}, {sfu.Low, false, 10}, {sfu.Medium, false, 30}, {sfu.High, true, 0}, {sfu.High, false, 60}} {
			viewer.Request(session.TrackSetting{Publications: []sfu.PublicationID{id}, Quality: step.quality, Disabled: step.disabled})
			time.Sleep(3 * time.Second)
			s := h.flow(10*time.Second, viewer)[0]
			if want := 10 * step.perS; s.PacketsIn < want*9/10 || s.PacketsIn > want*11/10 {
				t.Errorf("quality %d disabled %v: %d packets in 10 s, want about %d", step.quality, step.disabled, s.PacketsIn, want)
			}
			if s.Lost != 0 || s.Freezes > 1 {
				t.Errorf("quality %d disabled %v: lost %d, freezes %d", step.quality, step.disabled, s.Lost, s.Freezes)
			}
		}
		speaker.Leave()
		viewer.Leave()
		h.noSessions()
		h.close()
	})
}

// TestResume: a lost connection costs no packet; a server that wants a full reconnect gets one.
func TestResume(t *testing.T) {
	for name, dual := range map[string]bool{"one transport": false, "two transports": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t)
				a := h.bot("a", "hall", BotConfig{Publish: talker(), Subscribe: true, Quality: sfu.High, Dual: dual})
				b := h.bot("b", "hall", BotConfig{Publish: talker(), Subscribe: true, Quality: sfu.High, Dual: dual})
				h.awaitStreams(a, 2)
				h.awaitStreams(b, 2)
				time.Sleep(2 * time.Second)
				a.Resume()
				h.await(a, "resume", func(s *Snapshot) bool { return s.Resumes == 1 })
				time.Sleep(5 * time.Second)
				for i, s := range h.flow(20*time.Second, a, b) {
					if s.Lost != 0 || s.Freezes != 0 || s.PacketsIn < 20*110*9/10 {
						t.Errorf("bot %d after the resume: %d packets, lost %d, freezes %d", i, s.PacketsIn, s.Lost, s.Freezes)
					}
				}
				a.Leave()
				b.Leave()
				h.noSessions()
				h.close()
			})
		})
	}
}

// TestHundred: a hundred clients join, publish, subscribe and leave; nothing is left.
func TestHundred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		var bots []*Bot
		for i := range 100 {
			cfg := BotConfig{Subscribe: true, Quality: sfu.High, NoData: i%10 != 0}
			if i%20 == 0 {
				cfg.Publish = []Publication{Microphone("microphone", 80)}
			}
			bots = append(bots, h.bot(fmt.Sprintf("user%d", i), "hall", cfg))
		}
		for i, b := range bots {
			want := 5
			if i%20 == 0 {
				want = 4
			}
			h.awaitStreams(b, want)
		}
		for i, s := range h.flow(2*time.Second, bots...) {
			if s.Lost != 0 || s.PacketsIn < 4*95 {
				t.Errorf("bot %d: %d packets, lost %d", i, s.PacketsIn, s.Lost)
			}
		}
		for i, b := range bots {
			if i%2 == 0 {
				go b.Leave()
			} else {
				go b.Close() // as a crash
			}
		}
		for _, b := range bots {
			<-b.Done()
		}
		h.noSessions()
		h.close()
	})
}

// pass lets time go by: that of the bubble, which takes none of ours.
func pass(d time.Duration) { time.Sleep(d) } // in a bubble

// TestRoam: a participant whose address changes goes on.
func TestRoam(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a := h.bot("a", "hall", BotConfig{Publish: talker(), Subscribe: true, Quality: sfu.High})
		b := h.bot("b", "hall", BotConfig{Publish: talker(), Subscribe: true, Quality: sfu.High})
		h.awaitStreams(a, 2)
		h.awaitStreams(b, 2)
		time.Sleep(2 * time.Second)
		if err := h.sockets["a"].Move("10.9.9.9:999"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for i, s := range h.flow(10*time.Second, a, b) {
			if s.PacketsIn < 10*110*9/10 {
				t.Errorf("bot %d after it: %d packets", i, s.PacketsIn)
			}
		}
		a.Leave()
		b.Leave()
		h.noSessions()
		h.close()
	})
}

// TestFullReconnect: a server that wants everything anew gets it, and others see the participant again.
func TestFullReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a := h.bot("a", "hall", BotConfig{Publish: talker(), Subscribe: true, Quality: sfu.High})
		b := h.bot("b", "hall", BotConfig{Publish: talker(), Subscribe: true, Quality: sfu.High})
		h.awaitStreams(a, 2)
		h.awaitStreams(b, 2)
		a.Request(session.Simulate{Scenario: session.SimulateFullReconnect})
		h.awaitStreams(a, 4) // two of the first stay, two of the second
		h.awaitStreams(b, 4)
		time.Sleep(3 * time.Second)
		for i, s := range h.flow(10*time.Second, a, b) {
			if s.Lost != 0 || s.PacketsIn < 10*110*9/10 {
				t.Errorf("bot %d after it: %d packets, lost %d", i, s.PacketsIn, s.Lost)
			}
			if len(s.Remote) != 2 || s.Resumes != 0 {
				t.Errorf("bot %d: %d publications of others, %d resumes", i, len(s.Remote), s.Resumes)
			}
		}
		a.Leave()
		b.Leave()
		h.noSessions()
		h.close()
	})
}

// TestData: messages come to all others, in order on the reliable channel.
func TestData(t *testing.T) {
	for name, dual := range map[string]bool{"one transport": false, "two transports": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t)
				type message struct {
					to      *Bot
					channel session.DataChannel
				}
				got := make(chan message, 1000)
				on := func(b *Bot, c session.DataChannel, _ []byte, _ int64) { got <- message{b, c} }
				var bots []*Bot
				for i := range 3 {
					bots = append(bots, h.bot(fmt.Sprintf("user%d", i), "hall", BotConfig{Subscribe: true, Dual: dual, OnData: on}))
				}
				for _, b := range bots {
					h.await(b, "data channels", func(s *Snapshot) bool { return s.State == Connected && s.DataOpen })
				}
				time.Sleep(time.Second)
				const count = 50
				for range count {
					for _, c := range []session.DataChannel{session.Reliable, session.Lossy} {
						if err := bots[0].SendData(c, []byte("hello")); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(time.Second)
				counts := map[message]int{}
				for len(got) > 0 {
					counts[<-got]++
				}
				for i, b := range bots {
					for _, c := range []session.DataChannel{session.Reliable, session.Lossy} {
						want := count
						if i == 0 {
							want = 0 // never back
						}
						if n := counts[message{b, c}]; n != want {
							t.Errorf("bot %d got %d messages on channel %d, want %d", i, n, c, want)
						}
					}
				}
				for _, b := range bots {
					b.Leave()
				}
				h.noSessions()
				h.close()
			})
		})
	}
}

// TestSentAway: a bot that is refused or removed ends, and says why.
func TestSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a := h.bot("a", "hall", BotConfig{})
		h.await(a, "connection", connected)
		second := h.bot("a", "hall", BotConfig{}) // the same identity: the first has to go
		<-a.Done()
		if s := a.Snapshot(); s.State != Gone || !errors.Is(s.Err, ErrGone) {
			t.Errorf("the first of an identity: %s, %v", s.State, s.Err)
		}
		h.await(second, "connection", connected)
		second.Leave()

		stranger := NewBot(BotConfig{URL: hallURL, Token: "nonsense", Dial: h.network.DialStream, Certificate: h.cert,
			Listen: func() (media.Socket, error) { return h.network.Listen("10.8.0.1:1") }}, h.clock, h.pump)
		<-stranger.Done()
		if s := stranger.Snapshot(); !errors.Is(s.Err, ErrRefused) {
			t.Errorf("a bad token: %v", s.Err)
		}
		nobody := NewBot(BotConfig{URL: "ws://10.0.0.9:1", Token: "x", Dial: h.network.DialStream, Certificate: h.cert,
			Listen: func() (media.Socket, error) { return h.network.Listen("10.8.0.1:2") }}, h.clock, h.pump)
		<-nobody.Done()
		if s := nobody.Snapshot(); s.Err == nil {
			t.Error("no server, and no error")
		}
		h.noSessions()
		h.close()
	})
}

// TestClip: the real clip plays over and over; after a keyframe request the next frame is a keyframe.
func TestClip(t *testing.T) {
	all, err := Player()
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range all[0].Streams {
		for range 3 {
			for range 17 { // to somewhere in the middle
				st.Feed.Frame(false)
			}
			if _, key := st.Feed.Frame(true); !key {
				t.Errorf("%dp: asked for a keyframe, got none", st.Height)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a := h.bot("a", "hall", BotConfig{Publish: all, KeyPassword: "sesame"})
		b := h.bot("b", "hall", BotConfig{Subscribe: true, KeyPassword: "sesame"})
		h.awaitStreams(b, 2)
		time.Sleep(10 * time.Second)
		if s := b.Snapshot(); s.Lost != 0 || s.Unopened != 0 || s.Opened < 10*(50+15)*9/10 {
			t.Errorf("lost %d, opened %d, not %d", s.Lost, s.Opened, s.Unopened)
		}
		a.Leave()
		b.Leave()
		h.noSessions()
		h.close()
	})
}
