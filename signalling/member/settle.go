package member

import (
	"slices"
	"strings"
	"time"
)

// entry is anything that a roster may show: a cell, or a seat.
type entry struct {
	cell    *cell
	seat    *seat
	shown   *Member // nil: nothing
	touched bool    // is listed in Room.touched
}

// touch has an entry looked at when settling.
func (r *Room) touch(e *entry) {
	if !e.touched {
		e.touched = true
		r.touched = append(r.touched, e)
	}
}

// settle works out what all that was touched means for the rosters, and says it: once, however much happened.
func (r *Room) settle() {
	if r.changed {
		r.changed = false
		for _, c := range r.cells {
			r.touch(&c.entry)
		}
	}
	for i := 0; i < len(r.touched); i++ {
		if c := r.touched[i].cell; c != nil {
			r.judge(c)
		}
	}
	for i := 0; i < len(r.affected); i++ {
		p := r.affected[i]
		p.affected = false
		r.match(p)
		r.forget(p)
	}
	if r.rewatch {
		r.rewatch = false
		r.watchAll()
	}
	for _, p := range r.evicted {
		p.evicted = false
	}
	for _, e := range r.touched {
		e.touched = false
		r.show(e)
	}
	clear(r.affected)
	clear(r.evicted)
	clear(r.touched)
	r.affected, r.evicted, r.touched = r.affected[:0], r.evicted[:0], r.touched[:0]
	r.publish()
	if r.owned && r.ownJoined == 0 && r.complete {
		r.owned = false
		r.say(OwnGone{})
	}
}

// judge decides what the rosters are to show of a cell.
func (r *Room) judge(c *cell) {
	if !c.state {
		c.writes = slices.DeleteFunc(c.writes, func(w *claim) bool {
			if r.faded(w.live) {
				delete(r.byEvent, w.Event)
				return true
			}
			return false
		})
	}
	if w := r.standing(c); w != c.listed {
		c.listed = w
		r.affect(c.owner)
		r.adopt(c)
	}
	if len(c.writes) == 0 {
		r.drop(c)
		return
	}
	r.schedule(c)
}

// show brings a roster up to date with an entry.
func (r *Room) show(e *entry) {
	before, after := e.shown, r.render(e)
	if before == after {
		return
	}
	e.shown = after
	var here, there *slot
	if before != nil {
		here = r.slot(before.Slot)
		here.list.delete(before)
		r.soil(here)
	}
	if after != nil {
		there = r.slot(after.Slot)
		there.list.insert(after)
		r.soil(there)
	}
	switch one := here == there && before.Key == after.Key; {
	case one && before.same(after): // only the time differs by which it must be renewed
	case one:
		here.diff.Changed = append(here.diff.Changed, Change{before, after})
	default:
		if here != nil {
			here.diff.Left = append(here.diff.Left, before)
		}
		if there != nil {
			there.diff.Joined = append(there.diff.Joined, after)
		}
	}
}

// render is the entry as a roster shows it; the same as before if nothing changed.
func (r *Room) render(e *entry) *Member {
	if s := e.seat; s != nil {
		return r.renderSeat(s)
	}
	c := e.cell
	w := c.listed
	if w == nil {
		return nil
	}
	if !c.haunted && c.visited == nil {
		return &w.Member
	}
	m := w.Member
	if c.haunted {
		m.Status = Ghost
	}
	if c.visited != nil {
		m.Identity = c.visited.identity
	}
	if e.shown != nil && e.shown.claim == w && e.shown.same(&m) {
		return e.shown
	}
	return &m
}

// renderSeat shows a participant that is known by its token only.
func (r *Room) renderSeat(s *seat) *Member {
	if !s.here || s.owner == nil || s.attested {
		return nil
	}
	if r.complete && !s.owner.in && !r.vouched(s.owner) {
		return nil // about to be evicted
	}
	m := &Member{
		Key: Key{User: s.owner.id, Key: string(s.identity)}, Slot: s.slot, User: s.owner.id, Source: Token,
		Created: time.UnixMilli(s.since.UnixMilli()), Status: Door, Identity: s.identity, made: s.since.UnixMilli(),
	}
	if s.record != nil {
		m.Device, m.ID = s.record.Device, s.record.Member
	} else if device, ok := strings.CutPrefix(string(s.identity), s.owner.id+":"); ok {
		m.Device = device
	}
	if old := s.entry.shown; old != nil && old.same(m) && old.Device == m.Device && old.ID == m.ID && old.Created.Equal(m.Created) {
		return old
	}
	return m
}

// publish says what is new in each slot, in order.
func (r *Room) publish() {
	slices.SortFunc(r.dirty, func(a, b *slot) int { return strings.Compare(a.id, b.id) })
	for _, s := range r.dirty {
		s.dirty = false
		slices.SortFunc(s.diff.Joined, order)
		s.list.work(s.diff.Joined)
		r.lead(s)
		d := s.diff
		d.pair()
		s.diff = Diff{}
		if !d.Empty() {
			slices.SortFunc(d.Left, order)
			slices.SortFunc(d.Changed, func(a, b Change) int { return order(a.After, b.After) })
			r.say(RosterChanged{s.id, d})
			r.sayGhosts(d)
		}
		if len(s.list.members) == 0 && !s.facts[0].given && !s.facts[1].given && !s.closed {
			delete(r.slots, s.id)
		}
	}
	clear(r.dirty)
	r.dirty = r.dirty[:0]
}

// pair finds members that left and joined in one go: their cell or seat was made anew.
func (d *Diff) pair() {
	if len(d.Joined) == 0 || len(d.Left) == 0 {
		return
	}
	old := make(map[Key]*Member, len(d.Left))
	for _, m := range d.Left {
		old[m.Key] = m
	}
	again := map[Key]bool{}
	d.Joined = slices.DeleteFunc(d.Joined, func(m *Member) bool {
		was := old[m.Key]
		if was == nil {
			return false
		}
		again[m.Key] = true
		if !was.same(m) {
			d.Changed = append(d.Changed, Change{was, m})
		}
		return true
	})
	d.Left = slices.DeleteFunc(d.Left, func(m *Member) bool { return again[m.Key] })
}

// lead closes a slot, or opens it again.
func (r *Room) lead(s *slot) {
	switch open := r.open(s.id); {
	case !open && !s.closed:
		s.closed = true
		r.grace.set(&s.ends, r.now.Add(slotEndsAfter))
		r.say(SlotClosing{s.id, s.ends.at})
	case open && s.closed:
		s.closed = false
		r.grace.clear(&s.ends)
		r.say(SlotReopened{s.id})
	}
}

func (r *Room) sayGhosts(d Diff) {
	for _, m := range d.Left {
		if m.Status == Ghost {
			r.say(GhostGone{m.Key})
		}
	}
	for _, c := range d.Changed {
		switch was, is := c.Before.Status == Ghost, c.After.Status == Ghost; {
		case is && !was:
			r.say(GhostFound{c.After})
		case was && !is:
			r.say(GhostGone{c.After.Key})
		}
	}
}
