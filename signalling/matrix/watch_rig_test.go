package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/derive"
	"weir/signalling/grant"
	"weir/signalling/matrixtest"
	"weir/signalling/policy"
)

const (
	ben   = "@ben:own.example"
	carol = "@carol:far.example"
	asTok = "as-secret-as-secret-as-secret-as-secret"
)

// calls are the sessions of a focus, as far as a watcher meets them. Events take effect at once.
type calls struct {
	mu      sync.Mutex
	watcher *Watcher
	open    map[sfu.SessionID][]sfu.Identity
	posted  []string
	mute    bool // notices are lost
	full    int  // so many posts fail
}

func (c *calls) Open(id sfu.SessionID, _ session.Config) (session.View, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posted = append(c.posted, "open")
	c.open[id] = append([]sfu.Identity{}, c.open[id]...)
	return session.View{ID: id}, nil
}

func (c *calls) Post(id sfu.SessionID, ev session.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[id]; !ok {
		return session.ErrNoSession
	}
	if _, tick := ev.(session.Tick); tick {
		return nil
	}
	if c.full > 0 {
		c.full--
		return errors.New("the inbox is full")
	}
	switch ev := ev.(type) {
	case session.Evict:
		c.posted = append(c.posted, fmt.Sprintf("evict %s %d", ev.Identity, ev.Reason))
		if i := slices.Index(c.open[id], ev.Identity); i >= 0 {
			c.open[id] = slices.Delete(c.open[id], i, i+1)
			go c.notice(session.ParticipantLeft, id, ev.Identity)
		}
	case session.Withhold:
		c.posted = append(c.posted, fmt.Sprintf("withhold %s %v", ev.Identity, ev.On))
	case session.Close:
		c.posted = append(c.posted, "close")
		delete(c.open, id)
		go c.notice(session.SessionFinished, id, "")
	case session.UpdateParticipant:
		c.posted = append(c.posted, fmt.Sprintf("publish %s %v", ev.Identity, ev.Grant.Publish))
	}
	return nil
}

func (c *calls) Snapshot(_ context.Context, id sfu.SessionID) (session.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, ok := c.open[id]
	if !ok {
		return session.Snapshot{}, session.ErrNoSession
	}
	var s session.Snapshot
	for _, p := range all {
		s.Participants = append(s.Participants, session.ParticipantView{Identity: p, State: session.Active})
	}
	return s, nil
}

func (c *calls) notice(kind session.NoticeKind, id sfu.SessionID, who sfu.Identity) {
	c.mu.Lock()
	mute := c.mute
	c.mu.Unlock()
	if !mute {
		c.watcher.Notice(session.Notice{Kind: kind, Session: session.View{ID: id}, Participant: &session.ParticipantView{Identity: who}})
	}
}

// rig is a watcher between a homeserver and a focus, in a bubble.
type rig struct {
	t     *testing.T
	hs    *matrixtest.Rooms
	w     *Watcher
	calls *calls
	log   *lines
	reg   *prometheus.Registry
}

type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var (
	testAlias = derive.Alias(room, derive.Slot, "")
	openPower = `{"users":{"` + alice + `":100},"events":{"org.matrix.msc3401.call.member":0}}`
)

// inBubble runs a script with alice, ben and carol joined to a room without encryption where all may call.
func inBubble(t *testing.T, change func(*WatcherConfig), script func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, hs: matrixtest.NewRooms("own.example"), calls: &calls{open: map[sfu.SessionID][]sfu.Identity{}}, log: &lines{}, reg: prometheus.NewRegistry()}
		r.hs.State(room, alice, "m.room.create", "", `{"room_version":"11"}`)
		r.hs.Join(room, alice, ben, carol)
		r.hs.State(room, alice, "m.room.power_levels", "", openPower)
		home, err := NewHomeserver(Config{ServerName: "own.example", InternalURL: r.hs.URL()}, asTok, Network{Names: r.hs, Dial: r.hs.Dial})
		if err != nil {
			t.Fatal(err)
		}
		table, err := policy.New(policy.Config{}, []string{"own.example"})
		if err != nil {
			t.Fatal(err)
		}
		cfg := WatcherConfig{
			Homes: []Home{{Server: "own.example", API: home, Assert: true}}, URLs: []string{"https://rtc.own.example"}, Key: testKey.ID, Policy: table, Calls: r.calls,
		}
		if change != nil {
			change(&cfg)
		}
		r.w = NewWatcher(cfg, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), r.reg)
		r.calls.watcher = r.w
		defer func() {
			r.w.Close()
			r.hs.Stop()
			synctest.Wait()
			if text := r.log.String(); strings.Contains(text, asTok) || strings.Contains(text, "eyJ") {
				t.Errorf("a token in the log:\n%s", text)
			}
			if t.Failed() {
				t.Log(r.log.String())
			}
		}()
		script(r)
	})
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func identityOf(user string) sfu.Identity {
	return derive.Identity(derive.Legacy, derive.Claim{User: user, Device: "D"})
}

// token is what a door gives the user now.
func (r *rig) token(user string) grant.Token {
	own := strings.HasSuffix(user, ":own.example") || strings.HasSuffix(user, ":our.example")
	return grant.Token{Key: testKey.ID, Grant: grant.Grant{
		Identity: identityOf(user), Session: testAlias, Join: true, Inside: session.Grant{Publish: true, PublishData: true, Subscribe: true, UpdateOwn: true},
		Seat: &grant.Seat{Room: room, Slot: derive.Slot, User: user, Device: "D", Version: int(derive.Legacy), Door: "sfu_get", Opens: own, Made: time.Now().UnixMilli()},
	}}
}

func (r *rig) admit(t grant.Token) error {
	return r.w.Admit(r.t.Context(), t)
}

// join admits users and brings them into the session.
func (r *rig) join(users ...string) {
	r.t.Helper()
	for _, u := range users {
		if err := r.admit(r.token(u)); err != nil {
			r.t.Fatalf("%s: %v", u, err)
		}
		r.arrive(identityOf(u))
	}
	r.pass(time.Second)
}

func (r *rig) arrive(id sfu.Identity) {
	r.calls.mu.Lock()
	r.calls.open[testAlias] = append(r.calls.open[testAlias], id)
	r.calls.mu.Unlock()
	r.calls.notice(session.ParticipantJoined, testAlias, id)
}

// here are the participants of the session; nil if it is over.
func (r *rig) here() string {
	r.calls.mu.Lock()
	defer r.calls.mu.Unlock()
	all, ok := r.calls.open[testAlias]
	if !ok {
		return "over"
	}
	var names []string
	for _, id := range all {
		names = append(names, strings.TrimPrefix(strings.Split(string(id), ":")[0], "@"))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (r *rig) wantHere(want string) {
	r.t.Helper()
	if got := r.here(); got != want {
		r.t.Errorf("here: %q, want %q", got, want)
	}
}

func (r *rig) wantAdmitted(t grant.Token, want error) {
	r.t.Helper()
	if err := r.admit(t); !errors.Is(err, want) || err != nil && want == nil {
		r.t.Errorf("admitted with %v, want %v", err, want)
	}
}

func (r *rig) wantSight(want string) {
	r.t.Helper()
	all := r.w.Snapshot(r.t.Context())
	if len(all) != 1 || all[0].Sight != want {
		r.t.Errorf("%d rooms, %+v; want one, %s", len(all), all, want)
	}
}

func (r *rig) metric(name, label string) float64 {
	r.t.Helper()
	return metric(r.t, r.reg, name, label)
}

// metric is the value of a gauge or counter with that label, or the only one.
func metric(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					label = ""
				}
			}
			if label == "" {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func (r *rig) wantMetric(name, label string, want float64) {
	r.t.Helper()
	if got := r.metric(name, label); got != want {
		r.t.Errorf("%s{%s} is %v, want %v", name, label, got, want)
	}
}

// wantPosted checks what the sessions were told, all but evictions of those who are not there.
func (r *rig) wantPosted(want ...string) {
	r.t.Helper()
	r.calls.mu.Lock()
	defer r.calls.mu.Unlock()
	if !slices.Equal(r.calls.posted, want) {
		r.t.Errorf("posted %q, want %q", r.calls.posted, want)
	}
}

func (r *rig) wantLog(text string) {
	r.t.Helper()
	if !strings.Contains(r.log.String(), text) {
		r.t.Errorf("no %q in the log", text)
	}
}

func (r *rig) wantRooms(n int) {
	r.t.Helper()
	if all := r.w.Snapshot(r.t.Context()); len(all) != n {
		r.t.Errorf("%d rooms are watched, want %d", len(all), n)
	}
}

func (r *rig) wantMember(user string, want bool) {
	r.t.Helper()
	here := false
	for _, room := range r.w.Snapshot(r.t.Context()) {
		for _, s := range room.Sessions {
			here = here || s.User == user && s.Here
		}
	}
	if here != want {
		r.t.Errorf("%s is here: %v", user, here)
	}
}
