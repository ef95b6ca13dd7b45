package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/matrixtest"
)

// output is a stream that can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// find waits until the pattern is in the output and returns its first group.
func (o *output) find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(10 * time.Second)
	for {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[1]
		}
		select {
		case <-o.more:
		case <-deadline:
			t.Fatalf("%s is not in\n%s", pattern, o.String())
		}
	}
}

// process is weir serve, as a function.
type process struct {
	out, err *output
	signals  chan os.Signal
	ended    chan int
}

func serve(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{out: newOutput(), err: newOutput(), signals: make(chan os.Signal, 4), ended: make(chan int, 1)}
	go func() {
		p.ended <- run(append([]string{"serve"}, args...), world{ctx: t.Context(), environment: env, stdout: p.out, stderr: p.err, signals: p.signals})
	}()
	return p
}

func (p *process) stop(t *testing.T, s os.Signal) int {
	t.Helper()
	p.signals <- s
	return p.wait(t)
}

func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.ended:
		return code
	case <-time.After(15 * time.Second):
		t.Fatalf("it does not end\n%s", p.err)
		return -1
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServeDev(t *testing.T) {
	p := serve(t, nil, "--dev", "--port", "0", "--udp-port", "0")
	base := p.out.find(t, `listening on (http://127\.0\.0\.1:\d+)`)
	for path, want := range map[string]string{"/": "OK", "/livez": "ok", "/readyz": "ok", "/healthz": "ok"} {
		if status, body := get(t, base+path); status != 200 || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	_, token, _ := weir(t, nil, "token", "--dev", "-i", "a", "-s", "b")
	if status, body := get(t, base+"/rtc/validate?access_token="+strings.TrimSpace(token)); status != 200 || body != "success" {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := get(t, base+"/rtc/validate?access_token=x"); status != 401 {
		t.Errorf("%d", status)
	}
	if status, _ := post(t, base+"/sfu/get", "{}"); status != 404 {
		t.Errorf("a door without homeserver: %d", status)
	}
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d\n%s", code, p.err)
	}
	if _, err := http.Get(base); err == nil {
		t.Error("it still listens")
	}
	if strings.Contains(p.err.String(), strings.TrimSpace(token)) {
		t.Error("the token is in the log")
	}
}

// production is a focus beside a fake homeserver.
func production(t *testing.T, more string, env ...string) (p *process, base string, hs *matrixtest.Homeserver) {
	t.Helper()
	hs = matrixtest.New(t)
	hs.Token("opaque", "@alice:own.example")
	name := file(t, fmt.Sprintf(`
public_url: https://rtc.own.example
bind_addresses: [127.0.0.1]
port: 0
rtc: {udp_port: 0}
homeserver: {server_name: own.example, url: https://matrix.own.example, internal_url: %q, ca_file: %q, serve_well_known: true}
storage: {dir: %q}
%s
`, hs.URL(), matrixtest.Certificates(t, hs), t.TempDir(), more))
	p = serve(t, env, "--config", name)
	return p, p.err.find(t, `msg=listening url=(https?://127\.0\.0\.1:\d+)`), hs
}

// A door's token opens the session and is good for joining it.
func TestServeProduction(t *testing.T) {
	metrics := freePort(t)
	p, base, hs := production(t, fmt.Sprintf("prometheus: {port: %d, username: u, password: secret}", metrics))
	status, body := post(t, base+"/livekit/jwt//sfu/get", `{"room":"!r:own.example","device_id":"D","openid_token":{"access_token":"opaque","token_type":"Bearer","matrix_server_name":"own.example","expires_in":3600}}`)
	var answer struct{ URL, JWT string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || answer.URL != "wss://rtc.own.example" {
		t.Fatal(status, body, err)
	}
	if status, body := get(t, base+"/livekit/sfu/rtc/validate?access_token="+answer.JWT); status != 200 {
		t.Error(status, body)
	}
	if hs.Calls(matrixtest.Userinfo) != 1 {
		t.Errorf("%d questions", hs.Calls(matrixtest.Userinfo))
	}
	if status, body := get(t, base+"/.well-known/matrix/client"); status != 200 || !strings.Contains(body, `"https://rtc.own.example"`) {
		t.Error(status, body)
	}
	if status, _ := post(t, base+"/delegate_delayed_leave", ""); status != 404 {
		t.Error(status)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics)
	if status, _ := get(t, url); status != 401 {
		t.Errorf("metrics without password: %d", status)
	}
	if status, body := get(t, strings.Replace(url, "://", "://u:secret@", 1)); status != 200 || !strings.Contains(body, `weir_token_requests_total{door="sfu_get",outcome="token"} 1`) || !strings.Contains(body, "go_goroutines") {
		t.Error(status)
	}
	if status, _ := get(t, base+"/metrics"); status != 404 {
		t.Errorf("metrics on the public port: %d", status)
	}
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d\n%s", code, p.err)
	}
	if log := p.err.String(); strings.Contains(log, "alice") || strings.Contains(log, answer.JWT) || strings.Contains(log, "opaque") {
		t.Errorf("the log tells too much:\n%s", log)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestServeTLS(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	pair(t, cert, key, 1)
	p, base, _ := production(t, fmt.Sprintf("tls: {mode: files, cert_file: %q, key_file: %q}\nprometheus: {port: 0}", cert, key))
	if !strings.HasPrefix(base, "https://") {
		t.Fatal(base)
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); n != 1 {
		t.Errorf("certificate %d", n)
	}
	conn.Close()
	if code := p.stop(t, os.Interrupt); code != 0 {
		t.Errorf("exit %d\n%s", code, p.err)
	}
}

// A renewed certificate is served without a restart; half a renewal is not.
func TestCertificateRenewal(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair(t, cert, key, 1)
	c, err := newCertificates(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		c.looked = time.Time{}
		got, err := c.config().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.Int64()
	}
	later := time.Now()
	for n := int64(2); n < 4; n++ {
		later = later.Add(time.Minute)
		pair(t, cert, filepath.Join(dir, "new.pem"), n)
		if err := os.Chtimes(cert, later, later); err != nil {
			t.Fatal(err)
		}
		if got := serial(); got != n-1 {
			t.Errorf("half a renewal: certificate %d", got)
		}
		if err := os.Rename(filepath.Join(dir, "new.pem"), key); err != nil {
			t.Fatal(err)
		}
		if got := serial(); got != n {
			t.Errorf("certificate %d, want %d", got, n)
		}
	}
}

// pair writes a certificate and its key.
func pair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"rtc.own.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := serve(t, nil, "--dev", "--udp-port", "0", "--port", fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	if code := p.wait(t); code != 1 || !strings.Contains(p.err.String(), "weir: port: listen tcp 127.0.0.1:") {
		t.Errorf("exit %d\n%s", code, p.err)
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	p = serve(t, nil, "--dev", "--port", "0", "--udp-port", fmt.Sprint(u.LocalAddr().(*net.UDPAddr).Port))
	if code := p.wait(t); code != 1 || !strings.Contains(p.err.String(), "weir: rtc.udp_port: ") {
		t.Errorf("exit %d\n%s", code, p.err)
	}
}

// listener is a participant's connection that hears nothing.
type listener struct{}

func (*listener) Tell(session.Message) {}

// occupied is a focus with one participant in it.
func occupied(t *testing.T, timeout time.Duration) (*focus, *world) {
	t.Helper()
	c := devConfig()
	c.Port, c.RTC.UDPPort, c.Drain.Timeout = 0, 0, timeout
	home, err := openInstallation("")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ctx: t.Context(), stdout: io.Discard, stderr: io.Discard}
	f, err := start(w.ctx, c, home, newLog(io.Discard, c.Logging, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.sessions.Open("demo", session.Config{}); err != nil {
		t.Fatal(err)
	}
	join := session.Join{Sink: &listener{}, ID: "PA_1", Identity: "a", Grant: session.Grant{Subscribe: true}}
	if err := f.sessions.Post("demo", join); err != nil {
		t.Fatal(err)
	}
	if n := f.participants(t.Context()); n != 1 {
		t.Fatalf("%d participants", n)
	}
	return f, w
}

func TestDrainDeadline(t *testing.T) {
	f, w := occupied(t, 200*time.Millisecond)
	signals := make(chan os.Signal, 1)
	w.signals = signals
	signals <- syscall.SIGTERM
	if left, err := f.untilStopped(w); left != 1 || err != nil {
		t.Errorf("%d left, %v", left, err)
	}
}

func TestSecondSignalEndsTheDrain(t *testing.T) {
	f, w := occupied(t, time.Hour)
	signals := make(chan os.Signal, 2)
	w.signals = signals
	signals <- os.Interrupt
	signals <- os.Interrupt
	if left, err := f.untilStopped(w); left != 1 || err != nil {
		t.Errorf("%d left, %v", left, err)
	}
}

func TestDrainRefusesAndEndsWhenEmpty(t *testing.T) {
	f, w := occupied(t, time.Hour)
	signals := make(chan os.Signal, 1)
	w.signals = signals
	done := make(chan int, 1)
	go func() {
		left, _ := f.untilStopped(w)
		done <- left
	}()
	signals <- syscall.SIGTERM
	deadline := time.Now().Add(5 * time.Second)
	for {
		if status, _ := get(t, f.base+"/readyz"); status == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("readyz never says that it drains")
		}
	}
	key := grant.Key{ID: devKey, Secret: devSecret}
	token, err := grant.Mint(grant.Grant{Identity: "b", Session: "demo", Join: true, Inside: session.Grant{Subscribe: true}}, key, time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, f.base+"/rtc/validate?access_token="+token); status != 503 {
		t.Errorf("somebody new: %d", status)
	}
	if err := f.sessions.Call(t.Context(), "demo", session.Evict{Identity: "a", Reason: session.ParticipantRemoved}); err != nil {
		t.Fatal(err)
	}
	select {
	case left := <-done:
		if left != 0 {
			t.Errorf("%d left", left)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end when empty")
	}
}
