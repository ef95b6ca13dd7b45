package socket

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gorilla/websocket"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/client"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

func (s *Server) rtc(w http.ResponseWriter, r *http.Request)   { s.connect(w, r, false) }
func (s *Server) rtcV1(w http.ResponseWriter, r *http.Request) { s.connect(w, r, true) }

func (s *Server) validate(w http.ResponseWriter, r *http.Request)   { s.check(w, r, false) }
func (s *Server) validateV1(w http.ResponseWriter, r *http.Request) { s.check(w, r, true) }

// check answers what connect would, without a connection. Scripts in browsers cannot see why an upgrade failed, so
// they ask here again, with the same parameters.
func (s *Server) check(w http.ResponseWriter, r *http.Request, v1 bool) {
	a, no := s.admit(w, r, v1)
	if no == nil && a.join.BadAttributes {
		no = badJoin.because(nil)
	}
	if no == nil {
		no = s.holds(r, a)
	}
	if no == nil {
		no = s.find(a, false)
	}
	if no == nil && !s.room(a.join.Resume) {
		no = noCapacity.because(nil)
	}
	if no != nil {
		s.refuse(w, r, "validate", a, no)
		return
	}
	s.metrics.opened.WithLabelValues("validate", "ok").Inc()
	plain(w, http.StatusOK, "success")
}

// connect upgrades and leaves the connection to a goroutine of its own: that of the request would keep the request, with
// all that a client says in its URL, and the server's buffers, as long as the connection lives.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, v1 bool) {
	if !websocket.IsWebSocketUpgrade(r) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	a, no := s.admit(w, r, v1)
	if no == nil && !s.enter(a.join.Resume) {
		no = noCapacity.because(nil)
	}
	if no != nil {
		s.refuse(w, r, "connect", a, no)
		return
	}
	c := s.upgrade(w, r, a)
	if c == nil {
		s.leave()
		return
	}
	c.log.Info("connection opened", "resume", a.join.Resume, "dual", a.join.Settings.Dual, "sdk", a.join.Software.SDK, "address", a.address)
	go s.serve(c)
}

// upgrade answers the request; nil: with a refusal.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, a *admission) *connection {
	no := s.holds(r, a)
	if no == nil {
		no = s.find(a, true)
	}
	if no != nil {
		s.refuse(w, r, "connect", a, no)
		return nil
	}
	ws, err := s.upgrader.Upgrade(w, r, w.Header())
	if err != nil {
		s.metrics.opened.WithLabelValues("connect", "upgrade_failed").Inc()
		s.log.Info("connection refused", "session", a.token.Session, "code", "upgrade_failed", "err", err)
		return nil
	}
	s.metrics.opened.WithLabelValues("connect", "ok").Inc()
	return s.connection(a, ws)
}

// serve runs a connection until it ends.
func (s *Server) serve(c *connection) {
	defer s.leave()
	defer func() {
		if broken := recover(); broken != nil { // as net/http does for a request: others go on
			c.log.Error("connection broke", "panic", broken, "stack", string(debug.Stack()))
		}
	}()
	began := time.Now()
	why := c.run()
	s.metrics.ended.WithLabelValues(why.String()).Inc()
	c.log.Info("connection ended", "code", why.String(), "after", time.Since(began).Round(time.Millisecond))
}

// refuse answers a request that is not served, with one log line.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, route string, a *admission, no *refusal) {
	s.metrics.opened.WithLabelValues(route, no.code).Inc()
	attrs := []any{"code", no.code, "address", clientAddress(r, s.cfg.TrustedProxies)}
	if a != nil {
		attrs = append(attrs, "session", a.token.Session, "participant", a.identity)
	}
	if no.err != nil {
		attrs = append(attrs, "err", no.err)
	}
	s.log.Info("connection refused", attrs...)
	if no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	plain(w, no.status, no.text)
}

// connection makes the connection of an admitted request.
func (s *Server) connection(a *admission, ws *websocket.Conn) *connection {
	c := &connection{
		session: a.token.Session, ws: ws, sessions: s.focus,
		malformed: s.metrics.malformed.Inc, inbox: newInbox(inboxLimit), alive: make(chan struct{}, 1), stop: s.stop,
		log: s.log.With(slog.String("connection", newID("CO_")), slog.String("session", string(a.token.Session)),
			slog.String("participant", string(a.identity))),
	}
	software := a.join.Software
	software.Address = a.address
	opening := client.Opening{
		Sink: c, Token: a.token, Key: grant.Key{ID: a.token.Key, Secret: s.cfg.Keys[a.token.Key]},
		Dialect: wire.Dialect{Server: s.cfg.Describe, Protocol: software.Protocol},
	}
	if a.join.Resume {
		opening.ID = a.join.Participant
		opening.Begin = session.Resume{Sink: c, ID: opening.ID, Identity: a.identity, Software: software}
		opening.Sync = a.join.Sync
	} else {
		opening.ID = sfu.ParticipantID(newID("PA_"))
		opening.Begin = a.event(c, opening.ID, software, s.settings(a), s.cfg.Describe.Region)
	}
	c.machine = client.New(s.cfg.Client, opening, time.Now())
	return c
}

func (s *Server) settings(a *admission) session.Settings {
	set := a.join.Settings
	if !a.join.AllowPauseSet {
		set.AllowPause = s.cfg.AllowPause
	}
	return set
}

// event is the join that a asks for.
func (a *admission) event(sink session.Sink, id sfu.ParticipantID, sw sfu.Software, set session.Settings, region string) session.Join {
	return session.Join{
		Sink: sink, ID: id, Identity: a.identity, Name: a.token.Name, Metadata: a.metadata(), Attributes: a.attributes(),
		Kind: a.token.Kind, Grant: a.inside, Software: sw, Settings: set, Publish: a.join.Publish, Offer: a.join.Offer, Region: region,
	}
}
