package member

import (
	"strings"
	"time"

	"weir/sfu"
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

// claim is what one membership event says, parsed. It does not change, but for the time a homeserver gives it anew.
type claim struct {
	verdict    verdict
	event      string // id
	sender     string
	origin     int64 // ms
	rank       int64 // sticky: origin_server_ts + duration; the highest stands
	created    int64 // ms
	expires    int64 // ms; exclusive
	live       int64 // sticky: until when it counts in the map, ms; exclusive
	source     Source
	slot       string
	app        string
	device, id string
	intent     string
	transports []Transport

	names []sfu.Identity // candidates, once asked for
}

// readState reads a state membership. stateKey must hold its sender's user id: "@user:hs…" is the room version's
// promise, "_@user:hs…" only the client's (MSC3757).
func readState(e *Event) *claim {
	c := &claim{event: e.ID, sender: e.Sender, origin: e.Origin, source: StateEvent, created: e.Origin, live: distant}
	v, ok := parse(e.Content)
	if !ok || !v.is('{') || !owns(e.StateKey, e.Sender) {
		return c
	}
	expires, callID, many := int64(defaultExpires), "", false
	var preferred value
	for key, field := range v.fields() {
		switch string(key) {
		case "application":
			c.app, _ = field.text(maxID)
		case "call_id":
			callID, ok = field.text(maxID)
			if !ok && !field.isNull() {
				return c
			}
		case "device_id":
			c.device, _ = field.text(maxID)
		case "membershipID":
			c.id, _ = field.text(maxID)
		case "m.call.intent":
			c.intent, _ = field.text(maxID)
		case "created_ts":
			if n, ok := field.integer(); ok {
				c.created = n
			}
		case "expires":
			if n, ok := field.integer(); ok {
				expires = n
			}
		case "foci_preferred":
			preferred = field
		case "memberships":
			many = true
		}
	}
	switch {
	case string(v) == "{}":
		c.verdict = left
		return c
	case many && c.device == "": // the form before MSC4143: one event for all devices
		c.verdict = left
		return c
	case c.app == "" || c.device == "":
		return c
	}
	if callID == "" {
		callID = "ROOM"
	}
	c.slot, c.expires = c.app+"#"+callID, addMS(c.created, expires)
	if len(c.slot) > maxID {
		return c
	}
	c.transports = readTransports(preferred)
	c.verdict = joined
	return c
}

// owns says whether the state key is one of the user's own. A user id cannot end where a longer one goes on: what follows
// a server name is a '_', which no server name holds.
func owns(key, user string) bool {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(key, "_"), user)
	return ok && (rest == "" || rest[0] == '_')
}

// stickyKey is the key a sticky content stands under; "" if there is none.
func stickyKey(v value) string {
	var unstable, stable string
	for key, field := range v.fields() {
		switch string(key) {
		case "msc4354_sticky_key":
			unstable, _ = field.text(maxID)
		case "sticky_key":
			stable, _ = field.text(maxID)
		}
	}
	if unstable != "" {
		return unstable // what clients send today
	}
	return stable
}

// readSticky reads a sticky membership whose content is v. live is its time in the map.
func readSticky(e *Event, v value, live int64) *claim {
	c := &claim{event: e.ID, sender: e.Sender, origin: e.Origin, created: e.Origin, live: live, expires: live,
		rank: addMS(e.Origin, e.Sticky)}
	others, bad := 0, false
	var member value
	for key, field := range v.fields() {
		switch string(key) {
		case "msc4354_sticky_key", "sticky_key":
			continue
		case "slot_id":
			var ok bool
			c.slot, ok = field.text(maxID)
			bad = bad || !ok
			continue
		case "application":
			c.app, _ = field.get("type").text(maxID)
			if s, ok := field.get("m.call.intent").text(maxID); ok {
				c.intent = s
			}
		case "m.call.intent":
			c.intent, _ = field.text(maxID)
		case "member":
			member = field
		case "transports":
			c.source = StickyTransports
			c.transports = readTransports(field.get("published"))
		case "rtc_transports":
			if c.source != StickyTransports {
				c.source = StickyRTCTransports
				c.transports = readTransports(field)
			}
		}
		others++
	}
	if others == 0 { // the key alone, or with its slot
		c.verdict = left
		return c
	}
	gone, ok := c.readMember(member)
	switch {
	case !ok || bad || c.slot == "":
	case gone:
		c.verdict = left
	case c.app != "" && !strings.HasPrefix(c.slot, c.app+"#") && strings.Contains(c.slot, "#"):
		// A slot of another application, by its own name.
	default:
		c.verdict = joined
	}
	return c
}

// readMember reads the "member" object of all sticky shapes. The user a member claims to be must be the sender.
func (c *claim) readMember(v value) (gone, ok bool) {
	says := ""
	for key, field := range v.fields() {
		switch string(key) {
		case "id":
			c.id, _ = field.text(maxID)
		case "user_id", "claimed_user_id":
			if user, ok := field.text(maxID); !ok || user != c.sender {
				return false, false
			}
		case "device_id", "claimed_device_id":
			if c.device, ok = field.text(maxID); !ok {
				return false, false
			}
		case "membership":
			if says, ok = field.text(maxID); !ok {
				return false, false
			}
		}
	}
	if c.source == 0 || says != "" {
		c.source = StickyText
	}
	return says == "leave", c.id != "" && (says == "" || says == "join" || says == "leave")
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
