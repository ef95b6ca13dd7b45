package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/sfu/sfutest"
	"weir/signalling/grant"
	"weir/signalling/socket"
	"weir/signalling/wire"
)

// hall is a whole focus and its bots on a network in memory.
type hall struct {
	t        *testing.T
	network  *sfutest.Network
	endpoint *media.Endpoint
	engine   *media.Engine
	focus    *media.Focus
	server   *socket.Server
	http     *http.Server
	clock    Clock
	pump     *Pump
	cert     *media.Certificate
	bots     int

	mu      sync.Mutex
	sockets map[string]*sfutest.Socket // the newest of each identity
}

const (
	hallURL   = "ws://10.0.0.1:7880"
	hallMedia = "10.0.0.1:7882"
)

func newHall(t *testing.T) *hall {
	t.Helper()
	h := &hall{t: t, network: sfutest.New(11), clock: NewClock(), sockets: map[string]*sfutest.Socket{}}
	h.pump = newPump(h.clock, newTimerAlarm())
	quiet := slog.New(slog.DiscardHandler)
	udp, err := h.network.Listen(hallMedia)
	if err != nil {
		t.Fatal(err)
	}
	if h.cert, err = media.NewCertificate(); err != nil {
		t.Fatal(err)
	}
	if h.endpoint, err = media.NewEndpoint(media.EndpointConfig{}, []media.Socket{udp}, quiet); err != nil {
		t.Fatal(err)
	}
	h.engine = media.NewEngine(h.endpoint.Now, h.endpoint.NewBurst(), media.DefaultAudioWait)
	h.focus = media.NewFocus(media.FocusConfig{Data: wire.DataCodec{}, Notice: func(n session.Notice) { h.server.Notify(n) }},
		h.endpoint, h.engine, quiet)
	h.server = socket.New(socket.Config{Keys: grant.Keys{"devkey": "secret"}, AutoCreate: true}, h.focus, quiet, prometheus.NewRegistry())
	l, err := h.network.ListenStream("10.0.0.1:7880")
	if err != nil {
		t.Fatal(err)
	}
	h.http = &http.Server{Handler: h.server}
	go func() { _ = h.http.Serve(l) }()
	return h
}

// close ends everything in the order of the binary; the bubble proves that no goroutine is left.
func (h *hall) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	h.server.Shutdown(ctx)
	h.focus.Close(session.ServerShutdown)
	h.server.Close(ctx)
	_ = h.http.Close()
	h.engine.Close()
	if err := h.endpoint.Close(); err != nil {
		h.t.Error(err)
	}
	h.pump.Close()
}

// token lets an identity into a session.
func (h *hall) token(identity, room string) string {
	h.t.Helper()
	token, err := grant.Mint(grant.Grant{
		Identity: sfu.Identity(identity), Session: sfu.SessionID(room), Join: true,
		Inside: session.Grant{Publish: true, Subscribe: true, PublishData: true},
	}, grant.Key{ID: "devkey", Secret: "secret"}, time.Now(), time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

// bot joins a session under an identity.
func (h *hall) bot(identity, room string, cfg BotConfig) *Bot {
	h.t.Helper()
	h.bots++
	address, port := fmt.Sprintf("10.1.%d.%d", h.bots>>8, h.bots&255), 4000
	cfg.URL, cfg.Token, cfg.Certificate, cfg.Seed = hallURL, h.token(identity, room), h.cert, uint64(h.bots)
	if cfg.Dial == nil {
		cfg.Dial = h.network.DialStream
	}
	if cfg.Listen != nil {
		return NewBot(cfg, h.clock, h.pump)
	}
	cfg.Listen = func() (media.Socket, error) {
		port++
		s, err := h.network.Listen(fmt.Sprintf("%s:%d", address, port))
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sockets[identity] = s
		return s, err
	}
	return NewBot(cfg, h.clock, h.pump)
}

// await fails the test if ok does not come true in the bubble's time.
func (h *hall) await(b *Bot, what string, ok func(*Snapshot) bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Await(ctx, what, ok); err != nil {
		s := b.Snapshot()
		s.Latency = Histogram{}
		h.t.Fatalf("%v\n%+v", err, s)
	}
}

// flow lets media flow for a while, and gives what each bot saw in it.
func (h *hall) flow(d time.Duration, bots ...*Bot) []Snapshot {
	before := make([]Snapshot, len(bots))
	for i, b := range bots {
		before[i] = b.Snapshot()
	}
	pass(d)
	out := make([]Snapshot, len(bots))
	for i, b := range bots {
		out[i] = b.Snapshot()
		out[i].PacketsIn -= before[i].PacketsIn
		out[i].PacketsOut -= before[i].PacketsOut
		out[i].Freezes -= before[i].Freezes
		out[i].Lost -= before[i].Lost
	}
	return out
}

func connected(s *Snapshot) bool { return s.State == Connected }

// hears says that as many streams have begun.
func hears(n int) func(*Snapshot) bool {
	return func(s *Snapshot) bool { return s.State == Connected && len(s.Streams) >= n }
}

// noSessions waits until the empty sessions have ended.
func (h *hall) noSessions() {
	h.t.Helper()
	pass(10 * time.Minute)
	if left := h.focus.Sessions(h.t.Context()); len(left) != 0 {
		h.t.Fatalf("sessions left: %+v", left)
	}
	if s := h.endpoint.Snapshot(); s.Transports != 0 || s.Addresses != 0 {
		h.t.Fatalf("left at the media port: %+v", s)
	}
}
