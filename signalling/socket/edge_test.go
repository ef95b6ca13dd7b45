package socket

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/sfu/session"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, c := range map[string]struct {
		remote  string
		forward []string
		want    string
	}{
		"direct":                       {"192.0.2.1:5", nil, "192.0.2.1"},
		"a stranger's header":          {"192.0.2.1:5", []string{"203.0.113.9"}, "192.0.2.1"},
		"a trusted proxy":              {"10.0.0.1:5", []string{"203.0.113.9"}, "203.0.113.9"},
		"its header begins with a lie": {"10.0.0.1:5", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9"},
		"two proxies, two headers":     {"[::1]:5", []string{"1.2.3.4, 203.0.113.9", "10.1.1.1"}, "203.0.113.9"},
		"with a port":                  {"10.0.0.1:5", []string{"[2001:db8::1]:99"}, "2001:db8::1"},
		"bare and bracketed":           {"10.0.0.1:5", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"garbage":                      {"10.0.0.1:5", []string{"203.0.113.9, what"}, "10.0.0.1"},
		"none from a proxy":            {"10.0.0.1:5", nil, "10.0.0.1"},
		"mapped":                       {"[::ffff:10.0.0.1]:5", []string{"203.0.113.9"}, "203.0.113.9"},
		"not an address":               {"pipe", []string{"203.0.113.9"}, "pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forward}}
			if got := clientAddress(r, trusted); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

type health struct {
	checks []Check
	age    time.Duration
}

func (h health) Checks() []Check         { return h.checks }
func (h health) StatsAge() time.Duration { return h.age }

func TestHealth(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plain(w, 200, "<page>") })
	html := http.Header{"Accept": {"text/html,*/*"}}
	well := health{checks: []Check{{Name: "media"}}, age: 4 * time.Second}
	stale := health{age: 4*time.Second + 1}
	lost := health{checks: []Check{{Name: "homeserver", Status: Degraded, Detail: "no answer"}}}
	failed := health{checks: []Check{{Name: "media", Status: Failed}}}
	for name, c := range map[string]struct {
		health       Health
		method, path string
		header       http.Header
		status       int
		body         string
	}{
		"root":                        {well, "GET", "/", nil, 200, "OK"},
		"root, nobody asked":          {nil, "GET", "/", nil, 200, "OK"},
		"root, stale statistics":      {stale, "GET", "/", nil, 406, ""},
		"root, stale, HEAD":           {stale, "HEAD", "/", nil, 200, ""},
		"root for a browser":          {well, "GET", "/", html, 200, "<page>"},
		"root, POST":                  {well, "POST", "/", nil, 405, ""},
		"livez":                       {failed, "GET", "/livez", nil, 200, "ok"},
		"readyz":                      {well, "GET", "/readyz", nil, 200, "ok"},
		"healthz":                     {well, "GET", "/healthz", nil, 200, "ok"},
		"degraded is ready":           {lost, "GET", "/readyz", nil, 200, "degraded"},
		"verbose says why":            {lost, "GET", "/readyz?verbose", nil, 200, "homeserver: degraded (no answer)"},
		"without media there is none": {failed, "GET", "/readyz?verbose", nil, 503, "media: failed"},
		"next":                        {well, "GET", "/other", nil, 200, "<page>"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{Health: c.health, Next: page}, newFocus())
			path, _, verbose := strings.Cut(c.path, "?")
			q := map[string][]string{}
			if verbose {
				q["verbose"] = []string{""}
			}
			resp := w.do(c.method, path, q, c.header, nil)
			if body := text(t, resp); resp.StatusCode != c.status || !strings.Contains(body, c.body) {
				t.Errorf("%d %q", resp.StatusCode, body)
			}
		})
	}
}

func TestInbox(t *testing.T) {
	b := newInbox(3)
	for range 3 {
		if !b.put(session.Update{}) {
			t.Fatal("full too early")
		}
	}
	got := b.take(nil)
	if len(got) != 3 || len(b.take(got)) != 0 {
		t.Errorf("took %d", len(got))
	}
	for i := range 5 {
		if ok := b.put(session.Update{}); ok != (i != 3) {
			t.Errorf("put %d: %v", i, ok)
		}
	}
	if !b.overflowed() {
		t.Error("nobody heard that it is full")
	}
	if len(b.take(nil)) != 0 {
		t.Error("messages are left that nobody may send")
	}
}

func BenchmarkInbox(b *testing.B) {
	box := newInbox(inboxLimit)
	var m session.Message = session.Hangup{}
	var out []session.Message
	b.ReportAllocs()
	for b.Loop() {
		box.put(m)
		out = box.take(out)
	}
}
