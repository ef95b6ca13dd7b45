package matrix

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"weir/signalling/member"
)

// Pushed takes the events that the own homeserver sends by itself (Matrix application service API; matrixrtc.md section
// 10, level 3). Of all that comes it keeps what concerns rooms with a session here, and forgets the rest unread.
type Pushed struct {
	watcher *Watcher
	server  string // whose events they are
	token   [sha256.Size]byte
}

// NewPushed makes it for one of the own homeservers, which shows this token.
func NewPushed(server, hsToken string, w *Watcher) *Pushed {
	return &Pushed{watcher: w, server: server, token: sha256.Sum256([]byte(hsToken))}
}

const (
	pushPrefix = "/_matrix/app/v1/"
	// maxPush admits a hundred of the largest events (Synapse's transactions are that long).
	maxPush = 16 << 20
)

// ServesPushed says whether a path is one at which homeservers push.
func ServesPushed(path string) bool { return strings.HasPrefix(path, pushPrefix) }

var (
	pushFailed   = &refusal{status: http.StatusServiceUnavailable, errcode: "M_UNKNOWN", text: "Try again.", code: "push_behind"}
	unknownQuery = &refusal{status: http.StatusNotFound, errcode: "M_NOT_FOUND", text: "There is no such user or room here.", code: "unknown_query"}
)

func (p *Pushed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	bad := p.take(w, r)
	if bad == nil {
		writeJSON(w, http.StatusOK, struct{}{})
		return
	}
	if bad != unknownQuery {
		p.watcher.log.Warn("pushed events refused", "code", bad.code, "ip", r.RemoteAddr, "err", bad.cause)
	}
	bad.write(w)
}

func (p *Pushed) take(w http.ResponseWriter, r *http.Request) *refusal {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(token))
	switch {
	case !ok:
		return missingToken
	case subtle.ConstantTimeCompare(sum[:], p.token[:]) != 1:
		return unknownToken
	case strings.HasPrefix(r.URL.Path, pushPrefix+"ping"):
		return nil
	case r.Method != http.MethodPut || !strings.HasPrefix(r.URL.Path, pushPrefix+"transactions/"):
		return unknownQuery // it asks for users and rooms that might be ours: none are
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPush))
	if err != nil {
		return unreadable.because(err)
	}
	var t struct {
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(body, &t); err != nil {
		return unreadable.because(err)
	}
	if !p.watcher.pushed(p.server, t.Events, time.Now()) {
		return pushFailed // it comes again
	}
	return nil
}

// pushed hands events to the watches of their rooms that are read at this homeserver: from another they come as well, at
// another time. False if one of them does not keep up.
func (w *Watcher) pushed(server string, events []json.RawMessage, now time.Time) bool {
	batches := map[string]member.Batch{}
	for _, raw := range events {
		var e struct {
			Room string `json:"room_id"`
			Type string `json:"type"`
		}
		if json.Unmarshal(raw, &e) != nil || !slices.Contains(timelineTypes, e.Type) || !w.watches(e.Room, server) {
			continue
		}
		ev, err := member.Decode(raw, now)
		if err != nil {
			w.metrics.ignored.Inc()
			continue
		}
		b := batches[e.Room]
		b.Events = append(b.Events, ev)
		batches[e.Room] = b
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := true
	for room, b := range batches {
		w.measure(b, now)
		if v := w.rooms[room]; v != nil && !v.put(b) {
			kept = false
		}
	}
	return kept
}

func (w *Watcher) watches(room, server string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.rooms[room]
	if v == nil {
		return false
	}
	at := v.reads.Load()
	return at == nil || at.own == server
}

// measure observes how late changes of room membership arrive.
func (w *Watcher) measure(b member.Batch, now time.Time) {
	for _, e := range b.Events {
		if e.Type == typeMember {
			w.metrics.lag.Observe(max(0, now.Sub(time.UnixMilli(e.Origin)).Seconds()))
		}
	}
}
