// Package policy decides what a homeserver's users may do on this focus: open sessions, publish, receive (matrixrtc.md
// section 9). It is pure: a table that is made once and asked; budgets are handed the time.
package policy

import (
	"fmt"
	"regexp"
	"strings"

	"weir/signalling/glob"
)

// Action is what somebody may do. A larger one includes the smaller ones.
type Action uint8

const (
	// Unset leaves it to the next rule, or to the default.
	Unset Action = iota
	// Deny refuses a token.
	Deny
	// Subscribe gives a token to receive with, in sessions that others opened.
	Subscribe
	// Publish gives a token to publish with, in sessions that others opened.
	Publish
	// Allow also opens sessions.
	Allow
)

var actions = [...]string{"", "deny", "subscribe", "publish", "allow"}

func (a Action) String() string { return actions[a] }

// MarshalText is how configuration is printed.
func (a Action) MarshalText() ([]byte, error) { return []byte(actions[a]), nil }

// UnmarshalText reads a word of the configuration.
func (a *Action) UnmarshalText(b []byte) error {
	for i, name := range actions {
		if name == string(b) {
			*a = Action(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of allow, publish, subscribe, deny", b)
}

// Config is the section policy. The zero value gives own servers all rights, and lets others receive.
type Config struct {
	Publish string `yaml:"publish"` // own or any: whose users open sessions and publish; "": own
	// LendPublish lets users of other servers publish in sessions that own users opened: for servers without a focus.
	LendPublish bool   `yaml:"lend_publish"`
	Guests      Action `yaml:"guests"` // the most that guests get; unset: as everybody of their server
	Rules       []Rule `yaml:"rules"`  // first match
	Rate        Rate   `yaml:"rate"`
	// WhenBlind is whose users get tokens while the homeserver does not answer who is in a room: own, any or none. "": own.
	// Participants stay in any case.
	WhenBlind string `yaml:"when_blind"`
	// ClearGhosts ends memberships of own users who are gone from the call without a word.
	ClearGhosts bool `yaml:"clear_ghosts"`
}

// Rule holds for users who match all that it names.
type Rule struct {
	Servers         []string `yaml:"servers"` // globs of server names
	Users           []string `yaml:"users"`   // regular expressions of whole user ids
	Rooms           []string `yaml:"rooms"`   // globs of room ids
	Action          Action   `yaml:"action"`
	MaxParticipants int      `yaml:"max_participants"` // in sessions opened under this rule; 0: no limit
}

// Verdict is what the table says of somebody.
type Verdict struct {
	Action          Action
	MaxParticipants int
	Rule            int // which rule said so, counted from 0; -1: the default
}

// Table is a checked configuration.
type Table struct {
	own     []string
	blind   string // whose users are let in while memberships are not known
	other   Action // for users of servers that are not own
	guests  Action
	rules   []Rule
	servers [][]string // globs in lower case, by rule
	users   [][]*regexp.Regexp
}

// Fault is a value that makes no sense; Key is its path below the section.
type Fault struct{ Key, Reason string }

func (f *Fault) Error() string { return f.Key + ": " + f.Reason }

// New checks the configuration. own are the server names whose users are ours.
func New(c Config, own []string) (*Table, error) {
	t := &Table{own: own, guests: c.Guests, rules: c.Rules, other: Subscribe}
	switch c.Publish {
	case "", "own":
		if c.LendPublish {
			t.other = Publish
		}
	case "any":
		t.other = Allow
	default:
		return nil, &Fault{"publish", fmt.Sprintf("%q is neither own nor any", c.Publish)}
	}
	if c.Guests == Publish {
		return nil, &Fault{"guests", "publish is none of allow, subscribe, deny"}
	}
	switch t.blind = c.WhenBlind; t.blind {
	case "":
		t.blind = "own"
	case "own", "any", "none":
	default:
		return nil, &Fault{"when_blind", fmt.Sprintf("%q is none of own, any, none", c.WhenBlind)}
	}
	for i, r := range c.Rules {
		if err := t.add(i, r); err != nil {
			return nil, err
		}
	}
	if err := c.Rate.check(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Table) add(i int, r Rule) error {
	at := func(key string) string { return fmt.Sprintf("rules[%d].%s", i, key) }
	if r.Action == Unset {
		return &Fault{at("action"), "missing: allow, publish, subscribe or deny"}
	}
	if r.MaxParticipants < 0 {
		return &Fault{at("max_participants"), "below zero"}
	}
	var servers []string
	for _, s := range r.Servers {
		servers = append(servers, strings.ToLower(s))
	}
	var users []*regexp.Regexp
	for k, u := range r.Users {
		if _, err := regexp.Compile(u); err != nil { // by itself: a stray bracket must not close ours
			return &Fault{at(fmt.Sprintf("users[%d]", k)), fmt.Sprintf("no regular expression: %v", err)}
		}
		re, err := regexp.Compile(`^(?:` + u + `)$`)
		if err != nil {
			return &Fault{at(fmt.Sprintf("users[%d]", k)), fmt.Sprintf("no regular expression: %v", err)}
		}
		users = append(users, re)
	}
	t.servers, t.users = append(t.servers, servers), append(t.users, users)
	return nil
}

// Own says whether the server is one of ours.
func (t *Table) Own(server string) bool {
	for _, o := range t.own {
		if o == server {
			return true
		}
	}
	return false
}

// Blind says whether users of that server are let in while nobody can tell who is in a room.
func (t *Table) Blind(server string) bool {
	return t.blind == "any" || t.blind == "own" && t.Own(server)
}

// Refused says whether nobody of that server can get anything in that room, so that it need not be asked who knocks.
func (t *Table) Refused(server, room string) bool {
	for i, r := range t.rules {
		if !t.covers(i, server, room) {
			continue
		}
		if r.Action != Deny {
			return false
		}
		if len(r.Users) == 0 {
			return true
		}
	}
	return false // the default refuses only guests, who are told by their user id
}

// Judge says what a verified user may do in a room.
func (t *Table) Judge(user, server, room string) Verdict {
	v := Verdict{Action: t.other, Rule: -1}
	if t.Own(server) {
		v.Action = Allow
	}
	named := false
	for i, r := range t.rules {
		if t.covers(i, server, room) && t.names(i, user) {
			v = Verdict{Action: r.Action, MaxParticipants: r.MaxParticipants, Rule: i}
			named = len(r.Users) > 0
			break
		}
	}
	// A rule that names users means those users, guests or not.
	if t.guests != Unset && !named && guest(user) {
		v.Action = min(v.Action, t.guests)
	}
	return v
}

func (t *Table) covers(i int, server, room string) bool {
	return matches(t.servers[i], strings.ToLower(server)) && matches(t.rules[i].Rooms, room)
}

func (t *Table) names(i int, user string) bool {
	if len(t.users[i]) == 0 {
		return true
	}
	for _, re := range t.users[i] {
		if re.MatchString(user) {
			return true
		}
	}
	return false
}

// matches is true if no pattern is given, or one matches the whole text.
func matches(globs []string, text string) bool {
	return len(globs) == 0 || glob.Any(globs, text)
}

// guest tells by the localpart: homeservers reserve those of digits only for guests.
func guest(user string) bool {
	local, _, _ := strings.Cut(strings.TrimPrefix(user, "@"), ":")
	return local != "" && strings.Trim(local, "0123456789") == ""
}
