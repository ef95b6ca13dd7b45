package member

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// slot is what is known of one slot of the room.
type slot struct {
	id     string
	facts  [2]fact // of the unstable and of the stable slot event; the stable one counts if both are there
	list   listing
	ends   alarm
	closed bool // was said
	dirty  bool // is listed in Room.dirty
	diff   Diff // within one Apply
}

// fact is what a slot event says.
type fact struct {
	given bool
	event string
	open  bool
}

func (r *Room) slot(id string) *slot {
	s := r.slots[id]
	if s == nil {
		s = &slot{id: id}
		s.ends = alarm{what: slotEnds, slot: s}
		r.slots[id] = s
	}
	return s
}

// open says whether sticky members may be in a slot. Without a slot event they may: clients do not send it yet.
func (r *Room) open(id string) bool {
	s := r.slots[id]
	if s == nil {
		return true
	}
	for _, f := range [...]fact{s.facts[1], s.facts[0]} {
		if f.given {
			return f.open
		}
	}
	return true
}

// slotEvent reads a slot's state event. A slot of another application than its name says is not open.
func (r *Room) slotEvent(e *Event, stable int) {
	if r.slots[e.StateKey] == nil && len(r.slots) >= maxSlots {
		r.say(Refused{e.ID, errMany})
		return
	}
	f := fact{given: true, event: e.ID}
	if v, ok := parse(e.Content); ok && !e.Redacted {
		status, _ := v.get("status").text(maxID)
		app, hasApp := v.get("application").get("type").text(maxID)
		ours, _, named := strings.Cut(e.StateKey, "#")
		f.open = status == "open" && (!hasApp || !named || app == ours)
	}
	s := r.slot(e.StateKey)
	s.facts[stable] = f
	r.slotChanged(s)
}

func (r *Room) slotChanged(s *slot) {
	r.soil(s)
	r.changed = true
}

// soil puts a slot on the list of those to look at when settling.
func (r *Room) soil(s *slot) {
	if !s.dirty {
		s.dirty = true
		r.dirty = append(r.dirty, s)
	}
}

// event takes one event of the homeserver.
func (r *Room) event(e *Event) {
	if err := e.check(); err != nil {
		r.say(Refused{e.ID, err})
		return
	}
	e.Redacted = e.Redacted || r.redacted[e.ID]
	if e.State {
		r.stateEvent(e)
		return
	}
	switch e.Type {
	case typeSticky, typeStickyStable:
		r.stickyMembership(e)
	case typeEncrypted:
		r.seal(e)
	case typeRedaction:
		if !e.Redacted {
			r.redact(e.Redacts)
		}
	}
}

func (r *Room) stateEvent(e *Event) {
	switch e.Type {
	case typeCall, typeCallStable:
		r.stateMembership(e)
		return
	case typeSlot:
		r.slotEvent(e, 0)
		return
	case typeSlotStable:
		r.slotEvent(e, 1)
		return
	case typeMember:
		r.memberEvent(e)
		return
	}
	if e.StateKey != "" {
		return
	}
	switch e.Type {
	case typePower:
		r.levels.readLevels(e.Content)
		r.rejudge = true
	case typeCreate:
		r.levels.readCreate(e.Sender, e.Content)
		r.rejudge = true
	case typeACL:
		r.acl = ReadACL(e.Content)
		r.rejudge = true
	case typeEncryption:
		if !r.encrypted {
			r.encrypted, r.rejudge, r.rewatch = true, true, true
		}
	case typeTombstone:
		v, _ := parse(e.Content)
		if to, _ := v.get("replacement_room").text(maxID); to != r.tombstone {
			r.tombstone = to
			if to != "" {
				r.say(Upgraded{to})
			}
		}
	}
}

// memberEvent reads an m.room.member.
func (r *Room) memberEvent(e *Event) {
	v, _ := parse(e.Content)
	membership, _ := v.get("membership").text(maxID)
	if membership == "join" {
		r.join(r.person(e.StateKey))
		return
	}
	why := NotJoined // invited, knocking, or a word nobody knows
	switch {
	case membership == "ban":
		why = Banned
	case membership == "leave" && e.Sender == e.StateKey:
		why = Left
	case membership == "leave":
		why = Kicked
	}
	if p := r.people[e.StateKey]; p != nil {
		r.leave(p, why)
		r.affect(p)
	}
}

func (r *Room) join(p *person) {
	if p.in {
		return
	}
	p.in, p.gone = true, 0
	if r.own(p) {
		r.ownJoined++
		r.owned = true
	}
	r.touchPerson(p)
}

// leave evicts whoever was joined, and also whoever was not but has a token.
func (r *Room) leave(p *person, why Reason) {
	was := p.in
	if was {
		p.in = false
		if r.own(p) {
			r.ownJoined--
		}
		r.touchPerson(p)
	}
	p.gone = why
	if !r.loading && (was || len(p.seats) > 0) {
		r.evict(p, why)
	}
}

func (r *Room) own(p *person) bool { return slices.Contains(r.config.Servers, ServerOf(p.id)) }

func (r *Room) touchPerson(p *person) {
	for _, c := range p.cells {
		r.touch(&c.entry)
	}
	r.affect(p)
}

// evict says so, and forgets the tokens that are out.
func (r *Room) evict(p *person, why Reason) {
	if p.evicted {
		return // in this very Apply
	}
	p.evicted = true
	r.evicted = append(r.evicted, p)
	r.say(Evict{p.id, why})
	r.affect(p)
	for _, s := range slices.Clone(p.seats) {
		s.minted = time.Time{} // no door vouches for it any longer
		r.grace.clear(&s.doubt)
		if !s.here {
			r.removeSeat(s)
		}
	}
}

// review judges somebody with a token: by the ACL, by membership, by power.
func (r *Room) review(p *person) {
	if p == nil || len(p.seats) == 0 {
		return
	}
	if !r.acl.Allows(ServerOf(p.id)) {
		r.evict(p, ServerDenied)
		return
	}
	if r.complete && !p.in && !r.vouched(p) {
		why := p.gone
		if why == 0 {
			why = NotJoined
		}
		r.evict(p, why)
		return
	}
	may := r.levels.mayState(p.id) || r.levels.maySticky(p.id, r.encrypted)
	if may == p.muted {
		p.muted = !may
		r.say(MayPublish{p.id, may})
	}
}

// vouched says that a door found the user joined a moment ago: its event may be on the way.
func (r *Room) vouched(p *person) bool {
	return slices.ContainsFunc(p.seats, func(s *seat) bool { return s.doubt.pos != 0 })
}

func (r *Room) reviewAll() {
	for _, id := range r.Users() {
		if p := r.people[id]; p != nil {
			r.review(p)
		}
	}
}

// watchAll has all periods of grace started or stopped that depend on what can be seen.
func (r *Room) watchAll() {
	seats := slices.SortedFunc(maps.Values(r.seats), func(a, b *seat) int {
		return cmp.Or(strings.Compare(a.slot, b.slot), strings.Compare(string(a.identity), string(b.identity)))
	})
	for _, s := range seats {
		r.watch(s)
		r.touch(&s.entry)
	}
	cells := slices.SortedFunc(maps.Values(r.cells), func(a, b *cell) int {
		return cmp.Or(strings.Compare(a.id.user, b.id.user), strings.Compare(a.id.key, b.id.key), cmp.Compare(a.id.kind, b.id.kind))
	})
	for _, c := range cells {
		r.haunt(c)
		r.touch(&c.entry)
	}
}

// sight begins or ends a time without events.
func (r *Room) sight(clear bool) {
	r.rewatch = r.rewatch || clear != r.sighted
	r.sighted = clear
}

// ownServer hears whether the homeserver is in the room at all.
func (r *Room) ownServer(joined bool) {
	if !joined {
		r.say(EndSessions{OwnServerGone})
	}
}

// load takes the whole state. What was known and is not in it is gone; what is as it was is not told.
func (r *Room) load(in State) {
	var was []*person
	if !in.Partial {
		for _, p := range r.people {
			if p.in {
				was = append(was, p)
				p.in = false
			}
		}
		r.ownJoined = 0
	}
	if n := len(in.Events); len(r.people) == 0 && n >= 1000 {
		r.people = make(map[string]*person, n)
	}
	for _, c := range r.cells {
		if c.state {
			r.empty(c)
		}
	}
	for _, s := range r.slots {
		s.facts = [2]fact{}
		r.slotChanged(s)
	}
	r.levels, r.acl = power{}, nil
	r.loading = !in.Partial
	r.loadEvents(in.Events, true) // first, so that nobody is forgotten who is still there
	slices.SortFunc(was, func(a, b *person) int { return strings.Compare(a.id, b.id) })
	for _, p := range was {
		r.touchPerson(p)
		if !p.in {
			r.evict(p, cmp.Or(p.gone, NotJoined))
		}
	}
	r.loadEvents(in.Events, false)
	r.loading = false
	r.complete, r.sighted, r.rejudge, r.rewatch = !in.Partial, true, true, true
}

// loadEvents takes the events that say who is joined, or the others.
func (r *Room) loadEvents(events []Event, members bool) {
	for i := range events {
		e := events[i]
		switch {
		case (e.Type == typeMember) != members:
		case e.State:
			r.event(&e)
		default:
			r.say(Refused{e.ID, errState})
		}
	}
}

// joinedUsers is the same for membership in the room alone.
func (r *Room) joinedUsers(users []string) {
	in := make(map[string]bool, len(users))
	for _, u := range users {
		if u != "" && len(u) <= maxID {
			in[u] = true
		}
	}
	var gone []*person
	for _, p := range r.people {
		if p.in && !in[p.id] {
			gone = append(gone, p)
		}
	}
	slices.SortFunc(gone, func(a, b *person) int { return strings.Compare(a.id, b.id) })
	for _, p := range gone {
		r.leave(p, NotJoined)
		r.affect(p)
	}
	for u := range in {
		r.join(r.person(u))
	}
	r.complete, r.rejudge, r.rewatch = true, true, true
}
