package matrix

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const hsTok = "hs-secret-hs-secret-hs-secret-hs-secret"

func push(p *Pushed, method, path, token, body string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, q)
	return w
}

func TestPushRefusals(t *testing.T) {
	const path = "/_matrix/app/v1/transactions/1"
	inBubble(t, func(c *WatcherConfig) { c.Homes[0].Push = true }, func(r *rig) {
		p := NewPushed("own.example", hsTok, r.w)
		for name, tt := range map[string]struct {
			method, path, token, body string
			status                    int
			errcode                   string
		}{
			"no token":      {"PUT", path, "", `{"events":[]}`, 401, "M_MISSING_TOKEN"},
			"wrong token":   {"PUT", path, asTok, `{"events":[]}`, 401, "M_UNKNOWN_TOKEN"},
			"not JSON":      {"PUT", path, hsTok, `x`, 400, "M_NOT_JSON"},
			"wrong type":    {"PUT", path, hsTok, `{"events":7}`, 400, "M_NOT_JSON"},
			"too large":     {"PUT", path, hsTok, `{"events":["` + strings.Repeat("x", maxPush) + `"]}`, 400, "M_NOT_JSON"},
			"a user":        {"GET", "/_matrix/app/v1/users/@a:b", hsTok, "", 404, "M_NOT_FOUND"},
			"ping":          {"POST", "/_matrix/app/v1/ping", hsTok, "{}", 200, ""},
			"nothing":       {"PUT", path, hsTok, `{}`, 200, ""},
			"wild events":   {"PUT", path, hsTok, `{"events":[7,null,"x",[],{},{"room_id":7},{"room_id":"` + room + `","type":{}}]}`, 200, ""},
			"another room":  {"PUT", path, hsTok, `{"events":[{"room_id":"!x","type":"m.room.member"}]}`, 200, ""},
			"unread events": {"PUT", path, hsTok, `{"events":[{"room_id":"` + room + `","type":"m.room.message","content":{"body":"x"}}]}`, 200, ""},
		} {
			w := push(p, tt.method, tt.path, tt.token, tt.body)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.errcode) || w.Header().Get("Content-Type") != "application/json" {
				r.t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		if strings.Contains(r.log.String(), hsTok) {
			r.t.Error("a token in the log")
		}
	})
}

// Level 3: after the first sight events come by themselves, and nothing is asked but once a minute.
func TestPush(t *testing.T) {
	inBubble(t, func(c *WatcherConfig) { c.Homes[0].Push = true }, func(r *rig) {
		if r.w.Level() != 3 {
			r.t.Error(r.w.Level())
		}
		p := NewPushed("own.example", hsTok, r.w)
		r.join(alice, ben, carol)
		r.wantSight("live")
		event := func(sender, user, membership string) string {
			return fmt.Sprintf(`{"room_id":%q,"event_id":"$%s%d","type":"m.room.member","sender":%q,"state_key":%q,"origin_server_ts":%d,"content":{"membership":%q}}`,
				room, user, time.Now().UnixNano(), sender, user, time.Now().UnixMilli(), membership)
		}
		w := push(p, http.MethodPut, "/_matrix/app/v1/transactions/1", hsTok, `{"events":[`+event(alice, ben, "ban")+`]}`)
		if w.Code != http.StatusOK {
			r.t.Fatalf("%d %s", w.Code, w.Body)
		}
		r.pass(time.Second)
		r.wantHere("alice carol")
		r.hs.Ban(room, alice, ben)
		r.hs.Kick(room, alice, carol) // and this one is lost
		r.pass(checkPeriod + time.Second)
		r.wantHere("alice")
		if n := len(r.hs.Requests("/sync")); n != 1 {
			r.t.Errorf("%d syncs", n)
		}
		r.hs.Down(true)
		r.pass(checkPeriod + 10*time.Second)
		r.wantSight("blind")
		r.wantHere("alice")
		r.hs.Down(false)
		r.pass(lastRetry + time.Second)
		r.wantSight("live")
	})
}

// A watch that does not keep up has the homeserver send again.
func TestPushBehind(t *testing.T) {
	inBubble(t, func(c *WatcherConfig) { c.Homes[0].Push = true }, func(r *rig) {
		r.join(alice)
		full := &watch{w: r.w, id: "!full", inbox: make(chan any)}
		r.w.mu.Lock()
		r.w.rooms["!full"] = full
		r.w.mu.Unlock()
		p := NewPushed("own.example", hsTok, r.w)
		body := `{"events":[{"room_id":"!full","event_id":"$1","type":"m.room.member","sender":"@a:b","state_key":"@a:b","content":{}}]}`
		if w := push(p, http.MethodPut, "/_matrix/app/v1/transactions/1", hsTok, body); w.Code != http.StatusServiceUnavailable {
			r.t.Errorf("%d %s", w.Code, w.Body)
		}
		r.w.mu.Lock()
		delete(r.w.rooms, "!full")
		r.w.mu.Unlock()
	})
}
