//go:build system

package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
)

// process is a focus that shares nothing with the test.
type process struct {
	t       *testing.T
	pid     int
	url     string // of signalling
	metrics string
	media   netip.AddrPort
}

// startProcess builds the binary and runs it until the test ends.
func startProcess(t *testing.T) *process {
	t.Helper()
	program := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", program, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("building the focus: %v\n%s", err, out)
	}
	free := func(network string) (port int) {
		if network == "udp" {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			return c.LocalAddr().(*net.UDPAddr).Port
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		return l.Addr().(*net.TCPAddr).Port
	}
	signal, media, metrics := free("tcp"), free("udp"), free("tcp")
	cmd := exec.Command(program, "serve", "--dev")
	cmd.Env = append(os.Environ(), fmt.Sprint("WEIR_PORT=", signal), fmt.Sprint("WEIR_RTC__UDP_PORT=", media), fmt.Sprint("WEIR_PROMETHEUS__PORT=", metrics))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			b := log.Bytes()
			t.Logf("the focus said at last:\n%s", b[max(0, len(b)-4000):])
		}
	})
	p := &process{
		t: t, pid: cmd.Process.Pid, url: fmt.Sprint("ws://127.0.0.1:", signal), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics),
		media: netip.AddrPortFrom(loopback, uint16(media)),
	}
	p.until("readiness", 60*time.Second, func() bool {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", signal))
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

// until looks again and again; the limit is for what never comes.
func (p *process) until(what string, limit time.Duration, ok func() bool) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			p.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// goroutines that run in the process.
func (p *process) goroutines() int {
	m, err := readMetrics(p.t.Context(), p.metrics)
	if err != nil {
		p.t.Fatal(err)
	}
	return int(m.goroutines)
}

// memory that the process holds, in MB.
func (p *process) memory() int64 {
	b, err := processRSS(p.pid)
	if err != nil {
		p.t.Fatal(err)
	}
	return b >> 20
}

// token lets an identity into a session, with every right.
func (p *process) token(room, identity string) string {
	text, err := grant.Mint(grant.Grant{
		Identity: sfu.Identity(identity), Session: sfu.SessionID(room), Join: true,
		Inside: session.Grant{Publish: true, Subscribe: true, PublishData: true, UpdateOwn: true},
	}, grant.Key{ID: "devkey", Secret: "secret"}, time.Now(), time.Hour)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// await looks at a bot until it is as it should be.
func (p *process) await(b *Bot, what string, ok func(*Snapshot) bool) {
	p.t.Helper()
	var s Snapshot
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the bot is %s, %v: %d streams, %d packets, %d resumes", s.State, s.Err, len(s.Streams), s.PacketsIn, s.Resumes)
		}
	}()
	p.until(what, 30*time.Second, func() bool { s = b.Snapshot(); return ok(&s) })
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
