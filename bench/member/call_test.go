package member

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/e2ee/keyring"
	"weir/sfu"
)

const room = "!room:hs"

// homeserver is as much of one as a call takes, without a network: it works in a bubble of fake time.
type homeserver struct {
	mu        sync.Mutex
	encrypted bool
	plain     bool                // knows no delayed events
	timeline  []map[string]any    // of the room; a sync token is a place in it
	state     map[string][]byte   // by type and key
	inbox     map[string][]string // to-device events by device
	keys      map[string]map[string]json.RawMessage
	oneTime   map[string]map[string]json.RawMessage
	fails     map[string]int // status of the answer, by the end of the path
	asked     []string
	news      chan struct{}
}

func newHomeserver() *homeserver {
	h := &homeserver{
		encrypted: true, state: map[string][]byte{}, inbox: map[string][]string{}, keys: map[string]map[string]json.RawMessage{},
		oneTime: map[string]map[string]json.RawMessage{}, fails: map[string]int{}, news: make(chan struct{}),
	}
	h.put("@ann:hs", "m.room.create", "", `{"room_version":"11"}`)
	return h
}

func (h *homeserver) put(sender, kind, key, content string) {
	h.timeline = append(h.timeline, map[string]any{
		"type": kind, "state_key": key, "sender": sender, "content": json.RawMessage(content), "event_id": fmt.Sprint("$", len(h.timeline)),
		"origin_server_ts": time.Now().UnixMilli(),
	})
	h.wake()
}

func (h *homeserver) wake() {
	close(h.news)
	h.news = make(chan struct{})
}

func (h *homeserver) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	status, text := h.serve(r, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), body)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(text)), Header: http.Header{}, Request: r}, nil
}

// serve answers; token is the user's name.
func (h *homeserver) serve(r *http.Request, token string, body []byte) (int, string) {
	user, device := "@"+token+":hs", strings.ToUpper(token)
	path := r.URL.Path
	if strings.HasSuffix(path, "/sync") {
		return h.sync(r, device)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, r.Method+" "+path)
	for end, status := range h.fails {
		if strings.HasSuffix(path, end) {
			return status, `{"errcode":"M_UNKNOWN","error":"as the test wants"}`
		}
	}
	switch {
	case strings.HasSuffix(path, "/login"):
		var l struct{ Identifier struct{ User string } }
		_ = json.Unmarshal(body, &l)
		name := l.Identifier.User
		return 200, fmt.Sprintf(`{"user_id":"@%s:hs","device_id":%q,"access_token":%q}`, name, strings.ToUpper(name), name)
	case strings.HasSuffix(path, "/versions"):
		return 200, fmt.Sprintf(`{"unstable_features":{"org.matrix.msc4140":%v}}`, !h.plain)
	case strings.Contains(path, "/join/"):
		h.put(user, "m.room.member", user, `{"membership":"join"}`)
		if h.encrypted {
			h.put(user, "m.room.encryption", "", `{"algorithm":"m.megolm.v1.aes-sha2"}`)
		}
	case strings.Contains(path, "/state/"):
		if r.URL.Query().Get("org.matrix.msc4140.delay") != "" {
			return 200, `{"delay_id":"later"}`
		}
		parts := strings.Split(path, "/")
		h.put(user, parts[len(parts)-2], parts[len(parts)-1], string(body))
	case strings.HasSuffix(path, "/rtc/transports"):
		return 200, `{"rtc_transports":[{"type":"other"},{"type":"livekit","livekit_service_url":"http://focus"}]}`
	case strings.HasSuffix(path, "/sfu/get"):
		return 200, `{"url":"ws://focus","jwt":"call token"}`
	default:
		return h.serveKeys(path, user, device, body)
	}
	return 200, `{}`
}

func (h *homeserver) serveKeys(path, user, device string, body []byte) (int, string) {
	var b struct {
		Device   json.RawMessage                       `json:"device_keys"`
		OneTime  json.RawMessage                       `json:"one_time_keys"`
		Messages map[string]map[string]json.RawMessage `json:"messages"`
	}
	_ = json.Unmarshal(body, &b)
	switch {
	case strings.HasSuffix(path, "/keys/upload"):
		h.keys[user] = map[string]json.RawMessage{device: b.Device}
		var all map[string]json.RawMessage
		_ = json.Unmarshal(b.OneTime, &all)
		if h.oneTime[user] == nil {
			h.oneTime[user] = map[string]json.RawMessage{}
		}
		maps.Copy(h.oneTime[user], all)
	case strings.HasSuffix(path, "/keys/query"):
		text, _ := json.Marshal(map[string]any{"device_keys": h.keys})
		return 200, string(text)
	case strings.HasSuffix(path, "/keys/claim"):
		var want map[string]map[string]string
		_ = json.Unmarshal(b.OneTime, &want)
		got := map[string]map[string]map[string]json.RawMessage{}
		for user, devices := range want {
			got[user] = map[string]map[string]json.RawMessage{}
			for device := range devices {
				for name, key := range h.oneTime[user] {
					got[user][device] = map[string]json.RawMessage{name: key}
					delete(h.oneTime[user], name)
					break
				}
			}
		}
		text, _ := json.Marshal(map[string]any{"one_time_keys": got})
		return 200, string(text)
	case strings.Contains(path, "/sendToDevice/"):
		for _, devices := range b.Messages {
			for to, content := range devices {
				h.toDevice(to, "m.room.encrypted", user, string(content))
			}
		}
	}
	return 200, `{}`
}

func (h *homeserver) toDevice(to, kind, sender, content string) {
	h.inbox[to] = append(h.inbox[to], fmt.Sprintf(`{"type":%q,"sender":%q,"content":%s}`, kind, sender, content))
	h.wake()
}

func (h *homeserver) sync(r *http.Request, device string) (int, string) {
	since, end := 0, time.After(pollTime)
	_, _ = fmt.Sscan(r.URL.Query().Get("since"), &since)
	for {
		h.mu.Lock()
		news, timeline, inbox := h.news, h.timeline[since:], h.inbox[device]
		if len(timeline) > 0 || len(inbox) > 0 || r.URL.Query().Get("timeout") == "0" {
			h.inbox[device] = nil
			text, _ := json.Marshal(map[string]any{
				"next_batch": fmt.Sprint(len(h.timeline)), "device_one_time_keys_count": map[string]int{"signed_curve25519": len(h.oneTime["@"+strings.ToLower(device)+":hs"])},
				"to_device": map[string]any{"events": json.RawMessage("[" + strings.Join(inbox, ",") + "]")},
				"rooms":     map[string]any{"join": map[string]any{room: map[string]any{"timeline": map[string]any{"events": timeline}}}},
			})
			h.mu.Unlock()
			return 200, string(text)
		}
		h.mu.Unlock()
		select {
		case <-news:
		case <-end:
			return 200, fmt.Sprintf(`{"next_batch":"%d"}`, since)
		case <-r.Context().Done():
			return 0, ""
		}
	}
}

// caller is a bot without media.
type caller struct {
	*Call
	keys *bench.Keychain
	log  *bytes.Buffer
	seal *keyring.Sealer
}

func (h *homeserver) caller(t *testing.T, name string) *caller {
	t.Helper()
	c := &caller{keys: bench.NewKeychain(keyring.PerParticipant, false), log: &bytes.Buffer{}, seal: keyring.NewSealer(7, 1)}
	var err error
	c.Call, err = Join(t.Context(), Config{
		Homeserver: "http://hs", User: name, Password: "p", Room: room, Keys: c.keys, HTTP: &http.Client{Transport: h},
		Log: slog.New(slog.NewTextHandler(c.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Encrypted {
		if err := c.Begin(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// hears says whether c opens what other sends now.
func (c *caller) hears(t *testing.T, other *caller) bool {
	t.Helper()
	f, err := other.keys.Seal(nil, other.seal, sfu.Opus, []byte{0x78, 1, 2, 3}, 960)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.keys.Open(nil, other.Identity, sfu.Opus, f)
	return err == nil && bytes.Equal(got, []byte{0x78, 1, 2, 3})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func bubble(t *testing.T, script func(*testing.T, *homeserver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { script(t, newHomeserver()) })
}

func TestCall(t *testing.T) {
	bubble(t, func(t *testing.T, h *homeserver) {
		ann, ben := h.caller(t, "ann"), h.caller(t, "ben")
		if ann.URL != "ws://focus" || ann.Token != "call token" || ann.Identity != "@ann:hs:ANN" || !ann.Encrypted {
			t.Fatalf("%+v", ann.Call)
		}
		pass(2 * time.Second)
		if !ann.hears(t, ben) || !ben.hears(t, ann) || len(ann.Members()) != 1 {
			t.Fatalf("%v\n%s\n%s", ann.Members(), ann.log, ben.log)
		}
		pass(time.Minute)
		cas := h.caller(t, "cas")
		pass(3 * time.Second)
		for _, pair := range [][2]*caller{{ann, ben}, {ben, cas}, {cas, ann}, {ann, cas}} {
			if !pair[0].hears(t, pair[1]) {
				t.Fatalf("%s does not hear %s\n%s", pair[0].Identity, pair[1].Identity, pair[0].log)
			}
		}
		if err := cas.Leave(); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		if !ann.hears(t, ben) || !ben.hears(t, ann) || cas.hears(t, ann) {
			t.Fatal("who left reads on, or who stayed does not")
		}
		pass(5 * time.Hour) // memberships are renewed, and their leaves put off
		if len(ann.Members()) != 1 || !ann.hears(t, ben) {
			t.Fatal(ann.Members())
		}
		if ann.Leave() != nil || ben.Leave() != nil {
			t.Fatal("no leave")
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if !slices.Contains(h.asked, "POST /_matrix/client/v3/logout") || !slices.Contains(h.asked, "POST "+delayedPath+"later/cancel") {
			t.Fatal(h.asked[len(h.asked)-5:])
		}
		for _, c := range []*caller{ann, ben, cas} {
			if strings.Contains(c.log.String(), "call token") || strings.Contains(c.log.String(), "later") {
				t.Fatal(c.log)
			}
		}
	})
}

func TestUnencryptedRoom(t *testing.T) {
	bubble(t, func(t *testing.T, h *homeserver) {
		h.encrypted, h.plain = false, true
		ann, ben := h.caller(t, "ann"), h.caller(t, "ben")
		pass(time.Minute)
		if ann.Encrypted || len(ann.Members()) != 1 {
			t.Fatal(ann.Encrypted, ann.Members())
		}
		h.mu.Lock()
		if slices.ContainsFunc(h.asked, func(a string) bool {
			return strings.Contains(a, "sendToDevice") || strings.Contains(a, "delayed_events")
		}) {
			t.Error(h.asked)
		}
		h.mu.Unlock()
		_, _ = ann.Leave(), ben.Leave()
	})
}

// Keys that nobody vouches for are not taken, and the log says why.
func TestForeignKeys(t *testing.T) {
	bubble(t, func(t *testing.T, h *homeserver) {
		ann, ben := h.caller(t, "ann"), h.caller(t, "ben")
		pass(2 * time.Second)
		key := `{"keys":{"index":0,"key":"AAAAAAAAAAAAAAAAAAAAAA=="},"room_id":"` + room + `","member":{"id":"@ben:hs:BEN","claimed_device_id":"BEN"}}`
		for _, bad := range []struct{ kind, sender, content, says string }{
			{keyring.EventElementCall, "@ben:hs", key, "unencrypted"},
			{keyring.EventElementCall, "@ben:hs", `{"keys":7}`, "not a key event"},
			{"m.room.encrypted", "@ben:hs", `{"algorithm":"m.olm.v1.curve25519-aes-sha2","sender_key":"x","ciphertext":{}}`, "not a message for this device"},
			{"m.room.encrypted", "@ben:hs", `[]`, "not a message for this device"},
		} {
			ann.log.Reset()
			h.mu.Lock()
			h.toDevice("ANN", bad.kind, bad.sender, bad.content)
			h.mu.Unlock()
			pass(time.Second)
			if !strings.Contains(ann.log.String(), bad.says) || !ann.hears(t, ben) {
				t.Errorf("%s: %s", bad.says, ann.log)
			}
		}
		_, _ = ann.Leave(), ben.Leave()
	})
}

// What fails is named, and leaves no device behind.
func TestJoinFails(t *testing.T) {
	for end, says := range map[string]string{
		"/login": "log in: ", "/keys/upload": "device keys: ", "/join/" + room: "join the room: ", "/rtc/transports": "find the focus: ",
		"/openid/request_token": "call token: ", "/sfu/get": "call token: ",
	} {
		bubble(t, func(t *testing.T, h *homeserver) {
			h.fails[end] = 403
			c, err := Join(t.Context(), Config{Homeserver: "http://hs", User: "ann", Password: "p", Room: room, Keys: bench.NewKeychain(keyring.PerParticipant, false), HTTP: &http.Client{Transport: h}})
			if err == nil || !strings.HasPrefix(err.Error(), says) || !strings.Contains(err.Error(), "status 403 M_UNKNOWN as the test wants") || c != nil {
				t.Errorf("%s: %v", end, err)
			}
			if out := slices.Contains(h.asked, "POST /_matrix/client/v3/logout"); out == (end == "/login") {
				t.Errorf("%s: logged out %v", end, out)
			}
		})
	}
}

// An outage of the homeserver ends nothing.
func TestHomeserverAway(t *testing.T) {
	bubble(t, func(t *testing.T, h *homeserver) {
		ann := h.caller(t, "ann")
		h.mu.Lock()
		h.fails["/sendToDevice/m.room.encrypted/"+fmt.Sprintf("weir-%d-1", ann.entered.UnixNano())] = 502
		h.mu.Unlock()
		ben := h.caller(t, "ben")
		pass(2 * time.Second)
		if ben.hears(t, ann) {
			t.Fatal("the key came after all")
		}
		pass(6 * time.Second)
		if !ben.hears(t, ann) {
			t.Fatalf("it is not sent again:\n%s", ann.log)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ann.client.try(ctx, "GET", "/_matrix/client/versions", nil, nil, nil); err == nil {
			t.Fatal("no error")
		}
		_, _ = ann.Leave(), ben.Leave()
	})
}
