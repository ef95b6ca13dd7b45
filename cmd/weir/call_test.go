package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/bench"
	"weir/sfu/session"
	"weir/signalling/matrixtest"
)

// doorToken is what a door gives for an OpenID token.
func doorToken(t *testing.T, base, device string) string {
	t.Helper()
	status, body := post(t, base+"/sfu/get", fmt.Sprintf(
		`{"room":"!r:own.example","device_id":%q,"openid_token":{"access_token":"opaque","token_type":"Bearer","matrix_server_name":"own.example","expires_in":3600}}`, device))
	var answer struct{ JWT string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	return answer.JWT
}

// sample is the value of a metric; -1: it is not there.
func sample(text, name string) float64 {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return -1
	}
	return v
}

// await looks at a bot until it is as it should be: media tells nobody that it has begun.
func await(ctx context.Context, t *testing.T, b *bench.Bot, ok func(*bench.Snapshot) bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s := b.Snapshot()
		if ok(&s) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the bot is %s: %v; %d streams, data open %v, %d resumes", s.State, s.Err, len(s.Streams), s.DataOpen, s.Resumes)
		}
	}
}

// TestServedCall: two participants come through a door, publish, resume and leave, with strangers at every entrance. The
// metrics count it, and the log says all it can say without a word that opens anything.
func TestServedCall(t *testing.T) {
	metrics, media := freePort(t), freePort(t)
	p, base, hs := production(t, fmt.Sprintf(`
logging: {level: debug, redact: none}
prometheus: {port: %d}
keys: {outside: thesecretofoutsideandsomemorebytes}`, metrics), "WEIR_RTC__UDP_PORT="+strconv.Itoa(media), "WEIR_RTC__ADVERTISE=[127.0.0.1]")
	secrets := []string{"opaque", "thesecretofoutside"}
	clock := bench.NewClock()
	pump := bench.NewPump(clock)
	defer pump.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var bots []*bench.Bot
	for i, dual := range []bool{false, true} {
		token := doorToken(t, base, fmt.Sprint("D", i))
		secrets = append(secrets, token, strings.Split(token, ".")[1], strings.Split(token, ".")[2])
		bots = append(bots, bench.NewBot(bench.BotConfig{
			URL: "ws" + strings.TrimPrefix(base, "http"), Token: token, Dual: dual, Subscribe: true,
			Publish: []bench.Publication{bench.Microphone("microphone", 80)},
		}, clock, pump))
	}
	for _, b := range bots {
		await(ctx, t, b, func(s *bench.Snapshot) bool { return len(s.Streams) == 1 && s.DataOpen })
		b.Resume()
		await(ctx, t, b, func(s *bench.Snapshot) bool { return s.Resumes == 1 && s.State == bench.Connected })
		if err := b.SendData(session.Reliable, []byte("hunter2")); err != nil {
			t.Fatal(err)
		}
	}

	// Strangers, with something that looks like a token in each of its places.
	const forged = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJvdXRzaWRlIn0.Zm9yZ2Vkc2lnbmF0dXJl"
	for _, path := range []string{"/rtc?access_token=", "/rtc/validate?access_token=", "/rtc/v1?join_request=AAAA&access_token=", "/nothing?access_token="} {
		get(t, base+path+url.QueryEscape(forged))
	}
	post(t, base+"/sfu/get", `{"room":"!r:own.example","openid_token":{"access_token":"strangers-word","matrix_server_name":"own.example"}}`)
	post(t, base+"/sfu/get", `{"openid_token":{"access_token":"strangers-word"`)
	r, err := http.NewRequestWithContext(ctx, "POST", base+"/twirp/livekit.RoomService/ListRooms", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+forged)
	if resp, err := http.DefaultClient.Do(r); err != nil {
		t.Fatal(err)
	} else {
		_ = resp.Body.Close()
	}
	secrets = append(secrets, "Zm9yZ2Vkc2lnbmF0dXJl", "strangers-word", "hunter2")
	stranger, err := net.Dial("udp", fmt.Sprint("127.0.0.1:", media))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	for _, b := range []string{"\x00\x01garbage", "\x80\x60garbage", "\x16\xfe\xffgarbage", "\xffgarbage"} {
		if _, err := stranger.Write([]byte(b)); err != nil {
			t.Fatal(err)
		}
	}

	want := map[string]float64{
		"weir_media_sessions": 1, "weir_media_transports": 3, // one of the first, two of the second
		`weir_media_drops_total{reason="stun_malformed",stage="transport"}`: 1,
		`weir_media_drops_total{reason="no_transport",stage="transport"}`:   2,
		`weir_media_drops_total{reason="unknown",stage="transport"}`:        1,
	}
	var text string
	for name, n := range want {
		for ctx.Err() == nil && sample(text, name) != n { // what was written to a socket is counted when it was read
			_, text = get(t, fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics))
		}
		if got := sample(text, name); got != n {
			t.Errorf("%s is %v, want %v", name, got, n)
		}
	}
	for _, name := range []string{`weir_media_packets_total{direction="in"}`, `weir_media_packets_total{direction="out"}`,
		`weir_media_bytes_total{direction="in"}`, `weir_media_bytes_total{direction="out"}`} {
		if got := sample(text, name); got < 10 {
			t.Errorf("%s is %v", name, got)
		}
	}
	if sample(text, `weir_media_socket_events_total{event="full"}`) < 0 {
		t.Error("what the kernel refused is not told")
	}
	for _, b := range bots {
		b.Leave()
	}
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d\n%s", code, p.err)
	}
	if n := hs.Calls(matrixtest.Userinfo); n < 3 {
		t.Errorf("%d questions to the homeserver", n)
	}
	log := p.err.String() + p.out.String()
	for _, secret := range secrets {
		if at := strings.Index(log, secret); at >= 0 {
			t.Errorf("the log has %q: …%s…", secret, log[max(0, at-200):at+len(secret)])
		}
	}
	if m := regexp.MustCompile(`eyJ[\w-]+\.|ice-pwd|a=|sha-256 [0-9A-F]{2}:`).FindString(log); m != "" {
		t.Errorf("the log has something like a token or a description: %s", m)
	}
	for _, said := range []string{"connection opened", "resume=true", "connection ended", "connection refused"} {
		if !strings.Contains(log, said) {
			t.Errorf("the log does not say %q:\n%s", said, log)
		}
	}
}
