package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/matrix"
	"weir/signalling/socket"
	"weir/signalling/wire"
)

// focus is one running focus: every component, wired. It is the only place that knows them all.
type focus struct {
	cfg  *Config
	log  *slog.Logger
	base string     // http URL of the first listener
	back []net.Addr // where homeservers pass requests on to, but for the public port

	endpoint   *media.Endpoint
	engine     *media.Engine
	sessions   *media.Focus
	signalling *socket.Server
	doors      *matrix.Doors      // nil: no homeserver
	watcher    *matrix.Watcher    // nil: no homeserver
	leaves     *matrix.Delegation // nil: leaves are not taken over
	servers    []*http.Server
	failed     chan error // a listener ended by itself
	beat       atomic.Int64
	stopBeat   chan struct{}
}

// start brings a focus up; it is ready when start returns.
func start(ctx context.Context, c *Config, home installation, log *slog.Logger) (f *focus, err error) {
	f = &focus{cfg: c, log: log, failed: make(chan error, 8), stopBeat: make(chan struct{})}
	defer func() {
		if err != nil {
			f.close(context.WithoutCancel(ctx))
		}
	}()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if err := f.openMedia(); err != nil {
		return f, err
	}
	reg.MustRegister(newMediaMetrics(f.endpoint, f.engine, f.sessions))
	listeners, err := listenAll(ctx, c.BindAddresses, c.Port)
	if err != nil {
		return f, err
	}
	// What is not served below is closed: a listener must not outlive a failed start.
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
		}
	}()
	f.base = "http://" + listeners[0].Addr().String()
	if c.TLS.Mode == "files" {
		f.base = "https://" + listeners[0].Addr().String()
	}
	if c.PublicURL == "" {
		c.PublicURL = f.base
	}
	if err := f.openSignalling(home, reg); err != nil {
		return f, err
	}
	handler, err := f.route(home, reg)
	if err != nil {
		return f, err
	}
	if err := f.openBack(ctx, handler); err != nil {
		return f, err
	}
	if err := f.serve(ctx, listeners, handler, reg); err != nil {
		return f, err
	}
	f.beat.Store(time.Now().UnixNano())
	go f.heart()
	if home.kept != nil && c.Storage.Dir != "" {
		log.Warn("the installation's secret is not kept: clients must join anew after a restart", "err", home.kept)
	}
	return f, nil
}

func (f *focus) openMedia() error {
	c := f.cfg
	bind := mediaBind(c.BindAddresses)
	path := media.SocketConfig{Plain: c.RTC.IO == "plain"}
	sockets, err := media.ListenUDP(netip.AddrPortFrom(bind, uint16(c.RTC.UDPPort)), path, f.log)
	if err != nil && bind == netip.IPv6Unspecified() { // a system without IPv6
		sockets, err = media.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(c.RTC.UDPPort)), path, f.log)
	}
	if err != nil {
		return fmt.Errorf("rtc.udp_port: %w", err)
	}
	port := sockets[0].LocalAddr().Port()
	announce, err := announced(c, bind, port)
	if err == nil {
		f.endpoint, err = media.NewEndpoint(media.EndpointConfig{Announce: announce}, sockets, f.log)
	}
	if err != nil {
		for _, s := range sockets {
			_ = s.Close()
		}
		return err
	}
	f.engine = media.NewEngine(f.endpoint.Now, f.endpoint.NewBurst(), c.RTC.AudioWait)
	f.sessions = media.NewFocus(media.FocusConfig{
		Data: wire.DataCodec{}, Session: c.session(),
		// The signalling side is made below, before any session is.
		Notice: func(n session.Notice) {
			f.signalling.Notify(n)
			if f.watcher != nil {
				f.watcher.Notice(n)
			}
			if f.leaves != nil {
				f.leaves.Notice(n)
			}
		},
		Replied: func(id sfu.SessionID, r session.RPCReplied) { f.signalling.Replied(id, r) },
	}, f.endpoint, f.engine, f.log)
	f.log.Info("media port", "udp_port", port, "advertise", fmt.Sprint(announce))
	return nil
}

// mediaBind is where the media port listens: all its sockets share one port and answer from wherever they were asked,
// so several addresses mean all of them.
func mediaBind(addrs []netip.Addr) netip.Addr {
	loopback := !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.IsLoopback() })
	if len(addrs) == 1 || loopback {
		return addrs[0]
	}
	return netip.IPv6Unspecified()
}

func (f *focus) openSignalling(home installation, reg prometheus.Registerer) error {
	c := f.cfg
	key := home.key()
	keys := grant.Keys{key.ID: key.Secret}
	for id, s := range c.Keys {
		keys[id] = s.Value
	}
	for id, s := range c.fileKeys {
		keys[id] = s
	}
	if err := f.openWatch(home, reg); err != nil {
		return err
	}
	var admit socket.Admission
	if f.watcher != nil {
		admit = admission{f.watcher}
	}
	f.signalling = socket.New(socket.Config{
		Admission: admit,
		Keys:      keys, AutoCreate: c.Room.AutoCreate, Session: c.session(), RemoteUnmute: c.Room.EnableRemoteUnmute,
		Describe: wire.Server{NodeID: nodeID(home)}, Health: f,
		Webhooks: socket.Webhooks{URLs: c.Webhook.URLs, Key: c.Webhook.APIKey},
		Next:     pages(c),
	}, f.sessions, f.log, reg)
	return nil
}

// nodeID names this focus as LiveKit names its nodes.
func nodeID(home installation) string { return "ND_" + home.derive("node " + hostname())[:12] }

// route puts the doors in front of the signalling.
func (f *focus) route(home installation, reg prometheus.Registerer) (*router, error) {
	c := f.cfg
	rt := newRouter(c)
	rt.signalling = f.signalling
	if len(c.homes) == 0 {
		return rt, nil
	}
	var verifiers matrix.Verifiers
	for _, h := range c.homes {
		v, err := matrix.NewVerifier(h, matrix.Network{})
		if err != nil {
			return nil, fmt.Errorf("homeserver %s: %w", h.ServerName, err)
		}
		verifiers = append(verifiers, v)
	}
	doors := matrix.DoorConfig{
		URL: webSocketURL(c.PublicURL), Key: home.key(), Policy: c.table, Rate: c.Policy.Rate,
		Caller: verifiers, Sessions: f.sessions, Health: f.signalling,
	}
	if f.watcher.Level() > 0 {
		doors.Rooms, doors.Seats = f.watcher, f.watcher
	}
	if f.leaves != nil {
		doors.Leaves = f.leaves
	}
	f.doors = matrix.NewDoors(doors, f.log, reg)
	rt.doors = f.doors
	if c.Homeserver.ServeWellKnown {
		file, err := matrix.WellKnown(c.Homeserver.URL, c.PublicURL)
		if err != nil {
			return nil, fmt.Errorf("well-known file: %w", err)
		}
		rt.wellKnown = matrix.ServeWellKnown(file)
	}
	return rt, nil
}

// serve starts the HTTP servers.
func (f *focus) serve(ctx context.Context, listeners []net.Listener, h http.Handler, reg *prometheus.Registry) error {
	var tlsConfig *tls.Config
	if f.cfg.TLS.Mode == "files" {
		certs, err := newCertificates(f.cfg.TLS.CertFile, f.cfg.TLS.KeyFile)
		if err != nil {
			return fmt.Errorf("tls.cert_file: %w", err)
		}
		tlsConfig = certs.config()
	}
	var metrics []net.Listener
	if p := f.cfg.Prometheus; p.Port != 0 {
		l, err := listen(ctx, p.Bind, p.Port)
		if err != nil {
			return fmt.Errorf("prometheus.port: %w", err)
		}
		metrics = append(metrics, l)
	}
	main := f.newServer(h, tlsConfig)
	for _, l := range listeners {
		f.run(main, l, tlsConfig != nil)
	}
	if len(metrics) > 0 {
		f.run(f.newServer(metricsHandler(reg, f.cfg.Prometheus), nil), metrics[0], false)
	}
	f.log.Info("listening", "url", f.base, "public_url", f.cfg.PublicURL)
	return nil
}

// maxHeader admits a join request of 1 MiB, in base64, with its token (livekit.md section 1).
const maxHeader = 3 << 20

// What strangers may keep a connection for, other than a WebSocket, which has limits of its own. A request may take
// longer than any answer of ours: when its time is over, its handler is told to end.
const (
	readLimit  = 90 * time.Second // a request of 10 MiB over 1 Mbit/s; and longer than an RPC may take
	writeLimit = 5 * time.Minute  // the call page over a bad mobile connection
)

func (f *focus) newServer(h http.Handler, t *tls.Config) *http.Server {
	s := &http.Server{
		Handler: h, TLSConfig: t, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: readLimit, WriteTimeout: writeLimit,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}
	f.servers = append(f.servers, s)
	return s
}

func (f *focus) run(s *http.Server, l net.Listener, encrypted bool) {
	go func() {
		var err error
		if encrypted {
			err = s.ServeTLS(l, "", "")
		} else {
			err = s.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			f.failed <- fmt.Errorf("serving %s: %w", l.Addr(), err)
		}
	}()
}

// heart shows that this process turns, for StatsAge.
func (f *focus) heart() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			f.beat.Store(now.UnixNano())
		case <-f.stopBeat:
			return
		}
	}
}

// Checks implements socket.Health.
func (f *focus) Checks() []socket.Check {
	checks := []socket.Check{{Name: "media", Detail: "udp " + strconv.Itoa(f.cfg.RTC.UDPPort)}}
	if f.watcher != nil {
		checks = append(checks, f.homeserverCheck())
	}
	return checks
}

// StatsAge implements socket.Health.
func (f *focus) StatsAge() time.Duration { return time.Since(time.Unix(0, f.beat.Load())) }

// participants counts who is in a call.
func (f *focus) participants(ctx context.Context) (n int) {
	for _, v := range f.sessions.Sessions(ctx) {
		n += v.Participants
	}
	return n
}

// drain lets nobody new in, and waits until nobody is left, until the timeout, or until now is closed.
// It returns how many are left.
func (f *focus) drain(ctx context.Context, now <-chan struct{}) int {
	f.signalling.Drain()
	if f.doors != nil {
		f.doors.Drain()
	}
	deadline := time.NewTimer(f.cfg.Drain.Timeout)
	defer deadline.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		left := f.participants(ctx)
		if left == 0 {
			return 0
		}
		select {
		case <-look.C:
		case <-deadline.C:
			return left
		case <-now:
			return left
		}
	}
}

// closeTimeout bounds the end, after the drain.
const closeTimeout = 5 * time.Second

// close ends everything, in the order in which nothing is used after its end. It closes what start had opened so far.
func (f *focus) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	close(f.stopBeat)
	// That this focus ends is no reason to send anybody's leave: clients come back to the next one.
	if f.leaves != nil {
		f.leaves.Close()
	}
	if f.watcher != nil {
		f.watcher.Close()
	}
	if f.signalling != nil {
		f.signalling.Shutdown(ctx)
	}
	if f.sessions != nil {
		f.sessions.Close(session.ServerShutdown)
	}
	if f.signalling != nil {
		f.signalling.Close(ctx)
	}
	for _, s := range f.servers {
		if err := s.Shutdown(ctx); err != nil {
			_ = s.Close()
		}
	}
	if f.engine != nil {
		f.engine.Close()
	}
	if f.endpoint != nil {
		_ = f.endpoint.Close()
	}
}

// version is set by the build; else it is what the go command knows.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "devel"
}
