package matrix

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/derive"
	"weir/signalling/grant"
	"weir/signalling/member"
)

// watch is one room with an open session. What is known of it belongs to the goroutine of run.
type watch struct {
	w       *Watcher
	id      string
	log     *slog.Logger
	inbox   chan any               // what to do next; see handle
	done    chan struct{}          // closed: run has ended
	reads   atomic.Pointer[lookup] // the homeserver that the room is read at; nil: none yet
	lost    atomic.Bool            // the inbox was full: what is here must be looked up
	stopped context.Context
	stop    context.CancelFunc

	room    *member.Room
	calls   map[sfu.SessionID]*watched // open sessions of the room
	news    []member.Effect            // reused
	muted   map[string]bool            // users who may not publish
	closing map[string]bool            // slots
	ghosts  map[member.Key]bool
	locals  []string         // joined own users, a few, for want of participants
	leaves  map[string]int64 // within one apply: when users left, ms
	sight   sight
	empty   time.Time // since when there has been no session; zero: there is one
}

// watched is one session of the room.
type watched struct {
	slot  string
	seats map[sfu.Identity]*seat
}

// seat is a record of a door (matrixrtc.md section 3): whose participant an identity is.
type seat struct {
	grant.Seat
	inside session.Grant // as the token says
	here   bool
	out    bool // was evicted, and is about to go
}

// sight is how much arrives of what happens in the room.
type sight uint8

const (
	blind  sight = iota // nothing
	polled              // who is joined, by asking
	live                // events
)

func (s sight) String() string { return [...]string{"blind", "polled", "live"}[s] }

// What the inbox takes, besides member.Input.
type (
	seated struct {
		alias    sfu.SessionID
		identity sfu.Identity
		seat     grant.Seat
		inside   session.Grant
	}
	presence struct {
		alias    sfu.SessionID
		identity sfu.Identity
		here     bool
	}
	finished struct{ alias sfu.SessionID }
	question struct {
		slot, user string
		reply      chan Standing
	}
	// whoSees asks who may read the room for us, the best first.
	whoSees struct{ reply chan []string }
	// whoSits asks whose participants and tokens there are.
	whoSits struct{ reply chan []string }
	// absent says that the homeserver, asked then, found that a user with a token is not in the room.
	absent struct {
		user string
		at   time.Time
	}
	// confirmed is what the own homeserver, asked then, says of a user whom the one that is read does not know in the room.
	confirmed struct {
		user string
		in   bool
		at   time.Time
	}
	// seen says how much arrives from now on.
	seen struct{ sight sight }
	// found are participants that a look into the session found there.
	found struct {
		alias sfu.SessionID
		ids   []sfu.Identity
		gone  bool // the session is
	}
	pictureOf struct{ reply chan RoomSnapshot }
)

const (
	// watchInbox bounds what waits for a watch. Above it notices are dropped, and the sessions looked into instead.
	watchInbox = 4096
	// lookPeriod is how often the sessions are looked into in any case.
	lookPeriod = 30 * time.Second
	// linger is how long a room is watched after its last session: members who vanished with it are known for ghosts after
	// a minute, and take some time to be cleared.
	linger = 2 * time.Minute
	// maxSeats bounds what is remembered of one session; those of absent participants go first.
	maxSeats = 16384
	// maxLocals is how many own users are remembered who could read the room for us.
	maxLocals = 16
)

func newWatch(w *Watcher, room string) *watch {
	ctx, cancel := context.WithCancel(w.ctx)
	return &watch{
		w: w, id: room, log: w.log.With("room_id", room), inbox: make(chan any, watchInbox), done: make(chan struct{}),
		stopped: ctx, stop: cancel, room: member.NewRoom(room, member.Config{URLs: w.cfg.URLs, Servers: w.homes.names()}),
		calls: map[sfu.SessionID]*watched{}, muted: map[string]bool{}, closing: map[string]bool{}, ghosts: map[member.Key]bool{},
	}
}

// put never blocks. Its caller holds the Watcher's mutex, which keeps the watch from ending meanwhile.
func (v *watch) put(m any) bool {
	select {
	case v.inbox <- m:
		return true
	default:
		v.lost.Store(true)
		return false
	}
}

// send waits until there is room in the inbox, for those who may.
func (v *watch) send(m any) bool {
	select {
	case v.inbox <- m:
		return true
	case <-v.stopped.Done():
		return false
	}
}

// run owns the room.
func (v *watch) run() {
	defer close(v.done)
	defer v.stop()
	timer := time.NewTimer(lookPeriod)
	defer timer.Stop()
	look := time.NewTicker(lookPeriod)
	defer look.Stop()
	v.countBlind(1)
	defer func() {
		if v.sight == blind {
			v.countBlind(-1)
		}
	}()
	defer func() { v.w.metrics.ghosts.Sub(float64(len(v.ghosts))) }()
	for {
		select {
		case m := <-v.inbox:
			v.handle(m)
		case <-timer.C:
			v.apply(member.Tick{})
		case <-look.C:
			v.lookInto()
		case <-v.stopped.Done():
			return
		}
		if v.lost.Swap(false) {
			v.lookInto()
		}
		if v.over(time.Now()) && v.w.ended(v) {
			return
		}
		if at := v.room.Deadline(); !at.IsZero() {
			timer.Reset(max(time.Until(at), 0))
		}
	}
}

// over says whether the room has been without a session for so long that no ghost of the last one can be left unseen.
func (v *watch) over(now time.Time) bool {
	switch {
	case len(v.calls) > 0:
		v.empty = time.Time{}
	case v.empty.IsZero():
		v.empty = now
	}
	return len(v.calls) == 0 && now.Sub(v.empty) >= linger
}

func (v *watch) handle(m any) {
	switch m := m.(type) {
	case member.Input:
		v.apply(m)
	case seated:
		v.seat(m)
	case presence:
		v.present(m.alias, m.identity, m.here)
	case finished:
		v.finish(m.alias)
	case found:
		v.compare(m)
	case absent:
		v.notThere(m)
	case confirmed:
		v.confirmed(m)
	case seen:
		v.setSight(m.sight)
	case question:
		m.reply <- Standing{Standing: v.room.Standing(m.user, m.slot), Live: v.sight == live, Closing: v.closing[m.slot]}
	case whoSees:
		m.reply <- v.witnesses()
	case whoSits:
		m.reply <- v.room.Users()
	case pictureOf:
		m.reply <- v.picture()
	}
}

// apply tells the room, and carries out what follows.
func (v *watch) apply(in member.Input) {
	v.leaves = nil
	switch in := in.(type) {
	case member.JoinedUsers:
		v.rememberLocals(in.Users)
	case member.Batch:
		v.leaves = departures(in)
	}
	v.enforce(in)
}

// notThere has a user's place taken, but for tokens that a door gave after the homeserver was asked.
func (v *watch) notThere(m absent) {
	v.leaves = map[string]int64{m.user: m.at.UnixMilli()}
	v.enforce(member.Event{
		ID: "$asked", Type: typeMember, Sender: m.user, StateKey: m.user, State: true, Origin: m.at.UnixMilli(),
		Content: []byte(`{"membership":"unknown"}`),
	})
}

func (v *watch) enforce(in member.Input) {
	v.news = v.room.Apply(time.Now(), in, v.news[:0])
	for _, e := range v.news {
		v.do(e)
	}
}

// departures tells when users last changed their membership other than by joining.
func departures(b member.Batch) map[string]int64 {
	at := map[string]int64{}
	for _, e := range b.Events {
		if e.Type == typeMember && e.State && !bytes.Contains(e.Content, []byte(`"join"`)) {
			at[e.StateKey] = e.Origin
		}
	}
	return at
}

// rememberLocals keeps some own users who are in the room.
func (v *watch) rememberLocals(joined []string) {
	v.locals = v.locals[:0]
	for _, u := range joined {
		if len(v.locals) == maxLocals {
			return
		}
		if v.w.homes.actsAs(u) != nil {
			v.locals = append(v.locals, u)
		}
	}
}

// setSight notes how much arrives. Without events nobody is held to account for one that may only be late.
func (v *watch) setSight(s sight) {
	if s == v.sight {
		return
	}
	switch {
	case v.sight == blind:
		v.countBlind(-1)
	case s == blind:
		v.countBlind(1)
	}
	was := v.sight
	v.sight = s
	level := slog.LevelInfo
	if s < was {
		level = slog.LevelWarn
	}
	v.log.Log(v.stopped, level, "room watched", "code", "sight_"+s.String(), "was", was.String())
	v.apply(member.Sight{Clear: s == live})
}

func (v *watch) countBlind(n int) {
	v.w.blind.Add(int64(n))
	v.w.metrics.blind.Add(float64(n))
}

// witnesses are own users who can read the room for us: participants first, then holders of tokens, then others.
func (v *watch) witnesses() []string {
	var here, expected []string
	for _, c := range v.calls {
		for _, s := range c.seats {
			switch {
			case s.User == "" || v.w.homes.actsAs(s.User) == nil || v.w.void(&s.Seat):
			case s.here:
				here = append(here, s.User)
			default:
				expected = append(expected, s.User)
			}
		}
	}
	slices.Sort(here)
	slices.Sort(expected)
	all := slices.Concat(here, expected, v.locals)
	known := map[string]bool{}
	return slices.DeleteFunc(all, func(u string) bool {
		was := known[u]
		known[u] = true
		return was
	})
}

// post hands an event to a session. One that has ended needs nothing any more; one that does not keep up is looked into.
func (v *watch) post(alias sfu.SessionID, ev session.Event) {
	err := v.w.cfg.Calls.Post(alias, ev)
	if err != nil && !errors.Is(err, session.ErrNoSession) {
		v.log.Error("the session does not keep up", "code", "session_busy", "session", string(alias), "err", err)
		time.AfterFunc(retryBusy, func() {
			if err := v.w.cfg.Calls.Post(alias, ev); err != nil && !errors.Is(err, session.ErrNoSession) {
				v.log.Error("the session does not keep up", "code", "session_busy", "session", string(alias), "err", err)
			}
		})
	}
}

// retryBusy is when a session whose inbox was full is told again.
const retryBusy = 200 * time.Millisecond

func (v *watch) alias(slot string) sfu.SessionID { return derive.Alias(v.id, slot, "") }
