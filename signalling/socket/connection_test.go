package socket

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/wire"
)

func TestBadFrames(t *testing.T) {
	garbage := func(p *peer) {
		for range 17 {
			p.send([]byte{0xff, 0xff}, false)
		}
	}
	for name, c := range map[string]struct {
		do   func(p *peer)
		code int
	}{
		"some malformed protobuf is tolerated": {func(p *peer) { p.send([]byte{0xff, 0xff}, false); leave(p) }, 1000},
		"some malformed JSON is tolerated":     {func(p *peer) { p.send([]byte("{"), true); leave(p) }, 1000},
		"an unknown request is tolerated":      {func(p *peer) { p.send([]byte{0xa2, 0x3e, 0x00}, false); leave(p) }, 1000},
		"an empty frame is tolerated":          {func(p *peer) { p.send(nil, false); leave(p) }, 1000},
		"too many":                             {garbage, websocket.CloseInvalidFramePayloadData},
		"a frame that inflates over the limit": {func(p *peer) { p.send(make([]byte, wire.MaxFrame+1), false) }, websocket.CloseMessageTooBig},
		"a frame over the limit on the wire": {func(p *peer) {
			p.ws.EnableWriteCompression(false)
			_ = p.ws.WriteMessage(websocket.BinaryMessage, make([]byte, wire.MaxFrame+1)) // may fail: it is not read to the end
		}, websocket.CloseMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFocus("call")
				w := newWorld(t, Config{}, f)
				p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
				p.joined()
				f.next(t)
				go c.do(p)
				if code := p.closed(); code != c.code {
					t.Errorf("closed with %d, want %d", code, c.code)
				}
				last := f.next(t)
				if _, lost := last.(session.ConnectionLost); lost != (c.code != 1000) {
					t.Errorf("the session heard %T", last)
				}
			})
		})
	}
}

func leave(p *peer) { p.say(wire.Request{Session: session.Leave{}}, wire.Binary) }

// The client does not read: its inbox runs full, and it is closed rather than told half.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		p.joined()
		sink := f.next(t).(session.Join).Sink
		for range 2*inboxLimit + 2 { // as many as the loop may have taken before it got stuck, and one too many
			sink.Tell(session.Update{})
		}
		began := time.Now()
		if _, lost := f.next(t).(session.ConnectionLost); !lost {
			t.Error("the session did not hear of it")
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// The client neither reads nor answers: one frame may take five seconds.
func TestStuckClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		p.joined()
		sink := f.next(t).(session.Join).Sink
		began := time.Now()
		sink.Tell(session.Update{})
		if _, lost := f.next(t).(session.ConnectionLost); !lost {
			t.Error("the session did not hear of it")
		}
		if d := time.Since(began); d != writeTimeout+flushTimeout {
			t.Errorf("took %v", d)
		}
	})
}

// What a client said before it went counts, even when we notice by a write that it is gone.
func TestLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		p.joined()
		sink := f.next(t).(session.Join).Sink
		for range 3 {
			sink.Tell(session.Update{})
		}
		<-time.After(writeTimeout + flushTimeout/2) // it reads no more
		leave(p)
		if last, ok := f.next(t).(session.FromParticipant); !ok || last.Request != session.Request(session.Leave{}) {
			t.Errorf("the session heard %+v", last)
		}
	})
}

// Fake time: pings every ten seconds keep a client that answers them, and its token is renewed.
func TestQuietClientStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		p.joined()
		began := time.Now()
		_ = p.ws.SetReadDeadline(time.Time{})
		_, _, err := p.ws.ReadMessage() // pongs go out from in here
		if err != nil || time.Since(began) != 5*time.Minute {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestSilentClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		p.joined()
		p.ws.SetPingHandler(func(string) error { return nil })
		began := time.Now()
		if code := p.closed(); code != websocket.CloseTryAgainLater {
			t.Errorf("closed with %d", code)
		}
		if d := time.Since(began); d != 15*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestUnansweredJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		f.welcome = false
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		if r := p.expect(); r.Session != session.Message(session.Goodbye{Reason: session.JoinFailure}) {
			t.Errorf("first message %+v", r)
		}
		p.closed()
	})
}

// After the end nothing of a connection is left: the bubble would not end otherwise. The client that does not answer
// the closing handshake costs 250 ms.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		p.joined()
		p.ws.SetCloseHandler(func(int, string) error { return nil })
		sink := f.next(t).(session.Join).Sink
		for i := range 10 {
			sink.Tell(session.Speakers{Levels: []session.SpeakerLevel{{Participant: sfu.ParticipantID(fmt.Sprint(i))}}})
		}
		sink.Tell(session.Goodbye{Reason: session.ServerShutdown})
		for i := range 10 {
			if got := p.expect().Session.(session.Speakers); got.Levels[0].Participant != sfu.ParticipantID(fmt.Sprint(i)) {
				t.Errorf("message %d is %+v", i, got)
			}
		}
		if _, bye := p.expect().Session.(session.Goodbye); !bye {
			t.Error("no leave")
		}
		began := time.Now()
		w.server.Close(t.Context())
		if d := time.Since(began); d > flushTimeout {
			t.Errorf("took %v", d)
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFocus("call")
		w := newWorld(t, Config{}, f)
		p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
		p.joined()
		sink := f.next(t).(session.Join).Sink
		go func() {
			if got := f.next(t); got != session.Event(session.Close{Reason: session.ServerShutdown}) {
				t.Errorf("posted %+v", got)
			}
			sink.Tell(session.Goodbye{Reason: session.ServerShutdown})
		}()
		go func() { p.closed() }()
		w.server.Shutdown(t.Context())
		if got := w.get("/readyz", nil).StatusCode; got != 503 {
			t.Errorf("readyz: %d", got)
		}
	})
}
