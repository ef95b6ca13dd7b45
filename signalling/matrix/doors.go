package matrix

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/derive"
	"weir/signalling/grant"
	"weir/signalling/policy"
)

// tokenLife is how long a token from a door is good for (matrixrtc.md section 2.4).
const tokenLife = time.Hour

// maxAsking bounds how many homeservers are asked at once; above it callers are told to come back.
const maxAsking = 256

// Identifier tells who a caller is; *Verifier is one.
type Identifier interface {
	// Subject asks server whose OpenID token it is.
	Subject(ctx context.Context, server, token string) (user string, err error)
}

// Sessions opens sessions; opening one that is open is no error.
type Sessions interface {
	Open(id sfu.SessionID, cfg session.Config) (session.View, error)
}

// Rooms knows who is in which room.
type Rooms interface {
	Joined(ctx context.Context, room, user string) (bool, error)
}

// Seats is told for whom tokens are made, and knows more of rooms with an open session; *Watcher is one.
type Seats interface {
	// Standing is how a user stands to a slot, without asking anybody; ok is false if nothing is known.
	Standing(ctx context.Context, room, slot, user string) (st Standing, ok bool)
	// Seated is told whose seat an identity of an open session is.
	Seated(alias sfu.SessionID, identity sfu.Identity, s grant.Seat, inside session.Grant)
}

// Doors hands out tokens over HTTP. It keeps no state of calls: a token that was handed out is not remembered.
type Doors struct {
	url      string    // the focus's WebSocket URL, as clients get it
	key      grant.Key // signs the tokens
	table    *policy.Table
	caller   Identifier
	sessions Sessions
	rooms    Rooms  // nil: without access to the homeserver nobody's membership is known (matrixrtc.md section 10, level 0)
	seats    Seats  // nil: rooms are not watched
	leaves   Leaves // nil: not offered
	healthy  http.Handler
	log      *slog.Logger

	asking   chan struct{} // a place per homeserver being asked
	draining atomic.Bool
	requests *prometheus.CounterVec
	asked    prometheus.Histogram

	mu      sync.Mutex // guards the budgets
	perIP   *policy.Budget
	perUser *policy.Budget
}

// DoorConfig is what the doors work with.
type DoorConfig struct {
	URL      string    // the focus's WebSocket URL, handed out as it stands
	Key      grant.Key // signs the tokens
	Policy   *policy.Table
	Rate     policy.Rate
	Caller   Identifier
	Sessions Sessions
	Rooms    Rooms  // nil: membership is not looked up
	Seats    Seats  // nil: rooms are not watched
	Leaves   Leaves // nil: delayed leaves are not taken over
	// Health answers GET and HEAD of /healthz; nil: 200 until the doors drain.
	Health http.Handler
}

// NewDoors makes the doors.
func NewDoors(c DoorConfig, log *slog.Logger, reg prometheus.Registerer) *Doors {
	d := &Doors{
		url: c.URL, key: c.Key, table: c.Policy, caller: c.Caller, sessions: c.Sessions, rooms: c.Rooms, seats: c.Seats, leaves: c.Leaves, healthy: c.Health, log: log,
		asking: make(chan struct{}, maxAsking), perIP: c.Rate.PerIP(), perUser: c.Rate.PerUser(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_token_requests_total", Help: "Requests at the token doors, by what came of them.",
		}, []string{"door", "outcome"}),
		asked: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_openid_seconds", Help: "Time to have a homeserver verify an OpenID token, look-ups included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
	reg.MustRegister(d.requests, d.asked)
	return d
}

// Drain refuses all further tokens.
func (d *Doors) Drain() { d.draining.Store(true) }

// Serves says whether path, without prefix and doubled slashes, is a door.
func Serves(path string) bool {
	switch path {
	case "/sfu/get", "/get_token", "/delegate_delayed_leave", "/healthz":
		return true
	}
	return false
}

// ServeHTTP serves the doors at the root; r.RemoteAddr is the caller's address.
func (d *Doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", "Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token")
	if r.URL.Path == "/healthz" {
		d.health(w, r)
		return
	}
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		w.WriteHeader(http.StatusOK)
		return
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/sfu/get":
		d.serve(w, r, "sfu_get", readSFUGet)
	case "/get_token":
		d.serve(w, r, "get_token", readGetToken)
	default:
		if d.leaves == nil {
			// Clients probe this door and read 404 as "no": they keep their leave alive by themselves.
			notHere.write(w)
			return
		}
		d.serve(w, r, "delegate", readDelegate)
	}
}

func (d *Doors) health(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case d.healthy != nil:
		d.healthy.ServeHTTP(w, r)
	case d.draining.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// answer is what a door gives.
type answer struct {
	URL string `json:"url"`
	JWT string `json:"jwt"`
}

func (d *Doors) serve(w http.ResponseWriter, r *http.Request, door string, read func(http.ResponseWriter, *http.Request) (*request, *refusal)) {
	q, bad := read(w, r)
	if bad == nil {
		bad = d.admit(r, q)
	}
	d.conclude(w, r, door, q, bad)
}

// conclude gives what was asked for, or the refusal, with a line in the log for either.
func (d *Doors) conclude(w http.ResponseWriter, r *http.Request, door string, q *request, bad *refusal) {
	var v policy.Verdict
	var token string
	if bad == nil {
		v, bad = d.allowed(r.Context(), q)
	}
	if bad == nil && !q.leaveOnly {
		token, bad = d.mint(door, q, v)
	}
	if bad == nil {
		bad = d.delegate(q)
	}
	if bad != nil {
		d.requests.WithLabelValues(door, bad.code).Inc()
		d.refused(r, door, q, bad)
		bad.write(w)
		return
	}
	outcome := "token"
	if q.leaveOnly {
		outcome = "delegated"
	}
	d.requests.WithLabelValues(door, outcome).Inc()
	d.log.Info(outcome, "door", door, "code", outcome, "user", q.claim.User, "room_id", q.room, "slot", q.slot, "device", q.claim.Device,
		"member", q.claim.Member, "may", v.Action.String(), "rule", v.Rule, "leave", q.delay.id != "", "ip", r.RemoteAddr)
	if q.leaveOnly {
		writeJSON(w, http.StatusOK, struct{}{})
		return
	}
	writeJSON(w, http.StatusOK, answer{URL: d.url, JWT: token})
}

func (d *Doors) refused(r *http.Request, door string, q *request, bad *refusal) {
	args := []any{"door", door, "code", bad.code, "status", bad.status, "ip", r.RemoteAddr}
	if q != nil {
		args = append(args, "server", q.server, "room_id", q.room)
		if q.claim.User != "" {
			args = append(args, "user", q.claim.User)
		}
	}
	if bad.cause != nil {
		args = append(args, "err", bad.cause)
	}
	d.log.Warn("token refused", args...)
}

// admit takes the first steps of matrixrtc.md section 2.4, in that order: what is cheap and asks nobody comes first. It
// leaves the verified user in the request.
func (d *Doors) admit(r *http.Request, q *request) *refusal {
	if wait := d.take(d.perIP, addressKey(r.RemoteAddr)); wait > 0 {
		return limited(wait, "ip_rate")
	}
	if bad := d.open(q); bad != nil {
		return bad
	}
	if bad := d.delegation(q); bad != nil {
		return bad
	}
	return d.identify(r.Context(), q)
}

// open refuses what needs no look at the user.
func (d *Doors) open(q *request) *refusal {
	switch {
	case d.draining.Load():
		return draining
	case d.table.Refused(q.server, q.room):
		return notAllowed
	}
	return nil
}

// allowed takes the steps between knowing the user and giving the token.
func (d *Doors) allowed(ctx context.Context, q *request) (policy.Verdict, *refusal) {
	v := d.table.Judge(q.claim.User, q.server, q.room)
	if v.Action == policy.Deny {
		return v, notAllowed
	}
	if bad := d.joined(ctx, q); bad != nil {
		return v, bad
	}
	if bad := d.stands(ctx, q, &v); bad != nil {
		return v, bad
	}
	if wait := d.take(d.perUser, q.claim.User); wait > 0 {
		return v, limited(wait, "user_rate")
	}
	return v, nil
}

// delegation refuses what is not offered, before the homeserver is asked: the caller tries again without.
func (d *Doors) delegation(q *request) *refusal {
	switch {
	case q.delay.id == "":
		return nil
	case !d.table.Own(q.server) && q.leaveOnly:
		return foreignLeave
	case !d.table.Own(q.server):
		return foreignDelay
	case d.leaves == nil:
		return noDelegation
	}
	return nil
}

// identify has the homeserver say who the caller is.
func (d *Doors) identify(ctx context.Context, q *request) *refusal {
	select {
	case d.asking <- struct{}{}:
		defer func() { <-d.asking }()
	default:
		return limited(time.Second, "busy")
	}
	start := time.Now()
	user, err := d.caller.Subject(ctx, q.server, q.token)
	d.asked.Observe(time.Since(start).Seconds())
	switch {
	case err != nil:
		return unauthorised.because(err)
	case q.claim.User != "" && q.claim.User != user:
		return impostor.because(errors.New("the token is another user's"))
	}
	q.claim.User = user
	return nil
}

func (d *Doors) joined(ctx context.Context, q *request) *refusal {
	if d.rooms == nil {
		return nil
	}
	switch in, err := d.rooms.Joined(ctx, q.room, q.claim.User); {
	case err != nil && q.token != "" && d.table.Blind(q.server): // at doors 1 and 2 (matrixrtc.md section 9)
		d.log.Warn("membership not known: let in by policy.when_blind", "code", "blind", "user", q.claim.User, "room_id", q.room, "err", err)
	case err != nil:
		return lookupFailed.because(err)
	case !in:
		return notJoined
	}
	return nil
}

// stands takes into account what else is known of a room with an open session. Who has no power to say that it is there
// receives only.
func (d *Doors) stands(ctx context.Context, q *request, v *policy.Verdict) *refusal {
	if d.seats == nil {
		return nil
	}
	st, ok := d.seats.Standing(ctx, q.room, q.slot, q.claim.User)
	switch {
	case !ok:
		return nil
	case st.Denied:
		return deniedServer
	case st.Closing:
		return slotClosed
	case st.Known && !st.MayPublish():
		v.Action = min(v.Action, policy.Subscribe)
	}
	return nil
}

// mint opens the session if the user may, and makes the token.
func (d *Doors) mint(door string, q *request, v policy.Verdict) (string, *refusal) {
	now := time.Now()
	alias, identity := derive.Alias(q.room, q.slot, ""), derive.Identity(q.version, q.claim)
	publish := v.Action >= policy.Publish
	g := grant.Grant{
		Identity: identity, Session: alias, Join: true,
		Inside: session.Grant{Publish: publish, PublishData: publish, Subscribe: true, UpdateOwn: true},
		Seat: &grant.Seat{
			Room: q.room, Slot: q.slot, User: q.claim.User, Device: q.claim.Device, Member: q.claim.Member, Version: int(q.version),
			Door: door, Opens: v.Action >= policy.Allow, MaxParticipants: v.MaxParticipants, Made: now.UnixMilli(),
		},
	}
	token, err := grant.Mint(g, d.key, now, tokenLife)
	if err != nil {
		return "", internal.because(err)
	}
	if !g.Seat.Opens {
		return token, nil
	}
	if _, err := d.sessions.Open(alias, seatConfig(v.MaxParticipants)); err != nil {
		return "", internal.because(err)
	}
	if d.seats != nil {
		d.seats.Seated(alias, identity, *g.Seat, g.Inside)
	}
	return token, nil
}

func (d *Doors) take(b *policy.Budget, key string) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return b.Take(time.Now(), key)
}

// addressKey is whose purse an address draws on: an IPv6 host has a whole /64 to itself (RFC 6177).
func addressKey(remote string) string {
	host := remote
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		host = ap.Addr().String()
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return host
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64)
		return p.String()
	}
	return a.String()
}
