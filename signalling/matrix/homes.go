package matrix

import (
	"context"
	"errors"
	"time"

	"weir/signalling/member"
)

// Home is one of the operator's homeservers, and what it lets this focus do there.
type Home struct {
	// Server is its name, the part of its users' ids after the colon.
	Server string
	// API is its client API with the token of the application service or of the bot.
	API *Homeserver
	// Assert permits to stand in for its users: to read rooms in their names, to clear their ghosts, to send their leaves.
	Assert bool
	// Bot says that API's token is that of a bot: it sees the rooms that it was invited to.
	Bot bool
	// Push says that the homeserver sends events by itself, to Pushed.
	Push bool
}

// homes are the operator's homeservers, each of which answers for its own users. A room is on all of them that have a user
// in it; one that has none knows nothing of the room.
type homes []*lookup

func newHomes(all []Home) homes {
	var hs homes
	for _, h := range all {
		hs = append(hs, newLookup(h.API, h.Server, h.Assert, h.Bot, h.Push))
	}
	return hs
}

// of is the homeserver of a user; nil: it is none of ours.
func (hs homes) of(user string) *lookup {
	server := member.ServerOf(user)
	for _, l := range hs {
		if l.own == server {
			return l
		}
	}
	return nil
}

// actsAs is the homeserver of a user for whom we may stand in; nil: we may not.
func (hs homes) actsAs(user string) *lookup {
	if l := hs.of(user); l != nil && l.assert && !l.bot {
		return l
	}
	return nil
}

// names are the servers whose users are ours.
func (hs homes) names() []string {
	var names []string
	for _, l := range hs {
		names = append(names, l.own)
	}
	return names
}

// joined asks whether a user is in a room, or remembers that it was a moment ago.
func (hs homes) joined(ctx context.Context, room, user string) (bool, error) {
	return hs.any(user, func(l *lookup) (bool, error) { return l.joined(ctx, room, user) })
}

// ask asks whether a user is in a room.
func (hs homes) ask(ctx context.Context, room, user string) (bool, error) {
	return hs.any(user, func(l *lookup) (bool, error) { return l.ask(ctx, room, user) })
}

// server asks whether any user of a server is in a room.
func (hs homes) server(ctx context.Context, room, server string) (bool, error) {
	return hs.any("@:"+server, func(l *lookup) (bool, error) { return l.server(ctx, room, server) })
}

// present asks whether any of our homeservers is in a room.
func (hs homes) present(ctx context.Context, room string) (bool, error) {
	return hs.any("", func(l *lookup) (bool, error) { return l.server(ctx, room, l.own) })
}

// any asks the user's own homeserver, whose word counts alone: the others learn of its users' comings later, and only of
// those in rooms that they are in. Of anybody else one that is in the room knows; that none says yes is a no only if all
// of them answered.
func (hs homes) any(user string, ask func(*lookup) (bool, error)) (bool, error) {
	if l := hs.of(user); l != nil {
		return ask(l)
	}
	if len(hs) == 0 {
		return false, errBlind
	}
	var failed error
	for _, l := range hs {
		in, err := ask(l)
		if err == nil && in {
			return true, nil
		}
		failed = errors.Join(failed, err)
	}
	return false, failed
}

// forget is for when somebody is seen to leave.
func (hs homes) forget(room, user string) {
	for _, l := range hs {
		l.forget(room, user)
	}
}

// level is how much is known of rooms (matrixrtc.md section 10) where it is least: 0 nothing, 1 as a bot, 2 on demand,
// 3 by pushed events.
func (hs homes) level() int {
	least := 3
	for _, l := range hs {
		switch {
		case l.bot:
			least = min(least, 1)
		case !l.push:
			least = min(least, 2)
		}
	}
	if len(hs) == 0 {
		return 0
	}
	return least
}

// reader is who reads a room for us: a user of one of our homeservers, or its bot.
type reader struct {
	home *lookup
	as   string // empty: the bot
}

// key tells readers apart.
func (r reader) key() string {
	if r.as == "" {
		return r.home.own
	}
	return r.as
}

// readers are those who may read a room for us, the best first: users, then bots.
func (hs homes) readers(users []string) []reader {
	var all []reader
	for _, u := range users {
		if l := hs.actsAs(u); l != nil {
			all = append(all, reader{l, u})
		}
	}
	for _, l := range hs {
		if l.bot {
			all = append(all, reader{l, ""})
		}
	}
	return all
}

// hearsay says whose word is missing on an eviction: the room is read at one homeserver, and another's user is not known
// there. That one came may not have been heard of yet. Nil: nobody's.
func (v *watch) hearsay(e member.Evict) *lookup {
	at, home := v.reads.Load(), v.w.homes.of(e.User)
	if e.Reason != member.NotJoined || at == nil || home == at {
		return nil
	}
	return home
}

// confirm asks the user's own homeserver. While it does not answer the user stays.
func (v *watch) confirm(home *lookup, user string) {
	v.w.wg.Go(func() {
		ctx, cancel := context.WithTimeout(v.stopped, callTimeout)
		defer cancel()
		began := time.Now()
		in, err := home.ask(ctx, v.id, user)
		v.send(confirmed{user, in || err != nil, began})
	})
}

// confirmed evicts a user, or vouches for it as a door did.
func (v *watch) confirmed(m confirmed) {
	if !m.in {
		v.leaves = map[string]int64{m.user: m.at.UnixMilli()}
		v.evict(m.user, member.NotJoined)
		return
	}
	for _, c := range v.calls {
		for id, s := range c.seats {
			if s.User == m.user && s.here && !s.out {
				v.apply(member.Record{Slot: s.Slot, Identity: id, User: s.User, Device: s.Device, Member: s.Member, Door: s.Door})
			}
		}
	}
}
