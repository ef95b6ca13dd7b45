package matrix

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/derive"
	"weir/signalling/matrixtest"
	"weir/signalling/policy"
)

// The homeserver is gone for minutes: calls go on, who was known may come back, and what happened meanwhile is made up
// for within seconds of its return.
func TestOutage(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.join(alice, ben, carol)
		r.wantMetric("weir_rooms_blind", "", 0)
		r.hs.Down(true)
		r.pass(2 * time.Second)
		r.wantMetric("weir_rooms_blind", "", 1)
		if r.w.Blind() != 1 {
			r.t.Error(r.w.Blind())
		}
		r.hs.Ban(room, alice, ben) // nobody can tell us
		r.pass(10 * time.Minute)
		r.wantHere("alice ben carol")
		r.wantAdmitted(r.token(ben), nil)                // was here before
		r.wantAdmitted(r.token("@eve:own.example"), nil) // policy.when_blind: own
		r.wantAdmitted(r.token("@mallory:far.example"), errUnknown)
		r.hs.Down(false)
		r.pass(lastRetry + time.Second)
		r.wantSight("live")
		r.wantHere("alice carol")
		r.wantAdmitted(r.token("@mallory:far.example"), ErrWithdrawn)
		r.wantMetric("weir_rooms_blind", "", 0)
		r.wantMetric("weir_homeserver_requests_total", "unreachable", r.metric("weir_homeserver_requests_total", "unreachable"))
		if n := len(r.hs.Requests("/sync")); n > 200 {
			r.t.Errorf("%d requests in ten minutes", n)
		}
	})
}

// Down already when the first one joins: nobody but own users, and the room is read when the homeserver is there.
func TestDownFromTheStart(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.hs.Down(true)
		r.wantAdmitted(r.token(carol), errUnknown)
		r.join(alice)
		r.pass(time.Minute)
		r.wantSight("blind")
		r.hs.Down(false)
		r.pass(lastRetry + time.Second)
		r.wantSight("live")
		r.wantAdmitted(r.token(carol), nil)
	})
}

// Whoever left and came back while nothing was heard keeps what it got since.
func TestBackBeforeWeHeard(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		old := r.token(ben)
		r.join(alice, ben)
		r.hs.Answer("/sync", matrixtest.Answer(http.StatusBadGateway, "<html>"))
		r.hs.Answer("/joined_members", matrixtest.Answer(http.StatusBadGateway, "<html>"))
		r.hs.Ban(room, alice, "@x:own.example") // the poll ends
		r.pass(time.Minute)
		r.hs.Leave(room, ben)
		r.pass(time.Second)
		r.hs.Join(room, ben)
		r.pass(time.Second)
		fresh := r.token(ben)
		r.wantAdmitted(fresh, nil)
		r.hs.Answer("/sync", nil)
		r.hs.Answer("/joined_members", nil)
		r.pass(lastRetry + time.Second)
		r.wantSight("live")
		r.wantHere("alice ben")
		r.wantAdmitted(fresh, nil)
		r.wantAdmitted(old, ErrWithdrawn)
	})
}

// While events do not come though the homeserver answers, members are asked for.
func TestPolls(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.join(alice, ben)
		r.hs.Answer("/sync", matrixtest.Answer(http.StatusInternalServerError, `{"errcode":"M_UNKNOWN"}`))
		r.hs.State(room, alice, "m.room.topic", "", `{}`) // not asked for: the poll goes on
		r.pass(pollTime + 10*time.Second)
		r.wantSight("polled")
		r.hs.Kick(room, alice, ben)
		r.pass(lastRetry + time.Second)
		r.wantHere("alice")
		r.hs.Answer("/sync", nil)
		r.pass(lastRetry + time.Second)
		r.wantSight("live")
	})
}

func TestRateLimit(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.hs.Answer("/sync", func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Retry-After", "20")
			matrixtest.Answer(http.StatusTooManyRequests, `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1}`)(w, q)
		})
		r.join(alice)
		r.pass(time.Minute)
		if n := len(r.hs.Requests("/sync")); n < 3 || n > 4 {
			r.t.Errorf("%d requests in a minute", n)
		}
		r.wantMetric("weir_homeserver_requests_total", "limited", float64(len(r.hs.Requests("/sync"))))
		r.hs.Answer("/sync", nil)
		r.pass(21 * time.Second)
		r.wantSight("live")
	})
}

// The witness leaves, or cannot be stood in for: another reads the room.
func TestWitness(t *testing.T) {
	t.Run("banned", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, ben)
			if as := r.hs.Requests("/sync")[0].As; as != alice {
				r.t.Fatalf("read as %s", as)
			}
			r.hs.Ban(room, ben, alice)
			r.pass(time.Second)
			r.wantHere("ben")
			r.wantSight("live")
			r.hs.Kick(room, ben, carol)
			r.pass(time.Second)
			all := r.hs.Requests("/sync")
			if as := all[len(all)-1].As; as != ben {
				r.t.Errorf("read as %s", as)
			}
		})
	})
	t.Run("not in the call any more", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.join(alice, carol)
			r.hs.Leave(room, alice)
			r.pass(time.Second)
			r.wantHere("carol")
			r.wantSight("live") // ben is in the room
			r.hs.Ban(room, ben, carol)
			r.pass(time.Second)
			r.wantHere("")
		})
	})
	t.Run("may not be stood in for", func(t *testing.T) {
		inBubble(t, nil, func(r *rig) {
			r.hs.Answer("/sync", func(w http.ResponseWriter, q *http.Request) {
				matrixtest.Answer(http.StatusForbidden, `{"errcode":"M_FORBIDDEN","error":"Application service cannot masquerade"}`)(w, q)
			})
			r.join(alice, ben)
			r.pass(2 * pollPeriod)
			r.wantSight("polled")
			r.hs.Kick(room, alice, ben)
			r.pass(pollPeriod + time.Second)
			r.wantHere("alice")
		})
	})
}

// Reach "ask": nobody is stood in for; each participant is asked about.
func TestAskOnly(t *testing.T) {
	inBubble(t, func(c *WatcherConfig) { c.Homes[0].Assert = false }, func(r *rig) {
		r.join(alice, ben, carol)
		r.pass(pollPeriod)
		r.wantSight("polled")
		r.hs.Kick(room, alice, ben)
		r.hs.Ban(room, alice, carol)
		r.pass(pollPeriod + time.Second)
		r.wantHere("alice")
		for _, q := range r.hs.Requests("") {
			if q.As != "" || !strings.HasSuffix(q.Path, "/is_joined") || q.Token != asTok {
				r.t.Errorf("%+v", q)
			}
		}
		r.hs.Down(true)
		r.pass(time.Minute)
		r.wantHere("alice")
		r.wantSight("blind")
		r.hs.Down(false)
		r.hs.Leave(room, ben)
		r.hs.Leave(room, alice)
		r.pass(2 * pollPeriod)
		if got := r.here(); got != "over" && got != "" {
			r.t.Errorf("here: %q", got)
		}
	})
}

// Whoever is out before the first look at the room finds no shelter in what a door saw.
func TestGoneBeforeTheFirstLook(t *testing.T) {
	for _, assert := range []bool{false, true} {
		t.Run(fmt.Sprint("assert ", assert), func(t *testing.T) {
			inBubble(t, func(c *WatcherConfig) { c.Homes[0].Assert = assert }, func(r *rig) {
				r.hs.Answer("/sync", matrixtest.Answer(http.StatusTooManyRequests, ""))
				r.join(alice)
				tok := r.token(ben)
				r.wantAdmitted(tok, nil)
				r.arrive(identityOf(ben))
				r.hs.Ban(room, alice, ben)
				r.hs.Answer("/sync", nil)
				r.pass(pollPeriod + time.Second)
				r.wantHere("alice")
				r.wantAdmitted(tok, ErrWithdrawn)
				r.hs.Join(room, ben)
				r.pass(time.Second)
				r.wantAdmitted(tok, ErrWithdrawn)
				r.join(ben)
				r.pass(time.Minute)
				r.wantHere("alice ben")
			})
		})
	}
}

// Synapse before 1.160 has neither MSC4502 nor MSC4222.
func TestOldHomeserver(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.hs.Old()
		r.wantAdmitted(r.token("@eve:own.example"), ErrWithdrawn) // its own view of the room is refused
		r.join(alice, ben)
		r.wantSight("live")
		r.wantAdmitted(r.token(carol), nil) // seen in the room
		r.wantAdmitted(r.token("@mallory:far.example"), ErrWithdrawn)
		r.hs.State(room, alice, "m.room.server_acl", "", `{"allow":["own.example"]}`)
		r.pass(time.Second)
		r.wantAdmitted(r.token(carol), ErrWithdrawn)
		r.hs.Kick(room, alice, ben)
		r.pass(time.Second)
		r.wantHere("alice")
	})
}

// A room that the homeserver knows in part only: nothing is concluded from what it does not say.
func TestPartialRoom(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.hs.Hide(room, true)
		r.join(alice, ben)
		r.pass(time.Minute)
		r.wantHere("alice ben")
		r.wantSight("blind")
		r.hs.Hide(room, false)
		r.pass(pollPeriod + callTimeout)
		r.wantSight("live")
		r.hs.Kick(room, alice, ben)
		r.pass(time.Second)
		r.wantHere("alice")
	})
}

// More happened than one answer tells: nothing is missed.
func TestGap(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprint("old ", old), func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				if old {
					r.hs.Old()
				}
				r.join(alice, ben)
				r.join(carol)
				r.hs.Answer("/sync", matrixtest.Answer(http.StatusBadGateway, ""))
				r.hs.Answer("/joined_members", matrixtest.Answer(http.StatusBadGateway, ""))
				r.hs.State(room, alice, "m.room.power_levels", "", openPower)
				r.pass(time.Minute)
				r.hs.Kick(room, alice, ben)
				for i := range 3 * timelineLimit {
					r.hs.Join(room, fmt.Sprintf("@u%d:far.example", i))
				}
				r.pass(time.Minute)
				r.wantHere("alice ben carol")
				r.hs.Answer("/sync", nil)
				r.hs.Answer("/joined_members", nil)
				r.pass(lastRetry + time.Second)
				r.wantHere("alice carol")
				r.wantSight("live")
				r.wantMetric("weir_evictions_total", "kicked", 1)
			})
		})
	}
}

// The homeserver was restored from a copy and does not know its own mark.
func TestUnknownMark(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.join(alice, ben)
		first := true
		r.hs.Answer("/sync", func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Query().Has("since") && first {
				first = false
				matrixtest.Answer(http.StatusBadRequest, `{"errcode":"M_UNKNOWN_POS"}`)(w, q)
				r.hs.Answer("/sync", nil)
			}
		})
		r.hs.Kick(room, alice, carol)
		r.pass(pollTime + 5*time.Second)
		r.wantSight("live")
		r.hs.Kick(room, alice, ben)
		r.pass(time.Second)
		r.wantHere("alice")
	})
}

// A bot sees the rooms it is in.
func TestBot(t *testing.T) {
	inBubble(t, func(c *WatcherConfig) { c.Homes[0].Bot, c.Homes[0].Assert = true, false }, func(r *rig) {
		if r.w.Level() != 1 {
			r.t.Error(r.w.Level())
		}
		r.hs.Account("@bot:own.example")
		r.join(alice) // it is not in the room: by policy.when_blind
		r.wantAdmitted(r.token(carol), errUnknown)
		r.pass(time.Minute)
		r.wantSight("blind")
		r.hs.Join(room, "@bot:own.example")
		r.pass(2 * pollPeriod)
		r.wantSight("live")
		r.join(ben, carol)
		r.hs.Kick(room, alice, carol)
		r.pass(time.Second)
		r.wantHere("alice ben")
		r.wantAdmitted(r.token("@eve:own.example"), ErrWithdrawn)
		for _, q := range r.hs.Requests("") {
			if q.As != "" {
				r.t.Errorf("%+v", q)
			}
		}
	})
}

const ghostContent = `{"application":"m.call","call_id":"","scope":"m.room","device_id":"D","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},
 "foci_preferred":[{"type":"livekit","livekit_service_url":"https://rtc.own.example","livekit_alias":"!r"}]}`

// Who has no membership after ten seconds is not forwarded until it has one, but for rooms whose events cannot be read,
// and whom a token of the operator's own let in.
func TestWithhold(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		member := func(content string) {
			r.hs.State(room, ben, "org.matrix.msc3401.call.member", "_"+ben+"_D_m.call", content)
		}
		r.hs.State(room, alice, "org.matrix.msc3401.call.member", "_"+alice+"_D_m.call", ghostContent)
		r.join(alice, ben)
		r.arrive("recorder")
		r.pass(8 * time.Second)
		r.wantPosted("open")
		r.pass(2 * time.Second)
		r.wantPosted("open", "withhold "+ben+":D true")
		r.wantLog("code=withheld")
		member(ghostContent)
		r.pass(time.Second)
		r.wantPosted("open", "withhold "+ben+":D true", "withhold "+ben+":D false")
		r.pass(time.Hour)
		r.wantPosted("open", "withhold "+ben+":D true", "withhold "+ben+":D false")
	})
	inBubble(t, nil, func(r *rig) {
		r.hs.State(room, alice, "m.room.encryption", "", `{"algorithm":"m.megolm.v1.aes-sha2"}`)
		r.join(alice, ben)
		r.pass(time.Hour)
		r.wantPosted("open")
	})
}

// Members who name this focus and are not here are found, and own ones cleared in their name if that is wanted.
func TestGhosts(t *testing.T) {
	sticky := `{"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"M","user_id":"%s","device_id":"D"},"versions":[],
 "transports":{"published":[{"type":"livekit","livekit_service_url":"https://rtc.own.example"}]},"msc4354_sticky_key":"M"}`
	for _, clear := range []bool{false, true} {
		t.Run(fmt.Sprint("clear ", clear), func(t *testing.T) {
			inBubble(t, func(c *WatcherConfig) { c.ClearGhosts = clear }, func(r *rig) {
				r.hs.State(room, alice, "org.matrix.msc3401.call.member", "_"+alice+"_D_m.call", ghostContent)
				r.hs.State(room, ben, "org.matrix.msc3401.call.member", "_"+ben+"_D_m.call", ghostContent)
				r.hs.State(room, carol, "org.matrix.msc3401.call.member", "_"+carol+"_D_m.call", ghostContent)
				r.hs.Send(room, ben, "org.matrix.msc4143.rtc.member", fmt.Sprintf(sticky, ben), time.Hour)
				r.join(alice) // she is here, the others are not
				r.pass(50 * time.Second)
				r.wantMetric("weir_ghost_members", "", 0)
				r.pass(20 * time.Second)
				left := 3
				if clear {
					left = 1 // carol is not ours
				}
				r.wantMetric("weir_ghost_members", "", float64(left))
				var put []string
				for _, q := range r.hs.Requests("/rooms/") {
					if q.Method == http.MethodPut {
						put = append(put, q.As+" "+strings.TrimPrefix(q.Path, "/_matrix/client/v3/rooms/"+room)+" "+q.Body)
					}
				}
				if !clear && len(put) > 0 || clear && len(put) != 2 {
					r.t.Errorf("put %q", put)
				}
				for _, p := range put {
					if p != ben+" /state/org.matrix.msc3401.call.member/_"+ben+"_D_m.call {}" &&
						!(strings.HasPrefix(p, ben+" /send/org.matrix.msc4143.rtc.member/weir$") && strings.HasSuffix(p, ` {"msc4354_sticky_key":"M","slot_id":"m.call#ROOM"}`)) {
						r.t.Errorf("put %q", p)
					}
				}
			})
		})
	}
}

// Those who vanish with the last session are found too.
func TestGhostOfLastSession(t *testing.T) {
	inBubble(t, func(c *WatcherConfig) { c.ClearGhosts = true }, func(r *rig) {
		r.hs.State(room, alice, "org.matrix.msc3401.call.member", "_"+alice+"_D_m.call", ghostContent)
		r.join(alice)
		_ = r.calls.Post(testAlias, session.Close{})
		r.pass(70 * time.Second)
		r.wantMetric("weir_ghosts_cleared_total", "cleared", 1)
		r.wantMetric("weir_ghost_members", "", 0)
	})
}

// Events of any type and size do no harm.
func TestWildEvents(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.join(alice, ben)
		for _, content := range []string{`[]`, `null`, `7`, `"x"`, `{"membership":["join"]}`, `{"membership":{"a":1}}`} {
			r.hs.State(room, alice, "m.room.server_acl", "", `{"allow":["*"],"deny":7}`)
			r.hs.State(room, alice, "org.matrix.msc3401.call.member", "_"+alice+"_D_m.call", content)
			r.hs.State(room, alice, "org.matrix.msc4143.rtc.slot", "x#y", content)
			r.hs.Send(room, alice, "org.matrix.msc4143.rtc.member", content, time.Hour)
			r.hs.Send(room, alice, "m.room.encrypted", `{"x":"`+strings.Repeat("y", 200_000)+`"}`, time.Hour)
		}
		r.pass(time.Second)
		r.wantHere("alice ben")
		if r.metric("weir_events_ignored_total", "") == 0 {
			r.t.Error("nothing was ignored")
		}
		r.hs.Kick(room, alice, ben)
		r.pass(time.Second)
		r.wantHere("alice")
	})
}

// Ten thousand members are no reason to be late.
func TestLargeRoom(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		users := make([]string, 10_000)
		for i := range users {
			users[i] = fmt.Sprintf("@u%d:far.example", i)
		}
		r.hs.Join(room, users...)
		r.join(alice, ben)
		r.hs.Kick(room, alice, ben)
		r.pass(time.Second)
		r.wantHere("alice")
		r.wantAdmitted(r.token(users[9999]), nil)
	})
}

// One answer that never comes does not keep others from being asked.
func TestSilence(t *testing.T) {
	inBubble(t, func(c *WatcherConfig) {
		c.Policy, _ = policy.New(policy.Config{WhenBlind: "none"}, []string{"own.example"})
	}, func(r *rig) {
		r.join(alice, ben)
		r.hs.Answer("/is_joined", matrixtest.Silent())
		began := time.Now()
		r.wantAdmitted(r.token("@eve:own.example"), errUnknown)
		if d := time.Since(began); d > 2*callTimeout {
			r.t.Errorf("waited %v", d)
		}
		r.hs.Kick(room, alice, ben)
		r.pass(time.Second)
		r.wantHere("alice")
	})
}

// Several rooms are watched side by side, each by its own witness.
func TestRooms(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		const other = "!s:own.example"
		r.hs.Join(other, ben, carol)
		r.join(alice, ben)
		tok := r.token(ben)
		alias := derive.Alias(other, derive.Slot, "")
		tok.Seat.Room, tok.Session = other, alias
		r.wantAdmitted(tok, nil)
		r.calls.mu.Lock()
		r.calls.open[alias] = []sfu.Identity{tok.Identity}
		r.calls.mu.Unlock()
		r.calls.notice(session.ParticipantJoined, alias, tok.Identity)
		r.pass(time.Second)
		r.wantRooms(2)
		r.hs.Leave(other, ben)
		r.pass(time.Second)
		r.wantHere("alice ben")
		r.calls.mu.Lock()
		defer r.calls.mu.Unlock()
		if n := len(r.calls.open[alias]); n != 0 {
			r.t.Errorf("%d are still there", n)
		}
	})
}
