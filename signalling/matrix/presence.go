package matrix

import (
	"context"
	"errors"
	"slices"
	"strings"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/member"
)

// seat notes whose seat an identity is.
func (v *watch) seat(m seated) {
	c := v.calls[m.alias]
	if c == nil {
		c = &watched{slot: m.seat.Slot, seats: map[sfu.Identity]*seat{}}
		v.calls[m.alias] = c
	}
	s := c.seats[m.identity]
	if s == nil {
		c.makeRoom()
		s = &seat{}
		c.seats[m.identity] = s
	}
	s.Seat, s.inside, s.out = m.seat, m.inside, false
	v.apply(member.Record{
		Slot: m.seat.Slot, Identity: m.identity, User: m.seat.User, Device: m.seat.Device, Member: m.seat.Member, Door: m.seat.Door,
	})
	if s.here {
		v.limit(m.alias, m.identity, s)
	}
}

// makeRoom forgets absent participants if there are too many seats.
func (c *watched) makeRoom() {
	if len(c.seats) < maxSeats {
		return
	}
	for id, s := range c.seats {
		if !s.here {
			delete(c.seats, id)
		}
	}
}

// present notes that a participant came or went.
func (v *watch) present(alias sfu.SessionID, id sfu.Identity, here bool) {
	c := v.calls[alias]
	if c == nil {
		return
	}
	s := c.seats[id]
	if s == nil {
		if !here || strings.Contains(string(id), "#") && c.seats[companionOf(id)] != nil {
			return // a publish-only companion: it stands and falls with its participant
		}
		s = &seat{}
		c.seats[id] = s
	}
	was := s.here
	s.here = here
	switch {
	case here && s.User != "" && v.w.void(&s.Seat):
		// It was let in while it was being evicted.
		v.post(alias, session.Evict{Identity: id, Reason: session.ParticipantRemoved})
	case here && !was:
		v.apply(member.Arrived{Slot: c.slot, Identity: id})
		v.limit(alias, id, s)
	case !here && was:
		v.apply(member.Departed{Slot: c.slot, Identity: id})
	}
	if !here && s.User == "" {
		delete(c.seats, id)
	}
}

// companionOf is the participant that a publish-only companion belongs to.
func companionOf(id sfu.Identity) sfu.Identity {
	i := strings.LastIndexByte(string(id), '#')
	return id[:max(i, 0)]
}

func (v *watch) finish(alias sfu.SessionID) {
	c := v.calls[alias]
	if c == nil {
		return
	}
	for id, s := range c.seats {
		if s.here {
			v.apply(member.Departed{Slot: c.slot, Identity: id})
		}
	}
	delete(v.calls, alias)
}

// lookInto asks the sessions who is there: notices may have been lost, and sessions may have ended before they were
// known here.
func (v *watch) lookInto() {
	for alias := range v.calls {
		v.w.wg.Go(func() {
			ctx, cancel := context.WithTimeout(v.stopped, callTimeout)
			defer cancel()
			snap, err := v.w.cfg.Calls.Snapshot(ctx, alias)
			if err != nil && !errors.Is(err, session.ErrNoSession) {
				return // it does not keep up: next time
			}
			f := found{alias: alias, gone: err != nil}
			for _, p := range snap.Participants {
				if p.State == session.Active {
					f.ids = append(f.ids, p.Identity)
				}
			}
			v.send(f)
		})
	}
}

func (v *watch) compare(f found) {
	if f.gone {
		v.finish(f.alias)
		return
	}
	c := v.calls[f.alias]
	if c == nil {
		return
	}
	for id, s := range c.seats {
		if s.here && !slices.Contains(f.ids, id) {
			v.present(f.alias, id, false)
		}
	}
	for _, id := range f.ids {
		if s := c.seats[id]; s == nil || !s.here {
			v.present(f.alias, id, true)
		}
	}
}
