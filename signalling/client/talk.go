package client

import (
	"fmt"
	"time"

	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

// request does what the client asks: pings are answered here, all else is the session's.
func (m *Machine) request(now time.Time, req wire.Request, out []Effect) []Effect {
	if req.Ping != nil {
		if m.stage == waiting {
			if len(m.pings) >= m.cfg.MaxHeld {
				return m.lose(Behind, out)
			}
			m.pings = append(m.pings, *req.Ping)
			return out
		}
		return m.pong(now, *req.Ping, out)
	}
	if req.Session == nil {
		return out
	}
	out = append(out, Post{session.FromParticipant{Sink: m.with.Sink, ID: m.with.ID, Request: req.Session}})
	if _, leaves := req.Session.(session.Leave); leaves {
		return m.end(Left, out)
	}
	return out
}

// told takes a message of the session.
func (m *Machine) told(now time.Time, msg session.Message, out []Effect) []Effect {
	switch msg := msg.(type) {
	case session.Goodbye:
		out = m.write(msg, out)
		return m.end(Dismissed, out)
	case session.Hangup:
		return m.lose(HungUp, out)
	case session.GrantChanged:
		m.regrant(msg)
		if m.stage == waiting {
			return out // the first token tells
		}
		return m.refresh(now, out)
	case session.Welcome, session.Resumed:
		if m.stage == waiting {
			return m.start(now, msg, out)
		}
		return append(out, Unsaid{fmt.Errorf("client: a second first response, %T", msg)})
	}
	if m.stage == waiting {
		if len(m.held) >= m.cfg.MaxHeld {
			return m.lose(Behind, out)
		}
		m.held = append(m.held, msg)
		return out
	}
	return m.write(msg, out)
}

// start writes the first response, a token, and what had to wait for it.
func (m *Machine) start(now time.Time, first session.Message, out []Effect) []Effect {
	m.stage = open
	out = m.write(first, out)
	out = m.refresh(now, out)
	if m.breathes {
		out = append(out, Pause{breath})
	}
	for _, msg := range m.held {
		out = m.write(msg, out)
	}
	for _, p := range m.pings {
		out = m.pong(now, p, out)
	}
	m.held, m.pings = nil, nil
	return out
}

// regrant makes later tokens carry what the participant may do from now on.
func (m *Machine) regrant(ch session.GrantChanged) {
	t := &m.with.Token
	t.Inside, t.Name, t.Metadata, t.Attributes = ch.Grant, ch.Name, ch.Metadata, ch.Attributes
}

// refresh writes a new token. Its life is counted from the token the client came with: that is the longest the issuer
// ever granted, unless so little of it is left that a reconnect could miss it.
func (m *Machine) refresh(now time.Time, out []Effect) []Effect {
	m.nextFresh = now.Add(m.cfg.RefreshPeriod)
	token, err := grant.Refresh(m.with.Token, m.with.Key, now)
	if err != nil {
		return append(out, Unsaid{fmt.Errorf("client: refreshing the token: %w", err)})
	}
	frame, err := m.with.Dialect.Token(token, m.enc)
	return m.frameOut(frame, err, out)
}

func (m *Machine) pong(now time.Time, p wire.Ping, out []Effect) []Effect {
	frame, err := m.with.Dialect.Pong(p, now, m.enc)
	return m.frameOut(frame, err, out)
}

// write encodes a message of the session.
func (m *Machine) write(msg session.Message, out []Effect) []Effect {
	frames, err := m.with.Dialect.Encode(msg, m.enc)
	if err != nil {
		return append(out, Unsaid{fmt.Errorf("client: encoding %T: %w", msg, err)})
	}
	for _, f := range frames {
		out = append(out, Write{Data: f, Text: m.enc == wire.Text})
	}
	return out
}

func (m *Machine) frameOut(frame []byte, err error, out []Effect) []Effect {
	if err != nil {
		return append(out, Unsaid{fmt.Errorf("client: encoding: %w", err)})
	}
	return append(out, Write{Data: frame, Text: m.enc == wire.Text})
}
