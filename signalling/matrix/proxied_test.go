package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/delayed"
	"weir/signalling/derive"
	"weir/signalling/grant"
	"weir/signalling/member"
	"weir/signalling/policy"
)

const (
	hsToken       = "the homeserver's token of at least thirty-two bytes"
	clientToken   = "/_matrix/client/v1/rtc/livekit/get_token"
	clientLeave   = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/delegate_delayed_leave"
	federateToken = "/_matrix/federation/unstable/io.element.msc4195/rtc/livekit/get_token"
	alice         = "@alice:own.example"
	bob           = "@bob:far.example"
)

// backyard is doors 3 and 4 with everything behind them written down.
type backyard struct {
	*house
	back     *Proxied
	servers  map[string]bool
	serveErr error
	relayed  []string
	status   int
	content  string
	relayErr error
	accepted []delayed.Leave
	leaves   map[string]delayed.Leave // what the homeserver knows, by user and delay id
	findErr  error
	keepErr  error
}

func (b *backyard) ServerJoined(_ context.Context, room, server string) (bool, error) {
	return b.servers[room+" "+server], b.serveErr
}

func (b *backyard) FedProxy(ctx context.Context, destination, path string, body any) (int, json.RawMessage, error) {
	if at, ok := ctx.Deadline(); !ok || time.Until(at) > relayTimeout {
		return 0, nil, errors.New("no deadline")
	}
	text, _ := json.Marshal(body)
	b.relayed = append(b.relayed, destination+" "+path+" "+string(text))
	return b.status, json.RawMessage(b.content), b.relayErr
}

func (b *backyard) Accept(l delayed.Leave) error {
	if b.keepErr == nil {
		b.accepted = append(b.accepted, l)
	}
	return b.keepErr
}

func (b *backyard) Find(_ context.Context, user, id string) (string, time.Duration, error) {
	l, ok := b.leaves[user+" "+id]
	if !ok && b.findErr == nil {
		return "", 0, ErrUnknownLeave
	}
	return l.Room, l.Timeout, b.findErr
}

func buildBack(t *testing.T, p policy.Config) *backyard {
	t.Helper()
	b := &backyard{
		house: build(t, p), status: 200, content: `{"jwt":"far","url":"wss://far"}`,
		servers: map[string]bool{room + " own.example": true, room + " far.example": true},
		leaves:  map[string]delayed.Leave{alice + " leave1": {Room: room, Timeout: time.Hour}, alice + " elsewhere": {Room: "!other", Timeout: time.Hour}, alice + " soon": {Room: room, Timeout: 5 * time.Second}},
	}
	b.in = map[string]bool{alice: true, bob: true}
	b.doors.rooms, b.doors.leaves = b.house, b
	b.back = NewProxied(ProxiedConfig{Own: "own.example", HSToken: hsToken, Servers: b, Relay: b}, b.doors)
	return b
}

// ask makes a request as the homeserver does. headers: name, value, ...; a value of "" takes the header away.
func (b *backyard) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+hsToken)
	if strings.HasPrefix(path, "/_matrix/federation") {
		r.Header.Set(headerOrigin, "far.example")
	} else {
		r.Header.Set(headerUser, alice)
	}
	for i := 0; i < len(headers); i += 2 {
		switch name := headers[i]; {
		case headers[i+1] == "":
			r.Header.Del(name)
		case strings.HasPrefix(name, "+"):
			r.Header.Add(name[1:], headers[i+1])
		default:
			r.Header.Set(name, headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	b.back.ServeHTTP(w, r)
	return w
}

// form writes a body: one of the shapes of matrixrtc.md section 2.2, with changes as in body.
func form(shape string, changes ...any) string {
	b := map[string]any{"room_id": room, "slot_id": "m.call#ROOM"}
	switch shape {
	case "msc":
		b["member"] = map[string]any{"id": "member1", "claimed_device_id": "DEV"}
	case "js":
		b["member"], b["url"] = map[string]any{"id": "member1", "claimed_device_id": "DEV", "claimed_user_id": "@eve:x"}, focusURL
	case "next":
		b["member_id"], b["url"] = "member1", focusURL+"/"
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

// Every shape at every spelling of doors 3 and 4 gives a token with the identity of MSC4195.
func TestProxiedTokens(t *testing.T) {
	hash3 := func(user string) sfu.Identity {
		return derive.Identity(derive.Hash3, derive.Claim{User: user, Device: "DEV", Member: "member1"})
	}
	tests := []struct {
		name, path, body string
		identity         sfu.Identity
		publish          bool
	}{
		{"text of the MSC", clientToken, form("msc"), hash3(alice), true},
		{"its own server named", clientToken, form("msc", "server_name", "own.example"), hash3(alice), true},
		{"matrix-js-sdk 43", clientToken, form("js"), hash3(alice), true},
		{"Element Call to come", clientToken, form("next"), derive.Identity(derive.Hash2, derive.Claim{User: alice, Member: "member1"}), true},
		{"keys to come", clientToken, form("msc", "colour", "red"), hash3(alice), true},
		{"a claim of another user", clientToken, form("msc", "member.claimed_user_id", "@root:own.example"), hash3(alice), true},
		{"user_id of the body", clientToken, form("msc", "user_id", "@root:own.example"), hash3(alice), true},
		{"unstable path", strings.Replace(clientToken, "v1", "unstable/io.element.msc4195", 1), form("msc"), hash3(alice), true},
		{"another server", federateToken, form("msc", "user_id", bob), hash3(bob), false},
		{"another server, stable path", strings.Replace(federateToken, "unstable/io.element.msc4195", "v1", 1), form("js", "user_id", bob), hash3(bob), false},
		{"another server, member_id", federateToken, form("next", "user_id", bob), derive.Identity(derive.Hash2, derive.Claim{User: bob, Member: "member1"}), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := buildBack(t, policy.Config{})
			w := b.ask("POST", tt.path, tt.body)
			var got answer
			d := json.NewDecoder(w.Body)
			d.DisallowUnknownFields()
			if err := d.Decode(&got); err != nil || w.Code != 200 || got.URL != focusURL || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %+v %v", w.Code, got, err)
			}
			tok, err := grant.Verify(got.JWT, grant.Keys{testKey.ID: testKey.Secret}, time.Now())
			if err != nil || tok.Identity != tt.identity || tok.Session != derive.Alias(room, derive.Slot, "") || tok.Inside.Publish != tt.publish || !tok.Inside.Subscribe {
				t.Errorf("%+v %v", tok, err)
			}
			if len(b.asked) != 0 || len(b.accepted) != 0 || (len(b.opened) == 1) != tt.publish {
				t.Errorf("asked %v, took over %v, opened %v", b.asked, b.accepted, b.opened)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Error("the homeserver adds the CORS headers: twice is wrong")
			}
		})
	}
}

// proxiedRow is one row of the tables of errors, matrixrtc.md sections 2.2 and 2.3.
type proxiedRow struct {
	name, method, path, body string
	headers                  []string
	policy                   policy.Config
	arrange                  func(*backyard)
	status                   int
	errcode, code            string
}

func proxiedRows() (rows []proxiedRow) {
	bodies := map[string]string{clientToken: form("msc"), clientLeave: form("msc", "delay_id", "leave1"), federateToken: form("msc", "user_id", bob)}
	with := func(path string, changes ...any) string {
		var base map[string]any
		_ = json.Unmarshal([]byte(bodies[path]), &base)
		for k, v := range base {
			if k != "room_id" && k != "slot_id" && k != "member" {
				changes = append([]any{k, v}, changes...)
			}
		}
		return form("msc", changes...)
	}
	for path, good := range bodies {
		header := headerUser
		if path == federateToken {
			header = headerOrigin
		}
		add := func(name, body string, status int, errcode, code string, headers ...string) {
			rows = append(rows, proxiedRow{name: name, path: path, body: body, headers: headers, status: status, errcode: errcode, code: code})
		}
		add("no token", good, 401, "M_MISSING_TOKEN", "hs_token", "Authorization", "")
		add("wrong token", good, 401, "M_UNKNOWN_TOKEN", "hs_token", "Authorization", "Bearer "+hsToken[1:])
		add("empty token", good, 401, "M_UNKNOWN_TOKEN", "hs_token", "Authorization", "Bearer ")
		add("no bearer", good, 401, "M_UNKNOWN_TOKEN", "hs_token", "Authorization", "Basic "+hsToken)
		add("two tokens", good, 401, "M_UNKNOWN_TOKEN", "hs_token", "+Authorization", "Bearer "+hsToken)
		add("token in the URL only", good, 401, "M_MISSING_TOKEN", "hs_token", "Authorization", "")
		add("no identity", good, 401, "M_UNAUTHORIZED", "identity", header, "")
		add("two identities", good, 400, "M_INVALID_PARAM", "identity", "+"+header, "@eve:own.example")
		add("a garbled identity", good, 400, "M_INVALID_PARAM", "identity", header, "alice at home")
		add("not JSON", "room_id=x", 400, "M_NOT_JSON", "unreadable")
		add("empty", "", 400, "M_NOT_JSON", "unreadable")
		add("a list", "[]", 400, "M_NOT_JSON", "unreadable")
		add("something after it", good+"{}", 400, "M_NOT_JSON", "unreadable")
		add("a number for a text", with(path, "room_id", 7), 400, "M_NOT_JSON", "unreadable")
		add("not UTF-8", strings.Replace(good, "DEV", "D\xff", 1), 400, "M_NOT_JSON", "unreadable")
		add("over 16 KiB", with(path, "x", strings.Repeat("x", 17<<10)), 400, "M_NOT_JSON", "unreadable")
		for _, key := range []string{"room_id", "slot_id", "member", "member.id", "member.claimed_device_id"} {
			add("missing "+key, with(path, key, nil), 400, "M_BAD_JSON", "form")
			if key != "member" {
				add("empty "+key, with(path, key, ""), 400, "M_BAD_JSON", "form")
				add("256 bytes of "+key, with(path, key, strings.Repeat("x", 256)), 400, "M_BAD_JSON", "form")
			}
		}
		add("empty member_id", with(path, "member", nil, "member_id", ""), 400, "M_BAD_JSON", "form")
		add("empty url", with(path, "url", ""), 400, "M_BAD_JSON", "form")
		add("foreign url", with(path, "url", "wss://rtc.far.example"), 400, "M_INVALID_PARAM", "foreign_url")
		add("url that begins like ours", with(path, "url", focusURL+".evil"), 400, "M_INVALID_PARAM", "foreign_url")
		more := func(r proxiedRow) {
			r.path = path
			if r.body == "" {
				r.body = good
			}
			rows = append(rows, r)
		}
		user := alice
		if path == federateToken {
			user = bob
		}
		_, server, _ := strings.Cut(user, ":")
		more(proxiedRow{name: "not joined", arrange: func(b *backyard) { delete(b.in, user) }, status: 403, errcode: "M_FORBIDDEN", code: "not_joined"})
		more(proxiedRow{name: "the homeserver cannot say", arrange: func(b *backyard) { b.inErr = errors.New("gone") }, status: 503, errcode: "M_UNKNOWN", code: "lookup"})
		more(proxiedRow{name: "membership is not known", arrange: func(b *backyard) { b.doors.rooms = nil }, status: 503, errcode: "M_UNKNOWN", code: "lookup"})
		more(proxiedRow{name: "server denied", policy: policy.Config{Rules: []policy.Rule{{Servers: []string{server}, Action: policy.Deny}}}, status: 403, errcode: "M_FORBIDDEN", code: "policy"})
		more(proxiedRow{name: "user denied", policy: policy.Config{Rules: []policy.Rule{{Users: []string{user}, Action: policy.Deny}}}, status: 403, errcode: "M_FORBIDDEN", code: "policy"})
		more(proxiedRow{name: "server denied by the room", arrange: func(b *backyard) {
			b.doors.seats = &seats{st: Standing{Standing: member.Standing{Known: true, Denied: true}}}
		}, status: 403, errcode: "M_FORBIDDEN", code: "server_acl"})
		more(proxiedRow{name: "slot closed", arrange: func(b *backyard) { b.doors.seats = &seats{st: Standing{Closing: true}} },
			status: 403, errcode: "M_FORBIDDEN", code: "slot_closed"})
		more(proxiedRow{name: "draining", arrange: func(b *backyard) { b.doors.Drain() }, status: 503, errcode: "M_UNKNOWN", code: "draining"})
		more(proxiedRow{name: "too often", policy: policy.Config{Rate: policy.Rate{UserBurst: 1}}, arrange: func(b *backyard) { b.ask("POST", path, good); b.accepted = nil },
			status: 429, errcode: "M_LIMIT_EXCEEDED", code: "user_rate"})
		more(proxiedRow{name: "GET", method: "GET", status: 405, errcode: "M_UNRECOGNIZED", code: "method"})
	}
	rows = append(rows, clientRows(bodies)...)
	rows = append(rows, federationRows(bodies[federateToken])...)
	return append(rows,
		proxiedRow{name: "no such door", path: "/_matrix/client/v1/rtc/livekit/sfu/get", body: "{}", status: 404, errcode: "M_UNRECOGNIZED", code: "path"},
		proxiedRow{name: "no such door at door 4", path: "/_matrix/federation/v1/rtc/livekit/delegate_delayed_leave", body: "{}", status: 404, errcode: "M_UNRECOGNIZED", code: "path"},
		proxiedRow{name: "no such version", path: "/_matrix/client/v2/rtc/livekit/get_token", body: "{}", status: 404, errcode: "M_UNRECOGNIZED", code: "path"},
		proxiedRow{name: "a public door", path: "/get_token", body: "{}", status: 404, errcode: "M_UNRECOGNIZED", code: "path"},
	)
}

func clientRows(bodies map[string]string) (rows []proxiedRow) {
	far := form("js", "server_name", "far.example", "url", "wss://rtc.far.example")
	refused := func(status int, code string) func(*backyard) {
		return func(b *backyard) { b.relayErr = &Refused{Status: status, Code: code} }
	}
	for _, path := range []string{clientToken, clientLeave} {
		rows = append(rows,
			proxiedRow{name: "a user of another server", path: path, body: bodies[path], headers: []string{headerUser, bob}, status: 400, errcode: "M_INVALID_PARAM", code: "identity"},
			proxiedRow{name: "a user without localpart", path: path, body: bodies[path], headers: []string{headerUser, "@:own.example"}, status: 400, errcode: "M_INVALID_PARAM", code: "identity"})
	}
	leave := func(name, body string, status int, errcode, code string, arrange func(*backyard)) {
		rows = append(rows, proxiedRow{name: name, path: clientLeave, body: body, arrange: arrange, status: status, errcode: errcode, code: code})
	}
	leave("no delay_id", form("msc"), 400, "M_BAD_JSON", "form", nil)
	leave("a delay_id that climbs", form("msc", "delay_id", ".."), 400, "M_BAD_JSON", "form", nil)
	leave("a long delay_id", form("msc", "delay_id", strings.Repeat("x", 256)), 400, "M_BAD_JSON", "form", nil)
	leave("unknown delay_id", form("msc", "delay_id", "leave2"), 400, "M_INVALID_PARAM", "unknown_leave", nil)
	leave("delay_id of another room", form("msc", "delay_id", "elsewhere"), 400, "M_INVALID_PARAM", "unknown_leave", nil)
	leave("due too soon", form("msc", "delay_id", "soon"), 400, "M_BAD_JSON", "form", nil)
	leave("look-up of the leave failed", bodies[clientLeave], 503, "M_UNKNOWN", "lookup", func(b *backyard) { b.findErr = errors.New("gone") })
	leave("cannot be kept", bodies[clientLeave], 500, "M_UNKNOWN", "internal", func(b *backyard) { b.keepErr = errors.New("disk full") })
	leave("not offered", bodies[clientLeave], 404, "M_UNRECOGNIZED", "no_delegation", func(b *backyard) { b.doors.leaves = nil })
	leave("of another server's focus", form("msc", "delay_id", "leave1", "server_name", "far.example"), 400, "M_INVALID_PARAM", "server_name", nil)

	token := func(name, body string, status int, errcode, code string, arrange func(*backyard)) {
		rows = append(rows, proxiedRow{name: name, path: clientToken, body: body, arrange: arrange, status: status, errcode: errcode, code: code})
	}
	token("the session does not open", bodies[clientToken], 500, "M_UNKNOWN", "internal", func(b *backyard) { b.fail = errors.New("full") })
	token("no server name", form("msc", "server_name", "far example"), 400, "M_INVALID_PARAM", "server_name", nil)
	token("relay: not joined", far, 403, "M_FORBIDDEN", "not_joined", func(b *backyard) { delete(b.in, alice) })
	token("relay: cannot say who is joined", far, 503, "M_UNKNOWN", "lookup", func(b *backyard) { b.inErr = errors.New("gone") })
	token("relay: destination denied", far, 403, "IO.ELEMENT.MSC4512.M_FEDPROXY_DESTINATION_DENIED", "relay_denied", refused(403, "IO.ELEMENT.MSC4512.M_FEDPROXY_DESTINATION_DENIED"))
	token("relay: path not allowed", far, 500, "M_UNKNOWN", "internal", refused(403, "IO.ELEMENT.MSC4512.M_FEDPROXY_PATH_NOT_ALLOWED"))
	token("relay: connection failed", far, 502, "IO.ELEMENT.MSC4512.M_FEDPROXY_CONNECTION_FAILED", "relay_connection", refused(502, "IO.ELEMENT.MSC4512.M_FEDPROXY_CONNECTION_FAILED"))
	token("relay: missing parameter", far, 500, "M_UNKNOWN", "internal", refused(400, "M_MISSING_PARAM"))
	token("relay: invalid parameter", far, 500, "M_UNKNOWN", "internal", refused(400, "M_INVALID_PARAM"))
	token("relay: off", far, 500, "M_UNKNOWN", "internal", refused(404, "M_UNRECOGNIZED"))
	token("relay: limited", far, 429, "M_LIMIT_EXCEEDED", "relay_rate", refused(429, "M_LIMIT_EXCEEDED"))
	token("relay: a proxy's error", far, 503, "M_UNKNOWN", "lookup", refused(502, ""))
	token("relay: too slow", far, 503, "M_UNKNOWN", "lookup", func(b *backyard) { b.relayErr = context.DeadlineExceeded })
	token("relay: no token in the answer", far, 502, "M_UNKNOWN", "relay_answer", func(b *backyard) { b.content = `{"url":"wss://far"}` })
	token("relay: a list for an answer", far, 502, "M_UNKNOWN", "relay_answer", func(b *backyard) { b.content = `[]` })
	token("relay: null for an answer", far, 502, "M_UNKNOWN", "relay_answer", func(b *backyard) { b.content = `null` })
	token("relay: a redirect", far, 502, "M_UNKNOWN", "relay_answer", func(b *backyard) { b.status = 302 })
	token("relay: no status", far, 502, "M_UNKNOWN", "relay_answer", func(b *backyard) { b.status = 0 })
	return rows
}

func federationRows(good string) (rows []proxiedRow) {
	add := func(name, body string, status int, errcode, code string, arrange func(*backyard), headers ...string) {
		rows = append(rows, proxiedRow{name: name, path: federateToken, body: body, headers: headers, arrange: arrange, status: status, errcode: errcode, code: code})
	}
	add("no user_id, as in the text of July", form("msc"), 400, "M_BAD_JSON", "form", nil)
	add("a garbled user_id", form("msc", "user_id", "bob"), 400, "M_INVALID_PARAM", "user_id", nil)
	add("a user_id without localpart", form("msc", "user_id", "@:far.example"), 400, "M_INVALID_PARAM", "user_id", nil)
	add("a user of another server", form("msc", "user_id", "@eve:third.example"), 403, "M_FORBIDDEN", "not_vouched", nil)
	add("a user of ours", form("msc", "user_id", alice), 403, "M_FORBIDDEN", "not_vouched", nil)
	add("our server is not in the room", good, 403, "M_FORBIDDEN", "not_joined", func(b *backyard) { delete(b.servers, room+" own.example") })
	add("its server is not in the room", good, 403, "M_FORBIDDEN", "not_joined", func(b *backyard) { delete(b.servers, room+" far.example") })
	add("nobody says which servers are in the room", good, 503, "M_UNKNOWN", "lookup", func(b *backyard) { b.serveErr = errors.New("gone") })
	add("the user header at door 4", good, 401, "M_UNAUTHORIZED", "identity", nil, headerOrigin, "", headerUser, bob)
	return rows
}

// Every row of the tables of errors of doors 3 and 4.
func TestProxiedRefusals(t *testing.T) {
	for _, row := range proxiedRows() {
		t.Run(row.path+" "+row.name, func(t *testing.T) {
			b := buildBack(t, row.policy)
			if row.arrange != nil {
				row.arrange(b)
			}
			b.log.Reset()
			clear(b.opened)
			method := row.method
			if method == "" {
				method = "POST"
			}
			w := b.ask(method, row.path, row.body, row.headers...)
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
			if w.Code != row.status || got.Code != row.errcode || got.Text == "" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%d %+v", w.Code, got)
			}
			if len(b.opened) != 0 || len(b.accepted) != 0 {
				t.Errorf("opened %v, took over %v", b.opened, b.accepted)
			}
			if line := b.log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "code="+row.code+" ") || strings.Contains(line, hsToken[5:20]) || strings.Contains(line, "leave1") {
				t.Errorf("log: %q, want one line of code %s", line, row.code)
			}
			checkRetry(t, w, got.After)
		})
	}
}

// What another server's focus answers is passed on, status and all; what it is asked holds the user and no more.
func TestRelay(t *testing.T) {
	const far = "far.example /_matrix/federation/unstable/io.element.msc4195/rtc/livekit/get_token "
	tests := []struct {
		name, body, asked string
		status            int
		content           string
		wantStatus        int
		want              string
	}{
		{"token", form("js", "server_name", "far.example", "url", "wss://rtc.far.example"),
			`{"user_id":"@alice:own.example","url":"wss://rtc.far.example","room_id":"!r:own.example","slot_id":"m.call#ROOM","member":{"id":"member1","claimed_device_id":"DEV"}}`,
			200, `{"jwt":"x","url":"wss://y"}`, 200, `{"jwt":"x","url":"wss://y"}`},
		{"text of the MSC", form("msc", "server_name", "far.example"),
			`{"user_id":"@alice:own.example","room_id":"!r:own.example","slot_id":"m.call#ROOM","member":{"id":"member1","claimed_device_id":"DEV"}}`,
			200, `{"jwt":"x"}`, 200, `{"jwt":"x"}`},
		{"member_id", form("next", "server_name", "far.example", "url", "wss://f"),
			`{"user_id":"@alice:own.example","url":"wss://f","room_id":"!r:own.example","slot_id":"m.call#ROOM","member_id":"member1"}`,
			403, `{"errcode":"M_FORBIDDEN","error":"no"}`, 403, `{"errcode":"M_FORBIDDEN","error":"no"}`},
		{"a page", form("msc", "server_name", "far.example"),
			`{"user_id":"@alice:own.example","room_id":"!r:own.example","slot_id":"m.call#ROOM","member":{"id":"member1","claimed_device_id":"DEV"}}`,
			404, `null`, 404, `{"errcode":"M_UNKNOWN","error":"The other server answered no JSON."}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := buildBack(t, policy.Config{})
			b.status, b.content = tt.status, tt.content
			w := b.ask("POST", clientToken, tt.body)
			if w.Code != tt.wantStatus || strings.TrimSpace(w.Body.String()) != tt.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if len(b.relayed) != 1 || b.relayed[0] != far+tt.asked {
				t.Errorf("asked %v", b.relayed)
			}
			if len(b.opened) != 0 {
				t.Error("a session was opened for a call elsewhere")
			}
		})
	}
}

// On a private listener the header alone counts, if the operator says so.
func TestHeaderOnly(t *testing.T) {
	b := buildBack(t, policy.Config{})
	b.back = NewProxied(ProxiedConfig{Own: "own.example", HeaderOnly: true, Servers: b, Relay: b}, b.doors)
	if w := b.ask("POST", clientToken, form("msc"), "Authorization", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.ask("POST", clientToken, form("msc"), "Authorization", "", headerUser, ""); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A focus that was made without a token does not take an empty one.
func TestNoTokenIsNoPass(t *testing.T) {
	b := buildBack(t, policy.Config{})
	b.back = NewProxied(ProxiedConfig{Own: "own.example", Servers: b, Relay: b}, b.doors)
	for _, header := range []string{"Bearer ", "Bearer", "Bearer x"} {
		if w := b.ask("POST", clientToken, form("msc"), "Authorization", header); w.Code != 401 {
			t.Errorf("%q: %d", header, w.Code)
		}
	}
}

// A leave is taken over with what the homeserver says of it, under the identity that the participant will have.
func TestDelegateAtDoor3(t *testing.T) {
	b := buildBack(t, policy.Config{})
	w := b.ask("POST", clientLeave, form("js", "delay_id", "leave1", "delay_timeout", 5))
	if w.Code != 200 || strings.TrimSpace(w.Body.String()) != "{}" || len(b.opened) != 0 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := delayed.Leave{
		Key: delayed.Key{
			Session:  derive.Alias(room, "m.call#ROOM", ""),
			Identity: derive.Identity(derive.Hash3, derive.Claim{User: alice, Device: "DEV", Member: "member1"}),
		},
		ID: "leave1", Timeout: time.Hour, User: alice, Room: room, Slot: "m.call#ROOM",
	}
	if len(b.accepted) != 1 || b.accepted[0] != want {
		t.Errorf("%+v", b.accepted)
	}
	if strings.Contains(b.log.String(), "leave1") {
		t.Error("the id of the leave is in the log")
	}
}

// Doors 1 and 2 take a leave over beside the token, and by itself.
func TestDelegateAtDoors1And2(t *testing.T) {
	hash := derive.Identity(derive.Hash3, derive.Claim{User: alice, Device: "DEV", Member: "member1"})
	for _, tt := range []struct {
		door, body string
		status     int
		code       string
		identity   sfu.Identity // "": nothing is taken over
		opened     int
	}{
		{"/sfu/get", body("/sfu/get", "alice", "own.example", "delay_id", "d", "delay_timeout", 18000), 200, "", "@alice:own.example:DEV", 1},
		{"/get_token", body("/get_token", "alice", "own.example", "delay_id", "d", "delay_timeout", 18000, "delay_cs_api_url", "https://evil"), 200, "", hash, 1},
		{"/delegate_delayed_leave", body("/get_token", "alice", "own.example", "delay_id", "d", "delay_timeout", 18000), 200, "", hash, 0},
		{"/delegate_delayed_leave", body("/get_token", "alice", "own.example"), 400, "M_BAD_JSON", "", 0},
		{"/delegate_delayed_leave", body("/get_token", "alice", "own.example", "delay_id", "d"), 400, "M_BAD_JSON", "", 0},
		{"/delegate_delayed_leave", body("/get_token", "alice", "own.example", "delay_timeout", 5), 400, "M_BAD_JSON", "", 0},
		{"/delegate_delayed_leave", body("/get_token", "alice", "own.example", "delay_id", "..", "delay_timeout", 5), 400, "M_BAD_JSON", "", 0},
		{"/delegate_delayed_leave", "", 400, "M_NOT_JSON", "", 0},
		{"/delegate_delayed_leave", body("/get_token", "bob", "far.example", "delay_id", "d", "delay_timeout", 5), 403, "M_FORBIDDEN", "", 0},
		{"/delegate_delayed_leave", body("/get_token", "stolen", "own.example", "delay_id", "d", "delay_timeout", 5), 401, "M_UNAUTHORIZED", "", 0},
		{"/get_token", body("/get_token", "bob", "far.example", "delay_id", "d", "delay_timeout", 5), 400, "M_BAD_JSON", "", 0},
	} {
		t.Run(tt.door, func(t *testing.T) {
			b := buildBack(t, policy.Config{})
			w := b.do("POST", tt.door, tt.body)
			checkForm(t, w)
			var got struct {
				Code string `json:"errcode"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != tt.status || got.Code != tt.code || len(b.opened) != tt.opened {
				t.Fatalf("%d %s %v, opened %v", w.Code, w.Body, err, b.opened)
			}
			if tt.identity == "" {
				if len(b.accepted) != 0 {
					t.Errorf("%+v", b.accepted)
				}
				return
			}
			if len(b.accepted) != 1 || b.accepted[0].Identity != tt.identity || b.accepted[0].Timeout != 18*time.Second || b.accepted[0].User != alice {
				t.Errorf("%+v", b.accepted)
			}
		})
	}
}

// FuzzProxied: whatever the body and the headers, the answer is JSON, and nobody gets a token whose homeserver did not
// vouch for it.
func FuzzProxied(f *testing.F) {
	f.Add(true, "Bearer "+hsToken, alice, form("msc"))
	f.Add(true, "Bearer x", alice, form("js"))
	f.Add(false, "Bearer "+hsToken, "far.example", form("next", "user_id", bob))
	f.Add(false, "Bearer "+hsToken, "own.example", form("msc", "user_id", alice))
	f.Add(true, "Bearer "+hsToken, "@eve:far.example", form("msc", "server_name", "far.example"))
	table, err := policy.New(policy.Config{}, []string{"own.example"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, client bool, auth, who, text string) {
		h := &house{opened: map[sfu.SessionID]session.Config{}, in: map[string]bool{alice: true, bob: true}}
		b := &backyard{house: h, servers: map[string]bool{room + " own.example": true, room + " far.example": true}, status: 200, content: `{"jwt":"x"}`}
		h.doors = NewDoors(DoorConfig{URL: focusURL, Key: testKey, Policy: table, Caller: h, Sessions: h, Rooms: h, Leaves: b}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		b.back = NewProxied(ProxiedConfig{Own: "own.example", HSToken: hsToken, Servers: b, Relay: b}, h.doors)
		path, header := clientToken, headerUser
		if !client {
			path, header = federateToken, headerOrigin
		}
		r := httptest.NewRequest("POST", path, strings.NewReader(text))
		r.Header[header], r.Header["Authorization"] = []string{who}, []string{auth}
		w := httptest.NewRecorder()
		b.back.ServeHTTP(w, r)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(w.Code, err)
		}
		if w.Code != http.StatusOK {
			if got["errcode"] == "" || got["error"] == "" {
				t.Fatal(got)
			}
			return
		}
		if !strings.HasSuffix(auth, hsToken) || client && who != alice || !client && who != "far.example" && who != "own.example" {
			t.Fatalf("%q as %q got %v", auth, who, got)
		}
	})
}
