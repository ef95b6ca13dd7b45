package member

import (
	"slices"
	"strings"
	"time"

	"weir/sfu"
)

// place is where a participant is.
type place struct {
	slot     string
	identity sfu.Identity
}

// seat is a participant in one of the room's sessions, or a token that is out for one.
type seat struct {
	place
	owner  *person // nil: a stranger
	record *Record // what a door said of it; nil: nothing, or it is forgotten
	minted time.Time
	here   bool
	since  time.Time // when it came

	attested   bool // a readable membership is its own
	withheld   bool // was said
	unattested bool // was said
	withhold   alarm
	lacks      alarm
	doubt      alarm
	recordEnd  alarm
	entry      entry
}

func (s *seat) user() string {
	if s.owner == nil {
		return ""
	}
	return s.owner.id
}

// seatAt finds the seat or makes it; nil if there are too many.
func (r *Room) seatAt(at place) *seat {
	if s := r.seats[at]; s != nil {
		return s
	}
	if len(r.seats) >= maxPlaces || at.slot == "" || at.identity == "" || len(at.slot) > maxID || len(at.identity) > 2*maxID+1 {
		return nil
	}
	s := &seat{place: at}
	s.withhold = alarm{what: seatWithheld, seat: s}
	s.lacks = alarm{what: seatUnattested, seat: s}
	s.doubt = alarm{what: seatDoubted, seat: s}
	s.recordEnd = alarm{what: recordEnds, seat: s}
	s.entry.seat = s
	r.seats[at], r.strangers[at] = s, s
	return s
}

// give makes the seat somebody's. Somebody with too many loses the token that was given out first.
func (r *Room) give(s *seat, p *person) {
	if s.owner == p {
		return
	}
	if s.owner != nil {
		s.owner.seats = slices.DeleteFunc(s.owner.seats, func(o *seat) bool { return o == s })
		r.affect(s.owner)
	}
	delete(r.strangers, s.place)
	if len(p.seats) >= maxPerUser {
		for _, o := range p.seats {
			if !o.here {
				r.removeSeat(o)
				break
			}
		}
	}
	s.owner = p
	p.seats = append(p.seats, s)
	r.people[p.id] = p
	r.touch(&s.entry)
}

func (r *Room) removeSeat(s *seat) {
	s.here = false
	delete(r.seats, s.place)
	delete(r.strangers, s.place)
	for _, a := range []*alarm{&s.withhold, &s.lacks, &s.doubt, &s.recordEnd} {
		r.grace.clear(a)
	}
	if p := s.owner; p != nil {
		p.seats = slices.DeleteFunc(p.seats, func(o *seat) bool { return o == s })
		r.affect(p)
	}
	r.touch(&s.entry)
}

// record notes a token. A door has checked that its user is joined; the event that says so may be on its way yet.
func (r *Room) record(in Record) {
	s := r.seatAt(place{in.Slot, in.Identity})
	if s == nil || in.User == "" || len(in.User) > maxID || len(in.Device) > maxID || len(in.Member) > maxID {
		r.say(Refused{Err: errMany})
		if s != nil && s.owner == nil && !s.here {
			r.removeSeat(s)
		}
		return
	}
	s.record, s.minted = &in, r.now
	r.give(s, r.person(in.User))
	r.grace.set(&s.recordEnd, r.now.Add(recordLife))
	r.grace.set(&s.doubt, r.now.Add(vouchedFor))
	r.affect(s.owner)
	r.review(s.owner)
}

// recordEnded: the token cannot be used any more. What the door said of somebody who is here stays true.
func (r *Room) recordEnded(s *seat) {
	if !s.here {
		r.removeSeat(s)
	}
}

func (r *Room) arrived(at place) {
	s := r.seatAt(at)
	if s == nil {
		r.say(Refused{Err: errMany})
		return
	}
	if !s.here {
		s.here, s.since = true, r.now
	}
	if s.owner == nil {
		if p := r.ownerOf(at); p != nil {
			r.give(s, p)
		}
	}
	if s.owner == nil {
		r.watch(s)
		return
	}
	r.affect(s.owner)
	r.review(s.owner)
}

func (r *Room) departed(at place) {
	s := r.seats[at]
	if s == nil {
		return
	}
	s.here = false
	if s.recordEnd.pos == 0 {
		r.removeSeat(s)
		return
	}
	r.affect(s.owner) // the token may be used again
}

// ownerOf finds out whose participant it is that no door told of: one that came before the focus was restarted.
func (r *Room) ownerOf(at place) *person {
	if id := string(at.identity); strings.HasPrefix(id, "@") {
		var found *person
		for i := range len(id) { // user:device, and both may hold colons
			if p := r.people[id[:i]]; id[i] == ':' && p != nil && (found == nil || p.in) {
				found = p
			}
		}
		if user := userIn(id); found == nil && user != "" {
			return r.person(user)
		}
		return found
	}
	if s := r.slots[at.slot]; s != nil {
		for _, m := range s.list.members {
			if m.claim != nil && slices.Contains(m.claim.candidates(), at.identity) {
				return r.people[m.User]
			}
		}
	}
	return nil
}

// userIn guesses the user in a legacy identity: up to the colon behind the server name, or behind its port.
func userIn(id string) string {
	parts := strings.SplitN(id, ":", 4)
	if len(parts) == 4 && parts[2] != "" && strings.Trim(parts[2], "0123456789") == "" {
		return strings.Join(parts[:3], ":")
	}
	if len(parts) < 3 {
		return ""
	}
	return parts[0] + ":" + parts[1]
}

// adopt finds strangers whose membership has come.
func (r *Room) adopt(c *cell) {
	if len(r.strangers) == 0 || c.listed == nil {
		return
	}
	for _, id := range c.listed.candidates() {
		if s := r.strangers[place{c.listed.Slot, id}]; s != nil {
			r.give(s, c.owner)
		}
	}
}

// owns says whether a membership is that of the participant: by what the door was told, else by the identities that
// the membership may lead to (matrixrtc.md section 8).
func (s *seat) owns(w *claim) bool {
	if s.slot != w.Slot {
		return false
	}
	if s.record != nil && s.record.User == w.User {
		sameDevice := s.record.Device != "" && s.record.Device == w.Device
		switch {
		case w.Source == StateEvent, s.record.Member == "":
			if sameDevice {
				return true
			}
		case s.record.Member == w.ID:
			return true
		}
	}
	return slices.Contains(w.candidates(), s.identity)
}

// affect has a person's memberships and participants matched anew.
func (r *Room) affect(p *person) {
	if p != nil && !p.affected {
		p.affected = true
		r.affected = append(r.affected, p)
	}
}

// match finds for each membership its participant, and for each participant whether it has a membership.
func (r *Room) match(p *person) {
	for _, c := range p.cells {
		c.visited = nil
	}
	for _, s := range p.seats {
		s.attested = false
		for _, c := range p.cells {
			if s.here && c.listed != nil && s.owns(c.listed) {
				s.attested = true
				if c.visited == nil {
					c.visited = s
				}
			}
		}
		r.watch(s)
		r.touch(&s.entry)
	}
	for _, c := range p.cells {
		r.haunt(c)
		r.touch(&c.entry)
	}
}

// watch starts and stops the periods of grace of a participant without membership.
func (r *Room) watch(s *seat) {
	if !s.here || s.attested {
		if s.here && s.withheld {
			r.say(Release{s.slot, s.identity})
		}
		if s.here && s.unattested {
			r.say(AttestedAgain{s.slot, s.identity, s.user()})
		}
		s.withheld, s.unattested = false, false
	} else if r.sighted && r.complete && !r.encrypted {
		if !s.withheld && s.withhold.pos == 0 {
			r.grace.set(&s.withhold, r.now.Add(withholdAfter))
		}
		if !s.unattested && s.lacks.pos == 0 {
			r.grace.set(&s.lacks, r.now.Add(unattestedAfter))
		}
		return
	} else if r.encrypted && s.withheld { // nobody can tell here
		r.say(Release{s.slot, s.identity})
		s.withheld = false
	}
	r.grace.clear(&s.withhold)
	r.grace.clear(&s.lacks)
}

// haunt starts and stops the wait for the participant of a membership that names our transport.
func (r *Room) haunt(c *cell) {
	switch {
	case c.listed == nil || c.visited != nil || !r.ours(c.listed.Transports):
		c.haunted = false
		r.grace.clear(c.ghost)
	case !r.sighted:
		r.grace.clear(c.ghost)
	case c.haunted:
	case c.ghost == nil:
		c.ghost = &alarm{what: cellHaunted, cell: c}
		fallthrough
	case c.ghost.pos == 0:
		r.grace.set(c.ghost, r.now.Add(ghostAfter))
	}
}

func (r *Room) ours(ts []Transport) bool {
	for _, t := range ts {
		for _, u := range r.config.URLs {
			if t.ServiceURL == u || t.URL == u {
				return true
			}
		}
	}
	return false
}
