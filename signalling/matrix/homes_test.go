package matrix

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/signalling/delayed"
	"weir/signalling/matrixtest"
	"weir/signalling/policy"
)

const (
	dora  = "@dora:our.example"
	emil  = "@emil:our.example"
	hsTwo = "as-token-of-the-second-homeserver-as-token"
)

// pair is a focus of an operator with two homeservers, own.example and our.example, which both are in the room.
type pair struct {
	*rig
	two *matrixtest.Rooms
}

func (p *pair) both(do func(*matrixtest.Rooms)) {
	do(p.hs)
	do(p.two)
}

func inPair(t *testing.T, change func(*WatcherConfig), script func(*pair)) {
	t.Helper()
	p := &pair{}
	inBubble(t, func(c *WatcherConfig) {
		p.two = matrixtest.NewRooms("our.example")
		api, err := NewHomeserver(Config{ServerName: "our.example", InternalURL: p.two.URL()}, hsTwo, Network{Names: p.two, Dial: p.two.Dial})
		if err != nil {
			t.Fatal(err)
		}
		c.Homes = append(c.Homes, Home{Server: "our.example", API: api, Assert: true})
		if c.Policy, err = policy.New(policy.Config{WhenBlind: "none"}, []string{"own.example", "our.example"}); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(c)
		}
	}, func(r *rig) {
		p.rig = r
		defer p.two.Stop()
		p.two.State(room, alice, "m.room.create", "", `{"room_version":"11"}`)
		p.two.Join(room, alice, ben, carol)
		p.two.State(room, alice, "m.room.power_levels", "", openPower)
		p.both(func(hs *matrixtest.Rooms) { hs.Join(room, dora) })
		script(p)
		for _, hs := range []struct {
			rooms *matrixtest.Rooms
			name  string
			token string
		}{{r.hs, ":own.example", asTok}, {p.two, ":our.example", hsTwo}} {
			for _, q := range hs.rooms.Requests("") {
				if q.As != "" && !strings.HasSuffix(q.As, hs.name) || q.Token != hs.token {
					r.t.Errorf("%s was asked as %q with a token of %d characters", hs.name, q.As, len(q.Token))
				}
			}
		}
	})
}

// syncs counts which homeserver the room was read at.
func syncs(hs *matrixtest.Rooms) int { return len(hs.Requests("/sync")) }

func TestHomes(t *testing.T) {
	for _, s := range []struct {
		name   string
		change func(*WatcherConfig)
		script func(*pair)
	}{
		{"users of both talk, and the room is read once", nil, func(p *pair) {
			p.join(alice, dora, carol)
			p.pass(time.Minute)
			p.wantHere("alice carol dora")
			p.wantSight("live")
			if syncs(p.hs) == 0 || syncs(p.two) != 0 {
				p.t.Errorf("read %d and %d times", syncs(p.hs), syncs(p.two))
			}
		}},
		{"one who came by its own homeserver stays, though the other has not heard of it", nil, func(p *pair) {
			p.join(alice)
			p.two.Join(room, emil)
			p.join(emil)
			p.pass(3 * time.Minute)
			p.wantHere("alice emil")
			p.hs.Join(room, emil)
			p.pass(time.Second)
			p.wantHere("alice emil")
		}},
		{"one whom its own homeserver does not know any more goes, though the other never heard of it", nil, func(p *pair) {
			p.join(alice)
			p.two.Join(room, emil)
			p.join(emil)
			p.pass(90 * time.Second)
			p.wantHere("alice emil")
			p.two.Kick(room, dora, emil)
			p.pass(time.Minute)
			p.wantHere("alice")
		}},
		{"one whom its own homeserver does not know in the room is refused, whatever the other says", nil, func(p *pair) {
			p.hs.Join(room, emil)
			p.wantAdmitted(p.token(emil), ErrWithdrawn)
		}},
		{"a ban evicts users of either within a second", nil, func(p *pair) {
			p.join(alice, ben, dora)
			tok := p.token(dora)
			p.both(func(hs *matrixtest.Rooms) { hs.Ban(room, alice, dora) })
			p.pass(time.Second)
			p.wantHere("alice ben")
			p.wantAdmitted(tok, ErrWithdrawn)
			p.both(func(hs *matrixtest.Rooms) { hs.Ban(room, alice, ben) })
			p.pass(time.Second)
			p.wantHere("alice")
		}},
		{"when one is out of reach the room is read at the other", nil, func(p *pair) {
			p.join(alice, ben, dora)
			p.hs.Down(true)
			p.pass(5 * time.Second)
			p.wantSight("live")
			p.two.Ban(room, dora, ben)
			p.pass(time.Second)
			p.wantHere("alice dora")
			p.wantAdmitted(p.token("@frida:own.example"), errUnknown)
			p.hs.Down(false)
			p.pass(2 * time.Minute)
			p.wantHere("alice dora")
			p.wantSight("live")
		}},
		{"when both are, all stay, and joins resume after", nil, func(p *pair) {
			p.join(alice, dora)
			p.both(func(hs *matrixtest.Rooms) { hs.Down(true) })
			p.pass(3 * time.Minute)
			p.wantHere("alice dora")
			p.wantSight("blind")
			p.both(func(hs *matrixtest.Rooms) { hs.Down(false) })
			p.pass(2 * lastRetry)
			p.wantSight("live")
			p.join(ben)
			p.wantHere("alice ben dora")
		}},
		{"a call goes on when the last user of one leaves the room", nil, func(p *pair) {
			p.join(alice, dora)
			p.both(func(hs *matrixtest.Rooms) { hs.Leave(room, ben) })
			p.both(func(hs *matrixtest.Rooms) { hs.Leave(room, alice) })
			p.pass(2 * time.Minute)
			p.wantHere("dora")
			p.wantSight("live")
			p.both(func(hs *matrixtest.Rooms) { hs.Leave(room, dora) })
			p.pass(time.Second)
			p.wantHere("over")
		}},
		{"a ghost is cleared by its own homeserver", func(c *WatcherConfig) { c.ClearGhosts = true }, func(p *pair) {
			p.both(func(hs *matrixtest.Rooms) {
				hs.State(room, dora, "org.matrix.msc3401.call.member", "_"+dora+"_D_m.call", ghostContent)
			})
			p.join(alice)
			p.pass(70 * time.Second)
			p.wantMetric("weir_ghosts_cleared_total", "cleared", 1)
			if n := len(p.hs.Requests("_m.call")); n != 0 {
				p.t.Errorf("%d at the other", n)
			}
		}},
		{"what the homeserver pushes at which the room is not read is not counted twice", func(c *WatcherConfig) {
			c.Homes[0].Push, c.Homes[1].Push = true, true
		}, func(p *pair) {
			p.join(alice, ben)
			if p.w.watches(room, "our.example") || !p.w.watches(room, "own.example") {
				p.t.Error("the wrong homeserver is heard")
			}
			p.hs.Down(true)
			p.join(dora)
			p.pass(3 * time.Minute)
			if !p.w.watches(room, "our.example") || p.w.watches(room, "own.example") {
				p.t.Error("the homeserver that is out of reach is waited for")
			}
			p.wantHere("alice ben dora")
		}},
		{"a bot of one and users of the other", func(c *WatcherConfig) {
			c.Homes[0].Assert, c.Homes[0].Bot = false, true
		}, func(p *pair) {
			if p.w.Level() != 1 {
				p.t.Error(p.w.Level())
			}
			p.hs.Account("@bot:own.example")
			p.wantAdmitted(p.token(alice), errUnknown) // the bot is not in the room
			p.join(dora)
			p.pass(time.Minute)
			p.wantSight("live")
			p.both(func(hs *matrixtest.Rooms) { hs.Ban(room, alice, dora) })
			p.pass(time.Second)
			p.wantHere("")
		}},
	} {
		t.Run(s.name, func(t *testing.T) { inPair(t, s.change, s.script) })
	}
}

// Each leave is put off and sent at the homeserver of its user.
func TestDelegationHomes(t *testing.T) {
	keep(t, func(k *keeper) {
		two := matrixtest.NewRooms("our.example")
		defer two.Stop()
		two.Join(room, alice, dora)
		api, err := NewHomeserver(Config{ServerName: "our.example", InternalURL: two.URL()}, hsTwo, Network{Names: two, Dial: two.Dial})
		if err != nil {
			k.t.Fatal(err)
		}
		k.d.cfg.Homes = append(k.d.cfg.Homes, Home{Server: "our.example", API: api, Assert: true})
		two.Schedule(matrixtest.Delayed{ID: "two", Room: room, User: dora, Key: "_" + dora + "_DEV_m.call", Delay: 10 * time.Minute})
		if at, delay, err := k.d.Find(k.t.Context(), dora, "two"); at != room || delay != 10*time.Minute || err != nil {
			k.t.Error(at, delay, err)
		}
		for _, user := range []string{dora, carol} {
			err := k.d.Accept(delayed.Leave{Key: delayed.Key{Session: testAlias, Identity: identityOf(user)}, ID: "two", Timeout: 10 * time.Minute, User: user, Room: room, Slot: "m.call#ROOM"})
			if err != nil {
				k.t.Error(err)
			}
		}
		time.Sleep(11 * time.Minute) // nobody came
		synctest.Wait()
		if ids := two.Scheduled(); slices.Contains(ids, "two") {
			k.t.Errorf("still waits: %q", ids)
		}
		if n := len(k.hs.Requests("delayed_events")); n != 0 {
			k.t.Errorf("the other homeserver was asked %d times", n)
		}
		if _, _, err := k.d.Find(k.t.Context(), carol, "two"); err == nil {
			k.t.Error("a stranger's leave was looked for")
		}
	})
}
