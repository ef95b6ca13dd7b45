package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/cmd/weir/settings"
)

// good is the least a production configuration needs.
const good = "public_url: https://rtc.example.org\nhomeserver: {server_name: example.org}\n"

// file writes a configuration.
func file(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(text string, env ...string) (*Config, error) {
	c, r := newConfig(), newReader(env)
	r.ReadText(c, "w.yaml", []byte(text))
	if err := r.Finish(c); err != nil {
		return nil, err
	}
	return c, finish(c, r, source{})
}

// What a person sees for each key that can be wrong.
func TestConfigFaults(t *testing.T) {
	key, other := strings.Repeat("k", 32), filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(other, []byte("# a comment\nAPIa: "+key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	short := file(t, "APIa: short")
	broken := file(t, "APIa")
	twice := file(t, "APIa: "+key+"\nAPIa: "+key)
	tests := []struct{ text, want string }{
		{"", "public_url: missing: the URL at which clients reach this focus, as https://rtc.example.org"},
		{"public_url: rtc.example.org", `w.yaml:1:13: public_url: "rtc.example.org" is no https URL`},
		{"public_url: ftp://rtc.example.org", `w.yaml:1:13: public_url: "ftp://rtc.example.org" is no https URL`},
		{"public_url: https://rtc.example.org/?a=b", "w.yaml:1:13: public_url: more than scheme, host and path"},
		{"public_url: https://rtc.example.org", "homeserver.server_name: missing, and there are no keys either: nobody could get in"},
		{good + "bind_addresses: []", "w.yaml:3:17: bind_addresses: empty: nothing would listen"},
		{good + "bind_addresses: ['']", "w.yaml:3:18: bind_addresses[0]: empty"},
		{good + "bind_addresses: [localhost]", `w.yaml:3:18: bind_addresses[0]: "localhost": ParseAddr("localhost"): unable to parse IP`},
		{good + "port: 65536", "w.yaml:3:7: port: 65536 is no port: 1 to 65535, or 0"},
		{good + "port: -1", "w.yaml:3:7: port: -1 is no port: 1 to 65535, or 0"},
		{good + "port: 6789", "prometheus.port: 6789 is the same as port"},
		{good + "prefixes: [rtc]", `w.yaml:3:12: prefixes[0]: "rtc" is no path: it begins with a slash`},
		{good + "tls: {mode: acme}", `w.yaml:3:13: tls.mode: "acme" is none of none, files`},
		{good + "tls: {mode: files, key_file: x}", "w.yaml:3:6: tls.cert_file: missing: tls.mode is files"},
		{good + "tls: {cert_file: x}", "w.yaml:3:18: tls.cert_file: set, though tls.mode is none"},
		{good + "tls: {mode: files, cert_file: /nonexistent, key_file: x}", "w.yaml:3:31: tls.cert_file: cannot be read: stat /nonexistent: no such file or directory"},
		{good + "proxy: {trusted: [127.0.0.1]}", `w.yaml:3:19: proxy.trusted[0]: "127.0.0.1": netip.ParsePrefix("127.0.0.1"): no '/'`},
		{good + "rtc: {udp_port: 70000}", "w.yaml:3:17: rtc.udp_port: 70000 is no port: 1 to 65535, or 0"},
		{good + "rtc: {advertise: [0.0.0.0]}", "w.yaml:3:19: rtc.advertise[0]: no address that a client could reach"},
		{good + "rtc: {audio_wait: 21ms}", "w.yaml:3:19: rtc.audio_wait: outside 0 to 20ms"},
		{good + "rtc: {io: uring}", `w.yaml:3:11: rtc.io: "uring" is none of auto, plain`},
		{good + "rtc: {use_external_ip: true}", "w.yaml:3:24: rtc.use_external_ip: not available yet: write the external address into rtc.advertise"},
		{good + "rtc: {node_ip: example.org}", `w.yaml:3:16: rtc.node_ip: "example.org" is no address that a client could reach`},
		{"public_url: https://a\nhomeserver: {server_name: 'a b'}", `w.yaml:2:27: homeserver.server_name: "a b" is no Matrix server name`},
		{"public_url: https://a\nhomeserver: {server_name: a, url: x}", `w.yaml:2:35: homeserver.url: "x" is no http or https URL`},
		{"public_url: https://a\nhomeserver: {server_name: a, internal_url: 'http://h?x'}", `w.yaml:2:44: homeserver.internal_url: "http://h?x" is no http or https URL`},
		{"public_url: https://a\nhomeserver: {server_name: a, ca_file: /nonexistent}", "w.yaml:2:39: homeserver.ca_file: cannot be read: open /nonexistent: no such file or directory"},
		{"public_url: https://a\nhomeserver: {server_name: a, ca_file: " + other + "}", "w.yaml:2:39: homeserver.ca_file: " + other + " holds no PEM certificate"},
		{"public_url: https://a\nhomeserver: {server_name: a, allow_networks: [x]}", `w.yaml:2:47: homeserver.allow_networks[0]: "x": netip.ParsePrefix("x"): no '/'`},
		{"public_url: https://a\nhomeserver: {server_name: a, serve_well_known: true}", "w.yaml:2:48: homeserver.serve_well_known: needs url beside it: the file names the homeserver"},
		{"public_url: https://a\nhomeserver: {server_name: a, registration_file: x}", "w.yaml:2:49: homeserver.registration_file: needs internal_url or url beside it: where the homeserver is asked"},
		{"public_url: https://a\nhomeserver: {server_name: a, url: http://h, registration_file: /nonexistent}", "w.yaml:2:64: homeserver.registration_file: cannot be read: open /nonexistent: no such file or directory"},
		{"public_url: https://a\nhomeserver: {server_name: a, proxy_listen: '127.0.0.1:1'}", "w.yaml:2:44: homeserver.proxy_listen: needs registration_file beside it"},
		{"public_url: https://a\nhomeserver: {server_name: a, proxy_auth: none}", `w.yaml:2:42: homeserver.proxy_auth: "none" is neither hs_token nor header_only`},
		{"public_url: https://a\nhomeserver: {server_name: a, proxy_auth: header_only}", "w.yaml:2:42: homeserver.proxy_auth: header_only takes anybody's word: proxy_listen must be a loopback address or a unix socket"},
		{good + "policy: {publish: none}", `w.yaml:3:19: policy.publish: "none" is neither own nor any`},
		{good + "policy: {guests: publish}", "w.yaml:3:18: policy.guests: publish is none of allow, subscribe, deny"},
		{good + "policy: {guests: kick}", `w.yaml:3:18: policy.guests: "kick": "kick" is none of allow, publish, subscribe, deny`},
		{good + "policy:\n  rules:\n  - {servers: [x]}", "w.yaml:5:5: policy.rules[0].action: missing: allow, publish, subscribe or deny"},
		{good + "policy:\n  rules:\n  - {action: deny, users: ['(']}", "w.yaml:5:28: policy.rules[0].users[0]: no regular expression: error parsing regexp: missing closing ): `(`"},
		{good + "policy:\n  rules:\n  - {action: allow, max_participants: -1}", "w.yaml:5:39: policy.rules[0].max_participants: below zero"},
		{good + "policy: {rate: {ip_burst: -1}}", "w.yaml:3:27: policy.rate.ip_burst: outside 0 to 1000000"},
		{good + "keys: {APIx: short}", "w.yaml:3:14: keys.APIx: the secret has 5 characters: 32 at least"},
		{good + "keys: {devkey: secret}", "w.yaml:3:16: keys.devkey: the secret has 6 characters: 32 at least"},
		{good + "keys: {APIx: }", `w.yaml:3:7: keys: "APIx": a key needs a name and a secret`},
		{good + "key_file: /nonexistent", "w.yaml:3:11: key_file: cannot be read: open /nonexistent: no such file or directory"},
		{good + "key_file: " + short, "w.yaml:3:11: key_file: line 1: the secret has 5 characters: 32 at least"},
		{good + "key_file: " + broken, "w.yaml:3:11: key_file: line 1 is not of the form key: secret"},
		{good + "key_file: " + twice, "w.yaml:3:11: key_file: line 2: APIa is given twice"},
		{good + "key_file: " + other + "\nkeys: {APIa: " + key + "}", "w.yaml:4:14: keys.APIa: in key_file too: only one of them may be"},
		{good + "room: {empty_timeout: -1}", "w.yaml:3:23: room.empty_timeout: below zero or too large"},
		{good + "room: {max_participants: 4294967296}", "w.yaml:3:26: room.max_participants: below zero or too large"},
		{good + "room: {enabled_codecs: [{mime: video/theora}]}", `w.yaml:3:32: room.enabled_codecs[0].mime: "video/theora" is no codec known here`},
		{good + "webhook: {urls: ['http://a']}", "w.yaml:3:10: webhook.api_key: missing: it signs what is sent to webhook.urls"},
		{good + "webhook: {api_key: x}", `w.yaml:3:20: webhook.api_key: "x" is none of keys`},
		{good + "key_file: " + other + "\nwebhook: {api_key: APIa, urls: [x]}", `w.yaml:4:33: webhook.urls[0]: "x" is no http or https URL`},
		{good + "drain: {timeout: 30}", `w.yaml:3:18: drain.timeout: "30" is no duration: write a number and a unit, as 30s or 5m`},
		{good + "drain: {timeout: 25h}", "w.yaml:3:18: drain.timeout: outside 0 to 24h"},
		{good + "prometheus: {port: 99999}", "w.yaml:3:20: prometheus.port: 99999 is no port: 1 to 65535, or 0"},
		{good + "prometheus: {bind: ''}", "w.yaml:3:20: prometheus.bind: empty"},
		{good + "prometheus: {username: x}", "w.yaml:3:24: prometheus.username: username and password go together"},
		{good + "logging: {level: loud}", `w.yaml:3:18: logging.level: "loud" is none of debug, info, warn, error`},
		{good + "logging: {format: xml}", `w.yaml:3:19: logging.format: "xml" is none of auto, text, logfmt, json`},
		{good + "logging: {redact: names}", `w.yaml:3:19: logging.redact: "names" is none of none, mxid, all`},
		{good + "prot: 1", "w.yaml:3:1: prot: unknown key; did you mean port?"},
		{good + "room: {auto_creat: true}", "w.yaml:3:8: room.auto_creat: unknown key; did you mean auto_create?"},
	}
	for _, tt := range tests {
		if _, err := read(tt.text); err == nil || strings.TrimLeft(err.Error(), " ") != tt.want {
			t.Errorf("%s\n got %v\nwant %s", strings.TrimPrefix(tt.text, good), err, tt.want)
		}
	}
}

// Every key that is known and not taken says so, with what to do instead, in the file and in the environment.
func TestRefusedKeys(t *testing.T) {
	for key, why := range refused {
		parts := strings.Split(key, ".")
		text := good + parts[0] + ": "
		if len(parts) == 2 {
			text += "{" + parts[1] + ": 1}"
		}
		if parts[0] == "homeserver" {
			text = strings.Replace(good, "{", "{"+parts[1]+": 1, ", 1)
		}
		if _, err := read(text); err == nil || !strings.HasPrefix(err.Error(), "w.yaml:") || !strings.HasSuffix(err.Error(), key+": "+why) {
			t.Errorf("%s: %v", key, err)
		}
		name := "WEIR_" + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
		if _, err := read(good, name+"=1"); err == nil || err.Error() != name+": "+key+": "+why {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGoodConfigs(t *testing.T) {
	key := strings.Repeat("k", 32)
	for _, text := range []string{
		good,
		"public_url: http://localhost:7880\nkeys: {APIx: " + key + "}\n",
		good + "policy:\n  lend_publish: true\n  guests: subscribe\n  rules:\n  - {servers: ['*.evil'], action: deny}\n  - {users: ['@a.*:b'], rooms: ['!x*'], action: publish, max_participants: 3}\n",
		good + "room: {auto_create: true, enabled_codecs: [{mime: audio/opus}, {mime: video/VP8}]}\nlogging: {level: debug, format: json, redact: all}\n",
		good + "keys: {APIx: " + key + "}\nwebhook: {api_key: APIx, urls: ['https://a/b']}\n",
		good + "bind_addresses: [127.0.0.1, '::1']\nport: 0\nrtc: {udp_port: 0, advertise: ['2001:db8::1', 192.0.2.1], node_ip: 192.0.2.2}\nprometheus: {port: 0}\n",
	} {
		if _, err := read(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	c, err := read(good + "room: {enabled_codecs: [{mime: audio/opus}, {mime: VP8}], max_participants: 4}\n")
	if err != nil || len(c.session().Encoding) != 2 || c.session().MaxParticipants != 4 {
		t.Error(c, err)
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	c, err := read(good+"port: 1\n", "WEIR_PORT=2", "WEIR_RTC__ADVERTISE=[192.0.2.1]", "WEIR_KEYS={APIx: "+strings.Repeat("k", 32)+"}", "WEIR_CONFIG=x", "WEIR_BENCH_TOKEN=x", "WEIR_BIN=x")
	if err != nil || c.Port != 2 || len(c.RTC.Advertise) != 1 || c.secret("APIx") == "" {
		t.Error(c, err)
	}
	if _, err := read(good, "WEIR_DRAIN__TIMEOUT=25h"); err == nil || err.Error() != "WEIR_DRAIN__TIMEOUT: drain.timeout: outside 0 to 24h" {
		t.Error(err)
	}
}

func TestDevConfig(t *testing.T) {
	port := 1234
	c, err := load(source{dev: true, port: &port, environment: []string{"WEIR_RTC__UDP_PORT=5", "WEIR_LOGGING__LEVEL=debug"}})
	if err != nil || c.Port != 1234 || c.RTC.UDPPort != 5 || c.Logging.Level != "debug" || c.secret(devKey) != devSecret || !c.Room.AutoCreate {
		t.Error(c, err)
	}
	for _, a := range c.BindAddresses {
		if !a.IsLoopback() {
			t.Errorf("%s is not loopback", a)
		}
	}
}

func TestWebSocketURL(t *testing.T) {
	for public, want := range map[string]string{"https://rtc.example.org": "wss://rtc.example.org", "http://127.0.0.1:7880/a/": "ws://127.0.0.1:7880/a/"} {
		if got := webSocketURL(public); got != want {
			t.Errorf("%s: %s", public, got)
		}
	}
}

// The schema accepts every key of a printed configuration, and nothing else.
func TestSchemaHasEveryKey(t *testing.T) {
	b, err := settings.Schema(newConfig())
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(b, &s); err != nil || len(s.Properties) < 15 {
		t.Errorf("%d keys, %v", len(s.Properties), err)
	}
	for key := range refused {
		if _, taken := s.Properties[key]; taken {
			t.Errorf("%s is refused and in the schema", key)
		}
	}
}

// FuzzConfig: a configuration that loads prints, and what was printed loads and prints the same.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		good, good + "port: 0\n", good + "policy:\n  rules:\n  - {servers: ['*'], action: deny}\n  rate: {ip_burst: 3}\n",
		good + "proxy: {trusted: [10.0.0.0/8]}\nlogging: {level: debug}\ndrain: {timeout: 1m}\n",
		"public_url: \"http://a\\u00e9\"\nkeys: {\"a: b\": kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk}\nhomeserver: {server_name: a}\n",
		good + "room: {enabled_codecs: [{mime: opus}]}\nwebhook: {urls: []}\nbind_addresses: ['fe80::1%eth0']\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") {
			return // the files of this machine are no part of the property
		}
		c, err := read(text)
		if err != nil {
			return
		}
		c.Keys, c.Prometheus.Password, c.Prometheus.Username = nil, settings.Secret{}, "" // not shown, so not read again
		var first, second bytes.Buffer
		if err := settings.Print(&first, c); err != nil {
			t.Fatal(err)
		}
		again, err := read(first.String())
		if err != nil {
			if strings.Contains(err.Error(), "keys") {
				return // what needs the keys that are not shown
			}
			t.Fatalf("%v\n%s", err, first.String())
		}
		if err := settings.Print(&second, again); err != nil || first.String() != second.String() {
			t.Fatalf("first:\n%s\nthen:\n%s%v", first.String(), second.String(), err)
		}
	})
}
