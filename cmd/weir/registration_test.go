package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"weir/signalling/matrix"
)

// registered is a configuration that names a registration file in a folder of its own.
func registered(t testing.TB, more string) (config, registration string) {
	t.Helper()
	registration = filepath.Join(t.TempDir(), "weir-registration.yaml")
	return file(t, "public_url: https://rtc.example.org\nport: 7880\nhomeserver:\n  server_name: example.org\n  url: https://matrix.example.org\n"+
		"  registration_file: "+registration+"\n"+more), registration
}

// The file is what matrixrtc.md section 10 says, key by key, under both spellings.
func TestRegistration(t *testing.T) {
	tests := []struct {
		name, more string
		args       []string
		users      string
		url        any
		proxy      string
	}{
		{"default", "", nil, `@.*:example\.org`, nil, "http://127.0.0.1:7880"},
		{"listener of its own", "  proxy_listen: 127.0.0.1:7883\n", nil, `@.*:example\.org`, nil, "http://127.0.0.1:7883"},
		{"on all addresses", "  proxy_listen: '[::]:7883'\n", nil, `@.*:example\.org`, nil, "http://127.0.0.1:7883"},
		{"least", "", []string{"--mode", "ask"}, "", nil, "http://127.0.0.1:7880"},
		{"most", "", []string{"--mode", "push"}, `@.*:example\.org`, "http://127.0.0.1:7880", "http://127.0.0.1:7880"},
		{"elsewhere", "", []string{"--proxy-url", "http://weir:7883/"}, `@.*:example\.org`, nil, "http://weir:7883"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, _ := registered(t, tt.more)
			code, out, errs := weir(t, nil, append([]string{"registration", "--config", config}, tt.args...)...)
			if code != 0 || errs != "" {
				t.Fatal(code, errs)
			}
			var got map[string]any
			if err := yaml.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			scope := []any{"urn:matrix:client:io.element.msc4502:rooms:is_joined"}
			for key, want := range map[string]any{
				"id": "weir", "url": tt.url, "sender_localpart": "_weir", "rate_limited": false, "io.element.msc4512.proxy_prefix": "rtc/livekit",
				"io.element.msc4512.proxy_url": tt.proxy, "proxy_prefix": "rtc/livekit", "proxy_url": tt.proxy,
			} {
				value, there := got[key]
				if !there || value != want {
					t.Errorf("%s: %v, want %v", key, value, want)
				}
			}
			if s, _ := got["io.element.msc4502.scopes"].([]any); len(s) != 1 || s[0] != scope[0] {
				t.Errorf("scopes: %v", s)
			}
			if s, _ := got["scopes"].([]any); len(s) != 1 || s[0] != "urn:matrix:client:rooms:is_joined" {
				t.Errorf("stable scopes: %v", s)
			}
			users := got["namespaces"].(map[string]any)["users"].([]any)
			if tt.users == "" && len(users) != 0 || tt.users != "" && (len(users) != 1 || users[0].(map[string]any)["regex"] != tt.users || users[0].(map[string]any)["exclusive"] != false) {
				t.Errorf("users: %v", users)
			}
			// The price of each mode stands above, the least first.
			if a, b, c := strings.Index(out, "\n# ask\n"), strings.Index(out, "\n# assert\n"), strings.Index(out, "\n# push\n"); a < 0 || b < a || c < b {
				t.Errorf("prices at %d, %d, %d", a, b, c)
			}
		})
	}
}

// What is written can be read by its owner only, is taken by the configuration, and keeps its tokens when written again.
func TestRegistrationIsReadBack(t *testing.T) {
	config, name := registered(t, "")
	if code, _, errs := weir(t, nil, "config", "check", config); code != 78 || !strings.Contains(errs, "homeserver.registration_file: cannot be read") {
		t.Fatal(code, errs)
	}
	if code, out, errs := weir(t, nil, "registration", "-c", config, "--write"); code != 0 || !strings.Contains(out, name) {
		t.Fatal(code, out, errs)
	}
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st.Mode(), err)
	}
	c, err := load(source{file: config})
	if err != nil {
		t.Fatal(err)
	}
	first := *c.Homeserver.Registration
	if first.Reach() != matrix.Assert || first.ProxyPrefix != "rtc/livekit" || len(first.ASToken) < 40 || first.ASToken == first.HSToken || len(first.Scopes) != 1 {
		t.Errorf("%+v", first)
	}
	if code, out, errs := weir(t, nil, "config", "print", config); code != 0 || strings.Contains(out, first.ASToken) || !strings.Contains(out, name) {
		t.Error(code, out, errs)
	}
	again := func(args ...string) matrix.Registration {
		t.Helper()
		if code, _, errs := weir(t, nil, append([]string{"registration", "-c", config, "--write"}, args...)...); code != 0 {
			t.Fatal(errs)
		}
		reg, err := readRegistration(name)
		if err != nil {
			t.Fatal(err)
		}
		return *reg
	}
	if second := again("--mode", "ask"); second.ASToken != first.ASToken || second.HSToken != first.HSToken || second.Reach() != matrix.Ask {
		t.Errorf("%+v", second)
	}
	if third := again("--new-tokens"); third.ASToken == first.ASToken || third.HSToken == first.HSToken {
		t.Error("the old tokens")
	}
}

func TestRegistrationFaults(t *testing.T) {
	long := strings.Repeat("t", 40)
	head := "id: weir\nsender_localpart: _weir\n"
	for _, tt := range []struct{ text, want string }{
		{"[]", "is no YAML of an appservice registration"},
		{"as_token: " + long, "is no appservice registration"},
		{head + "as_token: short\nhs_token: " + long, "as_token has 5 characters: 32 at least"},
		{head + "as_token: " + long, "hs_token has 0 characters"},
		{head + "as_token: " + long + "\nhs_token: " + long, "as_token and hs_token are the same"},
		{head + "as_token: '" + long + " x'\nhs_token: " + long, "as_token holds a character that no header can carry"},
	} {
		name := file(t, tt.text)
		if _, err := readRegistration(name); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), long) {
			t.Errorf("%s: %v", tt.text, err)
		}
		config, registration := registered(t, "")
		if err := os.Rename(name, registration); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := weir(t, nil, "config", "check", config); code != 78 || !strings.Contains(errs, "homeserver.registration_file: "+tt.want) {
			t.Error(code, errs)
		}
		if code, _, errs := weir(t, nil, "registration", "-c", config, "--write"); code != 1 || !strings.Contains(errs, "--new-tokens") {
			t.Error(code, errs)
		}
	}
	open := file(t, head)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readRegistration(open); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Error(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"registration"}, 64, "registration needs --config FILE"},
		{[]string{"registration", "-c", file(t, good), "--write"}, 64, "--write needs homeserver.registration_file"},
		{[]string{"registration", "-c", file(t, good), "--mode", "all"}, 64, "must be one of"},
	} {
		if code, _, errs := weir(t, nil, tt.args...); code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%v: %d %s", tt.args, code, errs)
		}
	}
}

// FuzzRegistration: what is made for any names reads back as the same.
func FuzzRegistration(f *testing.F) {
	f.Add("example.org", "http://127.0.0.1:7883", uint8(1))
	f.Add("[2001:db8::1]:8448", "http://[::1]:1/\"#:", uint8(2))
	f.Add("a\u2028<>&", "http://x/ü: {}", uint8(0))
	f.Fuzz(func(t *testing.T, server, to string, mode uint8) {
		reg, err := matrix.NewRegistration(matrix.Prices[int(mode)%3].Reach, server, to)
		if err != nil {
			return
		}
		text, err := reg.Text()
		if err != nil {
			t.Fatal(err)
		}
		var back matrix.Registration
		if err := yaml.Unmarshal([]byte(text), &back); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if back.ASToken != reg.ASToken || back.HSToken != reg.HSToken || back.Reach() != reg.Reach() || back.Check() != nil {
			t.Fatalf("%+v\n%+v", back, reg)
		}
	})
}
