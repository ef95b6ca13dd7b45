package socket

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

// Limits on what a participant brings along (livekit.md section 9), in bytes.
const (
	maxName       = 256
	maxMetadata   = 512 << 10
	maxAttributes = 64 << 10
	// maxForm is room for a join_request of 1 MiB in base64, escaped, and for a token: nobody is known before it was read.
	maxForm = 3 << 20
)

// admission is a request for a connection that was found good.
type admission struct {
	token    grant.Token
	join     wire.JoinRequest
	identity sfu.Identity // the token's, or that of a publish-only companion
	inside   session.Grant
	address  string
}

// admit checks everything about r that needs no session; validate asks for the same.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, v1 bool) (*admission, *refusal) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var over *http.MaxBytesError
		if errors.As(err, &over) {
			return nil, tooLarge.because(err)
		}
		return nil, badForm.because(errors.New("unreadable query or form")) // err would quote it
	}
	token, no := s.verify(r)
	if no != nil {
		return nil, no
	}
	if !token.Join {
		return nil, notPermitted.because(errors.New("no roomJoin"))
	}
	if v1 && r.Form.Get("join_request") == "" {
		return nil, noJoin.because(nil)
	}
	join, err := wire.ParseJoin(r.Form, r.UserAgent())
	if err != nil {
		return nil, badJoin.because(err)
	}
	a := &admission{token: token, join: join, identity: token.Identity, inside: token.Inside,
		address: clientAddress(r, s.cfg.TrustedProxies)}
	return a, a.check()
}

// verify reads the token of r: a Bearer in the header, else the parameter. A header of another scheme is not ignored.
func (s *Server) verify(r *http.Request) (grant.Token, *refusal) {
	text := r.Form.Get("access_token")
	if r.Form == nil { // the body is not a form
		text = r.URL.Query().Get("access_token")
	}
	if header := r.Header.Get("Authorization"); header != "" {
		bearer, ok := strings.CutPrefix(header, "Bearer ")
		if !ok {
			return grant.Token{}, badToken.because(errors.New("authorization without Bearer"))
		}
		text = bearer
	}
	if text == "" {
		return grant.Token{}, noToken.because(nil)
	}
	token, err := grant.Verify(text, s.cfg.Keys, time.Now())
	if err != nil {
		return grant.Token{}, badToken.because(err)
	}
	return token, nil
}

// check applies the rules for what was asked, and turns a publish-only companion into a participant of its own.
func (a *admission) check() *refusal {
	switch {
	case a.token.Identity == "":
		return noIdentity.because(nil)
	case a.token.Session == "":
		return noRoom.because(nil)
	}
	own := a.join.Metadata != "" || len(a.join.Attributes) > 0
	if own && !a.inside.UpdateOwn {
		return notPermitted.because(errors.New("no canUpdateOwnMetadata"))
	}
	if x := a.join.PublishOnly; x != "" {
		if !a.inside.Publish {
			return notPermitted.because(errors.New("no canPublish"))
		}
		a.identity += sfu.Identity("#" + x)
		a.inside.Subscribe = false
		a.join.Settings.AutoSubscribe = false
		a.join.Settings.AutoSubscribeData = false
	}
	if a.tooLong() {
		return tooLong.because(nil)
	}
	return nil
}

func (a *admission) tooLong() bool {
	size := 0
	for k, v := range a.attributes() {
		size += len(k) + len(v)
	}
	return len(a.token.Session) > maxName || len(a.identity) > maxName || len(a.token.Name) > maxName ||
		len(a.metadata()) > maxMetadata || size > maxAttributes
}

func (a *admission) metadata() string {
	if a.join.Metadata != "" {
		return a.join.Metadata
	}
	return a.token.Metadata
}

// attributes are the token's with those of the request laid over them.
func (a *admission) attributes() map[string]string {
	if len(a.join.Attributes) == 0 {
		return a.token.Attributes
	}
	all := maps.Clone(a.token.Attributes)
	if all == nil {
		all = make(map[string]string, len(a.join.Attributes))
	}
	maps.Copy(all, a.join.Attributes)
	return all
}

// holds asks whether the token's right still holds.
func (s *Server) holds(r *http.Request, a *admission) *refusal {
	if s.cfg.Admission == nil {
		return nil
	}
	switch err := s.cfg.Admission.Admit(r.Context(), a.token); {
	case errors.Is(err, ErrNotAdmitted):
		return withdrawn.because(err)
	case err != nil:
		return unsure.because(err)
	}
	return nil
}

// find checks that there is a session to join, and opens it if open and the policy allow. A resume needs none: it is
// told to reconnect by its first message, which a refusal here would turn into giving up.
func (s *Server) find(a *admission, open bool) *refusal {
	if a.join.Resume {
		return nil
	}
	id := a.token.Session
	// Passing the time changes nothing for a session, so it serves as the question whether there is one.
	err := s.focus.Post(id, session.Tick{})
	if !errors.Is(err, session.ErrNoSession) {
		return nil // one that is too busy for it exists too
	}
	if !s.cfg.AutoCreate && !a.token.Create {
		return notOpen.because(nil)
	}
	if !open {
		return nil
	}
	cfg := s.cfg.Session
	if a.token.Config != nil {
		cfg = overlay(cfg, *a.token.Config)
	}
	if _, err := s.focus.Open(id, cfg); err != nil {
		return broken.because(err)
	}
	return nil
}

// overlay is def where c says nothing.
func overlay(def, c session.Config) session.Config {
	if c.Metadata == "" {
		c.Metadata = def.Metadata
	}
	if c.EmptyTimeout == 0 {
		c.EmptyTimeout = def.EmptyTimeout
	}
	if c.DepartureTimeout == 0 {
		c.DepartureTimeout = def.DepartureTimeout
	}
	if c.MaxParticipants == 0 {
		c.MaxParticipants = def.MaxParticipants
	}
	if c.Encoding == nil {
		c.Encoding = def.Encoding
	}
	return c
}
