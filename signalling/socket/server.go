// Package socket is the HTTP face of the focus towards clients of LiveKit's protocol: the signalling WebSocket and its
// validate routes, the server API, webhooks and health. It owns their goroutines and I/O; what a connection may say
// and when is decided by signalling/client, what it means by sfu/session.
//
// Goroutines: the one of the HTTP request becomes the connection's loop after the upgrade, one more reads its socket,
// and each session with unsent webhooks has one that sends them.
package socket

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/client"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

// Registry opens sessions and hands them events. Post never blocks on the session's loop; Call waits for its answer.
// Errors wrap those of package session.
type Registry interface {
	Open(id sfu.SessionID, cfg session.Config) (session.View, error)
	Post(id sfu.SessionID, ev session.Event) error
	Call(ctx context.Context, id sfu.SessionID, ev session.Event) error
}

// Viewer tells what is going on in the sessions.
type Viewer interface {
	Snapshot(ctx context.Context, id sfu.SessionID) (session.Snapshot, error)
	Sessions(ctx context.Context) []session.View
}

// Focus is all that this package asks of the media plane.
type Focus interface {
	Registry
	Viewer
}

// Admission says whether what a token permits still holds: tokens outlive the rights they were made for.
type Admission interface {
	// Admit is asked before each connection, a resumed one too, and may wait for others. A refusal wraps ErrNotAdmitted;
	// any other error means that it cannot be said now.
	Admit(ctx context.Context, t grant.Token) error
}

// ErrNotAdmitted says that the right to be in a session was withdrawn.
var ErrNotAdmitted = errors.New("not admitted")

// Config of a Server. The zero value works and admits nobody: it has no keys.
type Config struct {
	Keys grant.Keys
	// AutoCreate opens a session for whoever joins; otherwise the token must carry roomCreate, or somebody opened it before.
	AutoCreate bool
	// Session is what sessions are opened with, unless the token or the call says otherwise.
	Session session.Config
	// Prefixes are paths under which all routes are served again, for proxies that do not strip them.
	Prefixes []string
	// TrustedProxies are the addresses whose X-Forwarded-For counts.
	TrustedProxies []netip.Prefix
	// Describe is what join and reconnect say of this focus.
	Describe wire.Server
	// AllowPause is the default for clients that do not say whether video may be paused.
	AllowPause bool
	// RemoteUnmute lets the server API unmute a participant.
	RemoteUnmute bool
	// MaxConnections bounds the signalling connections of this node; 0: no limit.
	MaxConnections int
	// Client bounds each connection.
	Client client.Config
	// Webhooks says whom to tell what happens.
	Webhooks Webhooks
	// Admission has the last word on each token; nil: a token that verifies is good.
	Admission Admission
	// Health is asked by the health routes; nil: always well.
	Health Health
	// Next serves all other paths; nil: 404.
	Next http.Handler
}

// Server serves the routes. It is an http.Handler, and safe for use by many goroutines.
type Server struct {
	cfg      Config
	focus    Focus
	log      *slog.Logger
	upgrader websocket.Upgrader
	metrics  *metrics
	hooks    *hooks
	calls    calls

	mu          sync.Mutex
	connections int
	draining    bool
	stop        chan struct{} // closed: connections end at once
	idle        chan struct{} // closed and replaced whenever the last connection ends
}

// New makes a Server. Close ends its goroutines. reg may be nil.
func New(cfg Config, focus Focus, log *slog.Logger, reg prometheus.Registerer) *Server {
	s := &Server{
		cfg: cfg, focus: focus, log: log, metrics: newMetrics(reg),
		stop: make(chan struct{}), idle: make(chan struct{}),
		upgrader: websocket.Upgrader{
			HandshakeTimeout:  5 * time.Second,
			EnableCompression: true, // RFC 7692
			// Nearly all connections are idle nearly all the time: they hold a small buffer to read and none to write.
			ReadBufferSize:  1 << 10,
			WriteBufferSize: 4 << 10,
			WriteBufferPool: &sync.Pool{},
			// Rights come from the token, never from cookies, so a page of any origin may connect.
			CheckOrigin: func(*http.Request) bool { return true },
			Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
				http.Error(w, http.StatusText(status), status)
			},
		},
	}
	s.hooks = newHooks(cfg.Webhooks, cfg.Keys, log, s.metrics)
	return s
}

// Notify tells the webhooks' receivers. It never blocks; the session loops call it.
func (s *Server) Notify(n session.Notice) { s.hooks.notify(n) }

// route is what a path leads to, after the prefix is off.
type route func(s *Server, w http.ResponseWriter, r *http.Request)

var routes = map[string]route{
	"/rtc":             (*Server).rtc,
	"/rtc/v1":          (*Server).rtcV1,
	"/rtc/validate":    (*Server).validate,
	"/rtc/v1/validate": (*Server).validateV1,
	"/":                (*Server).root,
	"/livez":           (*Server).livez,
	"/readyz":          (*Server).readyz,
	"/healthz":         (*Server).readyz,
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := s.path(r.URL.Path)
	h, found := routes[path]
	if !found && strings.HasPrefix(path, twirpPrefix) {
		h, found = (*Server).twirp, true
	}
	if !found && s.cfg.Next != nil {
		s.cfg.Next.ServeHTTP(w, r)
		return
	}
	allowOrigin(w.Header())
	switch {
	case r.Method == http.MethodOptions:
		preflight(w, r)
	case !found:
		http.NotFound(w, r)
	default:
		h(s, w, r)
	}
}

// path takes off a configured prefix. Clients that concatenate URLs make a leading "//", which counts as one.
func (s *Server) path(p string) string {
	p = collapse(p)
	for _, prefix := range s.cfg.Prefixes {
		prefix = collapse("/" + strings.Trim(prefix, "/"))
		if rest, ok := strings.CutPrefix(p, prefix); ok && (rest == "" || rest[0] == '/') {
			return collapse("/" + strings.TrimLeft(rest, "/"))
		}
	}
	return p
}

func collapse(p string) string { return "/" + strings.TrimLeft(p, "/") }

// enter counts a connection in, if there is room for it.
func (s *Server) enter(resume bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.roomLocked(resume) {
		return false
	}
	s.connections++
	s.metrics.connections.Inc()
	return true
}

// room tells whether a connection would be let in now.
func (s *Server) room(resume bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomLocked(resume)
}

// roomLocked: who resumes is here already, and mostly replaces a connection that is not known to be lost yet. So a
// draining node lets it in, and a full one until resumes have doubled what it holds.
func (s *Server) roomLocked(resume bool) bool {
	limit := s.cfg.MaxConnections
	if resume {
		return limit <= 0 || s.connections < 2*limit
	}
	return !s.draining && (limit <= 0 || s.connections < limit)
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections--
	s.metrics.connections.Dec()
	if s.connections == 0 {
		close(s.idle)
		s.idle = make(chan struct{})
	}
}

// Drain refuses new connections from now on, and makes readyz say so. Those that are open stay.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// Shutdown drains, ends every session with ServerShutdown, and waits until all connections are told and gone, or ctx
// is done. Close comes after it, when the sessions' loops have ended and no notice is left to come.
func (s *Server) Shutdown(ctx context.Context) {
	s.Drain()
	for _, v := range s.focus.Sessions(ctx) {
		// A session that ended by itself meanwhile is as good.
		_ = s.focus.Post(v.ID, session.Close{Reason: session.ServerShutdown})
	}
	s.wait(ctx)
}

// Close ends all connections at once, which clients of a focus that comes back will resume, and sends the webhooks
// that are queued until ctx is done.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.mu.Unlock()
	s.hooks.close(ctx)
	s.wait(context.WithoutCancel(ctx)) // bounded by the timeouts of the connections
}

// wait until no connection is open.
func (s *Server) wait(ctx context.Context) {
	s.mu.Lock()
	idle, left := s.idle, s.connections
	s.mu.Unlock()
	if left == 0 {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// newID makes an id as LiveKit's look: a prefix and twelve letters or digits.
func newID(prefix string) string {
	return prefix + rand.Text()[:12] // 60 bit
}
