package socket

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

var testKey = grant.Key{ID: "devkey", Secret: "secret"}

// focus is a scriptable stand-in for the media plane. A session in it is its view and what happens on events.
type focus struct {
	mu       sync.Mutex
	sessions map[sfu.SessionID]*fakeSession
	opened   []session.Config
	posted   chan session.Event // all but Tick
	welcome  bool               // a Join is welcomed, a Resume of PA_known resumed
	busy     error              // what Post says instead
	onCall   func(session.Event) error
}

type fakeSession struct {
	view         session.View
	participants []session.ParticipantView
}

func newFocus(ids ...sfu.SessionID) *focus {
	f := &focus{sessions: map[sfu.SessionID]*fakeSession{}, posted: make(chan session.Event, 100), welcome: true}
	for _, id := range ids {
		f.sessions[id] = &fakeSession{view: session.View{ID: id, SID: "RM_1"}}
	}
	return f
}

func (f *focus) Open(id sfu.SessionID, cfg session.Config) (session.View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = append(f.opened, cfg)
	if f.sessions[id] == nil {
		f.sessions[id] = &fakeSession{view: session.View{ID: id, SID: "RM_1", Metadata: cfg.Metadata,
			EmptyTimeout: cfg.EmptyTimeout, MaxParticipants: cfg.MaxParticipants}}
	}
	return f.sessions[id].view, nil
}

func (f *focus) Post(id sfu.SessionID, ev session.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sessions[id] == nil {
		return session.ErrNoSession
	}
	if _, tick := ev.(session.Tick); tick {
		return nil
	}
	f.posted <- ev
	if f.busy != nil {
		return f.busy
	}
	if !f.welcome {
		return nil
	}
	switch ev := ev.(type) {
	case session.Join:
		self := session.ParticipantView{ID: ev.ID, Identity: ev.Identity, Name: ev.Name, Metadata: ev.Metadata}
		ev.Sink.Tell(session.Welcome{Session: f.sessions[id].view, Self: self, SIFTrailer: []byte("trailer")})
	case session.Resume:
		if ev.ID == "PA_known" {
			ev.Sink.Tell(session.Resumed{LastSeq: 7})
		} else {
			ev.Sink.Tell(session.Goodbye{Reason: session.StateMismatch, Action: session.ActionReconnect})
		}
	}
	return nil
}

func (f *focus) Call(_ context.Context, id sfu.SessionID, ev session.Event) error {
	f.mu.Lock()
	there, do := f.sessions[id] != nil, f.onCall
	f.mu.Unlock()
	if !there {
		return session.ErrNoSession
	}
	f.posted <- ev
	if do != nil {
		return do(ev)
	}
	return nil
}

func (f *focus) Snapshot(_ context.Context, id sfu.SessionID) (session.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[id]
	if s == nil {
		return session.Snapshot{}, session.ErrNoSession
	}
	return session.Snapshot{View: s.view, Participants: s.participants}, nil
}

func (f *focus) Sessions(context.Context) []session.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	var views []session.View
	for _, s := range f.sessions {
		views = append(views, s.view)
	}
	return views
}

func (f *focus) end(id sfu.SessionID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sessions, id)
}

// world is a Server behind a listener in memory, so that it also works in a bubble of fake time.
type world struct {
	t      testing.TB
	focus  *focus
	server *Server
	http   *http.Server
	conns  chan net.Conn
	client *http.Client
	logged *logbook
}

// logbook keeps the log for tests that look for what must not be in it.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newWorld(t testing.TB, cfg Config, f *focus) *world {
	cfg.Keys = grant.Keys{testKey.ID: testKey.Secret}
	w := &world{t: t, focus: f, conns: make(chan net.Conn), logged: &logbook{}}
	w.server = New(cfg, f, slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug})), nil)
	w.http = &http.Server{Handler: w.server, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	l := &pipes{conns: w.conns, closed: make(chan struct{})}
	go func() { _ = w.http.Serve(l) }()
	w.client = &http.Client{Transport: &http.Transport{DialContext: l.dial}}
	t.Cleanup(w.close)
	return w
}

// close is also called at the end of each bubble: nothing of the server may be left in it.
func (w *world) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.server.Close(ctx)
	_ = w.http.Close()
	w.client.CloseIdleConnections()
}

// pipes is a net.Listener in memory.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func token(t testing.TB, change func(*grant.Grant)) string {
	g := grant.Grant{Identity: "alice", Name: "Alice", Session: "call", Join: true,
		Inside: session.Grant{Publish: true, Subscribe: true, PublishData: true, UpdateOwn: true}}
	if change != nil {
		change(&g)
	}
	text, err := grant.Mint(g, testKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// query is the parameters of a join, with the token.
func query(t testing.TB, j wire.JoinRequest, token string) url.Values {
	q, err := wire.EncodeJoin(j, true)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q["access_token"] = []string{token}
	}
	return q
}

func v0() wire.JoinRequest { return wire.JoinRequest{Settings: session.Settings{Dual: true}} }

func (w *world) get(path string, q url.Values) *http.Response {
	w.t.Helper()
	return w.do(http.MethodGet, path, q, nil, nil)
}

func (w *world) do(method, path string, q url.Values, header http.Header, body io.Reader) *http.Response {
	w.t.Helper()
	r, err := http.NewRequest(method, "http://focus"+path+"?"+q.Encode(), body)
	if err != nil {
		w.t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func text(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// caller is a client's end of a connection.
type peer struct {
	t  testing.TB
	ws *websocket.Conn
}

// connect opens a connection; the response is that of a refused upgrade, or nil.
func (w *world) connect(path string, q url.Values, header http.Header) (*peer, *http.Response) {
	w.t.Helper()
	d := websocket.Dialer{NetDialContext: (&pipes{conns: w.conns}).dial, EnableCompression: true}
	ws, resp, err := d.Dial("ws://focus"+path+"?"+q.Encode(), header)
	if err != nil {
		if resp == nil {
			w.t.Fatal(err)
		}
		return nil, resp
	}
	w.t.Cleanup(func() { _ = ws.Close() })
	return &peer{w.t, ws}, nil
}

func (w *world) mustConnect(path string, q url.Values) *peer {
	w.t.Helper()
	p, resp := w.connect(path, q, nil)
	if p == nil {
		w.t.Fatalf("refused: %s: %s", resp.Status, text(w.t, resp))
	}
	return p
}

func (p *peer) say(r wire.Request, enc wire.Encoding) {
	p.t.Helper()
	b, err := wire.EncodeRequest(r, enc)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(b, enc == wire.Text)
}

func (p *peer) send(b []byte, text bool) {
	p.t.Helper()
	kind := websocket.BinaryMessage
	if text {
		kind = websocket.TextMessage
	}
	if err := p.ws.WriteMessage(kind, b); err != nil {
		p.t.Fatal(err)
	}
}

// hear reads the next response; the error is the close.
func (p *peer) hear() (wire.Response, error) {
	_ = p.ws.SetReadDeadline(time.Now().Add(time.Minute))
	kind, b, err := p.ws.ReadMessage()
	if err != nil {
		return wire.Response{}, err
	}
	enc := wire.Binary
	if kind == websocket.TextMessage {
		enc = wire.Text
	}
	r, err := wire.DecodeResponse(b, enc)
	if err != nil {
		p.t.Fatalf("unreadable response: %v", err)
	}
	return r, nil
}

// expect reads a response that must be there.
func (p *peer) expect() wire.Response {
	p.t.Helper()
	r, err := p.hear()
	if err != nil {
		p.t.Fatalf("closed: %v", err)
	}
	return r
}

// joined takes the first response and the token.
func (p *peer) joined() session.Welcome {
	p.t.Helper()
	welcome, ok := p.expect().Session.(session.Welcome)
	if !ok {
		p.t.Fatal("the first response is no join")
	}
	if p.expect().Token == "" {
		p.t.Fatal("the second response is no token")
	}
	return welcome
}

// closed reads until the close and returns its code.
func (p *peer) closed() int {
	p.t.Helper()
	for {
		_, err := p.hear()
		if c, ok := err.(*websocket.CloseError); ok {
			return c.Code
		}
		if err != nil {
			return -1
		}
	}
}

func (f *focus) next(t testing.TB) session.Event {
	t.Helper()
	select {
	case ev := <-f.posted:
		return ev
	case <-time.After(time.Minute):
		t.Fatal("nothing was posted")
		return nil
	}
}
