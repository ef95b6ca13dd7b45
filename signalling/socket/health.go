package socket

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Health knows how the focus is.
type Health interface {
	// Checks is the state of each part.
	Checks() []Check
	// StatsAge is how old the node's own statistics are.
	StatsAge() time.Duration
}

// Check is the state of one part of the focus.
type Check struct {
	Name   string
	Status Status
	Detail string // for the operator; shown with ?verbose
}

// Status of a Check.
type Status uint8

const (
	Well     Status = iota
	Degraded        // of a shared service: the balancer must not empty all nodes for it
	Failed          // this node cannot serve
)

func (s Status) String() string { return [...]string{"ok", "degraded", "failed"}[s] }

// maxStatsAge is LiveKit's: statistics older than this mean that the node no longer turns (livekit.md section 1).
const maxStatsAge = 4 * time.Second

// root answers probes. HEAD is 200 always: client libraries ask it to learn whether they are online.
func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodHead:
		w.WriteHeader(http.StatusOK)
		return
	case http.MethodGet:
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	if s.cfg.Next != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.cfg.Next.ServeHTTP(w, r) // the status page
		return
	}
	if s.cfg.Health != nil && s.cfg.Health.StatsAge() > maxStatsAge {
		http.Error(w, "Not Ready", http.StatusNotAcceptable)
		return
	}
	plain(w, http.StatusOK, "OK")
}

// livez says that the process turns, whatever else is broken.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

// readyz says whether this node takes calls; ?verbose lists why.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	checks := s.checks()
	worst := Well
	for _, c := range checks {
		worst = max(worst, c.Status)
	}
	status := http.StatusOK
	if worst == Failed {
		status = http.StatusServiceUnavailable
	}
	if !r.URL.Query().Has("verbose") {
		plain(w, status, worst.String())
		return
	}
	var b strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&b, "%s: %s", c.Name, c.Status)
		if c.Detail != "" {
			fmt.Fprintf(&b, " (%s)", c.Detail)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s\n", worst)
	plain(w, status, b.String())
}

func (s *Server) checks() []Check {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	signalling := Check{Name: "signalling"}
	if draining {
		signalling.Status, signalling.Detail = Failed, "draining"
	}
	if s.cfg.Health == nil {
		return []Check{signalling}
	}
	return append([]Check{signalling}, s.cfg.Health.Checks()...)
}

// plain writes a short text. The content type is set so that no browser guesses one.
func plain(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the other side is gone: nobody to tell
}
