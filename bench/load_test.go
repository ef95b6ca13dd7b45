package bench

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu/media"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/socket"
	"weir/signalling/wire"
)

// loopbackFocus runs a whole focus in this process, on loopback.
func loopbackFocus(t *testing.T) string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	udp, err := media.ListenPlain(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := media.NewEndpoint(media.EndpointConfig{}, []media.Socket{udp}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	engine := media.NewEngine(endpoint.Now, endpoint.NewBurst())
	var server *socket.Server
	focus := media.NewFocus(media.FocusConfig{Data: wire.DataCodec{}, Notice: func(n session.Notice) { server.Notify(n) }}, endpoint, engine, quiet)
	server = socket.New(socket.Config{Keys: grant.Keys{"devkey": "secret"}, AutoCreate: true}, focus, quiet, prometheus.NewRegistry())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: server}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = web.Serve(l)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ctx)
		focus.Close(session.ServerShutdown)
		server.Close(ctx)
		_ = web.Close()
		<-served
		engine.Close()
		_ = endpoint.Close()
	})
	return "ws://" + l.Addr().String()
}

// TestSeries: two servers under everything a shape can ask for, alternately; nothing is lost and every number is there.
func TestSeries(t *testing.T) {
	shape, err := ReadShape([]byte(`
name: all
sessions: 2
groups:
  - {count: 1, video: [{layers: [{width: 320, height: 180, bitrate: 100000, fps: 10}, {width: 640, height: 360, bitrate: 200000, fps: 10}]}], audio: [{}], subscribe: true}
  - {count: 1, video: [{codec: vp9, layers: [{width: 320, height: 180, bitrate: 100000, fps: 10}]}]}
  - {count: 2, subscribe: true, quality: medium}
join_rate: 200
churn: 2
layer_changes: 4
data: {rate: 20}
e2ee: true
`))
	if err != nil {
		t.Fatal(err)
	}
	guard, err := NewGuard(false)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	o := Options{Shape: shape, Window: 1100 * time.Millisecond, Seed: 5, Guard: guard, Progress: func(s string) { lines = append(lines, s) }}
	targets := []Target{
		{Name: "one", URL: loopbackFocus(t), Key: "devkey", Secret: "secret", PID: os.Getpid()},
		{Name: "two", URL: loopbackFocus(t), Key: "devkey", Secret: "secret"},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r, err := Series(ctx, o, targets, 2)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for i := range r.Runs {
		run := &r.Runs[i]
		order = append(order, run.Target)
		if run.Failed != 0 || run.StreamsShort != 0 || run.Unopened != 0 || run.Lost != 0 {
			t.Errorf("run %d: failed %d (%s), streams short %d, unopened %d, lost %d", i, run.Failed, run.FirstErr, run.StreamsShort, run.Unopened, run.Lost)
		}
		for name, n := range map[string]uint64{
			"packets sent": run.PacketsSent, "packets in": run.PacketsIn, "bytes in": run.BytesIn, "frames opened": run.Opened,
			"data sent": run.DataSent, "data received": run.DataReceived, "participants left": run.Left, "layer changes": run.LayerChanges,
			"latencies": run.Latency.Count, "data delays": run.DataDelay.Count, "joins": run.Join.Count, "first videos": run.FirstVideo.Count,
			"first audios": run.FirstAudio.Count, "frames": run.Late.Count, "samples": uint64(len(run.Samples)),
		} {
			if n == 0 {
				t.Errorf("run %d: no %s", i, name)
			}
		}
		if run.OwnCPU <= 0 || (run.ServerRSS > 0) != (run.Target == "one") {
			t.Errorf("run %d: own CPU %g, server memory %d", i, run.OwnCPU, run.ServerRSS)
		}
	}
	if got := strings.Join(order, " "); got != "one two two one" {
		t.Errorf("order: %s", got)
	}
	if len(lines) == 0 {
		t.Error("no progress was told")
	}
	if _, err := r.HTML(); err != nil {
		t.Error(err)
	}
}

// TestLoadRefuses: what cannot be loaded is an error at once.
func TestLoadRefuses(t *testing.T) {
	shape, err := NamedShape("a1")
	if err != nil {
		t.Fatal(err)
	}
	guard, err := NewGuard(false)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Shape: shape, Window: time.Second, Guard: guard}
	if _, err := Load(t.Context(), o, Target{URL: "ws://192.0.2.1:7880", Key: "k", Secret: "s"}); !errors.Is(err, ErrRemote) {
		t.Errorf("off the machine: %v", err)
	}
	if _, err := Load(t.Context(), o, Target{URL: loopbackFocus(t), Key: "devkey", Secret: "wrong"}); !errors.Is(err, ErrRefused) {
		t.Errorf("a wrong secret: %v", err)
	}
	if _, err := Series(t.Context(), o, []Target{{PID: 1 << 30}}, 1); !errors.Is(err, ErrProcess) {
		t.Errorf("no such process: %v", err)
	}
}
