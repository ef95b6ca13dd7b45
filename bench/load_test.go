package bench

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
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
	engine := media.NewEngine(endpoint.Now, endpoint.NewBurst(), media.DefaultAudioWait)
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
