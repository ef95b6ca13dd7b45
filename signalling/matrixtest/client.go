package matrixtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rooms is the client API of a homeserver with rooms in it, as far as a focus uses it. It lives in memory, connections
// included, so that it works in a bubble of fake time. Faults are injected by Down, Answer, Hide and Old.
type Rooms struct {
	name   string
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex // guards the rest
	log     []*event   // of all rooms; a sync token is a place in it
	state   map[string]map[[2]string]*event
	news    chan struct{} // closed and replaced at each change
	down    bool
	old     bool            // no MSC4502, no MSC4222
	account string          // whose the token is, where nobody is stood in for
	hidden  map[string]bool // rooms that /sync does not show and whose members are not known
	answers map[string]Step // by the end of the path
	seen    []Request
	delayed []Delayed // that wait
}

// Request is one that was made.
type Request struct {
	Method, Path, As, Token string
	Body                    string
	At                      time.Time
}

type event struct {
	ID      string          `json:"event_id"`
	Type    string          `json:"type"`
	Sender  string          `json:"sender"`
	Key     *string         `json:"state_key,omitempty"`
	Origin  int64           `json:"origin_server_ts"`
	Content json.RawMessage `json:"content"`
	Sticky  *sticky         `json:"msc4354_sticky,omitempty"`
	Redacts string          `json:"redacts,omitempty"`

	room string
}

type sticky struct {
	Duration int64 `json:"duration_ms"`
}

// NewRooms starts one. Stop ends it.
func NewRooms(name string) *Rooms {
	h := &Rooms{
		name: name, conns: make(chan net.Conn), closed: make(chan struct{}), state: map[string]map[[2]string]*event{},
		news: make(chan struct{}), hidden: map[string]bool{}, answers: map[string]Step{},
	}
	h.server = &http.Server{Handler: http.HandlerFunc(h.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = h.server.Serve(h) }()
	return h
}

// Accept, Close and Addr make it its own listener.
func (h *Rooms) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close is for its server.
func (h *Rooms) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Stop ends everything.
func (h *Rooms) Stop() { _ = h.server.Close() }

// Addr is no real address.
func (h *Rooms) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// URL is its base URL.
func (h *Rooms) URL() string { return "http://homeserver.test" }

// LookupNetIP knows one name.
func (h *Rooms) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

// LookupSRV knows none.
func (h *Rooms) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{IsNotFound: true}
}

// Dial connects to it.
func (h *Rooms) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	h.mu.Lock()
	down := h.down
	h.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case h.conns <- there:
		return here, nil
	case <-h.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Down makes it unreachable, requests in flight included, or brings it back.
func (h *Rooms) Down(down bool) {
	h.change(func() { h.down = down })
}

// Old takes away what Synapse before 1.160 does not have.
func (h *Rooms) Old() { h.change(func() { h.old = true }) }

// Account says whose token it is that requests without user_id come with: a bot's.
func (h *Rooms) Account(user string) { h.change(func() { h.account = user }) }

// Hide keeps a room from being shown, as while it is joined over federation, or shows it.
func (h *Rooms) Hide(room string, hide bool) { h.change(func() { h.hidden[room] = hide }) }

// Answer makes all requests to a path that ends so be answered by step; nil ends that.
func (h *Rooms) Answer(end string, step Step) {
	h.change(func() {
		if step == nil {
			delete(h.answers, end)
		} else {
			h.answers[end] = step
		}
	})
}

func (h *Rooms) change(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
	close(h.news)
	h.news = make(chan struct{})
}

// Requests are those to paths that hold this text, oldest first.
func (h *Rooms) Requests(path string) []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	var rs []Request
	for _, r := range h.seen {
		if strings.Contains(r.Path, path) {
			rs = append(rs, r)
		}
	}
	return rs
}

// State sends a state event; content is JSON.
func (h *Rooms) State(room, sender, kind, key, content string) string {
	return h.add(&event{room: room, Sender: sender, Type: kind, Key: &key, Content: json.RawMessage(content)})
}

// Send sends another event; one that is sticky for a while if duration is not zero.
func (h *Rooms) Send(room, sender, kind, content string, duration time.Duration) string {
	e := &event{room: room, Sender: sender, Type: kind, Content: json.RawMessage(content)}
	if duration > 0 {
		e.Sticky = &sticky{duration.Milliseconds()}
	}
	return h.add(e)
}

// Redact takes an event back.
func (h *Rooms) Redact(room, sender, id string) {
	h.add(&event{room: room, Sender: sender, Type: "m.room.redaction", Redacts: id, Content: json.RawMessage(`{}`)})
}

// Join, Leave, Kick and Ban change who is in a room.
func (h *Rooms) Join(room string, users ...string) {
	for _, u := range users {
		h.State(room, u, "m.room.member", u, `{"membership":"join"}`)
	}
}

// Leave is by the user itself.
func (h *Rooms) Leave(room, user string) {
	h.State(room, user, "m.room.member", user, `{"membership":"leave"}`)
}

// Kick is by another.
func (h *Rooms) Kick(room, by, user string) {
	h.State(room, by, "m.room.member", user, `{"membership":"leave"}`)
}

// Ban is by another.
func (h *Rooms) Ban(room, by, user string) {
	h.State(room, by, "m.room.member", user, `{"membership":"ban"}`)
}

func (h *Rooms) add(e *event) (id string) {
	h.change(func() {
		id = fmt.Sprintf("$%d", len(h.log))
		e.ID, e.Origin = id, time.Now().UnixMilli()
		h.log = append(h.log, e)
		if e.Key != nil {
			if h.state[e.room] == nil {
				h.state[e.room] = map[[2]string]*event{}
			}
			h.state[e.room][[2]string{e.Type, *e.Key}] = e
		}
	})
	return id
}

func (e *event) membership() string {
	var c struct {
		Membership string `json:"membership"`
	}
	_ = json.Unmarshal(e.Content, &c)
	return c.Membership
}

func (h *Rooms) joined(room, user string) bool {
	e := h.state[room][[2]string{"m.room.member", user}]
	return e != nil && e.membership() == "join"
}

const (
	forbidden    = `{"errcode":"M_FORBIDDEN","error":"not in the room"}`
	unrecognized = `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`
)

func (h *Rooms) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	as := r.URL.Query().Get("user_id")
	h.mu.Lock()
	down, account, step := h.down, h.account, Step(nil)
	for end, s := range h.answers {
		if strings.HasSuffix(r.URL.Path, end) {
			step = s
		}
	}
	h.seen = append(h.seen, Request{r.Method, r.URL.Path, as, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), string(body), time.Now()})
	h.mu.Unlock()
	if as == "" {
		as = account
	}
	path := strings.TrimPrefix(r.URL.Path, "/_matrix/client/")
	parts := strings.Split(path, "/")
	switch {
	case down:
		Hangup()(w, r)
	case step != nil:
		step(w, r)
	case strings.HasPrefix(path, delayedPath):
		h.delayedEvents(w, r, as)
	case path == "v3/sync":
		h.sync(w, r, as)
	case strings.HasSuffix(path, "/is_joined") && len(parts) == 5:
		h.isJoined(w, r, parts[3])
	case strings.HasSuffix(path, "/joined_members") && len(parts) == 4:
		h.members(w, r, parts[2], as)
	case r.Method == http.MethodPut && len(parts) == 6 && parts[3] == "state":
		Answer(http.StatusOK, `{"event_id":"`+h.State(parts[2], as, parts[4], parts[5], string(body))+`"}`)(w, r)
	case r.Method == http.MethodPut && len(parts) == 6 && parts[3] == "send":
		ms, _ := strconv.ParseInt(r.URL.Query().Get("org.matrix.msc4354.sticky_duration_ms"), 10, 64)
		Answer(http.StatusOK, `{"event_id":"`+h.Send(parts[2], as, parts[4], string(body), time.Duration(ms)*time.Millisecond)+`"}`)(w, r)
	default:
		Answer(http.StatusNotFound, unrecognized)(w, r)
	}
}

func (h *Rooms) isJoined(w http.ResponseWriter, r *http.Request, room string) {
	h.mu.Lock()
	in, user, server := false, r.URL.Query().Get("mxid"), r.URL.Query().Get("server_name")
	for key, e := range h.state[room] {
		_, at, _ := strings.Cut(key[1], ":")
		if key[0] == "m.room.member" && e.membership() == "join" && (key[1] == user || at == server) {
			in = true
		}
	}
	old := h.old
	h.mu.Unlock()
	if old {
		Answer(http.StatusNotFound, unrecognized)(w, r)
		return
	}
	Answer(http.StatusOK, fmt.Sprintf(`{"joined":%v}`, in))(w, r)
}

func (h *Rooms) members(w http.ResponseWriter, r *http.Request, room, as string) {
	h.mu.Lock()
	in, hidden := h.joined(room, as), h.hidden[room]
	joined := map[string]any{}
	for key, e := range h.state[room] {
		if key[0] == "m.room.member" && e.membership() == "join" {
			joined[key[1]] = map[string]string{"display_name": "x"}
		}
	}
	h.mu.Unlock()
	switch body, _ := json.Marshal(map[string]any{"joined": joined}); {
	case hidden: // it waits for the whole state
		Silent()(w, r)
	case !in:
		Answer(http.StatusForbidden, forbidden)(w, r)
	default:
		Answer(http.StatusOK, string(body))(w, r)
	}
}

// filter is the part of a filter that is understood.
type filter struct {
	Room struct {
		Rooms    []string `json:"rooms"`
		Timeline struct {
			Types []string `json:"types"`
			Limit int      `json:"limit"`
		} `json:"timeline"`
		State struct {
			Types []string `json:"types"`
		} `json:"state"`
	} `json:"room"`
}

func (h *Rooms) sync(w http.ResponseWriter, r *http.Request, as string) {
	q := r.URL.Query()
	var f filter
	if err := json.Unmarshal([]byte(q.Get("filter")), &f); err != nil || q.Has("device_id") || q.Get("set_presence") != "offline" {
		Answer(http.StatusBadRequest, `{"errcode":"M_INVALID_PARAM"}`)(w, r)
		return
	}
	since, first := 0, !q.Has("since")
	if !first {
		n, err := strconv.Atoi(strings.TrimPrefix(q.Get("since"), "s"))
		if h.mu.Lock(); err != nil || n > len(h.log) {
			h.mu.Unlock()
			Answer(http.StatusBadRequest, `{"errcode":"M_UNKNOWN_POS"}`)(w, r)
			return
		}
		h.mu.Unlock()
		since = n
	}
	ms, _ := strconv.Atoi(q.Get("timeout"))
	end := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer end.Stop()
	for {
		h.mu.Lock()
		body, any := h.answer(f, as, since, first)
		news, down := h.news, h.down
		h.mu.Unlock()
		if down {
			Hangup()(w, r)
			return
		}
		if any || ms == 0 {
			Answer(http.StatusOK, body)(w, r)
			return
		}
		select {
		case <-news:
		case <-end.C:
			ms = 0
		case <-r.Context().Done():
			return
		}
	}
}

// answer is what happened since, and whether anything did. The mutex is held.
func (h *Rooms) answer(f filter, as string, since int, first bool) (string, bool) {
	join, leave := map[string]any{}, map[string]any{}
	for _, room := range f.Room.Rooms {
		if h.hidden[room] {
			continue
		}
		was, in := h.joinedAt(room, as, since) && !first, h.joined(room, as)
		if !in && !was {
			continue
		}
		part, any := h.roomSince(f, room, as, since, first || !was)
		switch {
		case !in:
			leave[room] = part
		case any || first || !was:
			join[room] = part
		}
	}
	body, _ := json.Marshal(map[string]any{"next_batch": fmt.Sprintf("s%d", len(h.log)), "rooms": map[string]any{"join": join, "leave": leave}})
	return string(body), len(join)+len(leave) > 0
}

// joinedAt tells whether a user was in a room at a place of the log.
func (h *Rooms) joinedAt(room, user string, at int) bool {
	in := false
	for _, e := range h.log[:at] {
		if e.room == room && e.Type == "m.room.member" && *e.Key == user {
			in = e.membership() == "join"
		}
	}
	return in
}

func (h *Rooms) roomSince(f filter, room, as string, since int, whole bool) (any, bool) {
	var timeline []*event
	for _, e := range h.log[since:] {
		if e.room != room || !slices.Contains(f.Room.Timeline.Types, e.Type) {
			continue
		}
		timeline = append(timeline, e)
		if e.Type == "m.room.member" && *e.Key == as && e.membership() != "join" && !h.joined(room, as) {
			break
		}
	}
	limited := false
	if n := f.Room.Timeline.Limit; len(timeline) > n {
		timeline, limited = timeline[len(timeline)-n:], true
	}
	var state []*event
	for key, e := range h.state[room] {
		if slices.Contains(f.Room.State.Types, key[0]) && (whole || !h.before(e, since)) && (!h.old || !slices.Contains(timeline, e)) {
			state = append(state, e)
		}
	}
	slices.SortFunc(state, func(a, b *event) int { return strings.Compare(a.ID, b.ID) })
	var live []any
	for i, e := range h.log {
		if e.room == room && e.Sticky != nil && !slices.Contains(timeline, e) && (whole || i >= since) &&
			time.Now().UnixMilli() < e.Origin+e.Sticky.Duration {
			live = append(live, e)
		}
	}
	part := map[string]any{"timeline": map[string]any{"events": timeline, "limited": limited}, "msc4354_sticky": map[string]any{"events": live}}
	if h.old {
		part["state"] = map[string]any{"events": state}
	} else {
		part["org.matrix.msc4222.state_after"] = map[string]any{"events": state}
	}
	return part, len(timeline)+len(live) > 0
}

func (h *Rooms) before(e *event, place int) bool { return slices.Contains(h.log[:place], e) }
