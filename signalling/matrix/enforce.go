package matrix

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/member"
)

// do carries out what follows from what happened in the room (matrixrtc.md section 9).
func (v *watch) do(e member.Effect) {
	switch e := e.(type) {
	case member.Evict:
		if home := v.hearsay(e); home != nil {
			v.confirm(home, e.User)
			return
		}
		v.evict(e.User, e.Reason)
	case member.MayPublish:
		v.mayPublish(e.User, e.Allowed)
	case member.Withhold:
		v.withhold(e.Slot, e.Identity, true)
	case member.Release:
		v.withhold(e.Slot, e.Identity, false)
	case member.SlotClosing:
		v.closing[e.Slot] = true
		v.log.Info("slot closed: its session ends", "code", "slot_closing", "slot", e.Slot, "ends", e.Ends)
	case member.SlotReopened:
		delete(v.closing, e.Slot)
		v.log.Info("slot open again", "code", "slot_reopened", "slot", e.Slot)
	case member.SlotClosed:
		v.end(v.alias(e.Slot), "slot_closed")
	case member.EndSessions:
		for alias := range v.calls {
			v.end(alias, e.Reason.String())
		}
	case member.OwnGone:
		v.askOwn()
	case member.GhostFound:
		v.ghost(e.Member)
	case member.GhostGone:
		v.ghostGone(e.Key)
	case member.Unattested:
		v.log.Info("participant without membership", "code", "unattested", "slot", e.Slot, "participant", string(e.Identity), "user", e.User)
	case member.Upgraded:
		v.log.Info("room was replaced; running sessions go on", "code", "upgraded", "to", e.To)
	case member.Refused:
		v.w.metrics.ignored.Inc()
		v.log.Debug("event ignored", "code", "event_ignored", "event", e.Event, "err", e.Err)
	}
}

// evict removes a user's participants from all sessions of the room, and voids the tokens that are out. A participant
// whose connection is being made is not known here yet: it is found void when it arrives.
func (v *watch) evict(user string, why member.Reason) {
	until := time.Now()
	if at, ok := v.leaves[user]; ok && (why == member.NotJoined || v.room.Standing(user, "").Joined) {
		// It is back already, or may be: tokens it got since are good.
		until = time.UnixMilli(min(at, until.UnixMilli()))
	}
	v.w.withdraw(v.id, user, until)
	n := 0
	for alias, c := range v.calls {
		for id, s := range c.seats {
			owner := s
			if s.User == "" { // nobody's seat that we know of, or a companion's
				owner = c.seats[companionOf(id)]
				if owner == nil && v.room.UserOf(c.slot, id) == user {
					owner = &seat{}
					owner.User = user
				}
			}
			if owner == nil || owner.User != user || owner.Made > until.UnixMilli() {
				continue
			}
			if s.here && !s.out {
				n++
			}
			s.out = true
			v.evictOne(alias, id, c)
		}
	}
	v.w.metrics.evictions.WithLabelValues(why.String()).Add(float64(n))
	level := slog.LevelInfo // tokens only
	if n > 0 {
		level = slog.LevelWarn
	}
	v.log.Log(v.stopped, level, "evicted", "code", why.String(), "user", user, "participants", n)
}

// withhold keeps a participant's publications from the others, or gives them back: clients neither show nor play who is
// not a member, yet receive it. Whom a token of the operator's own let in need be none.
func (v *watch) withhold(slot string, id sfu.Identity, on bool) {
	alias := v.alias(slot)
	c := v.calls[alias]
	if c == nil || c.seats[id] == nil || c.seats[id].User == "" {
		return
	}
	code := "released"
	if on {
		code = "withheld"
	}
	v.log.Info("publications of a participant without membership", "code", code, "slot", slot, "participant", string(id), "user", c.seats[id].User)
	v.post(alias, session.Withhold{Identity: id, On: on})
	v.companions(alias, id, func(other sfu.Identity) { v.post(alias, session.Withhold{Identity: other, On: on}) })
}

// evictOne removes a participant.
func (v *watch) evictOne(alias sfu.SessionID, id sfu.Identity, c *watched) {
	v.post(alias, session.Evict{Identity: id, Reason: session.ParticipantRemoved})
	if c.seats[id].here {
		v.companions(alias, id, func(other sfu.Identity) {
			v.post(alias, session.Evict{Identity: other, Reason: session.ParticipantRemoved})
		})
	}
}

// companions finds the publish-only companions of a participant, which have no seat of their own.
func (v *watch) companions(alias sfu.SessionID, id sfu.Identity, do func(sfu.Identity)) {
	v.w.wg.Go(func() {
		ctx, cancel := context.WithTimeout(v.stopped, callTimeout)
		defer cancel()
		snap, err := v.w.cfg.Calls.Snapshot(ctx, alias)
		if err != nil {
			return // then nobody is there
		}
		for _, p := range snap.Participants {
			if strings.HasPrefix(string(p.Identity), string(id)+"#") {
				do(p.Identity)
			}
		}
	})
}

// end closes a session for all.
func (v *watch) end(alias sfu.SessionID, code string) {
	c := v.calls[alias]
	if c == nil {
		return
	}
	n := 0
	for _, s := range c.seats {
		if s.here {
			n++
		}
	}
	v.w.metrics.evictions.WithLabelValues(code).Add(float64(n))
	v.log.Warn("session ended", "code", code, "slot", c.slot, "participants", n)
	v.post(alias, session.Close{Reason: session.SessionClosed})
}

// mayPublish follows the power to send memberships: who may not say that it is there receives only.
func (v *watch) mayPublish(user string, may bool) {
	if may {
		delete(v.muted, user)
	} else {
		v.muted[user] = true
	}
	for alias, c := range v.calls {
		for id, s := range c.seats {
			if s.here && s.User == user && s.inside.Publish {
				v.update(alias, id, s, may)
			}
		}
	}
	code := "may_publish"
	if !may {
		code = "may_not_publish"
	}
	v.log.Info("power to publish changed", "code", code, "user", user)
}

// limit applies to a participant who came what was decided before.
func (v *watch) limit(alias sfu.SessionID, id sfu.Identity, s *seat) {
	if v.muted[s.User] && s.User != "" && s.inside.Publish {
		v.update(alias, id, s, false)
	}
}

func (v *watch) update(alias sfu.SessionID, id sfu.Identity, s *seat, may bool) {
	g := s.inside
	g.Publish, g.PublishData = may && g.Publish, may && g.PublishData
	v.post(alias, session.UpdateParticipant{Identity: id, Grant: &g})
}

// askOwn asks whether any own homeserver is in the room at all, before anything is ended.
func (v *watch) askOwn() {
	v.w.wg.Go(func() {
		ctx, cancel := context.WithTimeout(v.stopped, callTimeout)
		defer cancel()
		in, err := v.w.homes.present(ctx, v.id)
		if err != nil {
			// No way to ask: what was seen stands. A poll will see who is there.
			v.log.Warn("no own user is seen in the room", "code", "own_unknown", "err", err)
			return
		}
		v.send(member.OwnServer{Joined: in})
	})
}

// RoomSnapshot is one watched room.
type RoomSnapshot struct {
	member.Snapshot
	Sight    string
	Sessions []SeatSnapshot
	Ghosts   []member.Key
}

// SeatSnapshot is one record of a door.
type SeatSnapshot struct {
	Session  sfu.SessionID
	Slot     string
	Identity sfu.Identity
	User     string
	Device   string
	Member   string
	Door     string
	Here     bool
}

func (v *watch) picture() RoomSnapshot {
	r := RoomSnapshot{Snapshot: v.room.Snapshot(), Sight: v.sight.String()}
	for alias, c := range v.calls {
		for id, s := range c.seats {
			r.Sessions = append(r.Sessions, SeatSnapshot{
				Session: alias, Slot: c.slot, Identity: id, User: s.User, Device: s.Device, Member: s.Member, Door: s.Door, Here: s.here,
			})
		}
	}
	slices.SortFunc(r.Sessions, func(a, b SeatSnapshot) int {
		return strings.Compare(string(a.Session)+string(a.Identity), string(b.Session)+string(b.Identity))
	})
	for k := range v.ghosts {
		r.Ghosts = append(r.Ghosts, k)
	}
	slices.SortFunc(r.Ghosts, func(a, b member.Key) int { return strings.Compare(a.User+a.Key, b.User+b.Key) })
	return r
}

// Snapshot is what is known of all watched rooms, sorted.
func (w *Watcher) Snapshot(ctx context.Context) []RoomSnapshot {
	w.mu.Lock()
	var asked []pictureOf
	for _, v := range w.rooms {
		q := pictureOf{reply: make(chan RoomSnapshot, 1)}
		if v.put(q) {
			asked = append(asked, q)
		}
	}
	w.mu.Unlock()
	var all []RoomSnapshot
	for _, q := range asked {
		select {
		case r := <-q.reply:
			all = append(all, r)
		case <-w.ctx.Done():
			return all
		case <-ctx.Done():
			return all
		}
	}
	slices.SortFunc(all, func(a, b RoomSnapshot) int { return strings.Compare(a.Room, b.Room) })
	return all
}
