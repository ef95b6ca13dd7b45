package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/sfu/session"
	"weir/signalling/grant"
)

// weir runs a command as a function.
func weir(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, world{ctx: t.Context(), environment: env, stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	bad, fine := file(t, "prot: 1\n"), file(t, good)
	tests := []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"version"}, 0, ""},
		{[]string{"--help"}, 0, ""},
		{nil, 0, ""},
		{[]string{"frob"}, 64, "weir: unexpected argument frob"},
		{[]string{"serve"}, 64, "weir: serve needs --config FILE, or --dev"},
		{[]string{"serve", "--port", "x"}, 64, "weir: --port: "},
		{[]string{"serve", "--config", "/nonexistent"}, 78, "/nonexistent: cannot be read: no such file or directory"},
		{[]string{"serve", "--config", bad}, 78, bad + ":1:1: prot: unknown key; did you mean port?"},
		{[]string{"config", "check"}, 64, "weir: which file? --config FILE"},
		{[]string{"config", "check", "a", "--config", "b"}, 64, "weir: two files were named"},
		{[]string{"config", "check", bad}, 78, bad + ":1:1: prot: unknown key; did you mean port?"},
		{[]string{"config", "check", "--config", fine}, 0, ""},
		{[]string{"config", "print", bad}, 78, bad + ":1:1: prot"},
		{[]string{"config", "print", "--dev"}, 0, ""},
		{[]string{"config", "schema"}, 0, ""},
		{[]string{"token"}, 64, "weir: token needs --key and --secret, or --dev"},
		{[]string{"token", "--dev"}, 64, "weir: token needs --identity and --session, or one of --create, --list, --admin"},
		{[]string{"token", "--dev", "--admin"}, 64, "weir: --admin needs --session"},
		{[]string{"token", "--dev", "--list", "--ttl", "1ms"}, 64, "weir: --ttl is below a second"},
		{[]string{"advise"}, 64, "weir: advise needs --config FILE, or --public-url URL"},
		{[]string{"advise", "apache"}, 64, `must be one of "all"`},
		{[]string{"advise", "--config", bad}, 78, bad + ":1:1: prot"},
	}
	for _, tt := range tests {
		code, out, errs := weir(t, nil, tt.args...)
		if code != tt.code || !strings.Contains(errs, tt.stderr) || tt.stderr == "" && errs != "" {
			t.Errorf("%v: exit %d, %q", tt.args, code, errs)
		}
		if code == 0 && out == "" {
			t.Errorf("%v says nothing", tt.args)
		}
	}
}

func TestConfigPrint(t *testing.T) {
	key := strings.Repeat("k", 32)
	name := file(t, good+"keys: {APIx: "+key+"}\nprometheus: {username: u, password: pass-word}\n")
	code, out, errs := weir(t, []string{"WEIR_PORT=99"}, "config", "print", "--effective", name)
	if code != 0 || errs != "" {
		t.Fatal(code, errs)
	}
	for _, want := range []string{"port: 99\n", "# keys.APIx: set, not shown", "  # password: set, not shown", "server_name: example.org"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, key) || strings.Contains(out, "pass-word") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

func TestConfD(t *testing.T) {
	name := file(t, good)
	dir := filepath.Join(filepath.Dir(name), "conf.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "10-port.yaml"), []byte("port: many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := weir(t, nil, "config", "check", name); code != 78 || errs != dir+"/10-port.yaml:1:7: port: \"many\" is no whole number\n" {
		t.Error(code, errs)
	}
}

func TestToken(t *testing.T) {
	verify := func(out string, key grant.Key) grant.Token {
		t.Helper()
		tok, err := grant.Verify(strings.TrimSpace(out), grant.Keys{key.ID: key.Secret}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	dev := grant.Key{ID: devKey, Secret: devSecret}

	_, out, _ := weir(t, nil, "token", "--dev", "-i", "alice", "-s", "demo", "--name", "Alice", "--attribute", "a=b", "--update-own", "--ttl", "1h")
	tok := verify(out, dev)
	in := tok.Inside
	if tok.Identity != "alice" || tok.Session != "demo" || !tok.Join || tok.Admin || tok.Create || tok.Name != "Alice" || tok.Attributes["a"] != "b" ||
		!in.Publish || !in.Subscribe || !in.PublishData || !in.UpdateOwn || in.Hidden {
		t.Errorf("%+v", tok)
	}
	if left := time.Until(tok.Expires); left > time.Hour || left < 59*time.Minute {
		t.Errorf("good for %v", left)
	}
	_, out, _ = weir(t, nil, "token", "--dev", "-i", "bob", "--room", "demo", "--no-publish", "--no-subscribe", "--hidden", "--agent")
	if tok := verify(out, dev); tok.Inside.Publish || tok.Inside.PublishData || tok.Inside.Subscribe || !tok.Inside.Hidden || tok.Kind != session.Agent {
		t.Errorf("%+v", tok)
	}
	_, out, _ = weir(t, []string{}, "token", "--key", "K", "--secret", "S", "--create", "--list", "--admin", "--session", "x")
	if tok := verify(out, grant.Key{ID: "K", Secret: "S"}); !tok.Create || !tok.List || !tok.Admin || tok.Join || tok.Session != "x" {
		t.Errorf("%+v", tok)
	}
	_, out, _ = weir(t, nil, "token", "--dev", "--list", "--json")
	var object map[string]string
	if err := json.Unmarshal([]byte(out), &object); err != nil || object["token"] == "" {
		t.Error(out, err)
	}
}

func TestAdvise(t *testing.T) {
	name := file(t, "public_url: https://rtc.example.org/focus\nport: 1234\nhomeserver: {server_name: example.org, url: https://matrix.example.org}\n")
	for target, wants := range map[string][]string{
		"transports":   {`{"rtc_transports":[{"type":"livekit","livekit_service_url":"https://rtc.example.org/focus"}]}`},
		"wellknown":    {`"org.matrix.msc4143.rtc_foci"`, `"livekit_service_url": "https://rtc.example.org/focus"`, `"base_url": "https://matrix.example.org"`},
		"element-call": {`"livekit_service_url": "https://rtc.example.org/focus"`},
		"synapse":      {"msc4143_enabled: true", `livekit_service_url: "https://rtc.example.org/focus"`, "max_event_delay_duration: 24h"},
		"caddy":        {"rtc.example.org {", "handle_path /focus/*", "reverse_proxy 127.0.0.1:1234"},
		"nginx":        {"server_name rtc.example.org;", "location /focus/ {", "proxy_pass http://127.0.0.1:1234/;", "Upgrade $http_upgrade"},
	} {
		code, out, errs := weir(t, nil, "advise", target, "--config", name)
		if code != 0 {
			t.Fatal(target, errs)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in\n%s", target, want, out)
			}
		}
		if target == "transports" || target == "wellknown" || target == "element-call" {
			if !json.Valid([]byte(out)) {
				t.Errorf("%s is no JSON: %s", target, out)
			}
		}
	}
	if code, out, _ := weir(t, nil, "advise", "--public-url", "https://a.example"); code != 0 || strings.Count(out, "https://a.example") < 4 {
		t.Error(out)
	}
}

func TestVersion(t *testing.T) {
	_, out, _ := weir(t, nil, "version", "--json")
	var facts map[string]string
	if err := json.Unmarshal([]byte(out), &facts); err != nil || facts["version"] == "" || facts["go"] == "" {
		t.Error(out, err)
	}
}
