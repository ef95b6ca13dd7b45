package member

import (
	"math"
	"strconv"
	"strings"
)

// power is what decides who may send which event: m.room.power_levels and m.room.create.
type power struct {
	given         bool // there is an m.room.power_levels
	events        map[string]int64
	users         map[string]int64
	usersDefault  int64
	eventsDefault int64
	stateDefault  int64

	version  string
	creators []string // create sender first, then additional_creators
}

// readLevels reads m.room.power_levels; what is of the wrong type counts as absent.
func (p *power) readLevels(content []byte) {
	p.given, p.events, p.users = true, nil, nil
	p.usersDefault, p.eventsDefault, p.stateDefault = 0, 0, 50
	v, ok := parse(content)
	if !ok {
		return
	}
	for key, field := range v.fields() {
		switch string(key) {
		case "events":
			p.events = readLevelMap(field)
		case "users":
			p.users = readLevelMap(field)
		case "users_default":
			setLevel(&p.usersDefault, field)
		case "events_default":
			setLevel(&p.eventsDefault, field)
		case "state_default":
			setLevel(&p.stateDefault, field)
		}
	}
}

func readLevelMap(v value) map[string]int64 {
	m := map[string]int64{}
	for key, field := range v.fields() {
		var n int64
		if len(key) <= maxID && setLevel(&n, field) {
			m[string(key)] = n
		}
	}
	return m
}

// setLevel also reads numbers in strings: room versions before 10 allow them.
func setLevel(to *int64, v value) bool {
	n, ok := v.integer()
	if s, isText := v.text(32); isText {
		var err error
		n, err = strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		ok = err == nil
	}
	if ok {
		*to = n
	}
	return ok
}

// readCreate reads m.room.create.
func (p *power) readCreate(sender string, content []byte) {
	p.version, p.creators = "1", []string{sender}
	v, ok := parse(content)
	if !ok {
		return
	}
	var creator string
	var more []string
	for key, field := range v.fields() {
		switch string(key) {
		case "room_version":
			if s, ok := field.text(maxID); ok {
				p.version = s
			}
		case "creator":
			creator, _ = field.text(maxID)
		case "additional_creators":
			for item := range field.items() {
				if s, ok := item.text(maxID); ok {
					more = append(more, s)
				}
			}
		}
	}
	if n, err := strconv.Atoi(p.version); err == nil && n < 11 && creator != "" {
		p.creators[0] = creator // since version 11 the sender is the creator (MSC2175)
	}
	if p.boundless() {
		p.creators = append(p.creators, more...)
	}
}

// boundless says that creators stand above all levels (MSC4289, room version 12).
func (p *power) boundless() bool {
	n, err := strconv.Atoi(p.version)
	return err == nil && n >= 12 || p.version == "org.matrix.hydra.11"
}

func (p *power) creator(user string) bool {
	for _, c := range p.creators {
		if c == user {
			return true
		}
	}
	return false
}

// of is a user's level.
func (p *power) of(user string) int64 {
	if p.boundless() && p.creator(user) {
		return math.MaxInt64
	}
	if n, ok := p.users[user]; ok {
		return n
	}
	if !p.given && p.creator(user) {
		return 100 // before there is an m.room.power_levels
	}
	return p.usersDefault
}

// needs is the level that an event takes.
func (p *power) needs(eventType string, state bool) int64 {
	if n, ok := p.events[eventType]; ok {
		return n
	}
	if state {
		return p.stateDefault
	}
	return p.eventsDefault
}

// mayState and maySticky say whether a user may send a membership of that kind (matrixrtc.md section 9).
func (p *power) mayState(user string) bool {
	n := p.of(user)
	return n >= p.needs(typeCall, true) || n >= p.needs(typeCallStable, true)
}

func (p *power) maySticky(user string, encrypted bool) bool {
	n := p.of(user)
	if encrypted {
		return n >= p.needs(typeEncrypted, false)
	}
	return n >= p.needs(typeSticky, false) || n >= p.needs(typeStickyStable, false)
}
