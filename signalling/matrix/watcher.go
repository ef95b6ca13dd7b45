package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/derive"
	"weir/signalling/grant"
	"weir/signalling/member"
	"weir/signalling/policy"
)

// Calls are the sessions that are watched over.
type Calls interface {
	Sessions
	Post(id sfu.SessionID, ev session.Event) error
	Snapshot(ctx context.Context, id sfu.SessionID) (session.Snapshot, error)
}

// WatcherConfig is what a Watcher works with. Calls and Policy are required.
type WatcherConfig struct {
	// Homes are the own homeservers; none: nobody's membership is known (matrixrtc.md section 10, level 0).
	Homes []Home
	// URLs are what memberships call this focus: its service URL and its ws URL.
	URLs []string
	// Key is the name of the doors' key: of tokens signed by others this knows nothing.
	Key string
	// Policy says what holds for whom while the homeserver is out of reach.
	Policy *policy.Table
	// ClearGhosts ends memberships of own users who are gone without a word.
	ClearGhosts bool
	// Withdrawn is told of users who may not be in a room any more, with when that was; nil: nobody is. It must not block.
	Withdrawn func(room, user string, until time.Time)
	Calls     Calls
}

// Watcher knows the rooms of the sessions that are open here. It watches each through the homeserver, evicts who may not
// be there any more, and says whether a token still holds. Safe for use by many goroutines.
//
// Goroutines: two for each room with an open session, one that owns what is known of it and one that follows the
// homeserver; and a short one for each request that something in a room gave cause to.
type Watcher struct {
	cfg     WatcherConfig
	homes   homes // none: no homeserver
	log     *slog.Logger
	metrics *watchMetrics

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	polls  chan struct{} // a place for each poll in flight
	blind  atomic.Int64  // rooms of which nothing is heard

	mu        sync.Mutex // guards the rest; never held while waiting
	rooms     map[string]*watch
	open      map[sfu.SessionID]string // whose room is known
	withdrawn map[[2]string]time.Time  // (room, user): tokens made before that are void
	swept     time.Time
	closed    bool
}

const (
	// pollsAtOnce bounds what a homeserver that knows no better way is asked at the same time (matrixrtc.md section 10).
	pollsAtOnce = 8
	// withdrawnLife outlives every token that was made before: an hour, longer by less than another through refreshes.
	withdrawnLife = 2*tokenLife + grant.Leeway
)

// NewWatcher makes a watcher. Close ends its goroutines.
func NewWatcher(c WatcherConfig, log *slog.Logger, reg prometheus.Registerer) *Watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{
		cfg: c, homes: newHomes(c.Homes), log: log, metrics: newWatchMetrics(reg), ctx: ctx, cancel: cancel, polls: make(chan struct{}, pollsAtOnce),
		rooms: map[string]*watch{}, open: map[sfu.SessionID]string{}, withdrawn: map[[2]string]time.Time{},
	}
	w.metrics.level.Set(float64(w.Level()))
	return w
}

// Level is how much is known of rooms (matrixrtc.md section 10): 0 nothing, 1 as a bot, 2 on demand, 3 by pushed events.
func (w *Watcher) Level() int { return w.homes.level() }

// Blind counts watched rooms of which nothing is heard.
func (w *Watcher) Blind() int { return int(w.blind.Load()) }

// Close ends all watches.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.wg.Wait()
	for _, h := range w.cfg.Homes {
		h.API.Close()
	}
}

// Joined implements Rooms: it says whether a user is in a room. What is seen of the room answers a yes; a no may have
// been overtaken, so the homeserver is asked, if it can be.
func (w *Watcher) Joined(ctx context.Context, room, user string) (bool, error) {
	if len(w.homes) == 0 {
		return false, errBlind
	}
	st, _ := w.Standing(ctx, room, "", user)
	if st.Joined && st.Live {
		return true, nil
	}
	in, err := w.homes.joined(ctx, room, user)
	if errors.Is(err, errBlind) && st.Known && st.Live {
		return st.Joined, nil
	}
	return in, err
}

// ServerJoined says whether any user of a server is in a room.
func (w *Watcher) ServerJoined(ctx context.Context, room, server string) (bool, error) {
	return w.homes.server(ctx, room, server)
}

// Standing is how a user stands to a slot of a room, as far as it is watched; ok is false if it is not.
func (w *Watcher) Standing(ctx context.Context, room, slot, user string) (st Standing, ok bool) {
	q := question{slot: slot, user: user, reply: make(chan Standing, 1)}
	w.mu.Lock()
	v := w.rooms[room]
	asked := v != nil && v.put(q)
	w.mu.Unlock()
	if !asked {
		return Standing{}, false
	}
	select {
	case st = <-q.reply:
		return st, true
	case <-v.done:
	case <-ctx.Done():
	}
	return Standing{}, false
}

// Standing is member.Standing with how fresh it is.
type Standing struct {
	member.Standing
	// Live says that events arrive: what happened a moment ago is known.
	Live bool
	// Closing says that the slot was closed, and its session is about to end.
	Closing bool
}

// Seated is told whose seat an identity of an open session is.
func (w *Watcher) Seated(alias sfu.SessionID, identity sfu.Identity, s grant.Seat, inside session.Grant) {
	if len(w.homes) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.open[alias] = s.Room
	v := w.rooms[s.Room]
	if v == nil {
		v = newWatch(w, s.Room)
		w.rooms[s.Room] = v
		w.metrics.rooms.Inc()
		// After the first seat is known: whose it is may be the only one who can read the room.
		defer w.wg.Go(v.follow)
		defer w.wg.Go(v.run)
	}
	if !v.put(seated{alias: alias, identity: identity, seat: s, inside: inside}) {
		w.log.Error("a seat is not known: who sits there is found at the next look", "code", "seat_lost", "room_id", s.Room, "user", s.User)
	}
}

// ended forgets a watch whose last session is over, unless something came meanwhile: it may be a seat.
func (w *Watcher) ended(v *watch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(v.inbox) > 0 {
		return false
	}
	delete(w.rooms, v.id)
	for alias, room := range w.open {
		if room == v.id {
			delete(w.open, alias)
		}
	}
	w.metrics.rooms.Dec()
	return true
}

// Notice is told what happens in sessions; it never blocks.
func (w *Watcher) Notice(n session.Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.rooms[w.open[n.Session.ID]]
	if v == nil {
		return
	}
	switch n.Kind {
	case session.ParticipantJoined:
		v.put(presence{alias: n.Session.ID, identity: n.Participant.Identity, here: true})
	case session.ParticipantLeft, session.ParticipantAborted:
		v.put(presence{alias: n.Session.ID, identity: n.Participant.Identity})
	case session.SessionFinished:
		v.put(finished{alias: n.Session.ID})
	}
}

// withdraw makes all tokens void that a user got for a room before now.
func (w *Watcher) withdraw(room, user string, now time.Time) {
	w.homes.forget(room, user)
	if w.cfg.Withdrawn != nil {
		w.cfg.Withdrawn(room, user, now)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.swept) > time.Minute {
		w.swept = now
		for k, at := range w.withdrawn {
			if now.Sub(at) > withdrawnLife {
				delete(w.withdrawn, k)
			}
		}
	}
	w.withdrawn[[2]string{room, user}] = now
}

// void says whether a seat's token was withdrawn.
func (w *Watcher) void(s *grant.Seat) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.withdrawn[[2]string{s.Room, s.User}]
	return ok && s.Made <= at.UnixMilli()
}

// ErrWithdrawn says that a token was good once.
var ErrWithdrawn = errors.New("the right to be in this call has ended")

// Admit judges a token before its bearer is let in: tokens never outlive membership. It opens the session if that is
// among the bearer's rights, so that clients find it again after a restart. An error that wraps ErrWithdrawn is a
// refusal; any other means that it cannot be said now.
func (w *Watcher) Admit(ctx context.Context, t grant.Token) error {
	s := t.Seat
	if s == nil || t.Key != w.cfg.Key {
		return nil
	}
	if err := w.judge(ctx, s, t.Identity); err != nil {
		w.metrics.refused.WithLabelValues(refusalCode(err)).Inc()
		w.log.Warn("token refused", "door", "join", "code", refusalCode(err), "user", s.User, "room_id", s.Room, "slot", s.Slot, "err", err)
		return err
	}
	alias := derive.Alias(s.Room, s.Slot, "")
	if alias != t.Session {
		return nil // a view of another's session: its own focus watches the room
	}
	err := w.cfg.Calls.Post(alias, session.Tick{})
	if errors.Is(err, session.ErrNoSession) && s.Opens {
		if _, err = w.cfg.Calls.Open(alias, seatConfig(s.MaxParticipants)); err != nil {
			return fmt.Errorf("open the session again: %w", err)
		}
	}
	if !errors.Is(err, session.ErrNoSession) {
		w.Seated(alias, t.Identity, *s, t.Inside)
	}
	return nil
}

// seatConfig is an unlimited session that closes 300 s after it was opened in vain, and 20 s after the last one left
// (matrixrtc.md section 2.4).
func seatConfig(most int) session.Config {
	return session.Config{EmptyTimeout: 300, DepartureTimeout: 20, MaxParticipants: most}
}

// errUnknown says that a membership could not be looked up.
var errUnknown = errors.New("the membership could not be looked up")

func refusalCode(err error) string {
	if errors.Is(err, ErrWithdrawn) {
		return "withdrawn"
	}
	return "lookup"
}

func (w *Watcher) judge(ctx context.Context, s *grant.Seat, identity sfu.Identity) error {
	server := member.ServerOf(s.User)
	if w.cfg.Policy.Judge(s.User, server, s.Room).Action == policy.Deny {
		return fmt.Errorf("policy: %w", ErrWithdrawn)
	}
	if len(w.homes) == 0 {
		return nil
	}
	if w.void(s) {
		return fmt.Errorf("a token from before the eviction: %w", ErrWithdrawn)
	}
	st, watched := w.Standing(ctx, s.Room, s.Slot, s.User)
	switch {
	case watched && st.Denied:
		return fmt.Errorf("server ACL: %w", ErrWithdrawn)
	case watched && st.Closing:
		return fmt.Errorf("slot closed: %w", ErrWithdrawn)
	case watched && st.Joined && st.Live:
		return nil
	}
	in, err := w.Joined(ctx, s.Room, s.User)
	switch {
	case err == nil && in:
		return nil
	case err == nil:
		return fmt.Errorf("not in the room: %w", ErrWithdrawn)
	case watched && st.Joined: // was here before the homeserver fell silent
		return nil
	case w.cfg.Policy.Blind(server):
		return nil
	}
	return fmt.Errorf("%w: %w", errUnknown, err)
}
