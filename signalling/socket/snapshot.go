package socket

// MaxHeaderBytes is what the http.Server in front must let through: a join_request of 1 MiB grows by base64, and a
// token with all its metadata comes beside it.
const MaxHeaderBytes = 4 << 20

// Snapshot is the state of a Server at one instant.
type Snapshot struct {
	Connections int
	Draining    bool
	Webhooks    int // waiting to be sent
	Calls       int // remote procedure calls without an answer yet
}

// Snapshot tells how the server is.
func (s *Server) Snapshot() Snapshot {
	s.mu.Lock()
	snap := Snapshot{Connections: s.connections, Draining: s.draining}
	s.mu.Unlock()
	snap.Webhooks = s.hooks.waiting()
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	snap.Calls = len(s.calls.pending)
	return snap
}

func (h *hooks) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, queue := range h.queues {
		n += len(queue)
	}
	return n
}
