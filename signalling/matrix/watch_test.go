package matrix

import (
	"errors"
	"testing"
	"time"

	"weir/sfu/session"
	"weir/signalling/derive"
)

// Who leaves, is removed or banned is out within a second, with the token that got it in; a token made after it came
// back is good.
func TestEviction(t *testing.T) {
	for name, tt := range map[string]struct {
		do     func(*rig)
		reason string
	}{
		"left":   {func(r *rig) { r.hs.Leave(room, ben) }, "left"},
		"kicked": {func(r *rig) { r.hs.Kick(room, alice, ben) }, "kicked"},
		"banned": {func(r *rig) { r.hs.Ban(room, alice, ben) }, "banned"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				old := r.token(ben)
				r.join(alice, ben, carol)
				r.wantHere("alice ben carol")
				r.wantSight("live")
				tt.do(r)
				r.pass(time.Second)
				r.wantHere("alice carol")
				r.wantMetric("weir_evictions_total", tt.reason, 1)
				r.wantAdmitted(old, ErrWithdrawn)
				r.wantAdmitted(r.token(ben), ErrWithdrawn) // not in the room
				r.pass(time.Minute)
				r.hs.Join(room, ben)
				r.pass(time.Second)
				r.wantAdmitted(old, ErrWithdrawn)
				r.wantAdmitted(r.token(ben), nil)
			})
		})
	}
}

// What a room, its slot or its homeserver does to all or some.
func TestEnforcement(t *testing.T) {
	t.Run("server ACL", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben, carol)
			r.hs.State(room, alice, "m.room.server_acl", "", `{"allow":["*"],"deny":["far.*"]}`)
			r.pass(time.Second)
			r.wantHere("alice ben")
			r.wantMetric("weir_evictions_total", "server_denied", 1)
			r.wantAdmitted(r.token(carol), ErrWithdrawn)
			if st, ok := r.w.Standing(r.t.Context(), room, derive.Slot, carol); !ok || !st.Denied {
				r.t.Errorf("%+v %v", st, ok)
			}
			r.hs.State(room, alice, "m.room.server_acl", "", `{"allow":["*"]}`)
			r.pass(time.Second)
			r.wantAdmitted(r.token(carol), nil)
		})
	})
	t.Run("slot closed", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben)
			r.hs.State(room, alice, "org.matrix.msc4143.rtc.slot", derive.Slot, `{"status":"closed"}`)
			r.pass(9 * time.Second)
			r.wantHere("alice ben")
			r.wantAdmitted(r.token(carol), ErrWithdrawn)
			r.pass(2 * time.Second)
			r.wantHere("over")
			r.wantMetric("weir_evictions_total", "slot_closed", 2)
		})
	})
	t.Run("slot closed and opened again", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben)
			r.hs.State(room, alice, "org.matrix.msc4143.rtc.slot", derive.Slot, `{"status":"closed"}`)
			r.pass(5 * time.Second)
			r.hs.State(room, alice, "org.matrix.msc4143.rtc.slot", derive.Slot, `{"status":"open","application":{"type":"m.call"}}`)
			r.pass(time.Minute)
			r.wantHere("alice ben")
			r.wantAdmitted(r.token(carol), nil)
		})
	})
	t.Run("own server gone", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben, carol)
			r.hs.Leave(room, ben)
			r.hs.Leave(room, alice)
			r.pass(2 * pollPeriod)
			r.wantHere("over")
		})
	})
	t.Run("power", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben)
			r.hs.State(room, alice, "m.room.power_levels", "", `{"users":{"`+alice+`":100},"events_default":50}`)
			r.pass(time.Second)
			r.hs.State(room, alice, "m.room.power_levels", "", openPower)
			r.pass(time.Second)
			r.wantPosted("open", "publish "+ben+":D false", "publish "+ben+":D true")
			r.wantHere("alice ben")
		})
	})
	t.Run("power, of one who comes later", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.hs.State(room, alice, "m.room.power_levels", "", `{"users":{"`+alice+`":100},"events_default":50}`)
			r.join(alice)
			r.join(ben)
			r.wantPosted("open", "publish "+ben+":D false")
		})
	})
	t.Run("room replaced", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben)
			r.hs.State(room, alice, "m.room.tombstone", "", `{"replacement_room":"!new"}`)
			r.pass(time.Minute)
			r.wantHere("alice ben")
			r.wantLog("code=upgraded")
		})
	})
	t.Run("companion", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben)
			r.arrive(identityOf(ben) + "#screen")
			r.pass(time.Second)
			r.hs.Kick(room, alice, ben)
			r.pass(time.Second)
			r.wantHere("alice")
		})
	})
	t.Run("the session is busy", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben)
			r.calls.mu.Lock()
			r.calls.full = 1
			r.calls.mu.Unlock()
			r.hs.Kick(room, alice, ben)
			r.pass(time.Second)
			r.wantHere("alice")
		})
	})
}

// Whoever is let in while being evicted is found when its connection stands.
func TestEvictedWhileConnecting(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.join(alice)
		tok := r.token(ben)
		r.wantAdmitted(tok, nil)
		r.pass(time.Second)
		r.hs.Ban(room, alice, ben)
		r.pass(time.Second)
		r.arrive(tok.Identity)
		r.pass(time.Second)
		r.wantHere("alice")
	})
}

// Notices that were lost are made up for by a look into the sessions.
func TestLostNotices(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.join(alice)
		r.calls.mute = true
		r.wantAdmitted(r.token(ben), nil)
		r.arrive(identityOf(ben))
		r.pass(2 * lookPeriod)
		r.wantMember(ben, true)
		_ = r.calls.Post(testAlias, session.Evict{Identity: identityOf(ben)})
		r.pass(2 * lookPeriod)
		r.wantMember(ben, false)
		r.calls.mu.Lock()
		delete(r.calls.open, testAlias)
		r.calls.mu.Unlock()
		r.pass(lookPeriod + linger + lookPeriod)
		r.wantRooms(0)
	})
}

// A watch ends some time after the last session, and begins again with the next.
func TestWatchEnds(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.join(alice)
		r.wantRooms(1)
		_ = r.calls.Post(testAlias, session.Close{})
		r.pass(linger / 2)
		r.wantRooms(1)
		r.pass(linger)
		r.wantRooms(0)
		r.wantMetric("weir_rooms_watched", "", 0)
		r.wantMetric("weir_rooms_blind", "", 0)
		asked := len(r.hs.Requests("/sync"))
		r.pass(time.Hour)
		if now := len(r.hs.Requests("/sync")); now != asked {
			r.t.Errorf("%d more requests in an hour", now-asked)
		}
		r.join(ben)
		r.wantRooms(1)
		r.wantSight("live")
	})
}

// Tokens that are not of our doors, or of a session of others, are not judged here.
func TestOthersTokens(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		api := r.token("@eve:own.example")
		api.Key = "devkey"
		r.wantAdmitted(api, nil)
		api.Key, api.Seat = testKey.ID, nil
		r.wantAdmitted(api, nil)
		view := r.token(alice)
		view.Session = "a view"
		r.wantAdmitted(view, nil)
		r.wantRooms(0)
	})
}

// After a restart tokens say whose seat they are for; who may open a session finds it open again.
func TestRestart(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.wantAdmitted(r.token(carol), nil) // she is told that there is no session
		r.wantPosted()
		r.wantRooms(0)
		r.wantAdmitted(r.token(alice), nil)
		r.wantPosted("open")
		r.wantAdmitted(r.token(carol), nil)
		r.arrive(identityOf(carol))
		r.pass(time.Second)
		r.hs.Ban(room, alice, carol)
		r.pass(time.Second)
		r.wantHere("")
		r.wantAdmitted(r.token("@eve:own.example"), ErrWithdrawn)
	})
}

// Without a homeserver nobody's membership is known, and nothing is asked.
func TestLevelZero(t *testing.T) {
	inBubble(t, func(c *WatcherConfig) { c.Homes = nil }, func(r *rig) {
		if r.w.Level() != 0 {
			r.t.Error(r.w.Level())
		}
		r.wantAdmitted(r.token("@eve:own.example"), nil)
		r.wantPosted("open")
		r.wantRooms(0)
		if _, err := r.w.Joined(r.t.Context(), room, alice); !errors.Is(err, errBlind) {
			r.t.Error(err)
		}
	})
}
