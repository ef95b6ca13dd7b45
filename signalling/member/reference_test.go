package member

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// reference is matrixrtc.md section 8 written down slowly: it keeps every event, and works a roster out from all of them
// each time it is asked. It shares no code with the room but the types.
type reference struct {
	sticky   []seen
	state    map[[2]string]seen // by type and state key
	members  map[string]string
	redacted map[string]bool
	refused  map[string]bool // were not looked at
}

type seen struct {
	Event
	at      time.Time
	content map[string]any
	ttlAt   time.Time // when a ttl was told last
}

func (k *reference) tell(now time.Time, in Input) {
	if k.state == nil {
		k.state, k.members, k.redacted = map[[2]string]seen{}, map[string]string{}, map[string]bool{}
	}
	k.sticky = slices.DeleteFunc(k.sticky, func(s seen) bool { return !until(s).Add(time.Hour).After(now) })
	switch in := in.(type) {
	case Event:
		k.event(now, in)
	case Batch:
		for _, e := range in.Events {
			k.event(now, e)
		}
	case State:
		clear(k.state)
		if !in.Partial {
			clear(k.members)
		}
		for _, e := range in.Events {
			if e.State {
				k.event(now, e)
			}
		}
	case JoinedUsers:
		clear(k.members)
		for _, u := range in.Users {
			k.members[u] = "join"
		}
	}
}

func (k *reference) event(now time.Time, e Event) {
	if k.refused[e.ID] {
		return
	}
	s := seen{Event: e, at: now, ttlAt: now}
	if !e.Received.IsZero() {
		s.at, s.ttlAt = e.Received, e.Received
	}
	if json.Unmarshal(e.Content, &s.content) != nil {
		s.content = nil
	}
	switch {
	case e.State && e.Type == typeMember:
		m, _ := s.content["membership"].(string)
		k.members[e.StateKey] = m
	case e.State:
		k.state[[2]string{e.Type, e.StateKey}] = s
	case e.Type == typeRedaction:
		k.redacted[e.Redacts] = true
	case (e.Type == typeSticky || e.Type == typeStickyStable) && e.Redacted:
		k.redacted[e.ID] = true
	case (e.Type == typeSticky || e.Type == typeStickyStable) && e.Sticky > 0:
		for i, old := range k.sticky {
			if old.ID == e.ID {
				if e.HasTTL {
					k.sticky[i].HasTTL, k.sticky[i].TTL, k.sticky[i].ttlAt = true, e.TTL, s.ttlAt
				}
				return
			}
		}
		if until(s).Add(time.Hour).After(now) {
			k.sticky = append(k.sticky, s)
		}
	}
}

// until is step 1: how long a sticky event lasts.
func until(s seen) time.Time {
	if s.HasTTL {
		return floor(s.ttlAt).Add(time.Duration(min(max(s.TTL, 0), hour)) * time.Millisecond)
	}
	from := floor(s.at)
	if sent := time.UnixMilli(s.Origin); sent.Before(from) {
		from = sent
	}
	return from.Add(time.Duration(min(s.Sticky, hour)) * time.Millisecond)
}

func floor(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()) }

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func object(m map[string]any, key string) map[string]any {
	o, _ := m[key].(map[string]any)
	return o
}

type row struct {
	created       int64
	event         string
	user, id, key string
}

// roster takes the nine steps for one slot.
func (k *reference) roster(slot string, now time.Time) []row {
	// 1: the sticky map.
	type key struct{ sender, kind, key string }
	winners := map[key]seen{}
	for _, s := range k.sticky {
		name := text(s.content, "msc4354_sticky_key")
		if name == "" {
			name = text(s.content, "sticky_key")
		}
		if name == "" || k.redacted[s.ID] || !until(s).Add(time.Hour).After(now) {
			continue
		}
		at := key{s.Sender, s.Type, name}
		old, ok := winners[at]
		if a, b := s.Origin+s.Sticky, old.Origin+old.Sticky; !ok || a > b || a == b && s.ID > old.ID {
			winners[at] = s
		}
	}
	// 2: the slot.
	open := true
	for _, kind := range []string{typeSlot, typeSlotStable} {
		if s, ok := k.state[[2]string{kind, slot}]; ok {
			app := object(s.content, "application")
			mine, _, named := strings.Cut(slot, "#")
			kind, hasKind := app["type"].(string)
			open = !k.redacted[s.ID] && text(s.content, "status") == "open" && (!hasKind || !named || kind == mine)
		}
	}
	var rows []row
	hidden := map[[2]string]bool{}
	for at, s := range winners {
		if !open || !until(s).After(now) {
			continue
		}
		hidden[[2]string{at.sender, at.key}] = true
		if k.stickyValid(s) && text(s.content, "slot_id") == slot && k.members[s.Sender] == "join" {
			rows = append(rows, row{s.Origin, s.ID, s.Sender, text(object(s.content, "member"), "id"), at.key})
		}
	}
	// 3 to 8: state memberships.
	for at, s := range k.state {
		if (at[0] != typeCall && at[0] != typeCallStable) || k.redacted[s.ID] || s.Redacted || hidden[[2]string{s.Sender, at[1]}] {
			continue
		}
		bare := strings.TrimPrefix(at[1], "_")
		if bare != s.Sender && !strings.HasPrefix(bare, s.Sender+"_") {
			continue
		}
		app, dev := text(s.content, "application"), text(s.content, "device_id")
		call, isText := s.content["call_id"].(string)
		if v, given := s.content["call_id"]; app == "" || dev == "" || given && v != nil && !isText {
			continue
		}
		if call == "" {
			call = "ROOM"
		}
		created, expires := s.Origin, int64(fourHours)
		if v, ok := s.content["created_ts"].(float64); ok && math.Abs(v) <= 1<<53 {
			created = int64(v)
		}
		if v, ok := s.content["expires"].(float64); ok && math.Abs(v) <= 1<<53 {
			expires = int64(v)
		}
		if app+"#"+call == slot && time.UnixMilli(created+expires).After(now) && k.members[s.Sender] == "join" {
			rows = append(rows, row{created, s.ID, s.Sender, text(s.content, "membershipID"), at[1]})
		}
	}
	// 9: sorting.
	slices.SortFunc(rows, func(a, b row) int {
		if a.created != b.created {
			return int(a.created - b.created)
		}
		return strings.Compare(a.event, b.event)
	})
	return rows
}

func (k *reference) stickyValid(s seen) bool {
	said := maps.Clone(s.content)
	for _, key := range []string{"msc4354_sticky_key", "sticky_key", "slot_id"} {
		delete(said, key)
	}
	slot, member := text(s.content, "slot_id"), object(s.content, "member")
	if len(said) == 0 || slot == "" || text(member, "id") == "" {
		return false
	}
	for _, key := range []string{"user_id", "claimed_user_id"} {
		if v, given := member[key]; given && v != s.Sender {
			return false
		}
	}
	for _, key := range []string{"device_id", "claimed_device_id"} {
		if v, given := member[key]; given {
			if _, isText := v.(string); !isText {
				return false
			}
		}
	}
	if v, given := member["membership"]; given && v != "join" && v != "" {
		return false
	}
	app := text(object(s.content, "application"), "type")
	return app == "" || !strings.Contains(slot, "#") || strings.HasPrefix(slot, app+"#")
}

// check compares every slot that either side knows of.
func (k *reference) check(t *testing.T, r *Room, now time.Time) {
	t.Helper()
	slots := map[string]bool{roomSlot: true}
	for _, id := range r.Slots() {
		slots[id] = true
	}
	for _, s := range k.sticky {
		slots[text(s.content, "slot_id")] = true
	}
	for id := range slots {
		var got []row
		for _, m := range r.Roster(id).Members {
			if m.Source != Token {
				got = append(got, row{m.Created.UnixMilli(), m.Event, m.User, m.ID, m.Key.Key})
			}
		}
		if want := k.roster(id, now); !slices.Equal(got, want) {
			t.Fatalf("slot %s at +%v:\n      room %v\n reference %v", id, now.Sub(epoch), got, want)
		}
	}
}
