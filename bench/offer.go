package bench

import (
	"errors"
	"fmt"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// This file is offers and answers; the bot's loop runs all of it.

// firstOffer is the offer that goes with the join: what livekit-client says before it publishes anything.
func (s *stay) firstOffer() (*session.Description, error) {
	if s.bot.cfg.Dual {
		return nil, nil
	}
	if s.bot.cfg.Subscribe {
		s.up.client.AddReceive(s.bot.cfg.Receive[0], s.bot.cfg.Receive[1])
	} else {
		s.up.client.AddReceive(1, 0) // an offer has to hold something
	}
	return s.up.describe()
}

// describe writes an offer.
func (t *talk) describe() (*session.Description, error) {
	local := t.transport.Local()
	if t.restart {
		var err error
		if local, err = t.transport.Restart(); err != nil {
			return nil, err
		}
		t.restart = false
	}
	for _, change := range t.changes {
		change(t.client)
	}
	t.changes = nil
	r, err := t.client.Offer(localSide(local))
	if err != nil {
		return nil, err
	}
	t.id++
	t.waiting, t.again = true, false
	t.last = &session.Description{SDP: r.SDP, ID: t.id, Mids: r.Mids}
	return t.last, nil
}

func localSide(l media.LocalDescription) negotiate.Local {
	return negotiate.Local{Ufrag: l.Ufrag, Pwd: l.Pwd, Fingerprint: l.Fingerprint, Candidates: l.Candidates, EndOfCandidates: true}
}

// offer sends one, now or when the answer to the one before is here.
func (s *stay) offer() {
	if s.up.waiting {
		s.up.again = true
		return
	}
	d, err := s.up.describe()
	if err != nil {
		if !errors.Is(err, negotiate.ErrEmpty) {
			s.bot.fail(fmt.Errorf("offer: %w", err))
		}
		return
	}
	s.bot.request(session.Offer{Description: *d})
}

// answered takes the server's answer to our offer.
func (s *stay) answered(d session.Description) {
	t := s.up
	if !t.waiting || d.ID != 0 && d.ID != t.id {
		return
	}
	t.waiting = false
	r, err := t.client.Accept(d.SDP)
	if err == nil {
		err = s.connect(t, r)
	}
	if err != nil {
		s.bot.fail(fmt.Errorf("answer: %w", err))
		return
	}
	s.placed(t, r.Receives, d.Mids)
	for _, send := range r.Sends {
		s.begin(t, send)
	}
	if t.again {
		s.offer()
	}
}

// offered answers the server's offer (dual mode).
func (s *stay) offered(d session.Description) {
	t := s.down
	r, err := t.client.Answer(d.SDP, localSide(t.transport.Local()))
	if err == nil && r.Restart && t.transport.Started() {
		if _, err = t.transport.Restart(); err == nil {
			// The answer was written with the old credentials: say it again with the new ones.
			var again negotiate.Result
			again, err = t.client.Answer(d.SDP, localSide(t.transport.Local()))
			r.SDP, r.Receives = again.SDP, again.Receives
		}
	}
	if err == nil {
		err = s.connect(t, r)
	}
	if err != nil {
		s.bot.fail(fmt.Errorf("offer of the server: %w", err))
		return
	}
	s.placed(t, r.Receives, d.Mids)
	s.bot.request(session.Answer{Description: session.Description{SDP: r.SDP, ID: d.ID}})
}

// connect brings the transport in line with what the server said of its side.
func (s *stay) connect(t *talk, r negotiate.Result) error {
	remote := media.RemoteDescription{
		Ufrag: r.Remote.Ufrag, Pwd: r.Remote.Pwd, Fingerprint: r.Remote.Fingerprint, Lite: r.Remote.Lite,
		Candidates: s.bot.allowed(r.Remote.Candidates), Data: r.Remote.Data, MaxMessageSize: r.Remote.MaxMessageSize,
	}
	switch r.Remote.Setup {
	case negotiate.ActiveSetup:
		remote.Setup = media.SetupActive
	case negotiate.PassiveSetup:
		remote.Setup = media.SetupPassive
	}
	var err error
	switch {
	case !t.transport.Started():
		err = t.transport.Start(remote)
	case r.Restart:
		err = t.transport.Restarted(remote)
	case remote.Data:
		t.transport.StartData(remote.MaxMessageSize)
	}
	if err != nil && len(remote.Candidates) == 0 {
		return err
	}
	return nil // candidates that cannot be used are no reason to give up
}

// placed installs the subscriptions of a description.
func (s *stay) placed(t *talk, receives []negotiate.Receive, mids map[string]string) {
	for i := range receives {
		if id := mids[receives[i].Mid]; id != "" {
			receives[i].Publication = sfu.PublicationID(id)
		}
	}
	t.receive(s.bot, receives)
	s.bot.notify()
}
