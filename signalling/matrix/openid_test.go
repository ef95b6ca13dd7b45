package matrix

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/signalling/matrixtest"
)

// world is a homeserver called far.example, found at port 8448, and a verifier for it.
func world(t *testing.T, c Config) (*matrixtest.World, *matrixtest.Homeserver, *Verifier) {
	t.Helper()
	hs := matrixtest.New(t, "far.example", "matrix.far.example", "own.example", "evil.example")
	w := matrixtest.NewWorld()
	w.Name("far.example", "9.9.9.9")
	w.Route("9.9.9.9:8448", hs)
	hs.Token("good", "@bob:far.example")
	c.CAFile = matrixtest.Certificates(t, hs)
	v, err := NewVerifier(c, Network{Names: w, Dial: w.Dial})
	if err != nil {
		t.Fatal(err)
	}
	return w, hs, v
}

const sub = `{"sub":"@bob:far.example"}`

// Every way of the server-server API's "Resolving server names" leads to the server, under the right Host header.
func TestDiscovery(t *testing.T) {
	tests := []struct {
		name    string
		server  string
		config  Config
		arrange func(*matrixtest.World, *matrixtest.Homeserver)
		dialled []string
		host    string
	}{
		{name: "port 8448", server: "far.example", dialled: []string{"9.9.9.9:443", "9.9.9.9:8448"}, host: "far.example"},
		{name: "explicit port", server: "far.example:1234", dialled: []string{"9.9.9.9:1234"}, host: "far.example:1234",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) { w.Route("9.9.9.9:1234", h) }},
		{name: "well-known with port", server: "far.example", dialled: []string{"9.9.9.9:443", "8.8.8.8:4430"}, host: "matrix.far.example:4430",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Route("9.9.9.9:443", h)
				h.Script(matrixtest.WellKnown, matrixtest.Answer(200, `{"m.server":"matrix.far.example:4430"}`))
				w.Name("matrix.far.example", "8.8.8.8")
				w.Route("8.8.8.8:4430", h)
			}},
		{name: "well-known, then service record", server: "far.example", dialled: []string{"9.9.9.9:443", "8.8.4.4:99"}, host: "matrix.far.example",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Route("9.9.9.9:443", h)
				h.Script(matrixtest.WellKnown, matrixtest.Answer(200, `{"m.server":"matrix.far.example"}`))
				w.Service("matrix-fed", "matrix.far.example", "host.example:99")
				w.Name("host.example", "8.8.4.4")
				w.Route("8.8.4.4:99", h)
			}},
		{name: "well-known, then port 8448", server: "far.example", dialled: []string{"9.9.9.9:443", "8.8.8.8:8448"}, host: "matrix.far.example",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Route("9.9.9.9:443", h)
				h.Script(matrixtest.WellKnown, matrixtest.Answer(200, `{"m.server":"matrix.far.example"}`))
				w.Name("matrix.far.example", "8.8.8.8")
				w.Route("8.8.8.8:8448", h)
			}},
		{name: "redirected well-known", server: "far.example", dialled: []string{"9.9.9.9:443", "8.8.8.8:443", "8.8.8.8:8448"}, host: "matrix.far.example",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Route("9.9.9.9:443", h)
				w.Route("8.8.8.8:443", h)
				w.Route("8.8.8.8:8448", h)
				w.Name("matrix.far.example", "8.8.8.8")
				h.Script(matrixtest.WellKnown, matrixtest.Redirect("https://matrix.far.example/elsewhere"))
				h.Script("/elsewhere", matrixtest.Answer(200, `{"m.server":"matrix.far.example"}`))
			}},
		{name: "old service record", server: "far.example", dialled: []string{"9.9.9.9:443", "8.8.4.4:99"}, host: "far.example",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Service("matrix", "far.example", "host.example:99")
				w.Name("host.example", "8.8.4.4")
				w.Route("8.8.4.4:99", h)
			}},
		{name: "second service record", server: "far.example", dialled: []string{"9.9.9.9:443", "8.8.4.4:98", "8.8.4.4:99"}, host: "far.example",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Service("matrix-fed", "far.example", "host.example:98")
				w.Service("matrix-fed", "far.example", "host.example:99")
				w.Name("host.example", "8.8.4.4")
				w.Route("8.8.4.4:99", h)
			}},
		{name: "second address", server: "far.example:1", dialled: []string{"9.9.9.9:1", "8.8.8.8:1"}, host: "far.example:1",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Name("far.example", "8.8.8.8")
				w.Route("8.8.8.8:1", h)
			}},
		{name: "broken well-known counts as none", server: "far.example", dialled: []string{"9.9.9.9:443", "9.9.9.9:8448"}, host: "far.example",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Route("9.9.9.9:443", h)
				h.Script(matrixtest.WellKnown, matrixtest.Answer(200, `<html>`))
			}},
		{name: "huge well-known counts as none", server: "far.example", dialled: []string{"9.9.9.9:443", "9.9.9.9:8448"}, host: "far.example",
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				w.Route("9.9.9.9:443", h)
				h.Script(matrixtest.WellKnown, matrixtest.Huge(60<<10, "m.server", "evil.example"))
			}},
		{name: "configured private address", server: "far.example:1", dialled: []string{"10.1.2.3:1"}, host: "far.example:1",
			config: Config{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				*w = *matrixtest.NewWorld()
				w.Name("far.example", "10.1.2.3")
				w.Route("10.1.2.3:1", h)
			}},
		{name: "own server in an own network", server: "far.example", dialled: []string{"10.1.2.3:443", "10.1.2.3:8448"}, host: "far.example",
			config: Config{ServerName: "far.example"},
			arrange: func(w *matrixtest.World, h *matrixtest.Homeserver) {
				*w = *matrixtest.NewWorld()
				w.Name("far.example", "10.1.2.3")
				w.Route("10.1.2.3:8448", h)
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, hs, v := world(t, tt.config)
			if tt.arrange != nil {
				tt.arrange(w, hs)
			}
			hs.Token("good", "@bob:"+tt.server)
			user, err := v.Subject(t.Context(), tt.server, "good")
			if err != nil || user != "@bob:"+tt.server {
				t.Fatalf("%q, %v", user, err)
			}
			if got := w.Dialled(); !slices.Equal(got, tt.dialled) {
				t.Errorf("dialled %v, want %v", got, tt.dialled)
			}
			if hosts := hs.Hosts(); hosts[len(hosts)-1] != tt.host {
				t.Errorf("hosts %v, want %s at last", hosts, tt.host)
			}
		})
	}
}

// A stranger names the server, its files and its DNS. None of them gets us to knock where only we can.
func TestForbiddenTargets(t *testing.T) {
	literals := []string{
		"127.0.0.1", "127.0.0.1:8008", "[::1]:8448", "10.0.0.1", "192.168.1.1:80", "169.254.169.254:80", "[fe80::1]", "[fd00::1]",
		"0.0.0.0", "[::ffff:10.0.0.1]", "100.64.0.1", "9.9.9.9", "[2620:fe::fe]:443", // public ones neither: no server is named so
	}
	for _, name := range literals {
		t.Run("literal "+name, func(t *testing.T) {
			w, _, v := world(t, Config{})
			if _, err := v.Subject(t.Context(), name, "good"); err == nil || len(w.Dialled()) > 0 {
				t.Errorf("%v, dialled %v", err, w.Dialled())
			}
		})
	}
	addresses := []string{
		"127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "fe80::1", "fd12::1", "0.0.0.0", "::",
		"::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001:0:4136:e378::1", "100.100.100.200", "224.0.0.1",
		"ff02::1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.0.192",
	}
	for _, a := range addresses {
		t.Run("name that resolves to "+a, func(t *testing.T) {
			w, _, v := world(t, Config{})
			w.Name("evil.example", a)
			if _, err := v.Subject(t.Context(), "evil.example:8448", "good"); err == nil || len(w.Dialled()) > 0 {
				t.Errorf("%v, dialled %v", err, w.Dialled())
			}
		})
	}
	t.Run("only the forbidden one of two addresses", func(t *testing.T) {
		w, hs, v := world(t, Config{})
		w.Name("evil.example", "10.0.0.1", "9.9.9.8")
		w.Route("9.9.9.8:1", hs)
		hs.Token("good", "@eve:evil.example:1")
		if _, err := v.Subject(t.Context(), "evil.example:1", "good"); err != nil || !slices.Equal(w.Dialled(), []string{"9.9.9.8:1"}) {
			t.Errorf("%v, dialled %v", err, w.Dialled())
		}
	})
	delegations := map[string]matrixtest.Step{
		"well-known to an address":         matrixtest.Answer(200, `{"m.server":"127.0.0.1:8008"}`),
		"well-known to an address, v6":     matrixtest.Answer(200, `{"m.server":"[::1]"}`),
		"well-known to an inside name":     matrixtest.Answer(200, `{"m.server":"inside.example:22"}`),
		"well-known to no name":            matrixtest.Answer(200, `{"m.server":"a/b?c"}`),
		"redirect to an address":           matrixtest.Redirect("https://127.0.0.1/x"),
		"redirect to an inside name":       matrixtest.Redirect("https://inside.example/x"),
		"redirect away from https":         matrixtest.Redirect("http://far.example/x"),
		"redirect to itself without end":   matrixtest.Redirect("https://far.example" + matrixtest.WellKnown),
		"redirect to another protocol":     matrixtest.Redirect("file:///etc/passwd"),
		"service record to an inside name": matrixtest.Answer(404, ``),
	}
	for name, step := range delegations {
		t.Run(name, func(t *testing.T) {
			hs := matrixtest.New(t, "far.example")
			w := matrixtest.NewWorld()
			w.Name("far.example", "9.9.9.9")
			w.Name("inside.example", "10.0.0.1")
			w.Route("9.9.9.9:443", hs)
			w.Service("matrix", "far.example", "inside.example:22")
			v, err := NewVerifier(Config{CAFile: matrixtest.Certificates(t, hs)}, Network{Names: w, Dial: w.Dial})
			if err != nil {
				t.Fatal(err)
			}
			hs.Token("good", "@bob:far.example")
			hs.Script(matrixtest.WellKnown, slices.Repeat([]matrixtest.Step{step}, 20)...)
			if _, err := v.Subject(t.Context(), "far.example", "good"); err == nil {
				t.Error("no error")
			}
			for _, a := range w.Dialled() {
				if !strings.HasPrefix(a, "9.9.9.9:") {
					t.Errorf("dialled %s", a)
				}
			}
			if hs.Calls(matrixtest.WellKnown) > maxHops+1 {
				t.Errorf("%d hops", hs.Calls(matrixtest.WellKnown))
			}
		})
	}
}

// The dialer that really connects has the last word on addresses, whatever was looked up.
func TestDialerChecksTheAddress(t *testing.T) {
	hs := matrixtest.New(t)
	d := newDialer(guard{}, Network{})
	if conn, err := d.dial(t.Context(), "tcp", hs.Address()); err == nil {
		conn.Close()
		t.Error("loopback was connected to")
	}
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name string
		step matrixtest.Step
		want string // part of the error; "": verified
	}{
		{"right", matrixtest.Answer(200, sub), ""},
		{"more keys", matrixtest.Answer(200, `{"sub":"@bob:far.example","x":[1]}`), ""},
		{"historical localpart", matrixtest.Answer(200, `{"sub":"@Bob!#$:far.example"}`), ""},
		{"unknown token", matrixtest.Answer(401, `{"errcode":"M_UNKNOWN_TOKEN"}`), "status 401"},
		{"no such route", matrixtest.Answer(404, `{}`), "status 404"},
		{"broken", matrixtest.Answer(502, sub), "status 502"},
		{"status 204", matrixtest.Answer(204, ``), "status 204"},
		{"redirect is not followed", matrixtest.Redirect("https://evil.example/"), "status 302"},
		{"hangs up", matrixtest.Hangup(), "EOF"},
		{"no JSON", matrixtest.Answer(200, `<html>`), "no JSON"},
		{"wrong JSON", matrixtest.Answer(200, `{"sub":["@bob:far.example"]}`), "no JSON"},
		{"empty object", matrixtest.Answer(200, `{}`), "no user id"},
		{"huge", matrixtest.Huge(60<<10, "sub", "@bob:far.example"), "over 51200 bytes"},
		{"another server's user", matrixtest.Answer(200, `{"sub":"@alice:own.example"}`), "another server"},
		{"the name in capitals", matrixtest.Answer(200, `{"sub":"@bob:FAR.example"}`), "another server"},
		{"the name with a port", matrixtest.Answer(200, `{"sub":"@bob:far.example:8448"}`), "another server"},
		{"two colons", matrixtest.Answer(200, `{"sub":"@bob:own.example:far.example"}`), "no user id"},
		{"no sigil", matrixtest.Answer(200, `{"sub":"bob:far.example"}`), "no user id"},
		{"a room", matrixtest.Answer(200, `{"sub":"!bob:far.example"}`), "no user id"},
		{"no localpart", matrixtest.Answer(200, `{"sub":"@:far.example"}`), "no user id"},
		{"a line break", matrixtest.Answer(200, `{"sub":"@bob\n:far.example"}`), "no user id"},
		{"a space", matrixtest.Answer(200, `{"sub":"@b ob:far.example"}`), "no user id"},
		{"256 bytes", matrixtest.Answer(200, `{"sub":"@`+strings.Repeat("b", 256-len("@:far.example"))+`:far.example"}`), "too long"},
		{"255 bytes", matrixtest.Answer(200, `{"sub":"@`+strings.Repeat("b", 255-len("@:far.example"))+`:far.example"}`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, hs, v := world(t, Config{})
			hs.Script(matrixtest.Userinfo, tt.step)
			_, err := v.Subject(t.Context(), "far.example", "s3cret token+/&?")
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q in it", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}

func TestSilentServer(t *testing.T) {
	_, hs, v := world(t, Config{})
	hs.Script(matrixtest.Userinfo, matrixtest.Silent())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := v.Subject(ctx, "far.example", "good"); err == nil {
		t.Error("no error")
	}
}

func TestWrongCertificate(t *testing.T) {
	hs, other := matrixtest.New(t, "other.example"), matrixtest.New(t, "far.example")
	w := matrixtest.NewWorld()
	w.Name("far.example", "9.9.9.9")
	w.Route("9.9.9.9:8448", hs)
	v, err := NewVerifier(Config{CAFile: matrixtest.Certificates(t, hs, other)}, Network{Names: w, Dial: w.Dial})
	if err != nil {
		t.Fatal(err)
	}
	hs.Token("good", "@bob:far.example")
	if _, err := v.Subject(t.Context(), "far.example", "good"); err == nil {
		t.Error("a certificate of another name was taken")
	}
}

// Where a server is may be remembered; what it said of a token never, neither yes nor no.
func TestWhatIsRemembered(t *testing.T) {
	w, hs, v := world(t, Config{})
	w.Route("9.9.9.9:443", hs)
	ask := func(token string) error { _, err := v.Subject(t.Context(), "far.example", token); return err }
	if ask("later") == nil {
		t.Fatal("an unknown token was good")
	}
	hs.Token("later", "@bob:far.example")
	if err := ask("later"); err != nil {
		t.Fatalf("a failure was remembered: %v", err)
	}
	hs.Token("later", "")
	if ask("later") == nil {
		t.Fatal("a success was remembered")
	}
	if hs.Calls(matrixtest.Userinfo) != 3 || hs.Calls(matrixtest.WellKnown) != 1 {
		t.Errorf("%d questions, %d discoveries", hs.Calls(matrixtest.Userinfo), hs.Calls(matrixtest.WellKnown))
	}
}

// A server that moved is found at the next try.
func TestMovedServerIsFoundAgain(t *testing.T) {
	w, hs, v := world(t, Config{})
	w.Route("9.9.9.9:443", hs)
	w.Name("old.example", "8.8.8.8")
	hs.Script(matrixtest.WellKnown, matrixtest.Answer(200, `{"m.server":"old.example:1"}`))
	if _, err := v.Subject(t.Context(), "far.example", "good"); err == nil {
		t.Fatal("nobody is there")
	}
	if _, err := v.Subject(t.Context(), "far.example", "good"); err != nil {
		t.Fatalf("the old place was remembered: %v", err)
	}
}

func TestInternalURL(t *testing.T) {
	hs := matrixtest.New(t)
	hs.Token("good", "@alice:own.example")
	w := matrixtest.NewWorld()
	w.Route("127.0.0.1:"+hs.Address()[len("127.0.0.1:"):], hs)
	c := Config{ServerName: "own.example", InternalURL: hs.URL() + "/", CAFile: matrixtest.Certificates(t, hs)}
	v, err := NewVerifier(c, Network{Names: w, Dial: w.Dial})
	if err != nil {
		t.Fatal(err)
	}
	if user, err := v.Subject(t.Context(), "own.example", "good"); err != nil || user != "@alice:own.example" {
		t.Errorf("%q, %v", user, err)
	}
	// Only the own name goes there.
	if _, err := v.Subject(t.Context(), "own.example:8448", "good"); err == nil || hs.Calls(matrixtest.Userinfo) != 1 {
		t.Error("another name was asked at internal_url")
	}
}

func TestCacheIsBounded(t *testing.T) {
	r := &resolver{cache: map[string]target{}}
	for i := range 3 * maxNames {
		r.store(fmt.Sprint(i), target{expires: time.Now().Add(time.Hour)})
	}
	if len(r.cache) > maxNames {
		t.Errorf("%d names", len(r.cache))
	}
}

func TestLifetime(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 24 * time.Hour, "no-store": time.Hour, "public, max-age=7200": 2 * time.Hour, "max-age=1": time.Hour,
		"max-age=99999999999999": 48 * time.Hour, "max-age=-5": time.Hour, "max-age=x": 24 * time.Hour, "Max-Age=172801": 48 * time.Hour,
	} {
		if got := lifetime(header); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	for key, c := range map[string]Config{
		"server_name":      {ServerName: "not a name"},
		"internal_url":     {InternalURL: "http://127.0.0.1:8008"},
		"url":              {ServerName: "a.example", URL: "matrix.example"},
		"serve_well_known": {ServerName: "a.example", ServeWellKnown: true},
		"ca_file":          {CAFile: "/nonexistent"},
	} {
		var f *Fault
		err := c.Check()
		if ok := errorAs(err, &f); !ok || f.Key != key {
			t.Errorf("%+v: %v, want a fault of %s", c, err, key)
		}
	}
}

func errorAs(err error, f **Fault) bool {
	x, ok := err.(*Fault)
	*f = x
	return ok
}
