package media

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"log/slog"
	"sync"
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// ErrBusy says that a session does not keep up with its events.
var ErrBusy = errors.New("media: the session's inbox is full")

// FocusConfig of a Focus. Data is required; the rest may be zero.
type FocusConfig struct {
	Data    session.DataCodec
	Session session.Config // of sessions that are opened without one of their own

	// Notice is told what happens in sessions; it never blocks. nil: nobody is told.
	Notice func(session.Notice)
	// Replied is told what came back for remote procedure calls from outside; it never blocks. nil: nobody is told.
	Replied func(sfu.SessionID, session.RPCReplied)
	// WrapRaw makes a data packet of what came on a channel that is none of ours. nil: it is dropped.
	WrapRaw func([]byte) []byte
	// REMB estimates the downstream bandwidth at the receiver instead of by transport-cc.
	REMB bool
	// FullICE turns ICE-lite off for all.
	FullICE bool
}

// Focus is the registry of live sessions; it owns a loop (one goroutine) for each. Safe for use by many goroutines.
type Focus struct {
	cfg      FocusConfig
	endpoint *Endpoint
	forward  *Engine
	log      *slog.Logger

	mu     sync.Mutex // guards the fields below; loops never hold it while they handle an event
	loops  map[sfu.SessionID]*loop
	closed bool
	wg     sync.WaitGroup
}

// NewFocus makes a registry whose participants use the endpoint's port.
func NewFocus(cfg FocusConfig, e *Endpoint, engine *Engine, log *slog.Logger) *Focus {
	return &Focus{cfg: cfg, endpoint: e, forward: engine, log: log, loops: map[sfu.SessionID]*loop{}}
}

// Open opens a session, or changes the configuration of one that is open.
func (f *Focus) Open(id sfu.SessionID, cfg session.Config) (session.View, error) {
	l, opened, err := f.open(id, cfg)
	if err != nil {
		return session.View{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if !opened {
		if err := l.call(ctx, session.Configure{Config: cfg}); err != nil {
			return session.View{}, err
		}
	}
	s, err := l.snapshot(ctx)
	return s.View, err
}

func (f *Focus) open(id sfu.SessionID, cfg session.Config) (l *loop, opened bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.loops[id]; l != nil {
		return l, false, nil
	}
	if f.closed {
		return nil, false, session.ErrNoSession
	}
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, false, err
	}
	sid := "RM_" + base32.HexEncoding.EncodeToString(seed[:8])[:12]
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, false, err
	}
	l = newLoop(f, id, session.New(id, sid, cfg, f.cfg.Data, seed, time.Now()))
	f.loops[id] = l
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		l.run()
	}()
	return l, true, nil
}

// Post hands an event to a session without waiting. session.ErrNoSession if there is none, ErrBusy if it does not keep up.
func (f *Focus) Post(id sfu.SessionID, ev session.Event) error {
	l := f.loop(id)
	if l == nil {
		return session.ErrNoSession
	}
	return l.inbox.put(item{event: ev})
}

// Call hands an event of the outside API to a session and waits for its Result.
func (f *Focus) Call(ctx context.Context, id sfu.SessionID, ev session.Event) error {
	l := f.loop(id)
	if l == nil {
		return session.ErrNoSession
	}
	return l.call(ctx, ev)
}

// Snapshot is a session as it is now.
func (f *Focus) Snapshot(ctx context.Context, id sfu.SessionID) (session.Snapshot, error) {
	l := f.loop(id)
	if l == nil {
		return session.Snapshot{}, session.ErrNoSession
	}
	return l.snapshot(ctx)
}

// Sessions lists the open sessions, in no order. One that ends meanwhile, or does not answer in time, is left out.
func (f *Focus) Sessions(ctx context.Context) []session.View {
	var views []session.View
	for _, l := range f.all() {
		if s, err := l.snapshot(ctx); err == nil {
			views = append(views, s.View)
		}
	}
	return views
}

// Close ends all sessions with that reason and waits for their loops.
func (f *Focus) Close(reason session.LeaveReason) {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	for _, l := range f.all() {
		l.inbox.insist(item{event: session.Close{Reason: reason}})
	}
	f.wg.Wait()
}

// Empty reports whether no session is open.
func (f *Focus) Empty() bool { return f.Count() == 0 }

// Count is how many sessions are open.
func (f *Focus) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.loops)
}

func (f *Focus) loop(id sfu.SessionID) *loop {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loops[id]
}

func (f *Focus) all() []*loop {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*loop, 0, len(f.loops))
	for _, l := range f.loops {
		all = append(all, l)
	}
	return all
}

func (f *Focus) remove(l *loop) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loops[l.id] == l {
		delete(f.loops, l.id)
	}
}
