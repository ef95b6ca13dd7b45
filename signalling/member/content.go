package member

import (
	"strings"
	"time"

	"weir/sfu"
	"weir/signalling/derive"
)

// Source is where a membership comes from, and in which shape (matrixrtc.md section 7).
type Source uint8

const (
	// StateEvent is a state membership.
	StateEvent Source = iota + 1
	// StickyTransports is the sticky shape A: "transports".
	StickyTransports
	// StickyRTCTransports is the sticky shape B: "rtc_transports", as in MSC4195 and MSC4196.
	StickyRTCTransports
	// StickyText is the shape of MSC4143's text: "member.membership".
	StickyText
	// Token is no event at all: the participant holds a token from a door.
	Token
)

var sourceNames = [...]string{"", "state", "sticky_a", "sticky_b", "sticky_text", "token"}

func (s Source) String() string { return sourceNames[s] }

// Transport is one place a member says it publishes at. Only the focus's own URL means anything to the focus: it never
// dials another because an event names it.
type Transport struct {
	Type       string
	ServiceURL string // livekit_service_url
	URL        string // ws URL; newer clients
	Alias      string // livekit_alias: older clients put the room id here
}

// verdict is what became of a membership content.
type verdict uint8

const (
	invalid verdict = iota // says nothing that can be understood, or what it may not
	left                   // says that its sender is gone
	joined
)

// claim is what one membership event says, parsed. It does not change.
type claim struct {
	Member  // as a roster shows it while nothing else is known of it
	verdict verdict
	rank    int64 // sticky: origin_server_ts + duration; the highest stands
	expires int64 // ms; exclusive
	live    int64 // sticky: until when it counts in the map, ms; exclusive

	names []sfu.Identity // candidates, once asked for
}

// newClaim is the claim of an event that has not been understood yet.
func newClaim(e *Event, live int64) *claim {
	c := &claim{live: live, expires: live}
	c.Event, c.User, c.Status, c.claim = e.ID, e.Sender, Attested, c
	return c
}

// finish fills in what a roster shows of it.
func (c *claim) finish(key Key, created int64) {
	c.verdict, c.Key, c.made = joined, key, created
	c.Created, c.Expires = time.UnixMilli(created), time.UnixMilli(c.expires)
}

// readState reads a state membership. stateKey must hold its sender's user id: "@user:hs…" is the room version's
// promise, "_@user:hs…" only the client's (MSC3757).
func readState(e *Event) *claim {
	c := newClaim(e, distant)
	c.Source = StateEvent
	if !owns(e.StateKey, e.Sender) {
		return c
	}
	created, expires, callID := e.Origin, int64(defaultExpires), ""
	ok, bad := false, false
	var preferred value
	for key, field := range walk(e.Content, &ok) {
		switch string(key) {
		case "application":
			c.Application, _ = field.text(maxID)
		case "call_id":
			var isText bool
			callID, isText = field.text(maxID)
			bad = !isText && !field.isNull()
		case "device_id":
			c.Device, _ = field.text(maxID)
		case "membershipID":
			c.ID, _ = field.text(maxID)
		case "m.call.intent":
			c.Intent, _ = field.text(maxID)
		case "created_ts":
			if n, ok := field.integer(); ok {
				created = n
			}
		case "expires":
			if n, ok := field.integer(); ok {
				expires = n
			}
		case "foci_preferred":
			preferred = field
		}
	}
	if !ok || bad || c.Application == "" || c.Device == "" {
		return c // a leave is an empty object; the form before MSC4143 holds but a list, "memberships"
	}
	if callID == "" {
		callID = "ROOM"
	}
	if c.Slot = derive.Slot; c.Application != "m.call" || callID != "ROOM" {
		c.Slot = c.Application + "#" + callID
	}
	if len(c.Slot) > maxID {
		return c
	}
	c.expires = addMS(created, expires)
	c.Transports = readTransports(preferred)
	c.finish(Key{e.Type, e.Sender, e.StateKey}, created)
	return c
}

// owns says whether the state key is one of the user's own. A user id cannot end where a longer one goes on: what follows
// a server name is a '_', which no server name holds.
func owns(key, user string) bool {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(key, "_"), user)
	return ok && (rest == "" || rest[0] == '_')
}

// readSticky reads a sticky membership. live is its time in the map. Without a key it is none: nil.
func readSticky(e *Event, live int64) *claim {
	c := newClaim(e, live)
	c.rank = addMS(e.Origin, e.Sticky)
	var unstable, stable string
	others, ok, bad := 0, false, false
	var member value
	for key, field := range walk(e.Content, &ok) {
		switch string(key) {
		case "msc4354_sticky_key":
			unstable, _ = field.text(maxID)
			continue
		case "sticky_key":
			stable, _ = field.text(maxID)
			continue
		case "slot_id":
			var ok bool
			c.Slot, ok = field.text(maxID)
			bad = bad || !ok
			continue
		case "application":
			c.Application, _ = field.get("type").text(maxID)
			if s, ok := field.get("m.call.intent").text(maxID); ok {
				c.Intent = s
			}
		case "m.call.intent":
			c.Intent, _ = field.text(maxID)
		case "member":
			member = field
		case "transports":
			c.Source = StickyTransports
			c.Transports = readTransports(field.get("published"))
		case "rtc_transports":
			if c.Source != StickyTransports {
				c.Source = StickyRTCTransports
				c.Transports = readTransports(field)
			}
		}
		others++
	}
	if unstable != "" {
		stable = unstable // what clients send today
	}
	if c.Key.Key = stable; !ok || stable == "" {
		return nil
	}
	if others == 0 { // the key alone, or with its slot
		c.verdict = left
		return c
	}
	gone, ok := c.readMember(member)
	switch {
	case !ok || bad || c.Slot == "":
	case gone:
		c.verdict = left
	case c.Application != "" && !strings.HasPrefix(c.Slot, c.Application+"#") && strings.Contains(c.Slot, "#"):
		// A slot of another application, by its own name.
	default:
		c.finish(Key{e.Type, e.Sender, c.Key.Key}, e.Origin)
	}
	return c
}

// readMember reads the "member" object of all sticky shapes. The user a member claims to be must be the sender.
func (c *claim) readMember(v value) (gone, ok bool) {
	says := ""
	for key, field := range v.fields() {
		switch string(key) {
		case "id":
			c.ID, _ = field.text(maxID)
		case "user_id", "claimed_user_id":
			if user, ok := field.text(maxID); !ok || user != c.User {
				return false, false
			}
		case "device_id", "claimed_device_id":
			if c.Device, ok = field.text(maxID); !ok {
				return false, false
			}
		case "membership":
			if says, ok = field.text(maxID); !ok {
				return false, false
			}
		}
	}
	if c.Source == 0 || says != "" {
		c.Source = StickyText
	}
	return says == "leave", c.ID != "" && (says == "" || says == "join" || says == "leave")
}

// readTransports takes what it can use.
func readTransports(list value) []Transport {
	var ts []Transport
	for item := range list.items() {
		if len(ts) == maxTransports {
			break
		}
		var t Transport
		for key, field := range item.fields() {
			switch string(key) {
			case "type":
				t.Type, _ = field.text(maxID)
			case "livekit_service_url":
				t.ServiceURL, _ = field.text(maxURL)
			case "url":
				t.URL, _ = field.text(maxURL)
			case "livekit_alias":
				t.Alias, _ = field.text(maxID)
			}
		}
		if t.Type != "" {
			ts = append(ts, t)
		}
	}
	return ts
}

// stickyUntil is when a sticky event ceases to be (MSC4354): by what its homeserver says is left of it, or else an hour at
// most from when it was sent or received, whichever was first.
func stickyUntil(e *Event, now time.Time) int64 {
	received := now.UnixMilli()
	if !e.Received.IsZero() {
		received = e.Received.UnixMilli()
	}
	if e.HasTTL {
		return received + min(max(e.TTL, 0), maxStickyMS)
	}
	return min(received, e.Origin) + min(e.Sticky, maxStickyMS)
}

// distant is later than any event can say, and still a time.Time.
const distant = int64(1) << 54

// addMS stays within what a time.Time holds, whatever an event says.
func addMS(a, b int64) int64 { return min(max(clampMS(a)+clampMS(b), -distant), distant) }

func clampMS(n int64) int64 { return min(max(n, -distant), distant) }
