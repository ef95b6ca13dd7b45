package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/signalling/grant"
)

// Options of a load.
type Options struct {
	Shape    Shape
	Settle   time.Duration // from the last join to the window
	Window   time.Duration
	Seed     uint64
	Guard    *Guard
	Progress func(string) // a line of what is going on; nil: nobody reads it
}

const (
	joinLimit    = 20 * time.Second
	readyLimit   = 30 * time.Second
	tokenTTL     = time.Hour
	sharedSecret = "weir-bench" // password of encrypted shapes
)

// load is one run in progress. Its goroutine owns it; bots and pump look after themselves.
type load struct {
	Options
	target Target
	local  netip.Addr
	clock  Clock
	pump   *Pump
	cert   *media.Certificate
	random *rand.Rand
	run    Run

	members []*member
	next    int
	gone    []Snapshot // of bots that left
	latency Histogram  // of bots that left, in the window

	dataSent  atomic.Uint64
	dataMu    sync.Mutex // guards dataDelay
	dataDelay Histogram
}

// member is a place in a session, held by one bot after another.
type member struct {
	room     string
	group    *Group
	bot      *Bot
	watched  bool // somebody published in the session when it joined
	counted  bool // its join was counted
	place    int  // in its group
	took     bool // it subscribed to what it takes
	before   Snapshot
	identity string
}

// Load sets the shape on a target, measures and takes it away again. The error is about the run's setup; what the
// target did wrong stands in the Run.
func Load(ctx context.Context, o Options, target Target) (Run, error) {
	l := &load{Options: o, target: target, clock: NewClock(), random: rand.New(rand.NewPCG(o.Seed, 1))}
	if o.Progress == nil {
		l.Progress = func(string) {}
	}
	var err error
	if l.local, err = o.Guard.LocalAddr(ctx, target.URL); err != nil {
		return l.run, err
	}
	if l.cert, err = media.NewCertificate(); err != nil {
		return l.run, err
	}
	l.run = Run{Target: target.Name, Began: time.Now(), Participants: o.Shape.Participants(), Cores: runtime.NumCPU()}
	if target.Metrics != "" {
		if t, err := readMetrics(ctx, target.Metrics); err == nil {
			l.run.IdleGoroutines = t.goroutines
		} else {
			return l.run, err
		}
	}
	l.pump = NewPump(l.clock)
	defer l.pump.Close()
	defer l.leave()
	if err := l.join(ctx); err != nil {
		return l.run, err
	}
	if err := l.settle(ctx); err != nil {
		return l.run, err
	}
	return l.run, l.measure(ctx)
}

// join brings everybody in, group by group, at the shape's rate.
func (l *load) join(ctx context.Context) error {
	name := fmt.Sprintf("bench-%x-%x", l.Seed, time.Now().UnixNano()&0xffffff)
	gap := time.NewTicker(max(l.Shape.joinGap(), time.Microsecond))
	defer gap.Stop()
	for g := range l.Shape.Groups {
		group := &l.Shape.Groups[g]
		from := len(l.members)
		for place := range group.Count {
			for s := range l.Shape.Sessions {
				m := &member{room: fmt.Sprintf("%s-%d", name, s), group: group, place: place, watched: group.Take == 0 && (g > 0 || len(l.members) >= l.Shape.Sessions)}
				l.members = append(l.members, m)
				if err := l.seat(m); err != nil {
					return err
				}
				l.Progress(fmt.Sprintf("%s: joining %d of %d", l.target.Name, len(l.members), l.run.Participants))
				select {
				case <-gap.C:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		if len(group.Video)+len(group.Audio) > 0 { // who comes next finds them publishing
			if err := l.awaitPublishers(ctx, l.members[from:]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *load) awaitPublishers(ctx context.Context, members []*member) error {
	ctx, cancel := context.WithTimeoutCause(ctx, joinLimit, errors.New("joining took too long"))
	defer cancel()
	for _, m := range members {
		want := 0
		for i := range m.bot.cfg.Publish {
			want += len(m.bot.cfg.Publish[i].Streams)
		}
		err := m.bot.Await(ctx, "publishing", func(s *Snapshot) bool { return s.State == Connected && s.Sending >= want })
		if err != nil {
			return fmt.Errorf("%s in %s: %w", m.identity, m.room, err)
		}
	}
	return nil
}

// phaseSpread is a multiple of all usual times between frames: with one seed, the frames of two runs come in one pattern.
const phaseSpread = 200 * time.Millisecond

// seat puts a new bot on a member's place.
func (l *load) seat(m *member) error {
	l.next++
	m.identity = fmt.Sprintf("bot%d", l.next)
	token, err := grant.Mint(grant.Grant{
		Identity: sfu.Identity(m.identity), Name: m.identity, Session: sfu.SessionID(m.room), Join: true,
		Inside: session.Grant{Publish: true, Subscribe: true, PublishData: true},
	}, grant.Key{ID: l.target.Key, Secret: l.target.Secret}, time.Now(), tokenTTL)
	if err != nil {
		return fmt.Errorf("minting a token: %w", err)
	}
	cfg := BotConfig{
		URL: l.target.URL, Token: token, Dual: l.Shape.Dual, Subscribe: m.group.Subscribe, Choose: m.group.Take > 0, Quality: qualities[m.group.Quality],
		NoData: l.Shape.NoData && l.Shape.Data.Rate == 0, Publish: m.group.publications(), Seed: l.Seed + uint64(l.next)<<20,
		PhaseSpread: phaseSpread, Dial: l.Guard.Dial, Candidate: l.Guard.Candidate, Certificate: l.cert,
		Listen: func() (media.Socket, error) { return ListenUDP(l.local) },
	}
	if l.Shape.E2EE {
		cfg.KeyPassword = sharedSecret
	}
	if l.Shape.Data.Rate > 0 {
		cfg.OnData = l.gotData
	}
	m.bot, m.counted = NewBot(cfg, l.clock, l.pump), false
	return nil
}

// gotData finds the stamp in a data message.
func (l *load) gotData(_ *Bot, _ session.DataChannel, d []byte, now int64) {
	at := bytes.Index(d, stampMagic[:])
	if at < 0 || len(d) < at+stampLen {
		return
	}
	sent := int64(binary.BigEndian.Uint64(d[at+4:]))
	l.dataMu.Lock()
	defer l.dataMu.Unlock()
	l.dataDelay.Add(max(now-sent, 0))
}

// settle waits until everybody has all streams, or long enough, and then the settling time.
func (l *load) settle(ctx context.Context) error {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for ready := false; !ready; {
		ready = true
		for _, m := range l.members {
			s := m.bot.Snapshot()
			l.take(m, &s)
			if s.State != Gone && (s.State != Connected || len(s.Streams) < l.Shape.receives(m.group)) {
				ready = false
			}
		}
		select {
		case <-limit.C:
			ready = true
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.Progress(l.target.Name + ": waiting for all streams")
	}
	l.Progress(fmt.Sprintf("%s: settling %v", l.target.Name, l.Settle))
	select {
	case <-time.After(l.Settle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// take subscribes a member to its share, once everything to choose from is there.
func (l *load) take(m *member, s *Snapshot) {
	if m.took || m.group.Take == 0 || len(s.Remote) < l.Shape.offers(m.group) || s.State != Connected {
		return
	}
	m.took = true
	all := slices.Collect(maps.Keys(s.Remote))
	slices.SortFunc(all, func(a, b sfu.PublicationID) int {
		x, y := s.Remote[a], s.Remote[b]
		return cmp.Or(cmp.Compare(x.Identity, y.Identity), cmp.Compare(x.View.Source, y.View.Source), cmp.Compare(a, b))
	})
	var mine []sfu.PublicationID
	for i := range min(m.group.Take, len(all)) {
		mine = append(mine, all[(m.place*m.group.Take+i)%len(all)])
	}
	m.bot.Take(mine)
}

// leave ends all bots, many at a time.
func (l *load) leave() {
	l.Progress(l.target.Name + ": leaving")
	var all sync.WaitGroup
	turn := make(chan struct{}, 32)
	for _, m := range l.members {
		turn <- struct{}{}
		all.Go(func() {
			m.bot.Leave()
			<-turn
		})
	}
	all.Wait()
}
