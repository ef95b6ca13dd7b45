package main

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRouter(t *testing.T) {
	c := newConfig()
	c.PublicURL = "https://rtc.example.org/own/path/"
	c.Prefixes = []string{"/x", "/x/y"}
	c.Proxy.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	rt := newRouter(c)
	var seen string
	mark := func(name string) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen = name + " " + r.URL.Path + " " + r.RemoteAddr
			if r.Header.Get("X-Matrix-User-Identifier") != "" {
				seen += " forged"
			}
		})
	}
	rt.doors, rt.wellKnown, rt.signalling = mark("doors"), mark("file"), mark("signalling")
	tests := []struct{ path, want string }{
		{"/sfu/get", "doors /sfu/get"}, {"//sfu//get", "doors /sfu/get"}, {"/livekit/jwt/sfu/get", "doors /sfu/get"}, {"/livekit/jwt//get_token", "doors /get_token"},
		{"/own/path/healthz", "doors /healthz"}, {"/x/y/get_token", "doors /get_token"}, {"/x/get_token", "doors /get_token"},
		{"/delegate_delayed_leave", "doors /delegate_delayed_leave"}, {"/.well-known/matrix/client", "file /.well-known/matrix/client"},
		{"/", "signalling /"}, {"//", "signalling /"}, {"/livekit/sfu", "signalling /"}, {"/livekit/sfu/rtc/v1", "signalling /rtc/v1"}, {"//rtc", "signalling /rtc"},
		{"/livekit/jwtx", "signalling /livekit/jwtx"}, {"/xy/get_token", "signalling /xy/get_token"}, {"/call/", "signalling /call/"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "http://h/", nil)
		r.URL.Path = tt.path
		r.RemoteAddr = "127.0.0.1:5"
		r.Header.Set("X-Forwarded-For", "6.6.6.6, 192.0.2.9")
		r.Header.Set("X-Matrix-User-Identifier", "@root:own.example")
		rt.ServeHTTP(httptest.NewRecorder(), r)
		if seen != tt.want+" 192.0.2.9" {
			t.Errorf("%s: %s, want %s", tt.path, seen, tt.want)
		}
	}
	// What the homeserver passes on keeps its headers, where such requests are taken at all; nothing else does.
	rt.back = mark("back")
	for _, tt := range []struct{ path, want string }{
		{"/_matrix/client/v1/rtc/livekit/get_token", "back /_matrix/client/v1/rtc/livekit/get_token 192.0.2.9 forged"},
		{"/own/path/_matrix/federation/unstable/io.element.msc4195/rtc/livekit/get_token", "back /_matrix/federation/unstable/io.element.msc4195/rtc/livekit/get_token 192.0.2.9 forged"},
		{"/_matrix/client/v1/rtc/livekitten/get_token", "signalling /_matrix/client/v1/rtc/livekitten/get_token 192.0.2.9"},
		{"/get_token", "doors /get_token 192.0.2.9"},
	} {
		r := httptest.NewRequest("GET", "http://h"+tt.path, nil)
		r.RemoteAddr = "127.0.0.1:5"
		r.Header.Set("X-Forwarded-For", "192.0.2.9")
		r.Header.Set("X-Matrix-User-Identifier", "@root:own.example")
		if rt.ServeHTTP(httptest.NewRecorder(), r); seen != tt.want {
			t.Errorf("%s: %s", tt.path, seen)
		}
	}
	rt.back = nil
	// A stranger's word on who is calling does not count.
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.1:5"
	r.Header.Set("X-Forwarded-For", "6.6.6.6")
	rt.ServeHTTP(httptest.NewRecorder(), r)
	if seen != "signalling / 192.0.2.1" {
		t.Error(seen)
	}
}

func TestLogIsScrubbed(t *testing.T) {
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
	lines := func(c loggingSection) string {
		var b bytes.Buffer
		l := newLog(&b, c, []byte("salt"))
		l.Info("x", "user", "@alice:example.org", "token", "abc", "err", errors.New("get /rtc?access_token="+jwt+"&x=1 for @alice:example.org:8448"),
			"q", "password=hunter2 ok", "ip", "192.0.2.7:99", "v6", "[2001:db8::7]:1", "n", 5, "identity", "@bob:b.example:DEV", slog.Group("g", "jwt", "zzz"))
		return b.String()
	}
	for _, redact := range []string{"none", "mxid", "all"} {
		out := lines(loggingSection{Redact: redact})
		for _, secret := range []string{"abc", jwt, "hunter2", "zzz"} {
			if strings.Contains(out, secret) {
				t.Errorf("%s: %s is in %s", redact, secret, out)
			}
		}
		if got := strings.Contains(out, "alice"); got != (redact == "none") {
			t.Errorf("%s: %s", redact, out)
		}
		if got := strings.Contains(out, "192.0.2.7") || strings.Contains(out, "db8"); got != (redact != "all") {
			t.Errorf("%s: %s", redact, out)
		}
		if !strings.Contains(out, "n=5") || !strings.Contains(out, " ok") {
			t.Errorf("too much is gone: %s", out)
		}
	}
	a, b := scrubber{salt: []byte("1")}, scrubber{salt: []byte("2")}
	first := a.user("@a:b")
	if first != (scrubber{salt: []byte("1")}).user("@a:b") || first == a.user("@a:c") || first == b.user("@a:b") {
		t.Error("stand-ins are not the same here and different elsewhere")
	}
	if out := lines(loggingSection{Format: "json"}); !strings.HasPrefix(out, `{"time":"`) {
		t.Error(out)
	}
	if out := lines(loggingSection{Format: "text"}); strings.Contains(out, time.Now().Format("2006-")) {
		t.Error(out)
	}
	if out := lines(loggingSection{Level: "error"}); out != "" {
		t.Error(out)
	}
}

func TestInstallation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := openInstallation(dir)
	if err != nil || first.kept != nil {
		t.Fatal(err, first.kept)
	}
	if st, err := os.Stat(filepath.Join(dir, "installation.secret")); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st.Mode(), err)
	}
	second, err := openInstallation(dir)
	if err != nil || second != first || second.key() != first.key() || len(first.key().Secret) < minSecret {
		t.Error(second, err)
	}
	if first.derive("a") == first.derive("b") {
		t.Error("one secret for two purposes")
	}
	if memory, err := openInstallation(""); err != nil || memory.kept == nil || memory.secret == first.secret {
		t.Error(memory, err)
	}
	if blocked, err := openInstallation(filepath.Join(dir, "installation.secret", "x")); err == nil && blocked.kept == nil {
		t.Error("a folder inside a file was written")
	}
	if err := os.WriteFile(filepath.Join(dir, "installation.secret"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openInstallation(dir); err == nil {
		t.Error("a short secret was taken")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".installation-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestMemoryLimit(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("sys/fs/cgroup/a/b/memory.max", "max\n")
	put("sys/fs/cgroup/a/memory.max", "300000000\n")
	put("sys/fs/cgroup/memory/d/memory.limit_in_bytes", "9223372036854771712\n")
	put("sys/fs/cgroup/memory/e/memory.limit_in_bytes", "100000000\n")
	for groups, want := range map[string]int64{
		"0::/a/b\n": 300000000, "0::/\n": math.MaxInt64, "0::/../../x\n": math.MaxInt64, "": math.MaxInt64, "garbage\n1:2\n": math.MaxInt64,
		"5:cpu,memory:/d\n": math.MaxInt64, "5:memory:/e\n0::/none\n": 100000000,
	} {
		if got := tightest(root, groups); got != want {
			t.Errorf("%q: %d, want %d", groups, got, want)
		}
	}
}

func TestReachable(t *testing.T) {
	nets := func(list ...string) (all []net.Addr) {
		for _, s := range list {
			ip, n, err := net.ParseCIDR(s)
			if err != nil {
				t.Fatal(err)
			}
			n.IP = ip
			all = append(all, n)
		}
		return all
	}
	tests := []struct {
		have []net.Addr
		want []string
	}{
		{nets("127.0.0.1/8", "::1/128", "192.168.1.5/24", "fe80::1/64", "fd00::1/64", "2a00::1/64"), []string{"192.168.1.5", "2a00::1"}},
		{nets("127.0.0.1/8", "fe80::1/64", "fd00::1/64"), []string{"fd00::1"}},
		{nets("127.0.0.1/8", "fe80::1/64"), []string{"127.0.0.1"}},
		{nets("169.254.1.1/16"), nil},
	}
	for _, tt := range tests {
		var got []string
		for _, a := range reachable(tt.have) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.have, got, tt.want)
		}
	}
}

func TestAnnounced(t *testing.T) {
	c := newConfig()
	c.RTC.Advertise = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1")}
	c.RTC.NodeIP = "2001:db8::1"
	got, err := announced(c, netip.IPv6Unspecified(), 7)
	if err != nil || len(got) != 2 || got[0].String() != "192.0.2.1:7" || got[1].String() != "[2001:db8::1]:7" {
		t.Error(got, err)
	}
	if got, err := announced(newConfig(), netip.MustParseAddr("192.0.2.9"), 7); err != nil || got[0].String() != "192.0.2.9:7" {
		t.Error(got, err)
	}
	if got, err := announced(newConfig(), netip.IPv6Unspecified(), 7); err != nil || len(got) == 0 {
		t.Error(got, err)
	}
}

func TestMediaBind(t *testing.T) {
	a := netip.MustParseAddr
	for want, addrs := range map[string][]netip.Addr{
		"::": {a("::")}, "192.0.2.1": {a("192.0.2.1")}, "127.0.0.1": {a("127.0.0.1"), a("::1")}, "::1": {a("::1")},
	} {
		if got := mediaBind(addrs); got.String() != want {
			t.Errorf("%v: %s", addrs, got)
		}
	}
	if got := mediaBind([]netip.Addr{a("192.0.2.1"), a("2001:db8::1")}); got != netip.IPv6Unspecified() {
		t.Error(got)
	}
}
