package member

import (
	"time"

	"weir/sfu"
)

func (p *play) token(user, device, member string, id sfu.Identity) Record {
	return Record{Slot: roomSlot, Identity: id, User: full(user), Device: device, Member: member, Door: "get_token"}
}

// ours is a state membership that names this focus.
func (p *play) ours(user, device string) Event {
	return p.stateAs(user, "_"+full(user)+"_"+device+"_m.call", sessionContent(user, device, ourURL))
}

func here(id sfu.Identity) Arrived  { return Arrived{roomSlot, id} }
func away(id sfu.Identity) Departed { return Departed{roomSlot, id} }

// enforcement is what the focus must do about it (matrixrtc.md sections 8 and 9).
var enforcement = []struct {
	name string
	run  func(p *play)
}{
	{"leave, kick and ban evict, each with its reason", func(p *play) {
		p.room("a", "b", "c", "mod").tell(p.state("a", "D"), "+a/D")
		p.tell(p.member("a", "leave"), "evict a left", "-a/D")
		p.tell(p.kick("b", "leave", "mod"), "evict b kicked")
		p.tell(p.kick("c", "ban", "mod"), "evict c banned")
		p.tell(p.kick("c", "leave", "mod")) // unbanned
	}},
	{"a state membership and its participant", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.token("a", "D", "", id)).tell(here(id), "+a/D?door").tell(p.ours("a", "D"), "+a/D!", "-a/D?door")
		p.until(time.Hour).tell(away(id), "~a/D").tell(p.stateLeave("a", "D"), "-a/D")
	}},
	{"a sticky membership and its participant, by the door's record", func(p *play) {
		id := hash3("a", "D", "m1")
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").tell(p.token("a", "D", "m1", id)).tell(here(id), "~a/D!").tell(away(id), "~a/D")
	}},
	{"compatibility mode elsewhere: a hash that no event holds is matched by the record", func(p *play) {
		id := hash3("a", "D", "@a:x:D")
		p.room("a").tell(p.state("a", "D"), "+a/D").tell(p.token("a", "D", "@a:x:D", id)).tell(here(id), "~a/D!").until(time.Hour)
	}},
	{"a sticky membership whose participant goes by the legacy identity", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.sticky("a", "D", "m1"), "+a/D").tell(here(id), "~a/D!")
	}},
	{"without a record, a hash is found among the members", func(p *play) {
		p.room("a", "b").tell(p.sticky("a", "D", "m1"), "+a/D").tell(here(hash3("a", "D", "m1")), "~a/D!")
		p.tell(here(hash2("b", "m2"))).tell(p.sticky("b", "E", "m2"), "+b/E!")
		if u := p.r.UserOf(roomSlot, hash2("b", "m2")); u != "@b:x" {
			p.t.Errorf("the stranger is %q", u)
		}
	}},
	{"a participant without membership: withheld after 10 s, unattested after 60 s, back at once", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.token("a", "D", "", id)).tell(here(id), "+a/D?door")
		p.until(10*time.Second-1).until(10*time.Second, "withhold a/D").until(time.Minute-1).until(time.Minute, "unattested a/D").until(30 * time.Minute)
		p.tell(p.ours("a", "D"), "release a/D", "attested a/D", "+a/D!", "-a/D?door")
	}},
	{"a membership that goes is nothing at once", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.ours("a", "D"), "+a/D").tell(here(id), "~a/D!").at(time.Minute)
		p.tell(p.stateLeave("a", "D"), "+a/D?door", "-a/D!")
		p.until(70*time.Second-1).until(70*time.Second, "withhold a/D").until(2*time.Minute, "unattested a/D")
		p.tell(away(id), "-a/D?door").until(time.Hour)
	}},
	{"a membership renewed in time is no gap", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.ours("a", "D"), "+a/D").tell(here(id), "~a/D!").tell(p.stateLeave("a", "D"), "+a/D?door", "-a/D!")
		p.at(9*time.Second).tell(p.ours("a", "D"), "+a/D!", "-a/D?door").until(time.Hour)
	}},
	{"in an encrypted room nobody is withheld", func(p *play) {
		id := hash3("a", "D", "m1")
		p.room("a").tell(p.stateEvent(typeEncryption, "", "a", content{})).tell(p.token("a", "D", "m1", id)).tell(here(id), "+a/D?door").until(50 * time.Minute)
		p.tell(away(id), "-a/D?door")
	}},
	{"a room that becomes encrypted gives back what was withheld", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(here(id), "+a/D?door").until(11*time.Second, "withhold a/D")
		p.tell(p.stateEvent(typeEncryption, "", "a", content{}), "release a/D").until(time.Hour)
	}},
	{"a stranger is withheld too", func(p *play) {
		p.room("a").tell(here("bot")).until(time.Minute, "withhold hash", "unattested hash").tell(away("bot"))
	}},
	{"a blind room holds nobody to account", func(p *play) {
		id := legacy("a", "D")
		p.tell(here(id), "+a/D?door").until(time.Hour)
		p.room("a").roster(roomSlot, "a/D?door").tell(Sight{false}).until(2 * time.Hour)
		p.tell(Sight{true}).until(2*time.Hour+10*time.Second, "withhold a/D")
	}},
	{"a ghost after a minute, gone when its participant comes", func(p *play) {
		p.room("a").tell(p.ours("a", "D"), "+a/D").until(time.Minute-1).until(time.Minute, "~a/D?ghost", "ghost a/D")
		p.tell(here(legacy("a", "D")), "~a/D!", "ghost gone a")
	}},
	{"a ghost whose membership goes", func(p *play) {
		p.room("a").tell(p.ours("a", "D"), "+a/D").until(time.Minute, "~a/D?ghost", "ghost a/D").tell(p.stateLeave("a", "D"), "-a/D?ghost", "ghost gone a")
	}},
	{"a member of another focus is no ghost", func(p *play) {
		p.room("a").tell(p.state("a", "D"), "+a/D").until(time.Hour)
	}},
	{"a crash leaves two memberships of a device: the older is the ghost", func(p *play) {
		old := p.stickyAs("a", hour, rtcContent("a", "D", "m1", ourURL))
		p.room("a").tell(old, "+a/D").at(time.Second)
		id := hash3("a", "D", "m2")
		p.tell(p.token("a", "D", "m2", id)).tell(here(id), "+a/D?door")
		p.tell(p.stickyAs("a", hour, rtcContent("a", "D", "m2", ourURL)), "+a/D!", "-a/D?door")
		p.until(time.Minute, "~a/D?ghost", "ghost a/D").roster(roomSlot, "a/D?ghost", "a/D!")
	}},
	{"a denied server is evicted, and not heard again", func(p *play) {
		id := sfu.Identity("@e:evil.example:D")
		p.room("a", "@e:evil.example").tell(p.token("@e:evil.example", "D", "", id)).tell(here(id), "+e:evil.example/D?door")
		p.tell(p.stateEvent(typeACL, "", "mod", content{"allow": []string{"*"}, "deny": []string{"*.example"}}), "evict e:evil.example server_denied")
		p.tell(away(id), "-e:evil.example/D?door").tell(p.token("@e:evil.example", "D", "", id), "evict e:evil.example server_denied")
		if st := p.r.Standing("@e:evil.example", roomSlot); !st.Denied || !st.Joined {
			p.t.Errorf("%+v", st)
		}
	}},
	{"the own server left the room", func(p *play) {
		p.room("a", "@o:other").tell(p.member("a", "leave"), "evict a left", "own gone").tell(OwnServer{true}).tell(OwnServer{false}, "end own_server_gone")
	}},
	{"a closed slot ends after ten seconds", func(p *play) {
		p.room("a").tell(p.slotIs("open")).tell(p.slotIs("closed"), "closing m.call#ROOM +10s").until(10*time.Second-1).until(10*time.Second, "closed m.call#ROOM").until(time.Hour)
		if p.r.Standing("@a:x", roomSlot).SlotOpen {
			p.t.Error("open")
		}
	}},
	{"a slot that opens again in time does not end", func(p *play) {
		p.room("a").tell(p.slotIs("closed"), "closing m.call#ROOM +10s").at(9*time.Second).tell(p.slotIs("open"), "reopened m.call#ROOM").until(time.Hour)
	}},
	{"a user that is not joined, and no door knows, is evicted on arrival", func(p *play) {
		p.room("a").tell(p.state("b", "D")).tell(here(legacy("b", "D")), "evict b not_joined")
	}},
	{"a door's word stands for a minute, until the join has come", func(p *play) {
		id := legacy("b", "D")
		p.room("a").tell(p.token("b", "D", "", id)).tell(here(id), "+b/D?door").at(5 * time.Second).tell(p.member("b", "join"))
		p.until(time.Minute, "withhold b/D", "unattested b/D")
	}},
	{"a door's word without a join is doubted after a minute", func(p *play) {
		id := legacy("b", "D")
		p.room("a").tell(p.token("b", "D", "", id)).tell(here(id), "+b/D?door").until(time.Minute, "withhold b/D", "unattested b/D", "evict b not_joined", "-b/D?door")
	}},
	{"a ban while the token is out", func(p *play) {
		id := legacy("b", "D")
		p.room("a").tell(p.token("b", "D", "", id)).tell(p.kick("b", "ban", "a"), "evict b banned").tell(here(id), "evict b not_joined")
	}},
	{"gone while the focus was away: told from the state", func(p *play) {
		p.tell(here(legacy("a", "D")), "+a/D?door").tell(here(legacy("b", "D")), "+b/D?door").tell(here(hash3("c", "D", "m")))
		p.tell(State{Events: []Event{p.member("a", "join"), p.state("a", "D"), p.kick("b", "ban", "a"), p.state("b", "D")}}, "evict b banned", "+a/D!", "-a/D?door", "-b/D?door")
	}},
	{"a state in which a member is missing", func(p *play) {
		p.room("a", "b").tell(p.state("b", "D"), "+b/D").tell(State{Events: []Event{p.member("a", "join"), p.state("b", "D")}}, "evict b not_joined", "-b/D")
	}},
	{"a partial state: nobody is gone for not being in it", func(p *play) {
		p.room("a", "b").tell(p.state("b", "D"), "+b/D").tell(State{Partial: true, Events: []Event{p.member("a", "join"), p.stateOf("b", "D")}}, "~b/D").tell(here(legacy("b", "D")), "~b/D!")
	}},
	{"polled: who is not in the list is gone", func(p *play) {
		p.room("a", "b", "c").tell(JoinedUsers{[]string{"@a:x", "@d:x"}}, "evict b not_joined", "evict c not_joined")
		if !p.r.Standing("@d:x", roomSlot).Joined || p.r.Standing("@b:x", roomSlot).Joined {
			p.t.Error("the list was not taken over")
		}
	}},
	{"power is taken and given back", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.token("a", "D", "", id))
		p.tell(p.power(content{"users": content{"@mod:x": 100}, "events_default": 50}), "may publish a false")
		p.tell(p.power(content{"users": content{"@mod:x": 100}, "events": content{typeCall: 0}, "events_default": 50}), "may publish a true")
		p.tell(p.power(content{"users": content{"@a:x": "50"}, "events_default": 50}))
	}},
	{"in an encrypted room the power to send encrypted events counts", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.token("a", "D", "", id)).tell(p.power(content{"events": content{typeEncrypted: 50}}))
		p.tell(p.stateEvent(typeEncryption, "", "mod", content{}), "may publish a false")
	}},
	{"the room is replaced", func(p *play) {
		e := p.stateEvent(typeTombstone, "", "a", content{"replacement_room": "!next"})
		p.room("a").tell(e, "upgraded !next").tell(e)
	}},
	{"a token that was not used is forgotten after an hour", func(p *play) {
		p.room("a").tell(p.token("a", "D", "", legacy("a", "D"))).until(time.Hour - 1)
		if n := p.r.Snapshot().Places; n != 1 {
			p.t.Errorf("%d places", n)
		}
		p.until(time.Hour)
		if n := p.r.Snapshot().Places; n != 0 {
			p.t.Errorf("%d places after an hour", n)
		}
	}},
	{"who is here longer than the token lives, is still known by it", func(p *play) {
		id := hash3("a", "D", "@a:x:D")
		p.room("a").tell(p.token("a", "D", "@a:x:D", id)).tell(here(id), "+a/D?door").until(3*time.Hour, "withhold hash", "unattested hash")
		p.tell(p.state("a", "D"), "release hash", "attested hash", "+a/D!", "-a/D?door").tell(away(id), "~a/D")
		if n := p.r.Snapshot().Places; n != 0 {
			p.t.Errorf("%d places", n)
		}
	}},
	{"a participant that comes back keeps its token", func(p *play) {
		id := legacy("a", "D")
		p.room("a").tell(p.token("a", "D", "", id)).tell(here(id), "+a/D?door").tell(here(id)).tell(away(id), "-a/D?door").tell(here(id), "+a/D?door")
	}},
	{"a user asks for a thousand tokens", func(p *play) {
		p.room("a")
		for i := range 1000 {
			p.do(p.token("a", "D", p.id(), sfu.Identity(p.id())))
			if n := p.r.Snapshot().Places; n > maxPerUser || n != min(i+1, maxPerUser) {
				p.t.Fatalf("%d places", n)
			}
		}
	}},
	{"records and arrivals without names", func(p *play) {
		p.room("a").tell(Record{}, "refused : "+errMany.Error()).tell(Arrived{}, "refused : "+errMany.Error()).tell(Departed{})
		p.tell(Record{Slot: roomSlot, Identity: "x"}, "refused : "+errMany.Error())
		if n := p.r.Snapshot().Places; n != 0 {
			p.t.Errorf("%d places", n)
		}
	}},
}

// stateOf is a state membership that names another focus; its id is new.
func (p *play) stateOf(user, device string) Event { return p.state(user, device) }
