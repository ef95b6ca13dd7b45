package member

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// cellID is what memberships replace each other by.
type cellID struct {
	kind cellKind
	user string // sender of sticky memberships; state memberships have their user in the key
	key  string // state key or sticky key
}

// cellKind is a type of membership events.
type cellKind uint8

const (
	callCell cellKind = iota
	callStableCell
	stickyCell
	stickyStableCell
)

func kindOf(eventType string) cellKind {
	switch eventType {
	case typeCall:
		return callCell
	case typeCallStable:
		return callStableCell
	case typeSticky:
		return stickyCell
	}
	return stickyStableCell
}

// cell holds the membership events of one key. A state cell holds one, the current one; a sticky cell all that may yet
// count, the one that stands first (matrixrtc.md section 8, step 1).
type cell struct {
	id     cellID
	owner  *person
	state  bool
	writes []*claim

	listed  *claim // what the roster shows of it
	haunted bool   // names our transport, and nobody has come for a minute
	visited *seat  // its participant
	expires alarm
	ghost   *alarm // made when first needed: most members are elsewhere
	entry   entry
}

func (r *Room) newCell(id cellID, p *person, state bool) *cell {
	c := &cell{id: id, owner: p, state: state}
	c.expires = alarm{what: cellExpires, cell: c}
	c.entry.cell = c
	r.cells[id] = c
	p.cells = append(p.cells, c)
	return c
}

// room says whether there is room for one more cell, and makes it by forgetting a sticky key that is past.
func (r *Room) room(p *person) bool {
	if len(r.cells) < maxCells && len(p.cells) < maxPerUser {
		return true
	}
	for _, c := range p.cells {
		if !c.state && !slices.ContainsFunc(c.writes, func(w *claim) bool { return w.live > r.ms }) {
			r.empty(c)
			r.drop(c)
			return len(r.cells) < maxCells
		}
	}
	return false
}

// stateMembership replaces what stood under the state key.
func (r *Room) stateMembership(e *Event) {
	id := cellID{kind: kindOf(e.Type), key: e.StateKey}
	c, was := readState(e), r.cells[id]
	if e.Redacted || c.verdict != joined || was != nil && was.owner.id != e.Sender {
		if was != nil {
			r.empty(was)
			r.drop(was)
			was = nil
		}
		if e.Redacted || c.verdict != joined {
			return
		}
	}
	if was == nil {
		p := r.person(e.Sender)
		if !r.room(p) {
			r.say(Refused{e.ID, errMany})
			r.forget(p)
			return
		}
		was = r.newCell(id, p, true)
	}
	for _, w := range was.writes {
		delete(r.byEvent, w.Event)
	}
	was.writes = append(was.writes[:0], c)
	r.byEvent[e.ID] = was
	r.touch(&was.entry)
}

// stickyMembership adds a write to the map.
func (r *Room) stickyMembership(e *Event) {
	if e.Redacted {
		r.removeWrite(e.ID)
		return
	}
	if e.Sticky <= 0 {
		return
	}
	live := stickyUntil(e, r.now)
	if r.faded(live) {
		return // too late to mean anything
	}
	w := readSticky(e, live)
	if w == nil {
		return
	}
	id := cellID{kind: kindOf(e.Type), user: e.Sender, key: w.Key.Key}
	if at := r.byEvent[e.ID]; at != nil && at.id != id {
		return // an event id stands for one event
	}
	c := r.cells[id]
	if c == nil {
		p := r.person(e.Sender)
		if !r.room(p) {
			r.say(Refused{e.ID, errMany})
			r.forget(p)
			return
		}
		c = r.newCell(id, p, false)
	}
	r.touch(&c.entry)
	r.touchShadows(c)
	if i := slices.IndexFunc(c.writes, func(w *claim) bool { return w.Event == e.ID }); i >= 0 {
		if e.HasTTL { // told again: what is left of it is known better now
			c.writes[i] = w
		}
		return
	}
	i, _ := slices.BinarySearchFunc(c.writes, w, stands)
	c.writes = slices.Insert(c.writes, i, w)
	r.byEvent[e.ID] = c
	if len(c.writes) > maxWrites {
		delete(r.byEvent, c.writes[maxWrites].Event)
		c.writes = slices.Delete(c.writes, maxWrites, maxWrites+1)
	}
}

// stands orders writes of one key: the highest origin_server_ts + duration is first, then the highest event id (MSC4354).
func stands(a, b *claim) int {
	return cmp.Or(cmp.Compare(b.rank, a.rank), strings.Compare(b.Event, a.Event))
}

// faded says that a sticky event is past for so long that it no longer matters that it was. Until then a dead write that
// stands first keeps those below it from coming back: what was overtaken stays overtaken.
func (r *Room) faded(live int64) bool { return addMS(live, forgetAfter.Milliseconds()) <= r.ms }

// empty forgets all writes; settling forgets the cell.
func (r *Room) empty(c *cell) {
	for _, w := range c.writes {
		delete(r.byEvent, w.Event)
	}
	c.writes = c.writes[:0]
	r.touch(&c.entry)
	r.touchShadows(c)
}

// redact removes an event, and with it what it wrote: in a sticky cell the next write stands again. It is remembered, for
// the event may yet come, or come again.
func (r *Room) redact(event string) {
	if event == "" || r.redacted[event] {
		return
	}
	if len(r.redactions) == maxRedactions {
		delete(r.redacted, r.redactions[0])
		r.redactions = slices.Delete(r.redactions, 0, 1)
	}
	r.redactions, r.redacted[event] = append(r.redactions, event), true
	if p := r.sealed[event]; p != nil {
		r.unseal(p, event)
		return
	}
	if r.removeWrite(event) {
		return
	}
	for _, s := range r.slots {
		for i := range s.facts {
			if f := &s.facts[i]; f.given && f.event == event {
				f.open = false // what is left of it has no status
				r.slotChanged(s)
			}
		}
	}
}

// removeWrite takes one event out of its cell.
func (r *Room) removeWrite(event string) bool {
	c := r.byEvent[event]
	if c == nil {
		return false
	}
	c.writes = slices.DeleteFunc(c.writes, func(w *claim) bool { return w.Event == event })
	delete(r.byEvent, event)
	r.touch(&c.entry)
	r.touchShadows(c)
	return true
}

// standing is the write of the cell that belongs in a roster now; nil if none does (matrixrtc.md section 8).
func (r *Room) standing(c *cell) *claim {
	if len(c.writes) == 0 || !c.owner.in {
		return nil
	}
	w := c.writes[0]
	switch {
	case w.verdict != joined, w.expires <= r.ms:
		return nil
	case !r.open(w.Slot) && !c.state:
		return nil
	case c.state && r.open(w.Slot) && r.shadowed(c):
		return nil
	}
	return w
}

// shadowed says that the user of a state membership has a sticky one under the same key, and be it a leave. Another
// user's sticky key hides nobody.
func (r *Room) shadowed(c *cell) bool {
	for _, o := range c.owner.cells {
		if !o.state && o.id.key == c.id.key && len(o.writes) > 0 && o.writes[0].live > r.ms {
			return true
		}
	}
	return false
}

// touchShadows has the state memberships judged that a sticky cell may hide.
func (r *Room) touchShadows(c *cell) {
	if c.state {
		return
	}
	for _, o := range c.owner.cells {
		if o.state && o.id.key == c.id.key {
			r.touch(&o.entry)
		}
	}
}

// schedule sets when the cell must be judged next.
func (r *Room) schedule(c *cell) {
	at := c.writes[0].expires
	if at <= r.ms {
		at = addMS(c.writes[0].live, forgetAfter.Milliseconds())
	}
	if at >= distant {
		r.expiry.clear(&c.expires)
		return
	}
	r.expiry.set(&c.expires, time.UnixMilli(at))
}

// drop forgets a cell that holds nothing.
func (r *Room) drop(c *cell) {
	for _, w := range c.writes {
		delete(r.byEvent, w.Event)
	}
	r.expiry.clear(&c.expires)
	r.grace.clear(c.ghost)
	if r.cells[c.id] == c {
		delete(r.cells, c.id)
	}
	c.owner.cells = slices.DeleteFunc(c.owner.cells, func(o *cell) bool { return o == c })
	r.forget(c.owner)
}

// envelope is an encrypted sticky event: all that can be read of it.
type envelope struct {
	event string
	live  int64 // ms
}

// seal remembers an encrypted sticky event, the newest few of each user.
func (r *Room) seal(e *Event) {
	if e.Sticky <= 0 || e.Redacted || r.sealed[e.ID] != nil {
		return
	}
	live := stickyUntil(e, r.now)
	if live <= r.ms {
		return
	}
	p := r.person(e.Sender)
	for _, old := range slices.Clone(p.envelopes) {
		if old.live <= r.ms {
			r.unseal(p, old.event)
		}
	}
	if len(p.envelopes) >= maxWrites {
		r.unseal(p, p.envelopes[0].event)
	}
	p.envelopes = append(p.envelopes, envelope{e.ID, live})
	r.people[p.id], r.sealed[e.ID] = p, p
}

func (r *Room) unseal(p *person, event string) {
	p.envelopes = slices.DeleteFunc(p.envelopes, func(e envelope) bool { return e.event == event })
	delete(r.sealed, event)
	r.forget(p)
}
