package client

import (
	"errors"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

// Opening is how a connection begins, as far as it was verified before the upgrade.
type Opening struct {
	Sink session.Sink
	ID   sfu.ParticipantID // fresh for a join; what the client claims for a resume
	// Begin is the session.Join or session.Resume to post.
	Begin session.Event
	Sync  *session.Sync // what a resuming client sent along, if it did

	Token   grant.Token
	Key     grant.Key // signs refreshed tokens
	Dialect wire.Dialect
}

// stage of a connection; it only rises.
type stage uint8

const (
	waiting stage = iota // for the session's first answer
	open
	ended
)

// Machine is one connection. It belongs to the connection's loop.
type Machine struct {
	cfg      Config
	with     Opening
	stage    stage
	resumes  bool          // it took up the place of an earlier connection
	breathes bool          // see breath
	enc      wire.Encoding // of the last frame that came; binary first
	held     []session.Message
	pings    []wire.Ping // that came before the first response

	heard     time.Time // last sign of life
	began     time.Time
	nextPing  time.Time
	nextFresh time.Time
	malformed int
	budget    budget
}

// breath is what the Go SDK needs after the first response, up to 2.18.1 at least: it reads on before it has set the offer that
// it joined with, and an answer that comes sooner is lost on it.
const breath = 50 * time.Millisecond

func needsBreath(begin session.Event) bool {
	join, ok := begin.(session.Join)
	return ok && join.Software.SDK == "go" && join.Offer != nil
}

// New makes the machine of a connection that was upgraded at now.
func New(cfg Config, with Opening, now time.Time) *Machine {
	cfg = cfg.withDefaults()
	return &Machine{
		cfg: cfg, with: with, enc: wire.Binary, breathes: needsBreath(with.Begin),
		heard: now, began: now, nextPing: now.Add(cfg.PingPeriod),
		budget: newBudget(cfg.Rate, cfg.Burst, now),
	}
}

// Deadline is when the next Tick is due; the zero time after the end.
func (m *Machine) Deadline() time.Time {
	if m.stage == ended {
		return time.Time{}
	}
	at := m.heard.Add(m.cfg.PingTimeout)
	at = earlier(at, m.nextPing)
	if m.stage == waiting {
		return earlier(at, m.began.Add(m.cfg.OpenTimeout))
	}
	return earlier(at, m.nextFresh)
}

// ReadAfter is when the loop may take the next frame from the socket: later than now for a client that floods.
func (m *Machine) ReadAfter() time.Time { return m.budget.solvent() }

// Handle lets an event happen and appends what the loop shall do.
func (m *Machine) Handle(now time.Time, ev Event, out []Effect) []Effect {
	if m.stage == ended {
		return out
	}
	switch ev := ev.(type) {
	case Begin:
		return m.begin(out)
	case Frame:
		m.heard = now
		m.budget.spend(now, len(ev.Data))
		return m.frame(now, ev, out)
	case Alive:
		m.heard = now
		return out
	case Told:
		return m.told(now, ev.Message, out)
	case Refused:
		return m.refused(ev.Err, out)
	case Lost:
		return m.lose(ev.Why, out)
	case Tick:
		return m.tick(now, out)
	}
	panic("client: unknown event")
}

func (m *Machine) begin(out []Effect) []Effect {
	out = append(out, Post{m.with.Begin})
	if m.with.Sync != nil {
		out = append(out, Post{session.FromParticipant{Sink: m.with.Sink, ID: m.with.ID, Request: *m.with.Sync}})
	}
	_, m.resumes = m.with.Begin.(session.Resume)
	m.with.Begin, m.with.Sync = nil, nil // they hold descriptions
	return out
}

// frame reads what the client sent.
func (m *Machine) frame(now time.Time, f Frame, out []Effect) []Effect {
	enc := wire.Binary
	if f.Text {
		enc = wire.Text
	}
	req, err := wire.DecodeRequest(f.Data, enc)
	if errors.Is(err, wire.ErrUnknown) { // from a newer client: no fault of its
		m.enc = enc
		return append(out, Malformed{err})
	}
	if err != nil {
		m.malformed++
		out = append(out, Malformed{err})
		if m.malformed > m.cfg.MaxMalformed {
			return m.lose(Garbled, out)
		}
		return out
	}
	m.enc = enc
	return m.request(now, req, out)
}

// refused ends a connection whose session is not there, or does not keep up.
func (m *Machine) refused(err error, out []Effect) []Effect {
	if !errors.Is(err, session.ErrNoSession) {
		return m.lose(Behind, out)
	}
	bye := session.Goodbye{Reason: session.SessionClosed}
	if m.stage == waiting {
		bye = m.unopened()
	}
	out = m.write(bye, out)
	return m.end(Gone, out)
}

// unopened is the first and last response of a connection that gets no answer from the session: a join has failed, while
// a resume shall become a full reconnect.
func (m *Machine) unopened() session.Goodbye {
	if m.resumes {
		return session.Goodbye{Reason: session.StateMismatch, Action: session.ActionReconnect}
	}
	return session.Goodbye{Reason: session.JoinFailure}
}

// tick does what has become due.
func (m *Machine) tick(now time.Time, out []Effect) []Effect {
	if m.stage == waiting && !now.Before(m.began.Add(m.cfg.OpenTimeout)) {
		out = m.write(m.unopened(), out)
		return m.lose(Unanswered, out)
	}
	if !now.Before(m.heard.Add(m.cfg.PingTimeout)) {
		return m.lose(Silent, out)
	}
	if !now.Before(m.nextPing) {
		if m.nextPing = m.heard.Add(m.cfg.PingPeriod); !now.Before(m.nextPing) { // clients that ping by themselves need none
			m.nextPing = now.Add(m.cfg.PingPeriod)
			out = append(out, Ping{})
		}
	}
	if m.stage == open && !now.Before(m.nextFresh) {
		out = m.refresh(now, out)
	}
	return out
}

// lose ends the connection and tells the session, which keeps the participant for a resume if it can.
func (m *Machine) lose(why Why, out []Effect) []Effect {
	out = append(out, Post{session.ConnectionLost{Sink: m.with.Sink, ID: m.with.ID}})
	return m.end(why, out)
}

func (m *Machine) end(why Why, out []Effect) []Effect {
	m.stage = ended
	m.held, m.pings = nil, nil
	return append(out, Close{why})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
