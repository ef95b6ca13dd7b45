package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/signalling/matrixtest"
)

// begin starts a focus that ends with the test.
func begin(t *testing.T, c *Config) *focus {
	t.Helper()
	home, err := openInstallation(c.Storage.Dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := start(t.Context(), c, home, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.close(context.Background()) })
	return f
}

// A focus with a registration takes what the homeserver passes on, on the listener that is meant for it and nowhere else.
func TestBack(t *testing.T) {
	const door = "/_matrix/client/v1/rtc/livekit/get_token"
	body := `{"room_id":"!r:own.example","slot_id":"m.call#ROOM","member_id":"m"}`
	for _, listen := range []string{"", "127.0.0.1:0", "unix"} {
		t.Run("proxy_listen "+listen, func(t *testing.T) {
			home := matrixtest.New(t)
			home.Always("/_matrix/client/unstable/io.element.msc4502/rooms/!r:own.example/is_joined", matrixtest.Answer(200, `{"joined":true}`))
			dir := t.TempDir()
			text := "public_url: http://127.0.0.1:1\nbind_addresses: [127.0.0.1]\nport: 0\nrtc: {udp_port: 0}\nprometheus: {port: 0}\nstorage: {dir: " + dir + "}\n" +
				"homeserver:\n  server_name: own.example\n  internal_url: " + home.URL() + "\n  ca_file: " + matrixtest.Certificates(t, home) + "\n  registration_file: " + filepath.Join(dir, "registration.yaml") + "\n"
			socket := filepath.Join(dir, "back.sock")
			if listen == "unix" {
				text += "  proxy_listen: unix:" + socket + "\n"
			} else if listen != "" {
				text += "  proxy_listen: " + listen + "\n"
			}
			config := file(t, text)
			if code, _, errs := weir(t, nil, "registration", "-c", config, "--mode", "ask", "--write"); code != 0 {
				t.Fatal(errs)
			}
			c, err := load(source{file: config})
			if err != nil {
				t.Fatal(err)
			}
			f := begin(t, c)
			ask := func(base, token string, client *http.Client) int {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), "POST", base+door, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Matrix-User-Identifier", "@alice:own.example")
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return resp.StatusCode
			}
			base, client := f.base, http.DefaultClient
			switch listen {
			case "unix":
				base = "http://back"
				client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "unix", socket)
				}}}
				if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o660 {
					t.Error(st.Mode(), err)
				}
			case "":
			default:
				base = "http://" + f.back[0].String()
			}
			if got := ask(base, c.Homeserver.Registration.HSToken, client); got != 200 {
				t.Errorf("with the token: %d", got)
			}
			if got := ask(base, "", client); got != 401 {
				t.Errorf("without: %d", got)
			}
			if listen != "" {
				if got := ask(f.base, c.Homeserver.Registration.HSToken, http.DefaultClient); got != 404 {
					t.Errorf("on the public port: %d", got)
				}
			}
		})
	}
}
