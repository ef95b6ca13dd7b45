package member

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"weir/sfu"
)

// dice turns bytes into choices.
type dice []byte

func (d *dice) roll(n int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

func pick[T any](d *dice, list ...T) T { return list[d.roll(len(list))] }

// event is one that a room could see, right or wrong.
func (p *play) event(d *dice, known *[]Event) Event {
	user := pick(d, "a", "b", "c")
	device := pick(d, "D", "E")
	key := pick(d, "m1", "m2", "_@a:x_D_m.call")
	url := pick(d, ourURL, otherURL)
	var e Event
	switch d.roll(16) {
	case 0, 1:
		e = p.state(user, device)
	case 2:
		e = p.ours(user, device)
	case 3:
		e = p.stateAs(user, "_@a:x_"+device+"_m.call", pick(d, content{}, sessionContent(user, device, url), sessionContent(user, device, url).with("expires", 90000)))
	case 4, 5, 6:
		e = p.stickyAs(user, pick[int64](d, hour, 60000, 2*hour), rtcContent(user, device, key, url))
	case 7:
		e = p.stickyAs(user, hour, rtcContentB(user, device, key, url).with("slot_id", pick(d, roomSlot, "m.call#side")))
	case 8:
		e = p.stickyAs(user, pick[int64](d, hour, 60000), content{"msc4354_sticky_key": key})
	case 9, 10:
		e = p.member(user, pick(d, "join", "leave", "ban", "invite"))
	case 11:
		e = p.slotIs(pick(d, "open", "closed"))
	case 12:
		e = p.redaction("$none")
		if n := len(*known); n > 0 {
			e.Redacts = (*known)[n-1-d.roll(n)].ID
		}
	case 13: // told again
		if n := len(*known); n > 0 {
			e = (*known)[n-1-d.roll(n)]
			if e.Received = p.now; e.Sticky > 0 {
				e.HasTTL, e.TTL = d.roll(2) == 0, int64(d.roll(256))*20000
			}
			return e
		}
		fallthrough
	case 14:
		e = p.power(content{"events_default": pick(d, 0, 50), "state_default": pick(d, 0, 50)})
	default:
		e = p.stateEvent(pick(d, typeACL, typeEncryption, typeTombstone), "", "a", content{"allow": []string{pick(d, "*", "y")}})
	}
	if e.Sticky > 0 {
		if e.Type = pick(d, typeSticky, typeSticky, typeStickyStable); d.roll(4) == 0 {
			e.HasTTL, e.TTL = true, int64(d.roll(256))*20000
		}
		e.Origin += int64(d.roll(3)-1) * 30000
	}
	*known = append(*known, e)
	return e
}

// input is anything at all.
func (p *play) input(d *dice, known *[]Event) Input {
	user, device, member := pick(d, "a", "b", "d"), pick(d, "D", "E"), pick(d, "m1", "m2")
	id := pick(d, legacy(user, device), hash3(user, device, member), hash2(user, member), sfu.Identity("bot"))
	switch d.roll(24) {
	case 0:
		return p.token(user, device, pick(d, member, ""), id)
	case 1, 2:
		return here(id)
	case 3:
		return away(id)
	case 4:
		return JoinedUsers{Users: []string{"@a:x", "@" + pick(d, "b", "c") + ":x"}}
	case 5:
		return Sight{d.roll(2) == 0}
	case 6:
		return OwnServer{d.roll(2) == 0}
	case 7:
		b := Batch{}
		for range d.roll(12) {
			b.Events = append(b.Events, p.event(d, known))
		}
		return b
	case 8:
		s := State{Partial: d.roll(4) == 0}
		for _, e := range *known {
			if e.State && d.roll(4) > 0 {
				s.Events = append(s.Events, e)
			}
		}
		return s
	}
	return p.event(d, known)
}

// FuzzRoom: after every step of any script the rosters are those of the reference, what was told is what changed, what the
// room keeps fits together (all three in do), and nothing happens before the deadline.
func FuzzRoom(f *testing.F) {
	for i := range 24 {
		seed := make([]byte, 300)
		for k := range seed {
			seed[k] = byte((k*k*(2*i+1) + 31*k + 7*i) >> (i % 4))
		}
		f.Add(seed)
	}
	f.Fuzz(playBytes)
}

// TestRandomRooms does the same with chance for a guide.
func TestRandomRooms(t *testing.T) {
	chance := rand.NewChaCha8([32]byte{1})
	b := make([]byte, 400)
	for n := range 400 {
		_, _ = chance.Read(b)
		t.Run(strconv.Itoa(n), func(t *testing.T) { playBytes(t, b) })
	}
}

func playBytes(t *testing.T, b []byte) {
	d := dice(b)
	p := newPlay(t).room("a", "b")
	var known []Event
	for steps := 0; len(d) > 0 && steps < 60 && p.crowded(known) < maxWrites; steps++ {
		if wait := time.Duration(pick(&d, 0, 0, 1, 9, 60, 600, 3600, -30)) * time.Second; wait != 0 {
			p.wait(wait)
		}
		p.do(p.input(&d, &known))
	}
	p.settleDown()
}

// crowded is the most sticky events of one user: the reference forgets none of them.
func (p *play) crowded(known []Event) int {
	of := map[string]int{}
	most := 0
	for _, e := range known {
		if e.Sticky > 0 {
			of[e.Sender]++
			most = max(most, of[e.Sender])
		}
	}
	return most
}

// wait lets time pass, and stops at deadlines half of the way.
func (p *play) wait(d time.Duration) {
	p.t.Helper()
	if at := p.r.Deadline(); d > 0 && !at.IsZero() && !at.After(p.now.Add(d)) {
		if just := at.Add(-time.Millisecond); just.After(p.now) {
			p.now, d = just, d-just.Sub(p.now)
			p.quiet()
		}
		p.now = p.now.Add(d)
		p.do(Tick{})
		return
	}
	p.now = p.now.Add(d)
	if d > 0 {
		p.quiet()
	}
}

// quiet expects that nothing is due.
func (p *play) quiet() {
	p.t.Helper()
	if got := p.do(Tick{}); len(got) > 0 {
		p.t.Fatalf("before the deadline: %q", got)
	}
}

// settleDown: once everybody is gone and all has expired, nothing is left in memory.
func (p *play) settleDown() {
	p.t.Helper()
	for at := range p.r.seats {
		p.do(Departed{at.slot, at.identity})
	}
	p.do(State{})
	p.now = p.now.Add(5 * time.Hour)
	p.do(Tick{})
	if s := p.r.Snapshot(); s.Memberships+s.Places+s.Strangers+s.Expiries+s.Graces+s.Joined+len(s.Rosters) > 0 || len(p.r.people) != len(p.r.sealed) {
		p.t.Fatalf("left behind: %+v, %d people", s, len(p.r.people))
	}
}

// FuzzDecode: reading is total, agrees with encoding/json on what is JSON, and what was read is within bounds.
func FuzzDecode(f *testing.F) {
	p := &play{now: epoch}
	for _, e := range []Event{p.state("a", "D"), p.sticky("a", "D", "m"), p.stickyLeave("a", "m"), p.power(content{"users": content{"@a:x": "7"}}), p.redaction("$1")} {
		raw, _ := json.Marshal(map[string]any{"type": e.Type, "sender": e.Sender, "event_id": e.ID, "state_key": e.StateKey, "origin_server_ts": e.Origin,
			"content": json.RawMessage(e.Content), "msc4354_sticky": content{"duration_ms": e.Sticky}, "redacts": e.Redacts,
			"unsigned": content{"msc4354_sticky_duration_ttl_ms": 5, "redacted_because": nil}})
		f.Add(raw)
	}
	for _, s := range []string{"", "{}", "[", `{"a":[{"b":[1,-0.5e+7,true,null,"\u00e9\ud83d\ude00\n"]}]}`, `{"type":"a","type":"b","sender":"\ud800","event_id":"x"}`, "{\"a\":\"\xff\"}", " {\t\"\\u0061\" :\r\n0 } "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, ok := parse(b)
		if deep := depth(b) > maxNesting; ok != json.Valid(b) && !deep {
			t.Fatalf("%q: read %v, encoding/json %v", b, ok, !ok)
		}
		walked := false
		for range walk(b, &walked) {
		}
		if walked != (ok && v.is('{')) {
			t.Fatalf("%q: walked %v, parsed %v", b, walked, ok)
		}
		if ok {
			agree(t, v)
		}
		e, err := Decode(b, epoch)
		if err != nil {
			return
		}
		if err := e.check(); err != nil && len(e.Content) <= maxContent {
			t.Fatalf("decoded, but %v: %+v", err, e)
		}
		q := newPlay(t).room(who(e.Sender))
		q.r.Apply(epoch, e, nil)
		q.r.Apply(epoch, Tick{}, nil)
		checkInside(t, q.r)
	})
}

func depth(b []byte) int {
	deepest, now := 0, 0
	for _, c := range b {
		switch c {
		case '[', '{':
			now++
			deepest = max(deepest, now)
		case ']', '}':
			now--
		}
	}
	return deepest
}

// agree compares a value with what encoding/json makes of it.
func agree(t *testing.T, v value) {
	t.Helper()
	var want any
	if err := json.Unmarshal(v, &want); err != nil {
		if _, isNumber := v.integer(); isNumber {
			t.Fatalf("%s: a number for us, %v for encoding/json", v, err)
		}
		return // a number out of range
	}
	switch want := want.(type) {
	case map[string]any:
		got := map[string]value{}
		for key, field := range v.fields() {
			k := string(key)
			if !utf8.Valid(key) {
				t.Fatalf("key %q of %s", key, v)
			}
			got[k] = field
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %d fields, want %d", v, len(got), len(want))
		}
		for k := range want {
			if field, ok := got[k]; !ok || string(field) != string(v.get(k)) {
				t.Fatalf("%s: field %q", v, k)
			} else {
				agree(t, field)
			}
		}
	case []any:
		n := 0
		for item := range v.items() {
			agree(t, item)
			n++
		}
		if n != len(want) {
			t.Fatalf("%s: %d items, want %d", v, n, len(want))
		}
	case string:
		if got, ok := v.text(math.MaxInt32); !ok || got != want {
			t.Fatalf("%s: %q, want %q", v, got, want)
		}
		if got, ok := v.text(4); ok != (len(want) <= 4) || ok && got != want {
			t.Fatalf("%s: %q within 4 bytes", v, got)
		}
	case float64:
		if got, ok := v.integer(); ok != (math.Abs(want) <= 1<<53) || ok && float64(got) != math.Trunc(want) {
			t.Fatalf("%s: %d %v, want %v", v, got, ok, want)
		}
	case bool:
		if got, ok := v.boolean(); !ok || got != want {
			t.Fatalf("%s: %v", v, got)
		}
	case nil:
		if !v.isNull() {
			t.Fatalf("%s is null", v)
		}
	default:
		t.Fatalf("%T", want)
	}
}
