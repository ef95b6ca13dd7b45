package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	Call().ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

func TestCall(t *testing.T) {
	for _, c := range []struct {
		name, method, target string
		status               int
		cache                string
	}{
		{"the page", "GET", "/call/", 200, "no-cache"},
		{"its head", "HEAD", "/call/", 200, "no-cache"},
		{"without the slash", "GET", "/call", 301, ""},
		{"a folder", "GET", "/call/assets/", 404, ""},
		{"not there", "GET", "/call/nothing.js", 404, ""},
		{"outside", "GET", "/call/../web.go", 404, ""},
		{"elsewhere", "GET", "/other", 404, ""},
		{"another method", "POST", "/call/", 405, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get(t, c.method, c.target)
			if r.StatusCode != c.status {
				t.Fatalf("status %d, want %d", r.StatusCode, c.status)
			}
			if c.cache != "" && r.Header.Get("Cache-Control") != c.cache {
				t.Fatalf("cached %q", r.Header.Get("Cache-Control"))
			}
		})
	}
}

// Everything that the page names is embedded.
func TestPageIsWhole(t *testing.T) {
	page := new(strings.Builder)
	w := httptest.NewRecorder()
	Call().ServeHTTP(w, httptest.NewRequest("GET", "/call/", nil))
	page.WriteString(w.Body.String())
	names := regexp.MustCompile(`(?:src|href)="\./(assets/[^"]+)"`).FindAllStringSubmatch(page.String(), -1)
	if len(names) < 2 {
		t.Fatalf("the page names %d files:\n%s", len(names), page)
	}
	for _, n := range names {
		r := get(t, "GET", "/call/"+n[1])
		if r.StatusCode != 200 || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, cached %q", n[1], r.StatusCode, r.Header.Get("Cache-Control"))
		}
	}
}
