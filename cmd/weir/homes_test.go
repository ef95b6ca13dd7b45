package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/cmd/weir/doctor"
	"weir/signalling/matrixtest"
)

// pairOf are two homeservers of one operator, and the configuration of a focus for both, with their registrations.
func pairOf(t *testing.T) (c *Config, one, two *matrixtest.Homeserver, config string) {
	t.Helper()
	one, two = matrixtest.New(t), matrixtest.New(t)
	dir := t.TempDir()
	config = file(t, "public_url: http://127.0.0.1:1\nbind_addresses: [127.0.0.1]\nport: 0\nrtc: {udp_port: 0}\nprometheus: {port: 0}\nstorage: {dir: "+dir+"}\n"+
		"homeserver:\n  server_name: own.example\n  internal_url: "+one.URL()+"\n  ca_file: "+matrixtest.Certificates(t, one, two)+
		"\n  registration_file: "+filepath.Join(dir, "one.yaml")+"\n"+
		"homeservers:\n- server_name: our.example\n  internal_url: "+two.URL()+"\n  registration_file: "+filepath.Join(dir, "two.yaml")+"\n")
	for _, name := range []string{"own.example", "our.example"} {
		if code, _, errs := weir(t, nil, "registration", "-c", config, "--mode", "ask", "--write", "--for", name); code != 0 {
			t.Fatal(errs)
		}
	}
	c, err := load(source{file: config})
	if err != nil {
		t.Fatal(err)
	}
	return c, one, two, config
}

// Each homeserver is asked about its own users, and passes on for its own users only.
func TestTwoHomeservers(t *testing.T) {
	const isJoined = "/_matrix/client/unstable/io.element.msc4502/rooms/!r:own.example/is_joined"
	c, one, two, _ := pairOf(t)
	for _, hs := range []*matrixtest.Homeserver{one, two} {
		hs.Always(isJoined, matrixtest.Answer(200, `{"joined":true}`))
	}
	one.Token("alices", "@alice:own.example")
	two.Token("doras", "@dora:our.example")
	f := begin(t, c)
	post := func(path, body string, header map[string]string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", f.base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			r.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	openID := func(server, token string) string {
		return `{"room":"!r:own.example","device_id":"D","openid_token":{"access_token":"` + token + `","token_type":"Bearer","matrix_server_name":"` + server + `","expires_in":3600}}`
	}
	for _, s := range []struct {
		name, server, token string
		want                int
	}{
		{"a user of the first", "own.example", "alices", 200},
		{"a user of the second", "our.example", "doras", 200},
		{"a token shown as the other's", "own.example", "doras", 401},
		{"and the other way round", "our.example", "alices", 401},
	} {
		if got, body := post("/sfu/get", openID(s.server, s.token), nil); got != s.want {
			t.Errorf("%s: %d %s", s.name, got, body)
		}
	}
	const door = "/_matrix/client/v1/rtc/livekit/get_token"
	body := `{"room_id":"!r:own.example","slot_id":"m.call#ROOM","member_id":"m"}`
	toSibling := `{"server_name":"own.example","room_id":"!r:own.example","slot_id":"m.call#ROOM","member_id":"m"}`
	first, second := c.homes[0].Registration.HSToken, c.homes[1].Registration.HSToken
	for _, s := range []struct {
		name, token, user, body string
		want                    int
	}{
		{"the first for its user", first, "@alice:own.example", body, 200},
		{"the second for its user", second, "@dora:our.example", body, 200},
		{"the second for its user, who means the first's focus: it is the same", second, "@dora:our.example", toSibling, 200},
		{"the first for the second's user", first, "@dora:our.example", body, 400},
		{"the second for the first's user", second, "@alice:own.example", body, 400},
		{"nobody's token", "nobodys", "@dora:our.example", body, 401},
		{"no token", "", "@dora:our.example", body, 401},
	} {
		header := map[string]string{"X-Matrix-User-Identifier": s.user}
		if s.token != "" {
			header["Authorization"] = "Bearer " + s.token
		}
		if got, answer := post(door, s.body, header); got != s.want {
			t.Errorf("door 3, %s: %d %s", s.name, got, answer)
		}
	}
	if one.Calls(isJoined) == 0 || two.Calls(isJoined) == 0 {
		t.Errorf("asked %d and %d times", one.Calls(isJoined), two.Calls(isJoined))
	}
}

// The commands that make text for a homeserver, or look at one, are told which.
func TestFor(t *testing.T) {
	_, one, two, config := pairOf(t)
	code, out, errs := weir(t, nil, "registration", "-c", config, "--for", "our.example")
	if code != 0 || !strings.Contains(out, `@.*:our\\.example`) || strings.Contains(out, `own\\.example`) {
		t.Error(code, out, errs)
	}
	code, out, errs = weir(t, nil, "advise", "synapse", "-c", config, "--for", "our.example")
	if code != 0 || !strings.Contains(out, "two.yaml") || strings.Contains(out, "one.yaml") {
		t.Error(code, out, errs)
	}
	for _, command := range [][]string{{"registration"}, {"advise", "synapse"}, {"doctor", "--offline"}} {
		if code, _, errs := weir(t, nil, append(command, "-c", config, "--for", "far.example")...); code != exitUsage || !strings.Contains(errs, "far.example") {
			t.Error(command, code, errs)
		}
	}
	// The doctor asks the one that it is told of, and only that.
	for _, d := range []*doctorCommand{{Config: config}, {Config: config, For: "our.example"}} {
		s, c, err := d.subject(&world{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := probe(c)
		if err != nil {
			t.Fatal(err)
		}
		var rows []doctor.Row
		left := ""
		for _, r := range doctor.Run(t.Context(), s, p) {
			switch r.ID {
			case "hs.openid":
				rows = append(rows, r)
			case "conf.homeservers":
				left = r.Remedy
			}
		}
		asked, other, unasked := one, two, "--for our.example"
		if d.For != "" {
			asked, other, unasked = two, one, ""
		}
		if !strings.HasSuffix(left, unasked) || unasked == "" && left != "" {
			t.Errorf("--for %q: how to look at the other: %q", d.For, left)
		}
		const userinfo = "/_matrix/federation/v1/openid/userinfo"
		if len(rows) == 0 || asked.Calls(userinfo) != 1 {
			t.Errorf("--for %q: %+v, asked %d times, the other %d", d.For, rows, asked.Calls(userinfo), other.Calls(userinfo))
		}
	}
}

// What cannot be of several homeservers is refused with its place.
func TestHomeserversFaults(t *testing.T) {
	dir := t.TempDir()
	const reg = "id: weir\nurl: null\nas_token: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nhs_token: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\nsender_localpart: _weir\n" +
		"namespaces: {users: [], aliases: [], rooms: []}\n"
	for _, name := range []string{"one.yaml", "copy.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(reg), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := "homeserver: {server_name: own.example, internal_url: 'http://127.0.0.1:1', registration_file: " + dir + "/one.yaml, proxy_listen: '127.0.0.1:9'}\n"
	for _, s := range []struct{ name, text, want string }{
		{"none of a first", "keys: {k: " + strings.Repeat("s", 40) + "}\nhomeservers: [{server_name: our.example}]", "homeserver.server_name: missing, though there are homeservers beside it"},
		{"no name", first + "homeservers: [{internal_url: 'http://127.0.0.1:2'}]", "homeservers[0].server_name: missing"},
		{"no server name", first + "homeservers: [{server_name: 'a b'}]", `homeservers[0].server_name: "a b" is no Matrix server name`},
		{"twice", first + "homeservers: [{server_name: own.example}]", `homeservers[0].server_name: "own.example" is there already`},
		{"twice among the others", first + "homeservers: [{server_name: our.example, internal_url: 'http://127.0.0.1:2', registration_file: " + dir + "/none.yaml}, {server_name: our.example}]",
			`homeservers[1].server_name: "our.example" is there already`},
		{"one registration for two", first + "homeservers: [{server_name: our.example, internal_url: 'http://127.0.0.1:2', registration_file: " + dir + "/one.yaml}]",
			"homeservers[0].registration_file: is another homeserver's"},
		{"one token for two", first + "homeservers: [{server_name: our.example, internal_url: 'http://127.0.0.1:2', registration_file: " + dir + "/copy.yaml}]",
			"homeservers[0].registration_file: has a token of another homeserver's registration"},
		{"one listener for two", first + "homeservers: [{server_name: our.example, internal_url: 'http://127.0.0.1:2', registration_file: " + dir + "/none.yaml, proxy_listen: '127.0.0.1:9'}]",
			"homeservers[0].proxy_listen: is another homeserver's"},
		{"one known, one not", first + "homeservers: [{server_name: our.example}]", "homeservers[0].registration_file: either all homeservers have"},
		{"the word of anybody", first + "homeservers: [{server_name: our.example, internal_url: 'http://127.0.0.1:2', registration_file: " + dir + "/none.yaml, proxy_auth: header_only}]",
			"homeservers[0].proxy_auth: header_only takes anybody's word"},
		{"an unknown key", first + "homeservers: [{server_name: our.example, serve_well_known: true}]", "serve_well_known"},
	} {
		t.Run(s.name, func(t *testing.T) {
			_, err := load(source{file: file(t, "public_url: https://rtc.own.example\n"+s.text+"\n")})
			if err == nil || !strings.Contains(err.Error(), s.want) {
				t.Errorf("%v\nwant %s", err, s.want)
			}
		})
	}
}
