package client

import (
	"strings"
	"testing"
	"time"

	"weir/sfu/session"
)

// FuzzMachine plays any sequence of events and frames. Whatever happens: the first frame out is join, reconnect or
// leave; nothing is written after a leave, nothing at all is done after Close; each ping that came while the connection
// was open is answered at once; and the session hears of the end exactly once.
func FuzzMachine(f *testing.F) {
	f.Add(false, []byte{0, 2, 1, 3, 4}, []byte{})
	f.Add(true, []byte{0, 4, 1, 5, 2, 3, 1, 1, 6}, []byte{})
	f.Add(false, []byte{0, 2, 8, 8, 8, 9}, []byte{0x42, 0})
	f.Add(false, []byte{0, 10, 10, 2}, []byte{0x0a, 0})
	f.Add(true, []byte{0, 3, 11, 12, 7, 13}, []byte(`{"ping":"3"}`))
	f.Fuzz(func(t *testing.T, resume bool, ops, data []byte) {
		m := New(Config{MaxHeld: 4, MaxMalformed: 2}, opening(resume), start)
		now := start
		p := properties{t: t}
		for _, op := range ops {
			now = now.Add(time.Duration(op>>4) * time.Second)
			ev := event(t, op&15, data)
			p.check(ev, m.Handle(now, ev, nil))
		}
	})
}

func event(t *testing.T, op byte, data []byte) Event {
	switch op {
	case 1:
		return ping(t, true)
	case 2:
		return Told{session.Welcome{}}
	case 3:
		return Told{session.Resumed{}}
	case 4:
		return Told{session.Update{}}
	case 5:
		return Told{session.Goodbye{Reason: session.DuplicateIdentity}}
	case 6:
		return Told{session.Hangup{}}
	case 7:
		return Told{session.GrantChanged{}}
	case 8:
		return Frame{Data: data}
	case 9:
		return Frame{Data: data, Text: true}
	case 10:
		return Tick{}
	case 11:
		return Alive{}
	case 12:
		return Lost{Dropped}
	case 13:
		return Refused{session.ErrNoSession}
	case 14:
		return asks(t, session.Leave{})
	case 15:
		return ping(t, false)
	}
	return Begin{}
}

// properties watches one connection.
type properties struct {
	t                     *testing.T
	written, left, closed bool
	farewells             int
}

func (p *properties) check(ev Event, out []Effect) {
	if p.closed && len(out) > 0 {
		p.t.Fatalf("after the end: %v", out)
	}
	wasOpen := p.written && !p.left && !p.closed
	pongs := 0
	for _, eff := range out {
		word := say(p.t, eff)
		verb, what, _ := strings.Cut(word, " ")
		switch {
		case p.closed:
			p.t.Fatalf("after Close: %q", word)
		case verb == "write" || verb == "text":
			if p.left {
				p.t.Fatalf("after the leave: %q", word)
			}
			if first := !p.written; first && what != "Welcome" && what != "Resumed" && what != "Goodbye" {
				p.t.Fatalf("first response is %q", word)
			}
			p.written = true
			p.left = what == "Goodbye"
			if strings.HasPrefix(what, "pong") {
				pongs++
			}
		case word == "post ConnectionLost" || word == "post Leave":
			p.farewells++
		case verb == "close":
			p.closed = true
			said := p.farewells == 1 || p.farewells == 0 && p.left
			if !said {
				p.t.Fatalf("closed (%s) after %d farewells, leave %v", what, p.farewells, p.left)
			}
		}
	}
	if f, is := ev.(Frame); is && wasOpen && pongs == 0 && isPing(p.t, f) {
		p.t.Fatal("a ping without a pong")
	}
}

func isPing(t *testing.T, f Frame) bool {
	for _, old := range []bool{true, false} {
		if string(ping(t, old).Data) == string(f.Data) {
			return true
		}
	}
	return false
}
