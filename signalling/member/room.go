package member

import (
	"slices"
	"time"

	"weir/sfu"
)

// Config is what a room is seen with. The zero value sees everything but ghosts.
type Config struct {
	// URLs are what memberships call our transport: service URLs and ws URLs, compared byte by byte as clients do.
	URLs []string
	// Servers are the focus's own server names.
	Servers []string
}

// Room is one Matrix room. It has one owner, who calls it from one goroutine at a time.
type Room struct {
	id     string
	config Config

	// Set by what the homeserver says.
	cells      map[cellID]*cell
	byEvent    map[string]*cell   // of readable memberships
	sealed     map[string]*person // encrypted sticky events, by event id
	redactions []string           // events that were redacted, the newest last
	redacted   map[string]bool    // the same
	people     map[string]*person
	slots      map[string]*slot
	levels     power
	acl        *ACL
	encrypted  bool // for good: a room does not become readable again
	tombstone  string
	ownJoined  int // joined users of own servers

	// How much of that can be relied on.
	complete bool // who is not known to be joined is not
	sighted  bool // events arrive
	owned    bool // a user of an own server has been seen joined since OwnGone

	// Set by what the focus says.
	seats     map[place]*seat
	strangers map[place]*seat // seats of nobody known

	// Time.
	now    time.Time
	ms     int64  // now, on the wall clock
	expiry alarms // wall clock
	grace  alarms // spans

	// Within one Apply.
	touched  []*entry
	affected []*person
	dirty    []*slot // those whose roster or state changed
	evicted  []*person
	changed  bool // a slot opened or closed
	rejudge  bool // what everybody with a token may do has to be judged
	rewatch  bool // what can be seen has changed
	loading  bool // a whole state is being read
	out      []Effect
}

// person is a user of the room.
type person struct {
	id        string
	in        bool // m.room.member is join
	cells     []*cell
	seats     []*seat
	envelopes []envelope
	muted     bool   // was told that it may not publish
	gone      Reason // why it is not joined, if an event said so
	affected  bool   // is listed in Room.affected
	evicted   bool   // is listed in Room.evicted
}

// NewRoom is a room of which nothing is known.
func NewRoom(id string, c Config) *Room {
	return &Room{
		id: id, config: c,
		cells: map[cellID]*cell{}, byEvent: map[string]*cell{}, sealed: map[string]*person{},
		people: map[string]*person{}, slots: map[string]*slot{},
		seats: map[place]*seat{}, strangers: map[place]*seat{}, redacted: map[string]bool{},
	}
}

// Apply takes what happened and appends what is to be done. Instants may go back: then everything is judged anew.
func (r *Room) Apply(now time.Time, in Input, out []Effect) []Effect {
	r.out = out
	r.advance(now)
	switch in := in.(type) {
	case Event:
		r.event(&in)
	case Batch:
		r.reserve(len(in.Events))
		for i := range in.Events {
			r.event(&in.Events[i])
		}
	case State:
		r.load(in)
	case JoinedUsers:
		r.joinedUsers(in.Users)
	case Sight:
		r.sight(in.Clear)
	case OwnServer:
		r.ownServer(in.Joined)
	case Record:
		r.record(in)
	case Arrived:
		r.arrived(place{in.Slot, in.Identity})
	case Departed:
		r.departed(place{in.Slot, in.Identity})
	case Tick:
	}
	if r.rejudge {
		r.rejudge = false
		r.reviewAll()
	}
	r.settle()
	out, r.out = r.out, nil
	return out
}

// reserve makes room for the first sight of a large call.
func (r *Room) reserve(n int) {
	if n = min(n, maxCells); n < 1000 || len(r.cells) > 0 {
		return
	}
	r.cells, r.byEvent = make(map[cellID]*cell, n), make(map[string]*cell, n)
}

func (r *Room) say(e Effect) { r.out = append(r.out, e) }

// advance lets time pass.
func (r *Room) advance(now time.Time) {
	back := now.UnixMilli() < r.ms
	r.now, r.ms = now, now.UnixMilli()
	if back {
		for _, c := range r.cells {
			r.touch(&c.entry)
		}
	}
	for a := r.expiry.due(now); a != nil; a = r.expiry.due(now) {
		r.touch(&a.cell.entry)
		r.touchShadows(a.cell)
	}
	for a := r.grace.due(now); a != nil; a = r.grace.due(now) {
		r.ring(a)
	}
}

// ring is a period of grace that is over.
func (r *Room) ring(a *alarm) {
	switch s := a.seat; a.what {
	case cellHaunted:
		a.cell.haunted = true
		r.touch(&a.cell.entry)
	case seatWithheld:
		s.withheld = true
		r.say(Withhold{s.slot, s.identity})
	case seatUnattested:
		s.unattested = true
		r.say(Unattested{s.slot, s.identity, s.user()})
	case recordEnds:
		r.recordEnded(s)
	case seatDoubted:
		r.review(s.owner)
	case slotEnds:
		r.say(SlotClosed{a.slot.id})
	}
}

// Deadline is when to call next, at the latest; zero: never.
func (r *Room) Deadline() time.Time {
	var at time.Time
	if len(r.expiry) > 0 {
		at = r.now.Add(r.expiry[0].at.Sub(r.now)) // on the clock that the caller counts by
	}
	if len(r.grace) > 0 && (at.IsZero() || r.grace[0].at.Before(at)) {
		at = r.grace[0].at
	}
	return at
}

// Roster is who is in a slot, as of the last Apply.
func (r *Room) Roster(slotID string) Roster {
	ro := Roster{Room: r.id, Slot: slotID, Open: r.open(slotID)}
	if s := r.slots[slotID]; s != nil {
		ro.Members = slices.Clone(s.list.members)
	}
	return ro
}

// Slots are the slots that anything is known of, sorted.
func (r *Room) Slots() []string {
	ids := make([]string, 0, len(r.slots))
	for id := range r.slots {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Standing is what a door asks before it gives a token.
type Standing struct {
	Known     bool // the room's members are known; if not, the rest is what is known so far
	Joined    bool
	Denied    bool // its server is, by m.room.server_acl
	MayState  bool // may send state memberships
	MaySticky bool // may send sticky memberships
	SlotOpen  bool
}

// MayPublish follows from the power to say that one is there.
func (s Standing) MayPublish() bool { return s.MayState || s.MaySticky }

// Standing is how a user stands to a slot, as of the last Apply.
func (r *Room) Standing(user, slotID string) Standing {
	p := r.people[user]
	return Standing{
		Known: r.complete, Joined: p != nil && p.in, Denied: !r.acl.Allows(ServerOf(user)),
		MayState: r.levels.mayState(user), MaySticky: r.levels.maySticky(user, r.encrypted), SlotOpen: r.open(slotID),
	}
}

// Snapshot is a plain picture of a room.
type Snapshot struct {
	Room        string
	Complete    bool
	Sighted     bool
	Encrypted   bool
	Version     string // of the room
	Tombstone   string // the room that replaced it
	Joined      int
	OwnJoined   int
	Memberships int // events kept, counted or not
	Sealed      int // encrypted sticky events
	Places      int // participants, and tokens that are out
	Strangers   int // participants of nobody known
	Expiries    int
	Graces      int
	Deadline    time.Time
	Rosters     []Roster
	Publishers  int // joined users seen to be able to send memberships, among those with places
	Redactions  int // remembered
}

// Snapshot copies what is known, as of the last Apply.
func (r *Room) Snapshot() Snapshot {
	s := Snapshot{
		Room: r.id, Complete: r.complete, Sighted: r.sighted, Encrypted: r.encrypted, Version: r.levels.version,
		Tombstone: r.tombstone, OwnJoined: r.ownJoined, Memberships: len(r.byEvent), Sealed: len(r.sealed), Places: len(r.seats),
		Strangers: len(r.strangers), Expiries: len(r.expiry), Graces: len(r.grace), Deadline: r.Deadline(), Redactions: len(r.redactions),
	}
	for _, p := range r.people {
		if p.in {
			s.Joined++
		}
		if p.in && len(p.seats) > 0 && !p.muted {
			s.Publishers++
		}
	}
	for _, id := range r.Slots() {
		s.Rosters = append(s.Rosters, r.Roster(id))
	}
	return s
}

// Users are those with participants or tokens, sorted: a change of policy is judged for each of them.
func (r *Room) Users() []string {
	var users []string
	for id, p := range r.people {
		if len(p.seats) > 0 {
			users = append(users, id)
		}
	}
	slices.Sort(users)
	return users
}

// UserOf is whose participant it is; "" if unknown.
func (r *Room) UserOf(slotID string, id sfu.Identity) string {
	if s := r.seats[place{slotID, id}]; s != nil {
		return s.user()
	}
	return ""
}

// Sealed counts a user's encrypted sticky events that still are sticky. In an encrypted room one of them may be a membership.
func (r *Room) Sealed(user string) int {
	p, n := r.people[user], 0
	if p == nil {
		return 0
	}
	for _, e := range p.envelopes {
		if e.live > r.ms {
			n++
		}
	}
	return n
}

func (r *Room) person(id string) *person {
	p := r.people[id]
	if p == nil {
		p = &person{id: id}
		r.people[id] = p
	}
	return p
}

// forget drops a person of whom nothing is left to know.
func (r *Room) forget(p *person) {
	if r.people[p.id] == p && !p.in && len(p.cells)+len(p.seats)+len(p.envelopes) == 0 {
		delete(r.people, p.id)
	}
}
