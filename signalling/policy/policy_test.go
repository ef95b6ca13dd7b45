package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const (
	alice = "@alice:own.example"
	bob   = "@bob:far.example"
	guesT = "@12345:own.example"
	room  = "!r:own.example"
)

func table(t *testing.T, c Config) *Table {
	t.Helper()
	tab, err := New(c, []string{"own.example", "also.example:8448"})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func server(user string) string { _, s, _ := strings.Cut(user, ":"); return s }

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		user   string
		room   string
		want   Verdict
	}{
		{"own user, no configuration", Config{}, alice, room, Verdict{Allow, 0, -1}},
		{"own server with a port", Config{}, "@a:also.example:8448", room, Verdict{Allow, 0, -1}},
		{"own name without its port is another server", Config{}, "@a:also.example", room, Verdict{Subscribe, 0, -1}},
		{"foreign user, no configuration", Config{}, bob, room, Verdict{Subscribe, 0, -1}},
		{"foreign user, publish own", Config{Publish: "own"}, bob, room, Verdict{Subscribe, 0, -1}},
		{"foreign user, lent", Config{LendPublish: true}, bob, room, Verdict{Publish, 0, -1}},
		{"foreign user, publish any", Config{Publish: "any"}, bob, room, Verdict{Allow, 0, -1}},
		{"guest, nothing said", Config{}, guesT, room, Verdict{Allow, 0, -1}},
		{"guest, allowed", Config{Guests: Allow}, guesT, room, Verdict{Allow, 0, -1}},
		{"guest, subscribe", Config{Guests: Subscribe}, guesT, room, Verdict{Subscribe, 0, -1}},
		{"guest, denied", Config{Guests: Deny}, guesT, room, Verdict{Deny, 0, -1}},
		{"guests allowed lifts nobody", Config{Guests: Allow}, "@1:far.example", room, Verdict{Subscribe, 0, -1}},
		{"a letter is no guest", Config{Guests: Deny}, "@12a:own.example", room, Verdict{Allow, 0, -1}},
		{"rule by server", Config{Rules: []Rule{{Servers: []string{"*.example"}, Action: Deny}}}, bob, room, Verdict{Deny, 0, 0}},
		{"rule by server, any case", Config{Rules: []Rule{{Servers: []string{"FAR.*"}, Action: Allow, MaxParticipants: 5}}}, bob, room, Verdict{Allow, 5, 0}},
		{"rule of another server", Config{Rules: []Rule{{Servers: []string{"far.exampl"}, Action: Deny}}}, bob, room, Verdict{Subscribe, 0, -1}},
		{"rule by user, whole id", Config{Rules: []Rule{{Users: []string{"@b.*:far.example"}, Action: Publish}}}, bob, room, Verdict{Publish, 0, 0}},
		{"rule by part of a user", Config{Rules: []Rule{{Users: []string{"bob"}, Action: Deny}}}, bob, room, Verdict{Subscribe, 0, -1}},
		{"alternatives stay inside the anchors", Config{Rules: []Rule{{Users: []string{"@x:y|bob"}, Action: Deny}}}, bob, room, Verdict{Subscribe, 0, -1}},
		{"rule by room", Config{Rules: []Rule{{Rooms: []string{"!r:*"}, Action: Deny}}}, bob, room, Verdict{Deny, 0, 0}},
		{"rule by another room", Config{Rules: []Rule{{Rooms: []string{"!s:*"}, Action: Deny}}}, bob, room, Verdict{Subscribe, 0, -1}},
		{"all that a rule names must match", Config{Rules: []Rule{{Servers: []string{"far.example"}, Rooms: []string{"!s*"}, Action: Deny}}}, bob, room, Verdict{Subscribe, 0, -1}},
		{"the first match counts", Config{Rules: []Rule{{Users: []string{bob}, Action: Publish}, {Servers: []string{"far.example"}, Action: Deny}}}, bob, room, Verdict{Publish, 0, 0}},
		{"and the second for others", Config{Rules: []Rule{{Users: []string{bob}, Action: Publish}, {Servers: []string{"far.example"}, Action: Deny}}}, "@eve:far.example", room, Verdict{Deny, 0, 1}},
		{"a rule binds own users too", Config{Rules: []Rule{{Action: Deny}}}, alice, room, Verdict{Deny, 0, 0}},
		{"guests are capped under a rule", Config{Guests: Deny, Rules: []Rule{{Servers: []string{"own.example"}, Action: Allow}}}, guesT, room, Verdict{Deny, 0, 0}},
		{"unless it names users", Config{Guests: Deny, Rules: []Rule{{Users: []string{`@\d+:own\.example`}, Action: Allow}}}, guesT, room, Verdict{Allow, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := table(t, tt.config).Judge(tt.user, server(tt.user), tt.room); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	deny := Rule{Servers: []string{"far.example"}, Action: Deny}
	tests := []struct {
		name  string
		rules []Rule
		want  bool
	}{
		{"no rule", nil, false},
		{"denied", []Rule{deny}, true},
		{"denied in another room", []Rule{{Rooms: []string{"!s"}, Action: Deny}}, false},
		{"some user may", []Rule{{Users: []string{bob}, Action: Subscribe}, deny}, false},
		{"some user may not, nor may the rest", []Rule{{Users: []string{bob}, Action: Deny}, deny}, true},
		{"some user may not", []Rule{{Users: []string{bob}, Action: Deny}}, false},
		{"others are denied", []Rule{{Servers: []string{"else"}, Action: Deny}}, false},
	}
	for _, tt := range tests {
		if got := table(t, Config{Rules: tt.rules}).Refused("far.example", room); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		config Config
		key    string
	}{
		{Config{Publish: "none"}, "publish"},
		{Config{WhenBlind: "all"}, "when_blind"},
		{Config{Guests: Publish}, "guests"},
		{Config{Rules: []Rule{{}}}, "rules[0].action"},
		{Config{Rules: []Rule{{Action: Deny}, {Action: Allow, MaxParticipants: -1}}}, "rules[1].max_participants"},
		{Config{Rules: []Rule{{Action: Deny, Users: []string{"a", "("}}}}, "rules[0].users[1]"},
		{Config{Rate: Rate{IPBurst: -1}}, "rate.ip_burst"},
		{Config{Rate: Rate{UserPerMinute: 1_000_001}}, "rate.user_per_minute"},
	}
	for _, tt := range tests {
		_, err := New(tt.config, nil)
		var f *Fault
		if !errors.As(err, &f) || f.Key != tt.key {
			t.Errorf("%+v: %v, want a fault of %s", tt.config, err, tt.key)
		}
	}
}

func TestActionText(t *testing.T) {
	for a := Unset; a <= Allow; a++ {
		b, _ := a.MarshalText()
		var back Action
		if err := back.UnmarshalText(b); err != nil || back != a {
			t.Errorf("%v came back as %v, %v", a, back, err)
		}
	}
	if new(Action).UnmarshalText([]byte("ban")) == nil {
		t.Error("ban is no action")
	}
}

func TestBudget(t *testing.T) {
	t0 := time.Unix(1e9, 0)
	b := NewBudget(60, 3)
	script := []struct {
		at   time.Duration
		key  string
		wait time.Duration
	}{
		{0, "a", 0}, {0, "a", 0}, {0, "a", 0},
		{0, "a", time.Second}, // the burst is spent
		{0, "b", 0},           // of a only
		{900 * time.Millisecond, "a", 100 * time.Millisecond},
		{time.Second, "a", 0}, // one was earned
		{time.Second, "a", time.Second},
		{time.Hour, "a", 0}, {time.Hour, "a", 0}, {time.Hour, "a", 0}, // never more than the burst
		{time.Hour, "a", time.Second},
	}
	for i, s := range script {
		if got := b.Take(t0.Add(s.at), s.key); got != s.wait {
			t.Errorf("step %d: %v, want %v", i, got, s.wait)
		}
	}
}

func TestBudgetIsBounded(t *testing.T) {
	t0 := time.Unix(1e9, 0)
	b := NewBudget(60, 2)
	b.keys = 3
	for _, k := range []string{"a", "b", "c"} {
		b.Take(t0, k)
	}
	if b.Take(t0, "d") != 0 || b.Take(t0, "e") != 0 || b.Take(t0, "f") == 0 {
		t.Error("strangers do not share one purse")
	}
	if len(b.full) > 4 {
		t.Errorf("%d keys", len(b.full))
	}
	if b.Take(t0.Add(2*time.Second), "g") != 0 || len(b.full) > 2 {
		t.Errorf("full purses are not forgotten: %v", b.full)
	}
}

func TestBlind(t *testing.T) {
	for _, tt := range []struct {
		when     string
		own, far bool
	}{{"", true, false}, {"own", true, false}, {"any", true, true}, {"none", false, false}} {
		tab := table(t, Config{WhenBlind: tt.when})
		if tab.Blind("own.example") != tt.own || tab.Blind("far.example") != tt.far {
			t.Errorf("%q: own %v, far %v", tt.when, tab.Blind("own.example"), tab.Blind("far.example"))
		}
	}
}
