package matrix

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/derive"
	"weir/signalling/grant"
	"weir/signalling/member"
	"weir/signalling/policy"
)

const (
	focusURL = "wss://rtc.own.example"
	room     = "!r:own.example"
)

// house is a set of doors with everything behind them written down.
type house struct {
	doors  *Doors
	opened map[sfu.SessionID]session.Config
	asked  []string // "server token"
	joins  []string
	log    bytes.Buffer
	fail   error
	users  map[string]string // who the homeservers vouch for, by token
	in     map[string]bool   // nil: no membership is known
	inErr  error
}

func (h *house) Subject(_ context.Context, server, token string) (string, error) {
	h.asked = append(h.asked, server+" "+token)
	if u := h.users[token]; u != "" {
		return u, nil
	}
	return "", errors.New("userinfo answered status 401")
}

func (h *house) Open(id sfu.SessionID, cfg session.Config) (session.View, error) {
	if h.fail != nil {
		return session.View{}, h.fail
	}
	h.opened[id] = cfg
	return session.View{ID: id}, nil
}

func (h *house) Joined(_ context.Context, room, user string) (bool, error) {
	h.joins = append(h.joins, room+" "+user)
	return h.in[user], h.inErr
}

var testKey = grant.Key{ID: "APIkey", Secret: "a secret of at least thirty-two bytes"}

// build makes doors of own.example.
func build(t *testing.T, p policy.Config) *house {
	t.Helper()
	table, err := policy.New(p, []string{"own.example"})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{opened: map[sfu.SessionID]session.Config{}, users: map[string]string{
		"alice": "@alice:own.example", "bob": "@bob:far.example", "guest": "@123:own.example",
	}}
	log := slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.doors = NewDoors(DoorConfig{URL: focusURL, Key: testKey, Policy: table, Rate: p.Rate, Caller: h, Sessions: h}, log, prometheus.NewRegistry())
	return h
}

func (h *house) do(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.doors.ServeHTTP(w, r)
	return w
}

// body writes a request for a door, with changes applied: "" deletes a key, dots go into objects.
func body(door, token, server string, changes ...any) string {
	b := map[string]any{"openid_token": map[string]any{"access_token": token, "token_type": "Bearer", "matrix_server_name": server, "expires_in": 3600}}
	if door == "/sfu/get" {
		b["room"], b["device_id"] = room, "DEV"
	} else {
		user := "@alice:own.example"
		if token == "bob" {
			user = "@bob:far.example"
		}
		b["room_id"], b["slot_id"] = room, "m.call#ROOM"
		b["member"] = map[string]any{"id": "member1", "claimed_user_id": user, "claimed_device_id": "DEV"}
	}
	for i := 0; i < len(changes); i += 2 {
		path, in := strings.Split(changes[i].(string), "."), b
		for _, p := range path[:len(path)-1] {
			in = in[p].(map[string]any)
		}
		if last := path[len(path)-1]; changes[i+1] == nil {
			delete(in, last)
		} else {
			in[last] = changes[i+1]
		}
	}
	text, _ := json.Marshal(b)
	return string(text)
}

func checkForm(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	for key, want := range map[string]string{
		"Content-Type": "application/json", "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "POST",
		"Access-Control-Allow-Headers": "Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token",
	} {
		if got := w.Header().Values(key); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q once", key, got, want)
		}
	}
}

// refusalRow is one row of the table of errors, matrixrtc.md section 2.1.
type refusalRow struct {
	name    string
	door    string
	body    string
	policy  policy.Config
	arrange func(*house)
	status  int
	errcode string
	text    string // "": any
	asks    int    // how often a homeserver was asked
	code    string // in the log
}

func refusals() (rows []refusalRow) {
	far := policy.Rule{Servers: []string{"far.example"}, Action: policy.Deny}
	for _, door := range []string{"/sfu/get", "/get_token"} {
		const notJSON, badForm, unauth, text401 = "M_NOT_JSON", "M_BAD_JSON", "M_UNAUTHORIZED", "The request could not be authorised."
		unreadable := func(name, b string) {
			rows = append(rows, refusalRow{name: name, door: door, body: b, status: 400, errcode: notJSON, text: "Error reading request", code: "unreadable"})
		}
		unreadable("empty", "")
		unreadable("not JSON", "room=x")
		unreadable("an array", "[]")
		unreadable("cut off", body(door, "alice", "own.example")[:40])
		unreadable("something after it", body(door, "alice", "own.example")+"{}")
		unreadable("unknown key", body(door, "alice", "own.example", "colour", "red"))
		unreadable("unknown key inside", body(door, "alice", "own.example", "openid_token.colour", "red"))
		unreadable("a number for a text", body(door, "alice", "own.example", "openid_token.access_token", 7))
		unreadable("a text for a number", body(door, "alice", "own.example", "delay_id", "d", "delay_timeout", "1000"))
		unreadable("over 16 KiB", body(door, "alice", "own.example", "openid_token.access_token", strings.Repeat("x", 17<<10)))
		unreadable("not UTF-8", strings.Replace(body(door, "alice", "own.example"), "DEV", "D\xff", 1))

		keys := []string{"room", "openid_token.access_token", "openid_token.matrix_server_name", "openid_token"}
		if door == "/get_token" {
			keys = []string{"room_id", "slot_id", "member", "member.id", "member.claimed_user_id", "member.claimed_device_id",
				"openid_token.access_token", "openid_token.matrix_server_name", "openid_token"}
		}
		bad := func(name, b string) {
			rows = append(rows, refusalRow{name: name, door: door, body: b, status: 400, errcode: badForm, code: "form"})
		}
		for _, k := range keys {
			bad("missing "+k, body(door, "alice", "own.example", k, nil))
			if k != "openid_token" && k != "member" {
				bad("empty "+k, body(door, "alice", "own.example", k, ""))
			}
			if k != "openid_token" && k != "member" && k != "openid_token.access_token" {
				bad("256 bytes of "+k, body(door, "alice", "own.example", k, strings.Repeat("x", 256)))
			}
		}
		bad("delay_id without delay_timeout", body(door, "alice", "own.example", "delay_id", "d"))
		bad("delay_timeout without delay_id", body(door, "alice", "own.example", "delay_timeout", 1000))
		bad("delay_timeout below zero", body(door, "alice", "own.example", "delay_id", "d", "delay_timeout", -1))

		rows = append(rows,
			refusalRow{name: "delegation by a foreign user", door: door, body: body(door, "bob", "far.example", "delay_id", "d", "delay_timeout", 1000),
				status: 400, errcode: badForm, code: "foreign_delegation"},
			refusalRow{name: "delegation, which is off", door: door, body: body(door, "alice", "own.example", "delay_id", "d", "delay_timeout", 1000),
				status: 400, errcode: badForm, code: "no_delegation"},
			refusalRow{name: "OpenID failure", door: door, body: body(door, "stolen", "own.example"), status: 401, errcode: unauth, text: text401, asks: 1, code: "openid"},
			refusalRow{name: "server denied", door: door, body: body(door, "bob", "far.example"), policy: policy.Config{Rules: []policy.Rule{far}},
				status: 403, errcode: "M_FORBIDDEN", code: "policy"},
			refusalRow{name: "user denied", door: door, body: body(door, "alice", "own.example"),
				policy: policy.Config{Rules: []policy.Rule{{Users: []string{"@alice:.*"}, Action: policy.Deny}}},
				status: 403, errcode: "M_FORBIDDEN", asks: 1, code: "policy"},
			refusalRow{name: "not joined", door: door, body: body(door, "alice", "own.example"), arrange: func(h *house) { h.doors.rooms = h },
				status: 403, errcode: "M_FORBIDDEN", asks: 1, code: "not_joined"},
			refusalRow{name: "homeserver cannot say who is joined", door: door, body: body(door, "bob", "far.example"),
				arrange: func(h *house) { h.doors.rooms, h.inErr = h, errors.New("gone") }, status: 503, errcode: "M_UNKNOWN", asks: 1, code: "lookup"},
			refusalRow{name: "server denied by the room", door: door, body: body(door, "alice", "own.example"),
				arrange: func(h *house) {
					h.doors.seats = &seats{st: Standing{Standing: member.Standing{Known: true, Denied: true}}}
				},
				status: 403, errcode: "M_FORBIDDEN", asks: 1, code: "server_acl"},
			refusalRow{name: "slot closed", door: door, body: body(door, "alice", "own.example"),
				arrange: func(h *house) { h.doors.seats = &seats{st: Standing{Closing: true}} },
				status:  403, errcode: "M_FORBIDDEN", asks: 1, code: "slot_closed"},
			refusalRow{name: "homeserver cannot say, and no one is trusted", door: door, body: body(door, "alice", "own.example"), policy: policy.Config{WhenBlind: "none"},
				arrange: func(h *house) { h.doors.rooms, h.inErr = h, errors.New("gone") }, status: 503, errcode: "M_UNKNOWN", asks: 1, code: "lookup"},
			refusalRow{name: "too many from one address", door: door, body: body(door, "alice", "own.example"), policy: policy.Config{Rate: policy.Rate{IPBurst: 1}},
				arrange: func(h *house) { h.do("POST", door, body(door, "alice", "own.example")); h.asked = nil }, status: 429, errcode: "M_LIMIT_EXCEEDED", code: "ip_rate"},
			refusalRow{name: "too many by one user", door: door, body: body(door, "alice", "own.example"), policy: policy.Config{Rate: policy.Rate{UserBurst: 1}},
				arrange: func(h *house) { h.do("POST", door, body(door, "alice", "own.example")); h.asked = nil }, status: 429, errcode: "M_LIMIT_EXCEEDED", asks: 1, code: "user_rate"},
			refusalRow{name: "too many at once", door: door, body: body(door, "alice", "own.example"),
				arrange: func(h *house) {
					for range maxAsking {
						h.doors.asking <- struct{}{}
					}
				}, status: 429, errcode: "M_LIMIT_EXCEEDED", code: "busy"},
			refusalRow{name: "the session does not open", door: door, body: body(door, "alice", "own.example"), arrange: func(h *house) { h.fail = errors.New("full") },
				status: 500, errcode: "M_UNKNOWN", asks: 1, code: "internal"},
			refusalRow{name: "draining", door: door, body: body(door, "alice", "own.example"), arrange: func(h *house) { h.doors.Drain() },
				status: 503, errcode: "M_UNKNOWN", code: "draining"},
		)
	}
	return append(rows, refusalRow{name: "claimed user is another", door: "/get_token", body: body("/get_token", "alice", "own.example", "member.claimed_user_id", "@eve:own.example"),
		status: 401, errcode: "M_UNAUTHORIZED", text: "The request could not be authorised.", asks: 1, code: "claimed_user"})
}

// Every row of the table of errors of doors 1 and 2.
func TestRefusals(t *testing.T) {
	for _, row := range append(refusals(), delegateRefusals()...) {
		t.Run(row.door+" "+row.name, func(t *testing.T) {
			h, taken := build(t, row.policy), &handed{}
			if row.door == "/delegate_delayed_leave" {
				h.doors.leaves = taken
			}
			if row.arrange != nil {
				row.arrange(h)
			}
			h.log.Reset()
			clear(h.opened)
			w := h.do("POST", row.door, row.body)
			checkForm(t, w)
			var got struct {
				Code  string `json:"errcode"`
				Text  string `json:"error"`
				After *int64 `json:"retry_after_ms"`
			}
			d := json.NewDecoder(w.Body)
			d.DisallowUnknownFields()
			if err := d.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if w.Code != row.status || got.Code != row.errcode || got.Text == "" || row.text != "" && got.Text != row.text {
				t.Errorf("%d %+v", w.Code, got)
			}
			if len(h.asked) != row.asks || len(h.opened) != 0 || len(taken.all) != 0 {
				t.Errorf("asked %v, opened %v, took over %v", h.asked, h.opened, taken.all)
			}
			if line := h.log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "code="+row.code+" ") {
				t.Errorf("log: %q, want one line of code %s", line, row.code)
			}
			checkRetry(t, w, got.After)
		})
	}
}

func checkRetry(t *testing.T, w *httptest.ResponseRecorder, ms *int64) {
	t.Helper()
	header := w.Header().Get("Retry-After")
	if w.Code != http.StatusTooManyRequests {
		if header != "" || ms != nil {
			t.Error("a time to come back where there is no limit")
		}
		return
	}
	s, err := strconv.Atoi(header)
	if err != nil || ms == nil || *ms < 1 || int64(s)*1000 < *ms {
		t.Errorf("Retry-After %q, retry_after_ms %v", header, ms)
	}
}

// The answer never tells whether a user or a room exists: not joined reads like forbidden.
func TestForbiddenIsOneText(t *testing.T) {
	if *notAllowed == *notJoined || notAllowed.text != notJoined.text || unauthorised.text != impostor.text {
		t.Error("the texts tell too much")
	}
}

func TestTokens(t *testing.T) {
	alias := derive.Alias(room, derive.Slot, "")
	tests := []struct {
		name     string
		door     string
		body     string
		policy   policy.Config
		identity sfu.Identity
		publish  bool
		opened   *session.Config
	}{
		{"own user at door 1", "/sfu/get", body("/sfu/get", "alice", "own.example"), policy.Config{}, "@alice:own.example:DEV", true, &session.Config{EmptyTimeout: 300, DepartureTimeout: 20}},
		{"no device at door 1", "/sfu/get", body("/sfu/get", "alice", "own.example", "device_id", nil), policy.Config{}, "@alice:own.example:", true, &session.Config{EmptyTimeout: 300, DepartureTimeout: 20}},
		{"own user at door 2", "/get_token", body("/get_token", "alice", "own.example"), policy.Config{},
			derive.Identity(derive.Hash3, derive.Claim{User: "@alice:own.example", Device: "DEV", Member: "member1"}), true, &session.Config{EmptyTimeout: 300, DepartureTimeout: 20}},
		{"foreign user receives", "/sfu/get", body("/sfu/get", "bob", "far.example"), policy.Config{}, "@bob:far.example:DEV", false, nil},
		{"foreign user publishes where lent", "/sfu/get", body("/sfu/get", "bob", "far.example"), policy.Config{LendPublish: true}, "@bob:far.example:DEV", true, nil},
		{"anybody opens where all may", "/sfu/get", body("/sfu/get", "bob", "far.example"), policy.Config{Publish: "any"}, "@bob:far.example:DEV", true, &session.Config{EmptyTimeout: 300, DepartureTimeout: 20}},
		{"guest receives", "/sfu/get", body("/sfu/get", "guest", "own.example"), policy.Config{Guests: policy.Subscribe}, "@123:own.example:DEV", false, nil},
		{"a rule limits the session", "/sfu/get", body("/sfu/get", "alice", "own.example"), policy.Config{Rules: []policy.Rule{{Action: policy.Allow, MaxParticipants: 9}}},
			"@alice:own.example:DEV", true, &session.Config{EmptyTimeout: 300, DepartureTimeout: 20, MaxParticipants: 9}},
		{"the ignored URL", "/sfu/get", body("/sfu/get", "alice", "own.example", "delay_cs_api_url", "https://x"), policy.Config{}, "@alice:own.example:DEV", true, &session.Config{EmptyTimeout: 300, DepartureTimeout: 20}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := build(t, tt.policy)
			w := h.do("POST", tt.door, tt.body)
			checkForm(t, w)
			var got answer
			d := json.NewDecoder(w.Body)
			d.DisallowUnknownFields()
			if err := d.Decode(&got); err != nil || w.Code != 200 || got.URL != focusURL {
				t.Fatalf("%d %+v %v", w.Code, got, err)
			}
			tok, err := grant.Verify(got.JWT, grant.Keys{testKey.ID: testKey.Secret}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			want := session.Grant{Publish: tt.publish, PublishData: tt.publish, Subscribe: true, UpdateOwn: true}
			if tok.Identity != tt.identity || tok.Session != alias || !tok.Join || tok.Create || tok.Admin || tok.Inside.Publish != want.Publish ||
				tok.Inside.PublishData != want.PublishData || !tok.Inside.Subscribe || !tok.Inside.UpdateOwn {
				t.Errorf("%+v", tok)
			}
			if left := time.Until(tok.Expires); left > time.Hour || left < time.Hour-time.Minute {
				t.Errorf("good for %v", left)
			}
			if cfg, ok := h.opened[alias]; ok != (tt.opened != nil) || ok && (cfg.EmptyTimeout != 300 || cfg.DepartureTimeout != 20 || cfg.MaxParticipants != tt.opened.MaxParticipants) {
				t.Errorf("opened %v", h.opened)
			}
			if len(h.asked) != 1 {
				t.Errorf("asked %v", h.asked)
			}
			if strings.Contains(h.log.String(), got.JWT) || strings.Count(h.log.String(), "\n") != 1 {
				t.Errorf("log: %s", h.log.String())
			}
		})
	}
}

// Element Call reads the payload with atob, which throws on the URL alphabet's - and _ (matrixrtc.md section 2.4).
func TestTokenPayloadSuitsAtob(t *testing.T) {
	h := build(t, policy.Config{})
	h.users["q"] = "@what?>~ü:own.example"
	for _, device := range []string{"???", ">>>", "~~~", "x?", "xx?", "ü", "\x7f"} {
		w := h.do("POST", "/sfu/get", body("/sfu/get", "q", "own.example", "device_id", device))
		var got answer
		if err := json.NewDecoder(w.Body).Decode(&got); err != nil || w.Code != 200 {
			t.Fatalf("%d %v", w.Code, err)
		}
		payload := strings.Split(got.JWT, ".")[1]
		if strings.ContainsAny(payload, "-_") {
			t.Errorf("%q: %s", device, payload)
		}
		text, err := base64.RawStdEncoding.DecodeString(payload)
		if err != nil || !strings.Contains(string(text), `"canUpdateOwnMetadata":true`) || strings.Contains(string(text), "roomCreate") {
			t.Errorf("%s, %v", text, err)
		}
	}
}

func TestJoinedUserIsAdmitted(t *testing.T) {
	h := build(t, policy.Config{})
	h.doors.rooms, h.in = h, map[string]bool{"@alice:own.example": true}
	if w := h.do("POST", "/sfu/get", body("/sfu/get", "alice", "own.example")); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(h.joins) != 1 || h.joins[0] != room+" @alice:own.example" {
		t.Errorf("%v", h.joins)
	}
}

func TestMethods(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		empty        bool
	}{
		{"OPTIONS", "/sfu/get", 200, true}, {"OPTIONS", "/get_token", 200, true}, {"OPTIONS", "/delegate_delayed_leave", 200, true},
		{"GET", "/sfu/get", 405, true}, {"HEAD", "/get_token", 405, true}, {"PUT", "/sfu/get", 405, true}, {"DELETE", "/get_token", 405, true},
		{"GET", "/delegate_delayed_leave", 405, true},
		{"POST", "/delegate_delayed_leave", 404, false}, // off: clients read 404 as no
		{"GET", "/healthz", 200, true}, {"HEAD", "/healthz", 200, true}, {"POST", "/healthz", 405, true}, {"OPTIONS", "/healthz", 405, true},
	}
	for _, tt := range tests {
		h := build(t, policy.Config{})
		w := h.do(tt.method, tt.path, body("/sfu/get", "alice", "own.example"))
		checkForm(t, w)
		if w.Code != tt.status || tt.empty != (w.Body.Len() == 0) || len(h.asked) > 0 {
			t.Errorf("%s %s: %d %q, asked %v", tt.method, tt.path, w.Code, w.Body, h.asked)
		}
	}
	h := build(t, policy.Config{})
	h.doors.Drain()
	if w := h.do("GET", "/healthz", ""); w.Code != 503 {
		t.Errorf("draining: %d", w.Code)
	}
}

func TestServes(t *testing.T) {
	for path, want := range map[string]bool{"/sfu/get": true, "/get_token": true, "/delegate_delayed_leave": true, "/healthz": true,
		"/": false, "/sfu/get/": false, "/rtc": false, "/sfu": false} {
		if Serves(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestAddressKey(t *testing.T) {
	for remote, want := range map[string]string{
		"9.9.9.9:1": "9.9.9.9", "9.9.9.9": "9.9.9.9", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
		"[::ffff:9.9.9.9]:1": "9.9.9.9", "[fe80::1%eth0]:1": "fe80::/64", "@": "@",
	} {
		if got := addressKey(remote); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

func TestWellKnown(t *testing.T) {
	file, err := WellKnown("https://matrix.own.example/", "https://rtc.own.example")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	ServeWellKnown(file).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	want := `{"m.homeserver":{"base_url":"https://matrix.own.example"},"org.matrix.msc4143.rtc_foci":[{"type":"livekit","livekit_service_url":"https://rtc.own.example"}]}`
	var got bytes.Buffer
	if err := json.Compact(&got, w.Body.Bytes()); err != nil || got.String() != want || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%s", got.String())
	}
	w = httptest.NewRecorder()
	ServeWellKnown(file).ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

// FuzzDoors: whatever the body, the answer is one of the table's, is JSON under the right headers, and the homeserver is
// asked at most once, and only if the body could be read.
func FuzzDoors(f *testing.F) {
	for _, door := range []string{"/sfu/get", "/get_token"} {
		f.Add(door == "/sfu/get", body(door, "alice", "own.example"))
		f.Add(door == "/sfu/get", body(door, "bob", "far.example", "delay_id", "d", "delay_timeout", 1))
		f.Add(door == "/sfu/get", body(door, "alice", "own.example", "x", 1))
	}
	f.Add(true, "{}")
	f.Add(false, `{"room_id":null}`)
	table, err := policy.New(policy.Config{}, []string{"own.example"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first bool, text string) {
		h := &house{opened: map[sfu.SessionID]session.Config{}, users: map[string]string{"alice": "@alice:own.example"}}
		h.doors = NewDoors(DoorConfig{URL: focusURL, Key: testKey, Policy: table, Caller: h, Sessions: h}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		door := "/get_token"
		if first {
			door = "/sfu/get"
		}
		w := h.do("POST", door, text)
		checkForm(t, w)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		switch w.Code {
		case 200:
			if got["url"] != focusURL || got["jwt"] == "" || len(h.asked) != 1 {
				t.Fatal(got)
			}
		case 400:
			if c := got["errcode"]; c != "M_NOT_JSON" && c != "M_BAD_JSON" || len(h.asked) != 0 {
				t.Fatal(got, h.asked)
			}
		case 401:
			if got["errcode"] != "M_UNAUTHORIZED" || len(h.asked) != 1 {
				t.Fatal(got, h.asked)
			}
		default:
			t.Fatal(w.Code, got)
		}
	})
}
