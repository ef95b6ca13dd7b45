package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/signalling/wire"
)

// BotConfig says who a bot is and what it does.
type BotConfig struct {
	URL   string // "ws://127.0.0.1:7880"
	Token string
	Dual  bool // two transports (v0); else one

	Publish     []Publication
	Subscribe   bool          // to all publications
	Choose      bool          // to those that Take names, instead of all
	Quality     sfu.Quality   // of subscribed video
	Receive     [2]int        // audio and video sections of the first offer; zero: 3 of each, as livekit-client
	NoData      bool          // no data channels
	KeyPassword string        // shared password of end-to-end encryption; "": none
	Seed        uint64        // of SSRCs, numbers, phases
	Software    sfu.Software  // zero: a browser's
	PhaseSpread time.Duration // streams begin within it, at a point of the run's clock that the seed tells

	Dial        Dial                                                           // nil: the system's
	Listen      func() (media.Socket, error)                                   // nil: a UDP socket
	Candidate   func(netip.AddrPort) bool                                      // nil: every address may be sent to
	Certificate *media.Certificate                                             // nil: a new one
	Keys        Keys                                                           // end-to-end encryption by these; nil: KeyPassword says
	OnFrame     func(*Received)                                                // each whole frame; on a transport's goroutine; must not call the bot
	OnData      func(b *Bot, channel session.DataChannel, d []byte, now int64) // on a transport's goroutine
	Log         *slog.Logger                                                   // nil: silent
}

// BotState is how far a bot has come.
type BotState uint8

const (
	Dialling  BotState = iota
	InSession          // the server let it in
	Connected          // its media transport works
	Gone
)

func (s BotState) String() string {
	return [...]string{"dialling", "in session", "connected", "gone"}[s]
}

// Bot is one participant. Its loop owns it: all fields below "loop" are the loop's.
type Bot struct {
	cfg   BotConfig
	clock Clock
	pump  *Pump
	log   *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	did    chan struct{} // one token: the inbox has something
	done   chan struct{} // the loop has ended
	marks  marks

	mu        sync.Mutex // guards what follows; a leaf
	inbox     []func()
	state     BotState
	failure   error
	changed   chan struct{} // closed and replaced with each change of state
	legs      []*leg
	ended     []*leg // of an earlier stay
	remote    map[sfu.PublicationID]Remote
	resumes   int
	dataIn    uint64
	dataBytes uint64

	// loop
	signal   *signal
	stay     *stay
	attempts int
	leaving  bool
	taken    []sfu.PublicationID // see Take
}

// marks are instants of the run's clock, ns; 0: not yet.
type marks struct{ began, joined, connected, published atomic.Int64 }

// Remote is a publication of another participant.
type Remote struct {
	Participant sfu.ParticipantID
	Identity    sfu.Identity
	View        session.PublicationView
}

// Bots' errors, wrapped.
var (
	ErrGone    = errors.New("bench: the bot has left")
	errTooMuch = errors.New("bench: the bot does not keep up")
)

// inboxMost bounds what waits for a bot's loop. It is far more than a session says at once; beyond it the bot fails.
const inboxMost = 1 << 14

// NewBot makes a bot and lets it join; what comes of it is seen by Await and Snapshot. Leave or Close ends it.
func NewBot(cfg BotConfig, clock Clock, pump *Pump) *Bot {
	b := &Bot{
		cfg: cfg, clock: clock, pump: pump, log: cfg.Log, did: make(chan struct{}, 1), done: make(chan struct{}),
		changed: make(chan struct{}), remote: map[sfu.PublicationID]Remote{},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.cfg.Receive == [2]int{} {
		b.cfg.Receive = [2]int{3, 3}
	}
	if b.cfg.Listen == nil {
		b.cfg.Listen = listenLoopback
	}
	if b.cfg.Software == (sfu.Software{}) {
		b.cfg.Software = sfu.Software{SDK: "js", Version: "2.17.0", Protocol: 16, Browser: "chrome", BrowserVersion: "140", OS: "linux"}
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.marks.began.Store(clock.Now())
	go b.run()
	return b
}

var loopback = netip.MustParseAddr("127.0.0.1")

func listenLoopback() (media.Socket, error) { return ListenUDP(loopback) }

// ListenUDP opens a bot's socket at any port of an address.
func ListenUDP(addr netip.Addr) (media.Socket, error) {
	// Eight buffers of 64 KiB each take what a keyframe brings at once; memory that is not touched costs nothing.
	sockets, err := media.ListenUDP(netip.AddrPortFrom(addr, 0), media.SocketConfig{Lone: true, Batch: 8, Timed: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return sockets[0], nil
}

// run is the bot's loop.
func (b *Bot) run() {
	defer close(b.done)
	ping := time.NewTicker(wire.PingInterval)
	defer ping.Stop()
	b.connect()
	for {
		select {
		case <-b.did:
			for _, do := range b.take() {
				do()
			}
		case <-ping.C:
			b.ping()
		case <-b.ctx.Done():
			b.tearDown()
			return
		}
	}
}

// post gives the loop something to do; it never blocks.
func (b *Bot) post(do func()) {
	b.mu.Lock()
	full := len(b.inbox) >= inboxMost
	if !full {
		b.inbox = append(b.inbox, do)
	}
	b.mu.Unlock()
	if full {
		b.fail(errTooMuch)
	}
	select {
	case b.did <- struct{}{}:
	default:
	}
}

func (b *Bot) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.inbox
	b.inbox = nil
	return out
}

// fail ends the bot with a reason.
func (b *Bot) fail(err error) {
	b.mu.Lock()
	if b.failure == nil {
		b.failure = err
	}
	b.mu.Unlock()
	b.cancel()
}

func (b *Bot) setState(s BotState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s == b.state {
		return
	}
	b.state = s
	close(b.changed)
	b.changed = make(chan struct{})
}

// notify wakes those that wait for something else than a state.
func (b *Bot) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

// Await waits until ok says so of the bot's snapshot, which it sees after each change of state, of publications and of
// transports; or until the bot is gone or ctx ends.
func (b *Bot) Await(ctx context.Context, what string, ok func(*Snapshot) bool) error {
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		s := b.Snapshot()
		if ok(&s) {
			return nil
		}
		if s.State == Gone {
			if s.Err != nil {
				return fmt.Errorf("waiting for %s: %w", what, s.Err)
			}
			return fmt.Errorf("waiting for %s: %w", what, ErrGone)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s, bot is %s: %w", what, s.State, context.Cause(ctx))
		}
	}
}

// AwaitConnected waits until media can flow.
func (b *Bot) AwaitConnected(ctx context.Context) error {
	return b.Await(ctx, "connection", func(s *Snapshot) bool { return s.State == Connected })
}

// Request sends a request to the server.
func (b *Bot) Request(r session.Request) {
	b.post(func() { b.request(r) })
}

// Take subscribes to publications; see BotConfig.Choose.
func (b *Bot) Take(ids []sfu.PublicationID) {
	b.post(func() {
		b.taken = append(b.taken, ids...)
		b.request(session.Subscribe{Publications: ids, On: true})
		b.request(session.TrackSetting{Publications: ids, Quality: b.cfg.Quality})
	})
}

// SendData sends a payload to all others.
func (b *Bot) SendData(channel session.DataChannel, payload []byte) error {
	packet := wire.UserPacket(payload, nil, nil)
	b.mu.Lock()
	legs := b.legs
	b.mu.Unlock()
	for _, l := range legs {
		if l.target == session.Publisher {
			return l.transport.SendData(channel, packet)
		}
	}
	return media.ErrNoChannel
}

// Resume cuts the signalling connection; the bot takes its place in the session up again.
func (b *Bot) Resume() {
	b.post(func() {
		if b.signal != nil {
			b.signal.close(false)
		}
	})
}

// Leave says goodbye and waits until everything of the bot has ended.
func (b *Bot) Leave() {
	b.post(func() {
		b.leaving = true
		b.request(session.Leave{Reason: session.ClientInitiated})
		b.cancel()
	})
	<-b.done
}

// Close ends the bot at once, as a crash would, and waits.
func (b *Bot) Close() {
	b.cancel()
	<-b.done
}

// Done is closed when the bot has ended.
func (b *Bot) Done() <-chan struct{} { return b.done }

// ring makes the keys of end-to-end encryption, nil if there are none.
func (b *Bot) ring() *keyring.Ring {
	if b.cfg.KeyPassword == "" {
		return nil
	}
	key, err := sharedKey(b.cfg.KeyPassword)
	if err != nil {
		b.fail(err)
		return nil
	}
	r := keyring.NewRing(keyring.Shared)
	r.Set(0, key)
	return r
}

// tearDown ends all that the bot has.
func (b *Bot) tearDown() {
	if b.signal != nil {
		b.signal.close(b.leaving)
		b.signal = nil
	}
	b.endStay()
	b.tasks.Wait()
	b.setState(Gone)
}
