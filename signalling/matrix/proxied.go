package matrix

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix/federation"

	"weir/signalling/policy"
)

// The headers in which the homeserver says for whom it asks (MSC4512). Only a request that is the homeserver's own may
// carry them.
const (
	headerUser   = "X-Matrix-User-Identifier"
	headerOrigin = "X-Matrix-Origin"
)

// Proxied are doors 3 and 4: the requests of its users, and of other homeservers, that the own homeserver has
// authenticated and passes on. It shares all else with the other doors.
type Proxied struct {
	doors   *Doors
	own     string // server name
	token   [sha256.Size]byte
	trust   bool // the header alone is enough: nobody but the homeserver reaches the listener
	servers Servers
	relay   Relay
}

// Servers knows which homeservers are in which room.
type Servers interface {
	ServerJoined(ctx context.Context, room, server string) (bool, error)
}

// ProxiedConfig is what doors 3 and 4 work with.
type ProxiedConfig struct {
	Own     string // server name
	HSToken string
	// HeaderOnly takes a request without HSToken, for a listener that only the homeserver reaches.
	HeaderOnly bool
	Servers    Servers
	Relay      Relay
}

// NewProxied makes doors 3 and 4 beside doors 1 and 2.
func NewProxied(c ProxiedConfig, d *Doors) *Proxied {
	return &Proxied{doors: d, own: c.Own, token: sha256.Sum256([]byte(c.HSToken)), trust: c.HeaderOnly, servers: c.Servers, relay: c.Relay}
}

// proxiedDoors are the doors by what follows the version in their paths.
var proxiedDoors = map[string]string{
	"client/get_token": "client_get_token", "client/delegate_delayed_leave": "client_delegate", "federation/get_token": "federation_get_token",
}

// proxiedDoor finds a door; "" if the path is below the prefix and no door. Both spellings of MSC4195's version count.
func proxiedDoor(path string) (door string, below bool) {
	for _, api := range []string{"client", "federation"} {
		for _, version := range []string{"v1", "unstable/io.element.msc4195"} {
			prefix := "/_matrix/" + api + "/" + version + "/" + proxyPrefix + "/"
			if rest, ok := strings.CutPrefix(path, prefix); ok {
				return proxiedDoors[api+"/"+rest], true
			}
		}
	}
	return "", false
}

// ServesProxied says whether a path is one that homeservers pass on.
func ServesProxied(path string) bool {
	_, below := proxiedDoor(path)
	return below
}

func (p *Proxied) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	door, below := proxiedDoor(r.URL.Path)
	bad := p.authenticate(r)
	switch {
	case !below:
		door, bad = "proxied", unrecognised
	case door == "":
		door = "proxied"
		if bad == nil {
			bad = unrecognised
		}
	case bad == nil && r.Method != http.MethodPost:
		bad = wrongMethod
	}
	if bad != nil {
		p.doors.requests.WithLabelValues(door, bad.code).Inc()
		p.doors.refused(r, door, nil, bad)
		bad.write(w)
		return
	}
	if door == "federation_get_token" {
		p.federation(w, r, door)
		return
	}
	p.client(w, r, door)
}

// authenticate makes sure that the homeserver is asking. A header that names a user proves nothing by itself: whoever
// reaches the listener can write one.
func (p *Proxied) authenticate(r *http.Request) *refusal {
	if p.trust {
		return nil
	}
	all := r.Header.Values("Authorization")
	if len(all) == 0 {
		return missingToken
	}
	scheme, token, _ := strings.Cut(all[0], " ")
	token = strings.TrimSpace(token)
	sum := sha256.Sum256([]byte(token))
	if len(all) > 1 || token == "" || !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], p.token[:]) != 1 {
		return unknownToken
	}
	return nil
}

// identity is the one value of an identity header.
func identity(r *http.Request, header string) (string, *refusal) {
	switch all := r.Header.Values(header); {
	case len(all) == 0 || len(all) == 1 && all[0] == "":
		return "", noIdentity
	case len(all) > 1:
		return "", invalid("identity", "%s is given more than once", header)
	default:
		return all[0], nil
	}
}

// client is door 3: a user of the own homeserver.
func (p *Proxied) client(w http.ResponseWriter, r *http.Request, door string) {
	var q *request
	var b *proxiedBody
	user, bad := identity(r, headerUser)
	if bad == nil && checkSubject(user, p.own) != nil {
		bad = invalid("identity", "%s is no user of this homeserver", headerUser)
	}
	if bad == nil {
		b, bad = readProxied(w, r)
	}
	if bad == nil {
		q = b.request(user, p.own)
		q.leaveOnly = door == "client_delegate"
		bad = p.local(b, q)
	}
	if bad == nil && p.foreign(b) {
		p.pass(w, r, door, b, q)
		return
	}
	if bad == nil && q.leaveOnly {
		bad = p.leave(r.Context(), b, q)
	}
	if bad == nil && p.doors.rooms == nil {
		bad = lookupFailed.because(errors.New("membership is not known"))
	}
	p.doors.conclude(w, r, door, q, bad)
}

// local checks what needs no look-up at door 3.
func (p *Proxied) local(b *proxiedBody, q *request) *refusal {
	if p.foreign(b) {
		if q.leaveOnly {
			return invalid("server_name", "`server_name` is another server: a leave is taken over by the user's own")
		}
		if _, _, ok := federation.ParseServerName(*b.Server); !ok || len(*b.Server) > maxID {
			return invalid("server_name", "`server_name` is no server name")
		}
	} else if bad := p.ours(b); bad != nil {
		return bad
	}
	return p.doors.open(q)
}

// foreign says whether another server's focus is meant: this one is that of all our homeservers.
func (p *Proxied) foreign(b *proxiedBody) bool {
	return b.foreign(p.own) && !p.doors.table.Own(*b.Server)
}

// Vouched says whether a request shows this homeserver's token. It tells several homeservers apart that come by one port.
func (p *Proxied) Vouched(r *http.Request) bool { return p.authenticate(r) == nil }

// ours checks that the focus meant is this one. Clients add or leave out a trailing slash.
func (p *Proxied) ours(b *proxiedBody) *refusal {
	if b.URL != nil && strings.TrimSuffix(*b.URL, "/") != strings.TrimSuffix(p.doors.url, "/") {
		return invalid("foreign_url", "`url` is no focus of this server")
	}
	return nil
}

// leave finds out what the homeserver knows of a leave that is to be taken over.
func (p *Proxied) leave(ctx context.Context, b *proxiedBody, q *request) *refusal {
	if p.doors.leaves == nil {
		return notHere
	}
	if bad := checkDelayID(b.DelayID); bad != nil {
		return bad
	}
	room, timeout, err := p.doors.leaves.Find(ctx, q.claim.User, b.DelayID)
	switch {
	case errors.Is(err, ErrUnknownLeave):
		return invalid("unknown_leave", "`delay_id` is no delayed event of this user")
	case err != nil:
		return lookupFailed.because(err)
	case room != q.room:
		return invalid("unknown_leave", "`delay_id` is of another room")
	case timeout < minDelay:
		return badJSON("the delayed event is due too soon to be kept alive")
	}
	q.delay = delay{id: b.DelayID, timeout: timeout}
	return nil
}

// minDelay is the shortest delay that can be kept up: it is restarted every 5 s at most.
const minDelay = 10 * time.Second

// federation is door 4: a user of another homeserver, for whom that homeserver asks.
func (p *Proxied) federation(w http.ResponseWriter, r *http.Request, door string) {
	var q *request
	var b *proxiedBody
	origin, bad := identity(r, headerOrigin)
	if bad == nil {
		if _, _, ok := federation.ParseServerName(origin); !ok || len(origin) > maxID {
			bad = invalid("identity", "%s is no server name", headerOrigin)
		}
	}
	if bad == nil {
		b, bad = readProxied(w, r)
	}
	if bad == nil {
		bad = checkFields(field{"user_id", b.User, false})
	}
	if bad == nil {
		q = b.request(b.User, origin)
		bad = p.remote(r.Context(), b, q)
	}
	p.doors.conclude(w, r, door, q, bad)
}

// remote checks what is special to users of others: their homeserver speaks for its own users only, and both it and
// ours must be in the room.
func (p *Proxied) remote(ctx context.Context, b *proxiedBody, q *request) *refusal {
	if _, at, ok := strings.Cut(b.User, ":"); !ok || checkSubject(b.User, at) != nil {
		return invalid("user_id", "`user_id` is no user id")
	} else if at != q.server {
		return notVouched
	}
	if bad := p.ours(b); bad != nil {
		return bad
	}
	if bad := p.doors.open(q); bad != nil {
		return bad
	}
	// The policy before any question to the homeserver: who is denied costs nothing.
	if p.doors.table.Judge(q.claim.User, q.server, q.room).Action == policy.Deny {
		return notAllowed
	}
	for _, server := range []string{p.own, q.server} {
		switch in, err := p.servers.ServerJoined(ctx, q.room, server); {
		case err != nil:
			return lookupFailed.because(err)
		case !in:
			return notJoined
		}
	}
	if p.doors.rooms == nil {
		return lookupFailed.because(errors.New("membership is not known"))
	}
	return nil
}
