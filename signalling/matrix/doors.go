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

// Doors hands out tokens over HTTP. It keeps no state of calls: a token that was handed out is not remembered.
type Doors struct {
	url      string    // the focus's WebSocket URL, as clients get it
	key      grant.Key // signs the tokens
	table    *policy.Table
	caller   Identifier
	sessions Sessions
	rooms    Rooms  // nil: without access to the homeserver nobody's membership is known (matrixrtc.md section 10, level 0)
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
	Leaves   Leaves // nil: delayed leaves are not taken over
	// Health answers GET and HEAD of /healthz; nil: 200 until the doors drain.
	Health http.Handler
}

// NewDoors makes the doors.
func NewDoors(c DoorConfig, log *slog.Logger, reg prometheus.Registerer) *Doors {
	d := &Doors{
		url: c.URL, key: c.Key, table: c.Policy, caller: c.Caller, sessions: c.Sessions, rooms: c.Rooms, leaves: c.Leaves, healthy: c.Health, log: log,
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
		token, bad = d.mint(q, v)
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
	case err != nil:
		return lookupFailed.because(err)
	case !in:
		return notJoined
	}
	return nil
}

// mint opens the session if the user may, and makes the token.
func (d *Doors) mint(q *request, v policy.Verdict) (string, *refusal) {
	alias := derive.Alias(q.room, q.slot, "")
	if v.Action >= policy.Allow {
		// An unlimited session that closes 300 s after it was opened in vain, and 20 s after the last one left.
		cfg := session.Config{EmptyTimeout: 300, DepartureTimeout: 20, MaxParticipants: v.MaxParticipants}
		if _, err := d.sessions.Open(alias, cfg); err != nil {
			return "", internal.because(err)
		}
	}
	publish := v.Action >= policy.Publish
	token, err := grant.Mint(grant.Grant{
		Identity: derive.Identity(q.version, q.claim), Session: alias, Join: true,
		Inside: session.Grant{Publish: publish, PublishData: publish, Subscribe: true, UpdateOwn: true},
	}, d.key, time.Now(), tokenLife)
	if err != nil {
		return "", internal.because(err)
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
