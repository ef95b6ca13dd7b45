package member

import (
	"testing"
	"time"
)

// scripts is what a roster must do, one situation each. After every step the rosters are also compared with the reference.
var scripts = []struct {
	name string
	run  func(p *play)
}{
	{"a state membership joins and leaves by empty content", func(p *play) {
		p.room("a").tell(p.state("a", "D"), "+a/D").tell(p.stateLeave("a", "D"), "-a/D")
	}},
	{"a state membership ends four hours after it was made", func(p *play) {
		p.room("a").tell(p.state("a", "D"), "+a/D")
		p.until(4*time.Hour-time.Millisecond).until(4*time.Hour, "-a/D").until(9 * time.Hour)
	}},
	{"expires counts from created_ts, and grows", func(p *play) {
		p.room("a")
		key := "_@a:x_D_m.call"
		p.tell(p.stateAs("a", key, sessionContent("a", "D", otherURL).with("expires", 60000)), "+a/D")
		p.at(30*time.Second).tell(p.stateAs("a", key, sessionContent("a", "D", otherURL).with("expires", 120000).with("created_ts", epoch.UnixMilli())), "~a/D")
		p.until(2*time.Minute-time.Millisecond).until(2*time.Minute, "-a/D")
	}},
	{"a state key without the underscore", func(p *play) {
		p.room("a").tell(p.stateAs("a", "@a:x_D_m.call", sessionContent("a", "D", otherURL)), "+a/D")
	}},
	{"a state key that is the user id alone", func(p *play) {
		p.room("a").tell(p.stateAs("a", "@a:x", sessionContent("a", "D", otherURL)), "+a/D")
	}},
	{"a state key of another user", func(p *play) {
		p.room("a", "b").tell(p.stateAs("b", "_@a:x_D_m.call", sessionContent("b", "D", otherURL))).roster(roomSlot)
	}},
	{"a state key of a user whose server's name is longer", func(p *play) {
		p.room("a", "@a:x.org").tell(p.stateAs("a", "_@a:x.org_D_m.call", sessionContent("a", "D", otherURL)))
	}},
	{"another user overwrites a state membership", func(p *play) {
		p.room("a", "b").tell(p.state("a", "D"), "+a/D")
		p.tell(p.stateAs("b", "_@a:x_D_m.call", sessionContent("b", "E", otherURL)), "-a/D").roster(roomSlot)
	}},
	{"a moderator clears a state membership", func(p *play) {
		p.room("a", "mod").tell(p.state("a", "D"), "+a/D").tell(p.stateAs("mod", "_@a:x_D_m.call", content{}), "-a/D")
	}},
	{"the stable type of state memberships", func(p *play) {
		p.room("a").tell(p.stateEvent(typeCallStable, "_@a:x_D_m.call", "a", sessionContent("a", "D", otherURL)), "+a/D")
	}},
	{"call_id names another slot", func(p *play) {
		p.room("a").tell(p.stateAs("a", "_@a:x_D_m.call", sessionContent("a", "D", otherURL).with("call_id", "side")), "+a/D@m.call#side")
		p.roster(roomSlot).roster("m.call#side", "a/D")
	}},
	{"call_id missing or null is the room's", func(p *play) {
		p.room("a", "b").tell(p.stateAs("a", "_@a:x_D_m.call", sessionContent("a", "D", otherURL).with("call_id", nil)), "+a/D")
		p.tell(p.stateAs("b", "_@b:x_D_m.call", sessionContent("b", "D", otherURL).with("call_id", []any(nil))), "+b/D")
	}},
	{"a call_id that is no text", func(p *play) {
		p.room("a").tell(p.stateAs("a", "_@a:x_D_m.call", sessionContent("a", "D", otherURL).with("call_id", 7)))
	}},
	{"the old form with a list of memberships", func(p *play) {
		p.room("a").tell(p.stateAs("a", "@a:x", content{"memberships": []content{sessionContent("a", "D", otherURL)}}))
	}},
	{"a state membership without a device", func(p *play) {
		p.room("a").tell(p.stateAs("a", "_@a:x_D_m.call", sessionContent("a", "D", otherURL).with("device_id", nil)))
	}},
	{"two devices of one user", func(p *play) {
		p.room("a").tell(p.state("a", "D"), "+a/D").at(time.Second).tell(p.state("a", "E"), "+a/E").roster(roomSlot, "a/D", "a/E")
	}},
	{"a state event redacted is a leave", func(p *play) {
		p.room("a")
		e := p.state("a", "D")
		p.tell(e, "+a/D").tell(p.redaction(e.ID), "-a/D")
	}},
	{"a state event that comes already redacted", func(p *play) {
		p.room("a").tell(p.state("a", "D"), "+a/D")
		e := p.stateLeave("a", "D")
		e.Redacted = true
		p.tell(e, "-a/D")
	}},
	{"wild times do not overflow", func(p *play) {
		p.room("a", "b")
		p.tell(p.stateAs("a", "_@a:x_D_m.call", sessionContent("a", "D", otherURL).with("expires", int64(1)<<53).with("created_ts", int64(1)<<53)), "+a/D")
		p.tell(p.stateAs("b", "_@b:x_D_m.call", sessionContent("b", "D", otherURL).with("expires", -(int64(1)<<53)).with("created_ts", -(int64(1)<<53))))
		p.until(24*365*time.Hour).roster(roomSlot, "a/D")
	}},
	{"a sticky membership of shape A", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D")
		if m := p.r.Roster(roomSlot).Members[0]; m.Source != StickyTransports || m.Intent != "video" || m.ID != "m1" || len(m.Transports) != 1 || m.Transports[0].ServiceURL != otherURL {
			p.t.Errorf("%+v", m)
		}
	}},
	{"a sticky membership of shape B", func(p *play) {
		p.room("a").tell(p.stickyAs("a", hour, rtcContentB("a", "D", "m1", otherURL)), "+a/D")
		if m := p.r.Roster(roomSlot).Members[0]; m.Source != StickyRTCTransports || m.Device != "D" || len(m.Transports) != 1 {
			p.t.Errorf("%+v", m)
		}
	}},
	{"shape B with the user keys of shape A", func(p *play) {
		c := rtcContentB("a", "D", "m1", otherURL).with("member", content{"id": "m1", "user_id": "@a:x", "device_id": "D"})
		p.room("a").tell(p.stickyAs("a", hour, c), "+a/D")
	}},
	{"a sticky membership as in MSC4143's text, and its leave", func(p *play) {
		join := content{"sticky_key": "k", "slot_id": roomSlot, "application": content{"type": "m.call"}, "member": content{"id": "k", "membership": "join"}}
		e := p.stickyAs("a", hour, join)
		e.Type = typeStickyStable
		p.room("a").tell(e, "+a/")
		if m := p.r.Roster(roomSlot).Members[0]; m.Source != StickyText || m.Candidates()[1] != hash2("a", "k") {
			p.t.Errorf("%+v", m)
		}
		e = p.at(time.Second).stickyAs("a", hour, join.with("member", content{"id": "k", "membership": "leave"}).with("leave_reason", "bye"))
		e.Type = typeStickyStable
		p.tell(e, "-a/")
	}},
	{"a sticky leave with the key alone", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").at(time.Second).tell(p.stickyLeave("a", "m1"), "-a/D")
	}},
	{"a sticky leave with key and slot", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").at(time.Second)
		p.tell(p.stickyAs("a", hour, content{"msc4354_sticky_key": "m1", "slot_id": roomSlot}), "-a/D")
	}},
	{"a sticky membership without a key", func(p *play) {
		p.room("a").tell(p.stickyAs("a", hour, rtcContent("a", "D", "m1", otherURL).with("msc4354_sticky_key", nil)))
	}},
	{"a sticky membership that is not sticky", func(p *play) {
		p.room("a").tell(p.stickyAs("a", 0, rtcContent("a", "D", "m1", otherURL)))
		p.tell(p.stickyAs("a", -5, rtcContent("a", "D", "m1", otherURL)))
	}},
	{"a sticky membership in another's name", func(p *play) {
		p.room("a", "b").tell(p.stickyAs("b", hour, rtcContent("a", "D", "m1", otherURL)))
		p.tell(p.stickyAs("b", hour, rtcContentB("a", "D", "m2", otherURL)))
	}},
	{"a slot id of another application than the member's", func(p *play) {
		p.room("a").tell(p.stickyAs("a", hour, rtcContent("a", "D", "m1", otherURL).with("slot_id", "m.game#ROOM")))
	}},
	{"a slot id without an application's name", func(p *play) {
		p.room("a").tell(p.stickyAs("a", hour, rtcContent("a", "D", "m1", otherURL).with("slot_id", "slot1234")), "+a/D@slot1234")
	}},
	{"a sticky membership moves to another slot", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").at(time.Second)
		p.tell(p.stickyAs("a", hour, rtcContent("a", "D", "m1", otherURL).with("slot_id", "m.call#side")), "-a/D", "+a/D@m.call#side")
	}},
	{"a sticky membership ends with its duration, an hour at most", func(p *play) {
		p.room("a", "b").tell(p.stickyAs("a", 60000, rtcContent("a", "D", "m1", otherURL)), "+a/D")
		p.tell(p.stickyAs("b", 9*hour, rtcContent("b", "D", "m2", otherURL)), "+b/D")
		p.until(time.Minute-time.Millisecond).until(time.Minute, "-a/D").until(time.Hour-time.Millisecond).until(time.Hour, "-b/D")
	}},
	{"the homeserver's word on what is left counts before the sender's clock", func(p *play) {
		e := p.sticky("a", "D", "m1")
		e.Origin -= 30 * 60000
		e.HasTTL, e.TTL = true, 50*60000
		p.room("a").tell(e, "+a/D").until(50*time.Minute-time.Millisecond).until(50*time.Minute, "-a/D")
	}},
	{"a sender whose clock is ahead gains nothing", func(p *play) {
		e := p.sticky("a", "D", "m1")
		e.Origin += 10 * hour
		p.room("a").tell(e, "+a/D").until(time.Hour, "-a/D")
	}},
	{"a sender whose clock is behind loses time", func(p *play) {
		e := p.sticky("a", "D", "m1")
		e.Origin -= 40 * 60000
		p.room("a").tell(e, "+a/D").until(20*time.Minute, "-a/D")
	}},
	{"told again with a ttl: the new one counts, and nobody is told", func(p *play) {
		e := p.sticky("a", "D", "m1")
		p.room("a").tell(e, "+a/D").at(10 * time.Minute)
		e.HasTTL, e.TTL, e.Received = true, 20*60000, p.now
		p.tell(e).until(30*time.Minute-time.Millisecond).until(30*time.Minute, "-a/D")
	}},
	{"renewed under the same key", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").at(50*time.Minute).tell(p.sticky("a", "D", "m1"), "~a/D")
		p.until(110*time.Minute-time.Millisecond).until(110*time.Minute, "-a/D")
	}},
	{"duplicate sticky keys: the higher time and duration stands, in any order", func(p *play) {
		low, high := p.sticky("a", "D", "m1"), p.stickyAs("a", hour-1, rtcContent("a", "E", "m1", otherURL))
		high.Origin += 2
		p.room("a").tell(Batch{[]Event{high, low}}, "+a/E").tell(p.redaction(high.ID), "~a/D")
	}},
	{"duplicate sticky keys: a tie goes to the higher event id", func(p *play) {
		one, two := p.sticky("a", "D", "m1"), p.sticky("a", "E", "m1")
		p.room("a").tell(two, "+a/E").tell(one).roster(roomSlot, "a/E")
	}},
	{"the same sticky key of two users", func(p *play) {
		p.room("a", "b").tell(p.sticky("a", "D", "m1"), "+a/D").tell(p.sticky("b", "D", "m1"), "+b/D").roster(roomSlot, "a/D", "b/D")
	}},
	{"a redaction restores what stood below", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D")
		leave := p.at(time.Second).stickyLeave("a", "m1")
		p.tell(leave, "-a/D").tell(p.redaction(leave.ID), "+a/D")
	}},
	{"a redaction of what stands below changes nothing", func(p *play) {
		first := p.sticky("a", "D", "m1")
		p.room("a").tell(first, "+a/D").at(time.Second).tell(p.sticky("a", "D", "m1"), "~a/D").tell(p.redaction(first.ID)).roster(roomSlot, "a/D")
	}},
	{"a redaction that comes first", func(p *play) {
		e := p.sticky("a", "D", "m1")
		p.room("a").tell(p.redaction(e.ID)).tell(e).roster(roomSlot)
	}},
	{"a write that cannot be understood stands all the same", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").at(time.Second)
		p.tell(p.stickyAs("a", hour, content{"msc4354_sticky_key": "m1", "slot_id": roomSlot, "member": 7}), "-a/D")
	}},
	{"a short leave does not overtake a long membership", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").at(time.Second).tell(p.stickyAs("a", 5000, content{"msc4354_sticky_key": "m1"}))
		p.roster(roomSlot, "a/D")
	}},
	{"what was overtaken does not come back when the winner ends", func(p *play) {
		first, leave := p.sticky("a", "D", "m1"), p.stickyLeave("a", "m1")
		leave.Origin++
		leave.HasTTL, leave.TTL = true, 1000
		p.room("a").tell(Batch{[]Event{first, leave}}).until(30 * time.Minute).roster(roomSlot)
	}},
	{"a sticky key hides the state membership of the same key", func(p *play) {
		key := "_@a:x_D_m.call"
		p.room("a").tell(p.stateAs("a", key, sessionContent("a", "OLD", otherURL)), "+a/OLD").at(time.Second)
		p.tell(p.sticky("a", "NEW", key), "+a/NEW", "-a/OLD")
		p.at(2 * time.Second)
		p.tell(p.stickyLeave("a", key), "-a/NEW").until(time.Hour+2*time.Second-time.Millisecond).until(time.Hour+2*time.Second, "+a/OLD")
	}},
	{"another user's sticky key hides nothing", func(p *play) {
		p.room("a", "b").tell(p.state("a", "D"), "+a/D").tell(p.sticky("b", "D", "_@a:x_D_m.call"), "+b/D").roster(roomSlot, "a/D", "b/D")
	}},
	{"a closed slot has no sticky members, and state members of their keys again", func(p *play) {
		key := "_@a:x_D_m.call"
		p.room("a", "b").tell(p.stateAs("a", key, sessionContent("a", "OLD", otherURL)), "+a/OLD").at(time.Second)
		p.tell(p.sticky("a", "NEW", key), "+a/NEW", "-a/OLD").tell(p.sticky("b", "D", "m2"), "+b/D")
		p.tell(p.slotIs("closed"), "closing m.call#ROOM +11s", "+a/OLD", "-a/NEW", "-b/D")
		p.at(2*time.Second).tell(p.slotIs("open"), "reopened m.call#ROOM", "+a/NEW", "+b/D", "-a/OLD")
	}},
	{"a slot of another application", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D")
		p.tell(p.stateEvent(typeSlot, roomSlot, "mod", content{"status": "open", "application": content{"type": "m.game"}}), "closing m.call#ROOM +10s", "-a/D")
	}},
	{"the stable slot event counts before the unstable one", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D")
		p.tell(p.stateEvent(typeSlotStable, roomSlot, "mod", content{"status": "open"})).tell(p.slotIs("closed")).roster(roomSlot, "a/D")
	}},
	{"a slot event redacted is no longer open", func(p *play) {
		e := p.slotIs("open")
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").tell(e).tell(p.redaction(e.ID), "closing m.call#ROOM +10s", "-a/D")
	}},
	{"members are of those who are joined", func(p *play) {
		p.room("a").tell(p.state("b", "D")).tell(p.sticky("b", "E", "m1")).tell(p.member("b", "invite")).roster(roomSlot)
		p.tell(p.member("b", "join"), "+b/D", "+b/E").tell(p.member("b", "leave"), "evict b left", "-b/D", "-b/E")
		p.tell(p.member("b", "join"), "+b/D", "+b/E")
	}},
	{"sorting is by time of creation, then by event id", func(p *play) {
		one, two, three := p.state("a", "D"), p.state("b", "D"), p.state("c", "D")
		three.Origin -= 5
		p.room("a", "b", "c").tell(Batch{[]Event{two, one, three}}, "+c/D", "+a/D", "+b/D").roster(roomSlot, "c/D", "a/D", "b/D")
	}},
	{"in a batch only the outcome is told", func(p *play) {
		p.room("a").tell(Batch{[]Event{p.state("a", "D"), p.stateLeave("a", "D"), p.sticky("a", "E", "m"), p.stickyLeave("a", "m")}})
	}},
	{"a state read again tells only what is new", func(p *play) {
		a, b, c := p.state("a", "D"), p.state("b", "D"), p.state("c", "D")
		members := []Event{p.member("a", "join"), p.member("b", "join"), p.member("c", "join")}
		p.tell(State{Events: append(members, a, b)}, "+a/D", "+b/D")
		p.tell(State{Events: append([]Event{c, b}, members...)}, "+c/D", "-a/D").roster(roomSlot, "b/D", "c/D")
	}},
	{"a state read again does not touch sticky memberships", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").room("a").roster(roomSlot, "a/D")
	}},
	{"a state reset brings back an older membership", func(p *play) {
		old := p.state("a", "D")
		p.room("a").tell(old, "+a/D").at(time.Minute).tell(p.stateLeave("a", "D"), "-a/D").tell(old, "+a/D")
	}},
	{"the clock goes back over an expiry", func(p *play) {
		p.room("a").tell(p.state("a", "D"), "+a/D").until(5*time.Hour, "-a/D").at(time.Hour).tell(Tick{}, "+a/D").until(4*time.Hour, "-a/D")
	}},
	{"the clock goes back over a sticky expiry", func(p *play) {
		p.room("a").tell(p.sticky("a", "D", "m"), "+a/D").until(90*time.Minute, "-a/D").at(30*time.Minute).tell(Tick{}, "+a/D")
	}},
	{"the clock jumps ahead by a day", func(p *play) {
		p.room("a").tell(p.state("a", "D"), "+a/D").tell(p.sticky("a", "E", "m"), "+a/E").at(24*time.Hour).tell(Tick{}, "-a/D", "-a/E")
		p.at(0).tell(Tick{}, "+a/D").tell(p.sticky("a", "E", "m"), "+a/E")
	}},
	{"an encrypted room: envelopes are counted, state is read", func(p *play) {
		p.room("a").tell(p.stateEvent(typeEncryption, "", "a", content{"algorithm": "m.megolm.v1.aes-sha2"}))
		e := p.stickyAs("a", hour, content{"ciphertext": "x", "device_id": "D"})
		e.Type = typeEncrypted
		p.tell(e).tell(e).roster(roomSlot).tell(p.state("a", "D"), "+a/D")
		if n := p.r.Sealed("@a:x"); n != 1 {
			p.t.Errorf("%d envelopes", n)
		}
		p.tell(p.redaction(e.ID))
		if n := p.r.Sealed("@a:x"); n != 0 {
			p.t.Errorf("%d envelopes after the redaction", n)
		}
	}},
	{"more sticky keys than a user may have: those that are past make room", func(p *play) {
		p.room("a")
		for range maxPerUser {
			e := p.sticky("a", "D", p.id())
			e.HasTTL, e.TTL = true, 1000
			p.do(e)
		}
		late := p.sticky("a", "LATE", "late")
		p.tell(late, "refused "+late.ID+": "+errMany.Error())
		p.until(2*time.Second, manyLeave()...)
		p.tell(p.sticky("a", "NEXT", "next"), "+a/NEXT")
	}},
	{"a hundred writes of one key", func(p *play) {
		p.room("a")
		for range 100 {
			p.now = p.now.Add(time.Second)
			p.do(p.sticky("a", "D", "m"))
		}
		if s := p.r.Snapshot(); s.Memberships != maxWrites {
			p.t.Errorf("%d writes kept", s.Memberships)
		}
	}},
	{"wild types everywhere", func(p *play) {
		p.room("a")
		for _, v := range []any{nil, true, 7, -1.5e300, "", "x", []any{}, []any{[]any{}}, content{}, content{"id": 7}} {
			for _, key := range []string{"slot_id", "application", "transports", "rtc_transports", "member", "versions", "msc4354_sticky_key", "sticky_key"} {
				p.do(p.stickyAs("a", hour, rtcContent("a", "D", p.id(), otherURL).with(key, v)))
			}
			for _, key := range []string{"application", "call_id", "device_id", "expires", "created_ts", "foci_preferred", "membershipID", "memberships", "m.call.intent"} {
				p.do(p.stateAs("a", "_@a:x_D_m.call", sessionContent("a", "D", otherURL).with(key, v)))
			}
			for _, kind := range []string{typeMember, typePower, typeACL, typeCreate, typeTombstone, typeSlot} {
				p.do(p.stateEvent(kind, "", "a", content{"users": v, "events": v, "allow": v, "deny": v, "membership": v, "room_version": v, "status": v, "users_default": v, "replacement_room": v, "additional_creators": v, "application": v}))
			}
		}
	}},
	{"events that are no JSON, too long, or without identifiers", func(p *play) {
		p.room("a")
		for _, c := range []string{"", "null", "[]", "7", "{", `{"a":}`, `{"slot_id":"\ud800"}`} {
			e := p.sticky("a", "D", "m")
			e.Content = []byte(c)
			p.tell(e)
		}
		big := p.sticky("a", "D", "m")
		big.Content = make([]byte, maxContent+1)
		p.tell(big, "refused "+big.ID+": "+errJSON.Error())
		p.tell(Event{Type: typeSticky, Sender: "@a:x"}, "refused : "+errID.Error())
	}},
}

func manyLeave() []string {
	s := make([]string, maxPerUser)
	for i := range s {
		s[i] = "-a/D"
	}
	return s
}

func TestScripts(t *testing.T) {
	if len(scripts)+len(enforcement) < 50 {
		t.Errorf("only %d scripts", len(scripts)+len(enforcement))
	}
	for _, s := range append(scripts, enforcement...) {
		t.Run(s.name, func(t *testing.T) { s.run(newPlay(t)) })
	}
}
