package matrix

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"weir/signalling/member"
)

// What of a room is read (matrixrtc.md section 10). Nothing else is asked for, and nothing else is kept.
var (
	stateTypes = []string{
		"org.matrix.msc3401.call.member", "m.call.member", "org.matrix.msc4143.rtc.slot", "m.rtc.slot",
		"m.room.create", "m.room.power_levels", "m.room.server_acl", "m.room.encryption", "m.room.tombstone",
	}
	timelineTypes = append([]string{
		"org.matrix.msc4143.rtc.member", "m.rtc.member", "m.room.encrypted", "m.room.redaction", typeMember,
	}, stateTypes...)
	// What happened in a gap includes who left; the first sight of a room does not, because joined_members tells it in a
	// tenth of the bytes.
	changeTypes = append([]string{typeMember}, stateTypes...)
)

const typeMember = "m.room.member"

const (
	pollTime      = 30 * time.Second // of one sync, the homeserver's part
	timelineLimit = 100              // events; more in one answer are a gap
)

// filter asks for one room and as little else as there is.
func filter(room string, state []string) string {
	none := map[string]any{"types": []string{}}
	b, _ := json.Marshal(map[string]any{ // of strings and numbers: it cannot fail
		"presence": none, "account_data": none,
		"room": map[string]any{
			"rooms": []string{room}, "ephemeral": none, "account_data": none,
			"timeline": map[string]any{"types": timelineTypes, "limit": timelineLimit},
			"state":    map[string]any{"types": state, "lazy_load_members": false},
		},
	})
	return string(b)
}

type eventList struct {
	Events []json.RawMessage `json:"events"`
}

// syncRoom is a room in an answer to /sync.
type syncRoom struct {
	Timeline struct {
		Events  []json.RawMessage `json:"events"`
		Limited bool              `json:"limited"`
	} `json:"timeline"`
	State              eventList  `json:"state"`       // before the timeline
	StateAfter         *eventList `json:"state_after"` // after it
	StateAfterUnstable *eventList `json:"org.matrix.msc4222.state_after"`
	Sticky             eventList  `json:"sticky"`
	StickyUnstable     eventList  `json:"msc4354_sticky"`

	received   time.Time
	unreadable int
}

type syncAnswer struct {
	Next  string `json:"next_batch"`
	Rooms struct {
		Join  map[string]*syncRoom `json:"join"`
		Leave map[string]*syncRoom `json:"leave"`
	} `json:"rooms"`
}

// sync asks what happened in a room since then, as somebody who is in it. Without since it is told what the room is like.
func (h *Homeserver) sync(ctx context.Context, room, as, since string) (*syncAnswer, error) {
	query := url.Values{
		"set_presence": {"offline"}, "org.matrix.msc4222.use_state_after": {"true"}, "use_state_after": {"true"},
	}
	wait := callTimeout * 6 // the first answer about a large room takes its time
	if since == "" {
		query.Set("filter", filter(room, stateTypes))
		query.Set("timeout", "0")
	} else {
		query.Set("filter", filter(room, changeTypes))
		query.Set("timeout", strconv.FormatInt(pollTime.Milliseconds(), 10))
		query.Set("since", since)
		wait = pollTime + 2*callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var a syncAnswer
	err := h.do(ctx, call{method: http.MethodGet, path: "/_matrix/client/v3/sync", query: query, as: as, into: &a, limit: maxList})
	received := time.Now()
	for _, rooms := range []map[string]*syncRoom{a.Rooms.Join, a.Rooms.Leave} {
		for _, r := range rooms {
			if r != nil {
				r.received = received
			}
		}
	}
	return &a, err
}

// decode reads events; what cannot be read is counted.
func (r *syncRoom) decode(lists ...[]json.RawMessage) []member.Event {
	var all []member.Event
	for _, list := range lists {
		for _, raw := range list {
			e, err := member.Decode(raw, r.received)
			if err != nil {
				r.unreadable++
				continue
			}
			all = append(all, e)
		}
	}
	return all
}

// after is the state after the timeline, if the homeserver tells it (MSC4222).
func (r *syncRoom) after() *eventList {
	if r.StateAfter != nil {
		return r.StateAfter
	}
	return r.StateAfterUnstable
}

// whole is the room as it is: its current state, and the sticky events that are live.
func (r *syncRoom) whole() (member.State, member.Batch) {
	timeline := r.decode(r.Timeline.Events)
	var sticky member.Batch
	for _, e := range timeline {
		if !e.State {
			sticky.Events = append(sticky.Events, e)
		}
	}
	sticky.Events = append(sticky.Events, r.decode(r.Sticky.Events, r.StickyUnstable.Events)...)
	if after := r.after(); after != nil {
		return member.State{Events: r.decode(after.Events), Partial: true}, sticky
	}
	// The state before the timeline, with what the timeline made of it.
	at := map[[2]string]int{}
	var current []member.Event
	for _, e := range append(r.decode(r.State.Events), timeline...) {
		if !e.State {
			continue
		}
		key := [2]string{e.Type, e.StateKey}
		if i, ok := at[key]; ok {
			current[i] = e
			continue
		}
		at[key] = len(current)
		current = append(current, e)
	}
	return member.State{Events: current, Partial: true}, sticky
}

// news is what happened, in order. Nothing is told twice, except what the state says of the timeline's last word.
func (r *syncRoom) news() member.Batch {
	if after := r.after(); after != nil {
		return member.Batch{Events: r.decode(r.Timeline.Events, after.Events, r.Sticky.Events, r.StickyUnstable.Events)}
	}
	return member.Batch{Events: r.decode(r.State.Events, r.Timeline.Events, r.Sticky.Events, r.StickyUnstable.Events)}
}
