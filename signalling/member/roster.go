package member

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"weir/sfu"
	"weir/signalling/derive"
)

// Status is how a member is known.
type Status uint8

const (
	// Attested: a readable event says so.
	Attested Status = iota + 1
	// Door: only the token does that it joined with.
	Door
	// Ghost: an event says so and names our transport, but nobody has been here for a minute.
	Ghost
)

func (s Status) String() string { return [...]string{"", "attested", "door", "ghost"}[s] }

// Key tells memberships of a room apart.
type Key struct {
	Type string // of the event; "" for a member known by its token
	User string
	Key  string // state key, sticky key, or the participant's identity
}

// Member is one member of a roster. It is never changed after it was handed out.
type Member struct {
	Key         Key
	Slot        string
	User        string
	Device      string
	ID          string // member id; older clients leave it out of state memberships
	Application string
	Intent      string // m.call.intent: "audio", "video" or nothing
	Source      Source
	Transports  []Transport
	Created     time.Time
	Expires     time.Time // zero: as long as the participant is here
	Event       string    // event id; "" for a member known by its token
	Status      Status
	Identity    sfu.Identity // of its participant in our session; "" if nobody is here

	claim *claim
	made  int64 // Created, ms
}

// Candidates are the identities by which the member may join a session, the likeliest first (matrixrtc.md section 8).
func (m *Member) Candidates() []sfu.Identity {
	if m.claim == nil {
		return []sfu.Identity{m.Identity}
	}
	return slices.Clone(m.claim.candidates())
}

// candidates are computed when first asked for: most rosters are never asked.
func (c *claim) candidates() []sfu.Identity {
	if c.names == nil {
		who := derive.Claim{User: c.User, Device: c.Device, Member: c.ID}
		if c.Source == StateEvent {
			c.names = []sfu.Identity{derive.Identity(derive.Legacy, who)}
		} else {
			c.names = []sfu.Identity{
				derive.Identity(derive.Hash3, who), derive.Identity(derive.Hash2, who), derive.Identity(derive.Legacy, who),
			}
		}
	}
	return c.names
}

// Roster is who is in a slot at an instant, the oldest first.
type Roster struct {
	Room    string
	Slot    string
	Open    bool // members may come; without a slot event a slot is open
	Members []*Member
}

// Change is a member that is the same and yet different.
type Change struct{ Before, After *Member }

// Diff leads from one roster of a slot to a later one. Each list is in the order of rosters.
type Diff struct {
	Joined  []*Member
	Left    []*Member
	Changed []Change
}

// Empty says that nothing changed.
func (d Diff) Empty() bool { return len(d.Joined)+len(d.Left)+len(d.Changed) == 0 }

// Compare is the diff between two rosters of one slot. A Room works it out by itself; this is for rosters that were kept.
func Compare(before, after Roster) Diff {
	var d Diff
	old := make(map[Key]*Member, len(before.Members))
	for _, m := range before.Members {
		old[m.Key] = m
	}
	for _, m := range after.Members {
		was := old[m.Key]
		delete(old, m.Key)
		switch {
		case was == nil:
			d.Joined = append(d.Joined, m)
		case !was.same(m):
			d.Changed = append(d.Changed, Change{was, m})
		}
	}
	for _, m := range before.Members {
		if old[m.Key] != nil {
			d.Left = append(d.Left, m)
		}
	}
	return d
}

// same says that nothing changed that anybody acts on. An event never changes, so its id stands for what it says.
func (m *Member) same(o *Member) bool {
	return m.Key == o.Key && m.Slot == o.Slot && m.Event == o.Event && m.Status == o.Status && m.Identity == o.Identity
}

// order is by time of creation, then by event id (matrixrtc.md section 8, step 9).
func order(a, b *Member) int {
	if a.made != b.made {
		return cmp.Compare(a.made, b.made)
	}
	if c := strings.Compare(a.Event, b.Event); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.Key.User, b.Key.User), strings.Compare(a.Key.Key, b.Key.Key), strings.Compare(a.Key.Type, b.Key.Type))
}

// listing is a sorted list of members that takes few changes one by one and many at once.
type listing struct {
	members []*Member
	add     []*Member
	remove  map[*Member]bool
}

// few is up to how many changes are worked in one at a time.
const few = 8

func (l *listing) insert(m *Member) { l.add = append(l.add, m) }

func (l *listing) delete(m *Member) {
	if l.remove == nil {
		l.remove = map[*Member]bool{}
	}
	l.remove[m] = true
}

// work carries out what was asked for since the last time. joined are those of the new members that are in order already.
func (l *listing) work(joined []*Member) {
	if len(l.add)+len(l.remove) <= few {
		for m := range l.remove {
			i, _ := slices.BinarySearchFunc(l.members, m, order)
			for l.members[i] != m { // only if two members have all in common
				i++
			}
			l.members = slices.Delete(l.members, i, i+1)
		}
		for _, m := range l.add {
			i, _ := slices.BinarySearchFunc(l.members, m, order)
			l.members = slices.Insert(l.members, i, m)
		}
	} else {
		if len(l.remove) > 0 {
			l.members = slices.DeleteFunc(l.members, func(m *Member) bool { return l.remove[m] })
		}
		if len(joined) == len(l.add) { // the same ones, then
			copy(l.add, joined)
		} else {
			slices.SortFunc(l.add, order)
		}
		l.members = merge(l.members, l.add)
	}
	clear(l.add)
	l.add = l.add[:0]
	clear(l.remove)
}

// merge joins two sorted lists.
func merge(a, b []*Member) []*Member {
	all := make([]*Member, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if order(a[0], b[0]) < 0 {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}
