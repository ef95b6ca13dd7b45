package member

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/sfu"
	"weir/signalling/derive"
)

// epoch is when scripts begin; ms is the same on the wall clock.
var epoch = time.UnixMilli(1_790_000_000_000)

const (
	roomSlot  = derive.Slot
	hour      = 3_600_000
	ourURL    = "https://rtc.x"
	otherURL  = "https://rtc.y"
	fourHours = 4 * hour
)

// play runs a script against one room and, after each step, compares its rosters with the reference's.
type play struct {
	t     *testing.T
	r     *Room
	now   time.Time
	known reference
	next  int
}

func newPlay(t *testing.T) *play {
	p := &play{t: t, now: epoch, r: NewRoom("!r", Config{URLs: []string{ourURL}, Servers: []string{"x"}})}
	return p
}

// room begins with a complete state in which these users are joined.
func (p *play) room(users ...string) *play {
	var es []Event
	for _, u := range users {
		es = append(es, p.member(u, "join"))
	}
	p.do(State{Events: es})
	return p
}

func (p *play) at(d time.Duration) *play { p.now = epoch.Add(d); return p }

// do applies an input, checks the rosters against the reference and what was told against what changed, and returns the
// effects in short.
func (p *play) do(in Input) []string {
	p.t.Helper()
	before := p.rosters()
	effects := p.r.Apply(p.now, in, nil)
	p.known.refused = map[string]bool{}
	for _, e := range effects {
		if e, ok := e.(Refused); ok {
			p.known.refused[e.Event] = true
		}
	}
	p.known.tell(p.now, in)
	p.known.check(p.t, p.r, p.now)
	checkDiffs(p.t, before, p.rosters(), effects)
	checkInside(p.t, p.r)
	var short []string
	for _, e := range effects {
		short = append(short, brief(e)...)
	}
	return short
}

func (p *play) rosters() map[string]Roster {
	m := map[string]Roster{}
	for _, id := range p.r.Slots() {
		m[id] = p.r.Roster(id)
	}
	return m
}

// tell applies an input and expects these effects, and no others.
func (p *play) tell(in Input, want ...string) *play {
	p.t.Helper()
	if got := p.do(in); !slices.Equal(got, want) {
		p.t.Fatalf("%T at +%v:\n got %q\nwant %q", in, p.now.Sub(epoch), got, want)
	}
	return p
}

// until lets time pass from deadline to deadline and expects these effects.
func (p *play) until(d time.Duration, want ...string) *play {
	p.t.Helper()
	var got []string
	end := epoch.Add(d)
	for steps := 0; ; steps++ {
		at := p.r.Deadline()
		if at.IsZero() || at.After(end) {
			break
		}
		if steps > 1000 {
			p.t.Fatalf("the deadline does not move: %v", at)
		}
		if at.After(p.now) {
			p.now = at
		}
		got = append(got, p.do(Tick{})...)
	}
	p.now = end
	if got = append(got, p.do(Tick{})...); !slices.Equal(got, want) {
		p.t.Fatalf("until +%v:\n got %q\nwant %q", d, got, want)
	}
	return p
}

// roster expects a slot to look like this.
func (p *play) roster(slot string, want ...string) *play {
	p.t.Helper()
	var got []string
	for _, m := range p.r.Roster(slot).Members {
		got = append(got, name(m))
	}
	if !slices.Equal(got, want) {
		p.t.Fatalf("roster of %s at +%v: %q, want %q", slot, p.now.Sub(epoch), got, want)
	}
	return p
}

// name is a member in short: a/DEV, with how it is known unless by a readable event, and "!" if its participant is here.
func name(m *Member) string {
	s := strings.TrimPrefix(strings.TrimSuffix(m.User, ":x"), "@") + "/" + m.Device
	if m.Status != Attested {
		s += "?" + m.Status.String()
	}
	if m.Identity != "" && m.Status == Attested {
		s += "!"
	}
	return s
}

func who(user string) string { return strings.TrimPrefix(strings.TrimSuffix(user, ":x"), "@") }

func brief(e Effect) []string {
	switch e := e.(type) {
	case RosterChanged:
		at := ""
		if e.Slot != roomSlot {
			at = "@" + e.Slot
		}
		var s []string
		for _, m := range e.Diff.Joined {
			s = append(s, "+"+name(m)+at)
		}
		for _, m := range e.Diff.Left {
			s = append(s, "-"+name(m)+at)
		}
		for _, c := range e.Diff.Changed {
			s = append(s, "~"+name(c.After)+at)
		}
		return s
	case Evict:
		return []string{"evict " + who(e.User) + " " + e.Reason.String()}
	case Withhold:
		return []string{"withhold " + short(e.Identity)}
	case Release:
		return []string{"release " + short(e.Identity)}
	case Unattested:
		return []string{"unattested " + short(e.Identity)}
	case AttestedAgain:
		return []string{"attested " + short(e.Identity)}
	case MayPublish:
		return []string{fmt.Sprintf("may publish %s %v", who(e.User), e.Allowed)}
	case SlotClosing:
		return []string{fmt.Sprintf("closing %s +%v", e.Slot, e.Ends.Sub(epoch))}
	case SlotReopened:
		return []string{"reopened " + e.Slot}
	case SlotClosed:
		return []string{"closed " + e.Slot}
	case EndSessions:
		return []string{"end " + e.Reason.String()}
	case OwnGone:
		return []string{"own gone"}
	case GhostFound:
		return []string{"ghost " + who(e.Member.User) + "/" + e.Member.Device}
	case GhostGone:
		return []string{"ghost gone " + who(e.Key.User)}
	case Upgraded:
		return []string{"upgraded " + e.To}
	case Refused:
		return []string{"refused " + e.Event + ": " + e.Err.Error()}
	}
	return []string{fmt.Sprintf("%T", e)}
}

func short(id sfu.Identity) string {
	if s := string(id); strings.HasPrefix(s, "@") {
		return strings.Replace(strings.TrimPrefix(s, "@"), ":x:", "/", 1)
	}
	return "hash"
}

func legacy(user, device string) sfu.Identity {
	return derive.Identity(derive.Legacy, derive.Claim{User: "@" + user + ":x", Device: device})
}

func hash3(user, device, member string) sfu.Identity {
	return derive.Identity(derive.Hash3, derive.Claim{User: "@" + user + ":x", Device: device, Member: member})
}

func hash2(user, member string) sfu.Identity {
	return derive.Identity(derive.Hash2, derive.Claim{User: "@" + user + ":x", Member: member})
}

// id numbers events in the order of their making.
func (p *play) id() string {
	p.next++
	return fmt.Sprintf("$%04d", p.next)
}

// content is a JSON object with its values' types as they are.
type content map[string]any

func (c content) with(key string, v any) content {
	o := content{}
	for k, w := range c {
		o[k] = w
	}
	if o[key] = v; v == nil {
		delete(o, key)
	}
	return o
}

func (c content) json() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

// stateEvent is any state event. A user without a server is of server x.
func (p *play) stateEvent(kind, key, sender string, c content) Event {
	return Event{ID: p.id(), Type: kind, Sender: full(sender), StateKey: key, State: true, Origin: p.now.UnixMilli(), Content: c.json(), Received: p.now}
}

func full(user string) string {
	if strings.HasPrefix(user, "@") {
		return user
	}
	return "@" + user + ":x"
}

func (p *play) member(user, membership string) Event {
	return p.stateEvent(typeMember, full(user), user, content{"membership": membership})
}

func (p *play) kick(user, membership, by string) Event {
	return p.stateEvent(typeMember, full(user), by, content{"membership": membership})
}

// sessionContent is a state membership as Element Call writes it.
func sessionContent(user, device, url string) content {
	return content{
		"application": "m.call", "call_id": "", "scope": "m.room", "device_id": device, "membershipID": full(user) + ":" + device,
		"expires": fourHours, "m.call.intent": "video", "focus_active": content{"type": "livekit", "focus_selection": "multi_sfu"},
		"foci_preferred": []content{{"type": "livekit", "livekit_service_url": url, "livekit_alias": "!r"}},
	}
}

func (p *play) state(user, device string) Event {
	return p.stateAs(user, "_"+full(user)+"_"+device+"_m.call", sessionContent(user, device, otherURL))
}

func (p *play) stateAs(user, key string, c content) Event {
	return p.stateEvent(typeCall, key, user, c)
}

func (p *play) stateLeave(user, device string) Event {
	return p.stateAs(user, "_"+full(user)+"_"+device+"_m.call", content{})
}

// rtcContent is shape A.
func rtcContent(user, device, id, url string) content {
	return content{
		"slot_id": roomSlot, "application": content{"type": "m.call", "m.call.intent": "video"},
		"transports": content{"published": []content{{"type": "livekit", "livekit_service_url": url}}, "can_subscribe": []string{"livekit"}},
		"member":     content{"id": id, "user_id": full(user), "device_id": device}, "versions": []string{}, "msc4354_sticky_key": id,
	}
}

// rtcContentB is shape B.
func rtcContentB(user, device, id, url string) content {
	return content{
		"slot_id": roomSlot, "application": content{"type": "m.call"},
		"rtc_transports": []content{{"type": "livekit", "livekit_service_url": url}},
		"member":         content{"id": id, "claimed_user_id": full(user), "claimed_device_id": device}, "versions": []string{}, "msc4354_sticky_key": id,
	}
}

func (p *play) stickyAs(user string, duration int64, c content) Event {
	return Event{ID: p.id(), Type: typeSticky, Sender: full(user), Origin: p.now.UnixMilli(), Content: c.json(), Sticky: duration, Received: p.now}
}

func (p *play) sticky(user, device, id string) Event {
	return p.stickyAs(user, hour, rtcContent(user, device, id, otherURL))
}

func (p *play) stickyLeave(user, id string) Event {
	return p.stickyAs(user, hour, content{"msc4354_sticky_key": id})
}

func (p *play) redaction(of string) Event {
	return Event{ID: p.id(), Type: typeRedaction, Sender: "@mod:x", Origin: p.now.UnixMilli(), Content: []byte("{}"), Redacts: of, Received: p.now}
}

func (p *play) slotIs(status string) Event {
	return p.stateEvent(typeSlot, roomSlot, "mod", content{"status": status, "application": content{"type": "m.call"}})
}

func (p *play) power(c content) Event { return p.stateEvent(typePower, "", "mod", c) }

// checkDiffs: what was told leads from the rosters before to those after, and is exactly their difference.
func checkDiffs(t *testing.T, before, after map[string]Roster, effects []Effect) {
	t.Helper()
	told := map[string]Diff{}
	for _, e := range effects {
		if c, ok := e.(RosterChanged); ok {
			if _, twice := told[c.Slot]; twice {
				t.Fatalf("slot %s is told of twice", c.Slot)
			}
			told[c.Slot] = c.Diff
		}
	}
	slots := map[string]bool{}
	for id := range before {
		slots[id] = true
	}
	for id := range after {
		slots[id] = true
	}
	for id := range slots {
		want := Compare(before[id], after[id])
		got := told[id]
		if got.Empty() && want.Empty() {
			continue
		}
		if !sameMembers(got.Joined, want.Joined) || !sameMembers(got.Left, want.Left) || len(got.Changed) != len(want.Changed) {
			t.Fatalf("slot %s: told %+v, but the rosters differ by %+v", id, got, want)
		}
		for i := range got.Changed {
			if !got.Changed[i].After.same(want.Changed[i].After) {
				t.Fatalf("slot %s: told %+v, but the rosters differ by %+v", id, got, want)
			}
		}
	}
	for id := range told {
		if !slots[id] {
			t.Fatalf("slot %s is told of, and was never there", id)
		}
	}
}

func sameMembers(a, b []*Member) bool {
	return slices.EqualFunc(a, b, func(x, y *Member) bool { return x.same(y) })
}

// checkInside: what the room keeps fits together, so that nothing leaks and nothing is missed.
func checkInside(t *testing.T, r *Room) {
	t.Helper()
	writes := 0
	for id, c := range r.cells {
		if c.id != id || len(c.writes) == 0 || !slices.Contains(c.owner.cells, c) || r.people[c.owner.id] != c.owner {
			t.Fatalf("cell %v is not where it belongs", id)
		}
		for _, w := range c.writes {
			writes++
			if r.byEvent[w.Event] != c {
				t.Fatalf("event %s leads elsewhere", w.Event)
			}
		}
		if !slices.IsSortedFunc(c.writes, stands) {
			t.Fatalf("cell %v: writes out of order", id)
		}
	}
	if writes != len(r.byEvent) {
		t.Fatalf("%d writes, %d ways to them", writes, len(r.byEvent))
	}
	in := 0
	for id, p := range r.people {
		if p.id != id || !p.in && len(p.cells)+len(p.seats)+len(p.envelopes) == 0 || p.affected || p.evicted {
			t.Fatalf("person %s is kept for nothing, or left over", id)
		}
		if p.in && r.own(p) {
			in++
		}
	}
	if in != r.ownJoined {
		t.Fatalf("%d own users joined, counted %d", in, r.ownJoined)
	}
	for at, s := range r.seats {
		if s.place != at || (s.owner == nil) != (r.strangers[at] == s) || s.owner != nil && r.people[s.owner.id] != s.owner {
			t.Fatalf("seat %v is not where it belongs", at)
		}
	}
	for i, q := range [...]alarms{r.expiry, r.grace} {
		for k, a := range q {
			if a.pos != k+1 || k > 0 && a.at.Before(q[(k-1)/2].at) || i == 0 && (a.what != cellExpires || r.cells[a.cell.id] != a.cell) {
				t.Fatalf("alarm %d of queue %d is out of place", k, i)
			}
		}
	}
	for id, s := range r.slots {
		if s.dirty || !s.diff.Empty() || len(s.list.add)+len(s.list.remove) > 0 || !slices.IsSortedFunc(s.list.members, order) {
			t.Fatalf("slot %s is not settled", id)
		}
	}
	if len(r.touched)+len(r.affected)+len(r.evicted)+len(r.dirty) > 0 {
		t.Fatal("something is left over from the last input")
	}
}

// crowd is the state of a room in which n users are joined, and their memberships as homeservers give them, half of them
// state and half sticky, in no order.
func crowd(n int) (State, []Event) {
	p := &play{now: epoch}
	var st State
	var es []Event
	for i := range n {
		u := fmt.Sprintf("user%d", i)
		st.Events = append(st.Events, p.member(u, "join"))
		p.now = p.now.Add(time.Millisecond)
		if i%2 == 0 {
			es = append(es, p.state(u, "DEVICE"))
		} else {
			es = append(es, p.sticky(u, "DEVICE", fmt.Sprintf("00000000-0000-0000-0000-%012d", i)))
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, k int) { es[i], es[k] = es[k], es[i] })
	return st, es
}
