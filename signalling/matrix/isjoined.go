package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/signalling/member"
)

// errBlind says that the homeserver cannot tell, or we cannot ask it.
var errBlind = errors.New("the homeserver does not tell who is in this room")

const (
	// joinedLife is for how long somebody who was in a room is taken to be still: a client asks for its token and joins
	// within it, and an eviction is not late by more. That somebody is not in a room is not remembered at all.
	joinedLife = 2 * time.Second
	// maxRemembered bounds that memory.
	maxRemembered = 8192
	// probeAgain is how long a homeserver is taken to be too old for MSC4502.
	probeAgain = 10 * time.Minute
)

// lookup asks one homeserver who is in which room, whether a call is on there or not. Safe for use by many goroutines.
type lookup struct {
	home *Homeserver
	own  string // server name
	// assert permits to stand in for own users; bot says that the token is a bot's, which sees the rooms it is in.
	assert, bot bool
	push        bool         // it sends events by itself
	unknown     atomic.Int64 // when the homeserver said that it has no MSC4502, ns; 0: it never did

	mu   sync.Mutex // guards seen
	seen map[[2]string]time.Time
}

func newLookup(h *Homeserver, own string, assert, bot, push bool) *lookup {
	return &lookup{home: h, own: own, assert: assert, bot: bot, push: push, seen: map[[2]string]time.Time{}}
}

// joined asks whether a user is in a room. errBlind if there is no way to know.
func (l *lookup) joined(ctx context.Context, room, user string) (bool, error) {
	if l.remembers(room, user, time.Now()) {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in, err := l.ask(ctx, room, user)
	if in && err == nil {
		l.remember(room, user, time.Now())
	}
	return in, err
}

func (l *lookup) ask(ctx context.Context, room, user string) (bool, error) {
	if l.asks() {
		in, err := l.isJoined(ctx, room, url.Values{"mxid": {user}})
		if !errors.Is(err, errBlind) {
			return in, err
		}
	}
	as := ""
	switch {
	case l.bot:
	case l.assert && member.ServerOf(user) == l.own:
		as = user // who is in the room may see who else is
	default:
		return false, errBlind
	}
	users, err := l.members(ctx, room, as)
	if r, ok := errors.AsType[*Refused](err); ok && r.Status == http.StatusForbidden {
		if l.bot {
			return false, errBlind
		}
		return false, nil
	}
	return slices.Contains(users, user), err
}

// server asks whether any user of a server is in a room.
func (l *lookup) server(ctx context.Context, room, server string) (bool, error) {
	if !l.asks() {
		return false, errBlind
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.isJoined(ctx, room, url.Values{"server_name": {server}})
}

// asks says whether MSC4502 is worth a try: a homeserver may learn it with its next version.
func (l *lookup) asks() bool {
	since := l.unknown.Load()
	return !l.bot && (since == 0 || time.Since(time.Unix(0, since)) > probeAgain)
}

// isJoined is MSC4502.
func (l *lookup) isJoined(ctx context.Context, room string, who url.Values) (bool, error) {
	var answer struct {
		Joined *bool `json:"joined"`
	}
	err := l.home.do(ctx, call{
		method: http.MethodGet, path: "/_matrix/client/unstable/io.element.msc4502/rooms/" + escape(room) + "/is_joined",
		query: who, into: &answer,
	})
	switch r, refused := errors.AsType[*Refused](err); {
	case refused && (r.Code == "M_UNRECOGNIZED" || r.Code == "" && r.Status == http.StatusNotFound || r.Status == http.StatusMethodNotAllowed ||
		r.Status == http.StatusForbidden):
		l.unknown.Store(time.Now().UnixNano()) // it does not have this, or the registration lacks the scope for it
		return false, errBlind
	case refused && r.Status == http.StatusBadRequest, refused && r.Status == http.StatusNotFound:
		return false, nil // no id of a room: nobody is in it. To take this for silence would let everybody in.
	}
	if err == nil && answer.Joined == nil {
		err = errBlind
	}
	return err == nil && *answer.Joined, err
}

// members lists who is in a room, as somebody in it sees it.
func (l *lookup) members(ctx context.Context, room, as string) ([]string, error) {
	var answer struct {
		Joined map[string]json.RawMessage `json:"joined"`
	}
	err := l.home.do(ctx, call{
		method: http.MethodGet, path: "/_matrix/client/v3/rooms/" + escape(room) + "/joined_members", as: as, into: &answer, limit: maxList,
	})
	if err != nil {
		return nil, err
	}
	users := make([]string, 0, len(answer.Joined))
	for u := range answer.Joined {
		users = append(users, u)
	}
	slices.Sort(users)
	return users, nil
}

func (l *lookup) remembers(room, user string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.seen[[2]string{room, user}]
	return ok && now.Sub(at) < joinedLife
}

func (l *lookup) remember(room, user string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) >= maxRemembered {
		for k, at := range l.seen {
			if now.Sub(at) >= joinedLife {
				delete(l.seen, k)
			}
		}
		if len(l.seen) >= maxRemembered {
			return
		}
	}
	l.seen[[2]string{room, user}] = now
}

// forget is for when somebody is seen to leave.
func (l *lookup) forget(room, user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, [2]string{room, user})
}
