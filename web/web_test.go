package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(method, target string, header ...string) *http.Response {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	Call().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
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
		{"outside, further", "GET", "/call/../../go.mod", 404, ""},
		{"elsewhere", "GET", "/other", 404, ""},
		{"another method", "POST", "/call/", 405, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get(c.method, c.target)
			if r.StatusCode != c.status {
				t.Fatalf("status %d, want %d", r.StatusCode, c.status)
			}
			if c.cache != "" && r.Header.Get("Cache-Control") != c.cache {
				t.Fatalf("cached %q", r.Header.Get("Cache-Control"))
			}
		})
	}
}

// A client gets the same bytes packed and plain.
func TestEncodings(t *testing.T) {
	plain := body(t, get("GET", "/call/"))
	r := get("GET", "/call/", "Accept-Encoding", "gzip, deflate, br")
	if r.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("encoding %q", r.Header.Get("Content-Encoding"))
	}
	unpack, err := gzip.NewReader(bytes.NewReader(body(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(unpack)
	if err != nil || !bytes.Equal(unpacked, plain) || len(plain) == 0 {
		t.Fatalf("%d bytes packed, %d plain, %v", len(unpacked), len(plain), err)
	}
}

// Everything that the page names is embedded, with a type that browsers run.
func TestPageIsWhole(t *testing.T) {
	page := string(body(t, get("GET", "/call/")))
	names := regexp.MustCompile(`(?:src|href)="\./(assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(names) < 2 {
		t.Fatalf("the page names %d files:\n%s", len(names), page)
	}
	for _, n := range names {
		r := get("GET", "/call/"+n[1])
		kind := r.Header.Get("Content-Type")
		if r.StatusCode != 200 || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(kind, "text/") {
			t.Errorf("%s: status %d, type %q, cached %q", n[1], r.StatusCode, kind, r.Header.Get("Cache-Control"))
		}
	}
}
