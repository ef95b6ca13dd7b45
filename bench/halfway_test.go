package bench

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/wire"
)

// TestHalfway: whoever joins and never sends media's first packet is sent away after a minute, with all it cost; whoever
// leaves our offer unanswered, after 15 s, and whoever hangs up, at once.
func TestHalfway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		said := make(chan wire.Response, 100)
		join := func(identity string, dual bool) *signal {
			s, err := dialSignal(t.Context(), &BotConfig{URL: hallURL, Token: h.token(identity, "hall"), Dial: h.network.DialStream},
				wire.JoinRequest{Settings: session.Settings{Dual: dual, AutoSubscribe: true}})
			if err != nil {
				t.Fatal(err)
			}
			go s.read(func(_ *signal, r wire.Response, _ error) {
				if _, bye := r.Session.(session.Goodbye); bye {
					said <- r
				}
			})
			return s
		}
		one, two, brief := join("one", false), join("two", true), join("brief", true)
		transports := func(when string, want int) {
			t.Helper()
			if n := h.endpoint.Snapshot().Transports; n != want {
				t.Errorf("%s: %d transports, want %d", when, n, want)
			}
		}
		pass(10 * time.Second)
		transports("at first", 5)
		brief.close(true)
		pass(time.Second)
		transports("after one hung up", 3)
		pass(5 * time.Second)
		transports("without an answer", 1)
		pass(45 * time.Second)
		for _, want := range []session.Goodbye{{Reason: session.StateMismatch, Action: session.ActionReconnect}, {Reason: session.JoinFailure}} {
			if r := <-said; r.Session != session.Message(want) {
				t.Errorf("sent away with %+v, want %+v", r.Session, want)
			}
		}
		if s := h.endpoint.Snapshot(); s.Transports != 0 || s.Addresses != 0 {
			t.Errorf("left after a minute: %+v", s)
		}
		one.close(false)
		two.close(false)
		h.noSessions()
		h.close()
	})
}

// TestLongSilence: somebody comes and speaks while another's signalling is down for longer than an offer may wait. Media
// worked all the while, so the other resumes, and hears the new voice.
func TestLongSilence(t *testing.T) {
	for name, dual := range map[string]bool{"one transport": false, "two transports": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t)
				way := make(chan struct{}, 10)
				way <- struct{}{}
				a := h.bot("a", "hall", BotConfig{Publish: talker(), Subscribe: true, Dual: dual, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					select {
					case <-way:
						return h.network.DialStream(ctx, network, addr)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}})
				b := h.bot("b", "hall", BotConfig{Publish: talker(), Subscribe: true, Dual: dual})
				h.awaitStreams(a, 2)
				h.awaitStreams(b, 2)
				a.Resume()
				pass(time.Second)
				c := h.bot("c", "hall", BotConfig{Publish: talker(), Subscribe: true, Dual: dual})
				h.awaitStreams(c, 4)
				pass(20 * time.Second)
				way <- struct{}{}
				h.await(a, "resume", func(s *Snapshot) bool { return s.Resumes == 1 })
				h.awaitStreams(a, 4)
				for _, bot := range []*Bot{a, b, c} {
					bot.Leave()
				}
				h.noSessions()
				h.close()
			})
		})
	}
}

// TestProtocols: clients of every signalling protocol since 8 are in one call.
func TestProtocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		var bots []*Bot
		for protocol := 8; protocol <= 17; protocol++ {
			sw := sfu.Software{SDK: "js", Version: "2.0.0", Protocol: protocol, Browser: "chrome", OS: "linux"}
			bots = append(bots, h.bot(fmt.Sprint("protocol", protocol), "hall", BotConfig{
				Publish: []Publication{Microphone("m", 80)}, Subscribe: true, Dual: protocol < 16, Software: sw, Receive: [2]int{1, 1},
			}))
		}
		for _, b := range bots {
			h.awaitStreams(b, len(bots)-1)
			b.Resume()
			h.await(b, "resume", func(s *Snapshot) bool { return s.Resumes == 1 && s.State == Connected })
		}
		pass(5 * time.Second)
		for i, s := range h.flow(10*time.Second, bots...) {
			if s.Lost != 0 || s.State != Connected || s.PacketsIn < 9*500*9/10 {
				t.Errorf("protocol %d: %s, %d packets, %d lost", 8+i, s.State, s.PacketsIn, s.Lost)
			}
		}
		for _, b := range bots {
			b.Leave()
		}
		h.noSessions()
		h.close()
	})
}
