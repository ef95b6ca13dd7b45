package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var key = grant.Key{ID: "devkey", Secret: "secret"}

type sink struct{}

func (*sink) Tell(session.Message) {}

func opening(resume bool) Opening {
	s := &sink{}
	o := Opening{Sink: s, ID: "PA_1", Key: key, Token: grant.Token{
		Grant: grant.Grant{Identity: "alice", Session: "s", Join: true}, Key: key.ID, Expires: start.Add(time.Hour),
	}}
	if resume {
		o.Begin = session.Resume{Sink: s, ID: "PA_1", Identity: "alice"}
	} else {
		o.Begin = session.Join{Sink: s, ID: "PA_1", Identity: "alice"}
	}
	return o
}

// say is the effect in a word or two, as the scripts write it.
func say(t testing.TB, eff Effect) string {
	switch e := eff.(type) {
	case Post:
		if f, ok := e.Event.(session.FromParticipant); ok {
			return "post " + short(f.Request)
		}
		return "post " + short(e.Event)
	case Write:
		enc := wire.Binary
		if e.Text {
			enc = wire.Text
		}
		r, err := wire.DecodeResponse(e.Data, enc)
		if err != nil {
			t.Fatalf("we wrote what nobody can read: %v", err)
		}
		word := "write "
		if e.Text {
			word = "text "
		}
		switch {
		case r.Pong != nil && r.Pong.Old:
			return word + "pong"
		case r.Pong != nil:
			return word + "pong_resp"
		case r.Token != "":
			return word + "token"
		}
		return word + short(r.Session)
	case Pause:
		return "pause"
	case Ping:
		return "ping"
	case Malformed:
		return "malformed"
	case Unsaid:
		return "unsaid " + e.Err.Error()
	case Close:
		return "close " + e.Why.String()
	}
	t.Fatalf("unknown effect %T", eff)
	return ""
}

func short(v any) string {
	name := fmt.Sprintf("%T", v)
	return strings.TrimPrefix(name, "session.")
}

func frame(t testing.TB, r wire.Request, text bool) Frame {
	enc := wire.Binary
	if text {
		enc = wire.Text
	}
	b, err := wire.EncodeRequest(r, enc)
	if err != nil {
		t.Fatalf("encoding %+v: %v", r, err)
	}
	return Frame{Data: b, Text: text}
}

func asks(t testing.TB, r session.Request) Frame { return frame(t, wire.Request{Session: r}, false) }

func ping(t testing.TB, old bool) Frame {
	return frame(t, wire.Request{Ping: &wire.Ping{Old: old, Timestamp: 7}}, false)
}

type step struct {
	after time.Duration // since the start
	ev    Event
	want  string // effects, comma-separated
}

func TestScripts(t *testing.T) {
	garbage := Frame{Data: []byte{0xff, 0xff, 0xff}}
	welcome, resumed := Told{session.Welcome{}}, Told{session.Resumed{}}
	update := Told{session.Update{}}
	mute := asks(t, session.Mute{Publication: "TR_1", Muted: true})
	text := frame(t, wire.Request{Session: session.Mute{Publication: "TR_1"}}, true)
	changed := Told{session.GrantChanged{Grant: session.Grant{Publish: true}, Name: "Al"}}
	noSession := Refused{fmt.Errorf("media: %w", session.ErrNoSession)}
	joined := []step{
		{0, Begin{}, "post Join"},
		{0, welcome, "write Welcome, write token"},
	}
	after := func(more ...step) []step { return append(slices.Clone(joined), more...) }

	for name, c := range map[string]struct {
		resume bool
		script []step
	}{
		"a join is answered by join and token": {script: joined},
		"what comes before the first response waits for it": {script: []step{
			{0, Begin{}, "post Join"},
			{1, update, ""},
			{2, ping(t, true), ""},
			{3, ping(t, false), ""},
			{4, mute, "post Mute"},
			{5, Told{session.SectionsNeeded{Audios: 1}}, ""},
			{6, welcome, "write Welcome, write token, write Update, write SectionsNeeded, write pong, write pong_resp"},
		}},
		"a resume holds everything until it is out": {resume: true, script: []step{
			{0, Begin{}, "post Resume"},
			{1, update, ""},
			{2, resumed, "write Resumed, write token, write Update"},
		}},
		"a join that is refused": {script: []step{
			{0, Begin{}, "post Join"},
			{1, Told{session.Goodbye{Reason: session.JoinFailure}}, "write Goodbye, close dismissed"},
			{2, update, ""},
			{2, ping(t, true), ""},
		}},
		"a join to a session that ended meanwhile": {script: []step{
			{0, Begin{}, "post Join"},
			{0, noSession, "write Goodbye, close gone"},
		}},
		"a resume to a session that ended meanwhile": {resume: true, script: []step{
			{0, Begin{}, "post Resume"},
			{0, noSession, "write Goodbye, close gone"},
		}},
		"a session that does not answer": {script: []step{
			{0, Begin{}, "post Join"},
			{4*time.Second - 1, Tick{}, ""},
			{4 * time.Second, Tick{}, "write Goodbye, post ConnectionLost, close unanswered"},
		}},
		"pings are answered at once, both kinds": {script: after(
			step{1, ping(t, true), "write pong"},
			step{2, ping(t, false), "write pong_resp"},
		)},
		"the answer is in the encoding that came last": {script: after(
			step{1, text, "post Mute"},
			step{2, update, "text Update"},
			step{3, mute, "post Mute"},
			step{4, update, "write Update"},
		)},
		"malformed frames do not change the encoding": {script: after(
			step{1, Frame{Data: []byte("{"), Text: true}, "malformed"},
			step{2, update, "write Update"},
		)},
		"a leave ends it, and the session is told once": {script: after(
			step{1, asks(t, session.Leave{Reason: session.ClientInitiated}), "post Leave, close left"},
			step{2, Lost{Dropped}, ""},
			step{2, Told{session.Goodbye{}}, ""},
		)},
		"nothing follows a goodbye": {script: after(
			step{1, Told{session.Goodbye{Reason: session.DuplicateIdentity}}, "write Goodbye, close dismissed"},
			step{2, update, ""}, step{2, ping(t, true), ""}, step{time.Hour, Tick{}, ""}, step{2, Lost{Dropped}, ""},
		)},
		"a hangup is no goodbye": {script: after(step{1, Told{session.Hangup{}}, "post ConnectionLost, close hung_up"})},
		"a hangup before the first response is wordless": {resume: true, script: []step{
			{0, Begin{}, "post Resume"}, {1, update, ""},
			{1, Told{session.Hangup{}}, "post ConnectionLost, close hung_up"},
		}},
		"a lost socket":                         {script: after(step{1, Lost{Dropped}, "post ConnectionLost, close dropped"})},
		"a session that is gone without a word": {script: after(step{1, noSession, "write Goodbye, close gone"})},
		"a session that does not keep up": {script: after(
			step{1, Refused{errors.New("busy")}, "post ConnectionLost, close behind"})},
		"tokens are refreshed every five minutes": {script: after(
			step{5*time.Minute - 1, Alive{}, ""},
			step{5 * time.Minute, Tick{}, "write token"},
			step{5*time.Minute + 1, Tick{}, ""},
		)},
		"and when the grant changes": {script: after(step{time.Second, changed, "write token"})},
		"a change before the first response is in its token": {script: []step{
			{0, Begin{}, "post Join"}, {0, changed, ""}, {0, welcome, "write Welcome, write token"},
		}},
		"silence ends it": {script: after(
			step{10 * time.Second, Tick{}, "ping"},
			step{15*time.Second - 1, Tick{}, ""},
			step{15 * time.Second, Tick{}, "post ConnectionLost, close silent"},
		)},
		"who was heard of lately is not pinged": {script: after(
			step{9 * time.Second, ping(t, true), "write pong"},
			step{10 * time.Second, Tick{}, ""},
			step{19*time.Second - 1, Tick{}, ""},
			step{19 * time.Second, Tick{}, "ping"},
		)},
		"a pong is no silence": {script: after(
			step{10 * time.Second, Tick{}, "ping"},
			step{11 * time.Second, Alive{}, ""},
			step{15 * time.Second, Tick{}, ""},
			step{26 * time.Second, Tick{}, "post ConnectionLost, close silent"},
		)},
		"a second first response is our fault": {script: after(
			step{1, welcome, "unsaid client: a second first response, session.Welcome"})},
		"sixteen malformed frames are tolerated": {script: after(append(
			slices.Repeat([]step{{1, garbage, "malformed"}}, 16),
			step{2, garbage, "malformed, post ConnectionLost, close garbled"})...)},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(Config{}, opening(c.resume), start)
			for i, s := range c.script {
				var got []string
				for _, eff := range m.Handle(start.Add(s.after), s.ev, nil) {
					got = append(got, say(t, eff))
				}
				if g := strings.Join(got, ", "); g != s.want {
					t.Fatalf("step %d, %T at %v: got %q, want %q", i, s.ev, s.after, g, s.want)
				}
			}
		})
	}
}

// The Go SDK has to set its offer before it can read our answer.
func TestBreath(t *testing.T) {
	offer := &session.Description{SDP: "v=0"}
	for name, c := range map[string]struct {
		join session.Join
		want bool
	}{
		"go, with an offer":    {session.Join{Software: sfu.Software{SDK: "go"}, Offer: offer}, true},
		"go, without":          {session.Join{Software: sfu.Software{SDK: "go"}}, false},
		"another, with offers": {session.Join{Software: sfu.Software{SDK: "js"}, Offer: offer}, false},
	} {
		o := opening(false)
		o.Begin = c.join
		m := New(Config{}, o, start)
		m.Handle(start, Begin{}, nil)
		m.Handle(start, Told{session.Answered{}}, nil)
		var got []string
		for _, eff := range m.Handle(start, Told{session.Welcome{}}, nil) {
			got = append(got, say(t, eff))
		}
		if i := slices.Index(got, "pause"); (i >= 0) != c.want || c.want && i != slices.Index(got, "write Answered")-1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFirstGoodbye(t *testing.T) {
	for name, c := range map[string]struct {
		resume bool
		want   session.Goodbye
	}{
		"a join fails for good":     {false, session.Goodbye{Reason: session.JoinFailure, Action: session.ActionDisconnect}},
		"a resume becomes a rejoin": {true, session.Goodbye{Reason: session.StateMismatch, Action: session.ActionReconnect}},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(Config{}, opening(c.resume), start)
			out := m.Handle(start, Begin{}, nil)
			out = m.Handle(start, Refused{session.ErrNoSession}, out[:0])
			r, err := wire.DecodeResponse(out[0].(Write).Data, wire.Binary)
			if err != nil || r.Session != session.Message(c.want) {
				t.Fatalf("got %+v, %v", r.Session, err)
			}
		})
	}
}

// The token that a client gets lives for the rest of the one it came with, and at least ten minutes (livekit.md
// section 3), with the grant as it is now.
func TestRefresh(t *testing.T) {
	for name, c := range map[string]struct {
		left, want time.Duration
	}{
		"long":    {time.Hour, time.Hour},
		"at ten":  {10 * time.Minute, 10 * time.Minute},
		"short":   {9 * time.Minute, 10 * time.Minute},
		"expired": {-time.Hour, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			o := opening(false)
			o.Token.Expires = start.Add(c.left)
			m := New(Config{}, o, start)
			m.Handle(start, Told{session.Welcome{}}, nil)
			out := m.Handle(start, Told{session.GrantChanged{
				Grant: session.Grant{Subscribe: true, Hidden: true}, Name: "Al", Metadata: "m", Attributes: map[string]string{"a": "b"},
			}}, nil)
			r, err := wire.DecodeResponse(out[0].(Write).Data, wire.Binary)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := grant.Verify(r.Token, grant.Keys{key.ID: key.Secret}, start)
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.Expires.Sub(start); got != c.want {
				t.Errorf("lives %v, want %v", got, c.want)
			}
			if tok.Identity != "alice" || tok.Session != "s" || !tok.Join || tok.Name != "Al" || tok.Metadata != "m" ||
				tok.Attributes["a"] != "b" || !tok.Inside.Hidden || tok.Inside.Publish || !tok.Inside.Subscribe {
				t.Errorf("token says %+v", tok.Grant)
			}
		})
	}
}

func TestHeldIsBounded(t *testing.T) {
	for name, ev := range map[string]Event{"messages": Told{session.Update{}}, "pings": ping(t, true)} {
		t.Run(name, func(t *testing.T) {
			m := New(Config{MaxHeld: 3}, opening(true), start)
			m.Handle(start, Begin{}, nil)
			for range 3 {
				if out := m.Handle(start, ev, nil); len(out) != 0 {
					t.Fatalf("got %v", out)
				}
			}
			out := m.Handle(start, ev, nil)
			if len(out) != 2 || out[1] != (Close{Behind}) {
				t.Fatalf("got %v", out)
			}
		})
	}
}

// A client that floods is read more slowly; nothing it asked is lost.
func TestBudget(t *testing.T) {
	m := New(Config{Rate: 10, Burst: 2}, opening(false), start)
	m.Handle(start, Told{session.Welcome{}}, nil)
	mute := asks(t, session.Mute{Publication: "TR_1"})
	for i := range 7 {
		if out := m.Handle(start, mute, nil); len(out) != 1 {
			t.Fatalf("frame %d: got %v", i, out)
		}
	}
	if got := m.ReadAfter().Sub(start); got != 500*time.Millisecond {
		t.Errorf("reads after %v: five frames over, at ten a second", got)
	}
	later := start.Add(10 * time.Second)
	m.Handle(later, mute, nil)
	if m.ReadAfter().After(later) {
		t.Error("still in debt after ten seconds")
	}
}

func TestDeadlineNeverPasses(t *testing.T) {
	m := New(Config{}, opening(false), start)
	m.Handle(start, Begin{}, nil)
	m.Handle(start, Told{session.Welcome{}}, nil)
	now := start
	for range 1000 {
		next := m.Deadline()
		if !next.After(now) {
			t.Fatalf("deadline %v at %v: a loop would spin", next, now)
		}
		now = next
		m.Handle(now, Alive{}, nil)
		m.Handle(now, Tick{}, nil)
	}
	m.Handle(now, Lost{Dropped}, nil)
	if !m.Deadline().IsZero() {
		t.Error("a deadline after the end")
	}
}
