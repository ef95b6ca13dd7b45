package matrixtest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Delayed is an event that a user of Rooms has scheduled (MSC4140): a state event that says the user has left.
type Delayed struct {
	ID, Room, User, Key string
	Delay               time.Duration
	since               time.Time
}

// Schedule makes the homeserver wait with an event. It sends it when it is next asked for anything after its time.
func (h *Rooms) Schedule(d Delayed) {
	h.change(func() {
		d.since = time.Now()
		h.delayed = append(h.delayed, d)
	})
}

// Scheduled are the ids of the events that wait.
func (h *Rooms) Scheduled() (ids []string) {
	h.fire(time.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.delayed {
		ids = append(ids, d.ID)
	}
	return ids
}

// fire sends what is due.
func (h *Rooms) fire(now time.Time) {
	h.mu.Lock()
	var due []Delayed
	h.delayed = slices.DeleteFunc(h.delayed, func(d Delayed) bool {
		if now.Sub(d.since) < d.Delay {
			return false
		}
		due = append(due, d)
		return true
	})
	h.mu.Unlock()
	for _, d := range due {
		h.State(d.Room, d.User, memberType, d.Key, "{}")
	}
}

const memberType = "org.matrix.msc3401.call.member"

const delayedPath = "unstable/org.matrix.msc4140/delayed_events"

// delayedEvents answers at the path of delayed events and below.
func (h *Rooms) delayedEvents(w http.ResponseWriter, r *http.Request, as string) {
	h.fire(time.Now())
	_, end, _ := strings.Cut(r.URL.EscapedPath(), delayedPath)
	id, action, _ := strings.Cut(strings.TrimPrefix(end, "/"), "/")
	id, _ = url.PathUnescape(id)
	h.mu.Lock()
	old := h.old
	var mine []map[string]any
	var found *Delayed
	for i, d := range h.delayed {
		if d.ID == id {
			found = &h.delayed[i]
		}
		if d.User == as {
			mine = append(mine, map[string]any{"delay_id": d.ID, "room_id": d.Room, "delay": d.Delay.Milliseconds()})
		}
	}
	var sent Delayed
	if found != nil && r.Method == http.MethodPost {
		switch action {
		case "restart":
			found.since = time.Now()
		case "send":
			sent = *found
			h.delayed = slices.DeleteFunc(h.delayed, func(d Delayed) bool { return d.ID == id })
		}
	}
	h.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && id == "":
		text, _ := json.Marshal(map[string]any{"delayed_events": mine})
		Answer(http.StatusOK, string(text))(w, r)
	case r.Method == http.MethodGet && old:
		Answer(http.StatusNotFound, unrecognized)(w, r)
	case found == nil || r.Method == http.MethodGet && found.User != as:
		Answer(http.StatusNotFound, `{"errcode":"M_NOT_FOUND","error":"Delayed event not found"}`)(w, r)
	case r.Method == http.MethodGet:
		text, _ := json.Marshal(map[string]any{"delay_id": id, "room_id": found.Room, "delay_ms": found.Delay.Milliseconds()})
		Answer(http.StatusOK, string(text))(w, r)
	default:
		if sent.ID != "" {
			h.State(sent.Room, sent.User, memberType, sent.Key, "{}")
		}
		Answer(http.StatusOK, "{}")(w, r)
	}
}
