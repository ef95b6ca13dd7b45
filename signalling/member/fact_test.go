package member

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestACL(t *testing.T) {
	tests := []struct {
		name, acl, server string
		want              bool
	}{
		{"all allowed", `{"allow":["*"]}`, "x.org", true},
		{"nothing allowed", `{}`, "x.org", false},
		{"allow is no list", `{"allow":"*"}`, "x.org", false},
		{"entries that are no text", `{"allow":[7,null,["*"],"x.org"],"deny":[true]}`, "x.org", true},
		{"not listed", `{"allow":["y.org"]}`, "x.org", false},
		{"deny comes before allow", `{"allow":["*"],"deny":["x.org"]}`, "x.org", false},
		{"a star within", `{"allow":["*"],"deny":["*.evil.*"]}`, "a.evil.org", false},
		{"the whole name", `{"allow":["x.org"]}`, "ax.org", false},
		{"the whole name, behind", `{"allow":["x.org"]}`, "x.orgs", false},
		{"a question mark is one", `{"allow":["?.org"]}`, "x.org", true},
		{"a question mark is not two", `{"allow":["?.org"]}`, "xy.org", false},
		{"a question mark is not none", `{"allow":["?.org"]}`, ".org", false},
		{"case does not count", `{"allow":["X.Org"]}`, "x.oRG", true},
		{"nothing else is special", `{"allow":["x[a-z].org","(.*)"]}`, "xb.org", false},
		{"the port does not count", `{"allow":["x.org"]}`, "x.org:8448", true},
		{"a port in the glob never matches", `{"allow":["x.org:8448"]}`, "x.org:8448", false},
		{"an IPv4 literal", `{"allow":["*"],"allow_ip_literals":false}`, "1.2.3.4", false},
		{"an IPv4 literal with port", `{"allow":["*"],"allow_ip_literals":false}`, "1.2.3.4:443", false},
		{"an IPv6 literal", `{"allow":["*"],"allow_ip_literals":false}`, "[::1]", false},
		{"an IPv6 literal with port", `{"allow":["*"],"allow_ip_literals":false}`, "[2001:db8::1]:8448", false},
		{"literals are allowed by default", `{"allow":["*"]}`, "1.2.3.4", true},
		{"literals, by a wrong type", `{"allow":["*"],"allow_ip_literals":"false"}`, "1.2.3.4", true},
		{"a name of digits is no literal", `{"allow":["*"],"allow_ip_literals":false}`, "1.2.3.4.5", true},
		{"an IPv6 literal by name", `{"allow":["[::1]"]}`, "[::1]:8448", true},
		{"many stars end in time", `{"allow":["` + strings.Repeat("*a", 120) + `"]}`, strings.Repeat("a", 119) + "b", false},
		{"no JSON", `{`, "x.org", false},
	}
	for _, tt := range tests {
		if got := ReadACL([]byte(tt.acl)).Allows(tt.server); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if !(*ACL)(nil).Allows("x.org") {
		t.Error("without an ACL everybody is allowed")
	}
}

// FuzzACL: port and case never matter, what is denied is denied whatever else is said, and a glob without stars or
// question marks matches itself only.
func FuzzACL(f *testing.F) {
	f.Add("*.org", "x.org")
	f.Add("?*?", "[::1]:8448")
	f.Add("X", "x:1")
	f.Add("", ":")
	f.Fuzz(func(t *testing.T, g, server string) {
		list, _ := json.Marshal([]string{g})
		allow := ReadACL(fmt.Appendf(nil, `{"allow":%s}`, list))
		both := ReadACL(fmt.Appendf(nil, `{"allow":["*"],"deny":%s}`, list))
		in := allow.Allows(server)
		if len(g) <= maxID && in == both.Allows(server) {
			t.Fatalf("%q, %q: allowed and denied at once", g, server)
		}
		if ascii := strings.ToUpper(strings.ToLower(server)); plain([]byte(server)) && allow.Allows(ascii) != in {
			t.Fatalf("%q, %q: case matters", g, server)
		}
		if bare := withoutPort(server); bare == withoutPort(bare) && allow.Allows(bare) != in {
			t.Fatalf("%q, %q: the port matters", g, server)
		}
		if want := strings.EqualFold(g, withoutPort(server)); plain([]byte(g+server)) && !strings.ContainsAny(g, "*?") && len(g) <= maxID && in != want {
			t.Fatalf("%q, %q: %v", g, server, in)
		}
	})
}

func TestPower(t *testing.T) {
	levels := func(s string) string { return s }
	tests := []struct {
		name, create, levels string
		encrypted            bool
		user                 string
		state, sticky        bool
	}{
		{"no power levels: nothing is needed", `{"room_version":"11"}`, "", false, "@u:x", true, true},
		{"the defaults: state takes 50, messages nothing", `{"room_version":"11"}`, levels(`{}`), false, "@u:x", false, true},
		{"a creator without an entry is nobody", `{"room_version":"11"}`, `{}`, false, "@creator:x", false, true},
		{"the state type opened, as clients make call rooms", `{"room_version":"10"}`, `{"events":{"org.matrix.msc3401.call.member":0}}`, false, "@u:x", true, true},
		{"the stable state type opened", `{"room_version":"10"}`, `{"events":{"m.call.member":0}}`, false, "@u:x", true, true},
		{"users_default", `{"room_version":"10"}`, `{"users_default":50,"events_default":51}`, false, "@u:x", true, false},
		{"a user's own level", `{"room_version":"10"}`, `{"users":{"@u:x":50},"events_default":51}`, false, "@u:x", true, false},
		{"a level below the default", `{"room_version":"10"}`, `{"users":{"@u:x":-1}}`, false, "@u:x", false, false},
		{"levels in text", `{"room_version":"6"}`, `{"users":{"@u:x":" 60 "},"state_default":"60"}`, false, "@u:x", true, true},
		{"levels that are none", `{"room_version":"10"}`, `{"users":{"@u:x":[100]},"users_default":{},"state_default":"high"}`, false, "@u:x", false, true},
		{"an announcement room", `{"room_version":"10"}`, `{"events_default":50}`, false, "@u:x", false, false},
		{"the sticky type opened", `{"room_version":"10"}`, `{"events_default":50,"events":{"org.matrix.msc4143.rtc.member":0}}`, false, "@u:x", false, true},
		{"encrypted: the envelope's type counts", `{"room_version":"10"}`, `{"events_default":50,"events":{"org.matrix.msc4143.rtc.member":0}}`, true, "@u:x", false, false},
		{"encrypted: the envelope's type opened", `{"room_version":"10"}`, `{"events_default":50,"events":{"m.room.encrypted":0}}`, true, "@u:x", false, true},
		{"version 12: the creator stands above", `{"room_version":"12"}`, `{"state_default":1000000,"events_default":1000000}`, false, "@creator:x", true, true},
		{"version 12: so do additional creators", `{"room_version":"12","additional_creators":["@u:x",7]}`, `{"state_default":100,"events_default":100}`, false, "@u:x", true, true},
		{"version 12: others do not", `{"room_version":"12","additional_creators":"@u:x"}`, `{"state_default":100,"events_default":100}`, false, "@u:x", false, false},
		{"version 11: additional creators are nothing", `{"room_version":"11","additional_creators":["@u:x"]}`, `{"state_default":100}`, false, "@u:x", false, true},
		{"version 13 is read like 12", `{"room_version":"13"}`, `{"state_default":100}`, false, "@creator:x", true, true},
		{"the trial version of 12", `{"room_version":"org.matrix.hydra.11"}`, `{"state_default":100}`, false, "@creator:x", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRoom("!r", Config{})
			es := []Event{{ID: "$c", Type: typeCreate, State: true, Sender: "@creator:x", Content: []byte(tt.create)}}
			if tt.levels != "" {
				es = append(es, Event{ID: "$p", Type: typePower, State: true, Sender: "@creator:x", Content: []byte(tt.levels)})
			}
			if tt.encrypted {
				es = append(es, Event{ID: "$e", Type: typeEncryption, State: true, Sender: "@creator:x", Content: []byte("{}")})
			}
			r.Apply(epoch, State{Events: es}, nil)
			s := r.Standing(tt.user, roomSlot)
			if s.MayState != tt.state || s.MaySticky != tt.sticky || s.MayPublish() != (tt.state || tt.sticky) {
				t.Errorf("%+v", s)
			}
		})
	}
	old := power{}
	old.readCreate("@sender:x", []byte(`{"room_version":"10","creator":"@creator:x"}`))
	if old.of("@creator:x") != 100 || old.of("@sender:x") != 0 {
		t.Error("before version 11 the creator is named in the content")
	}
}

// TestLogs plays recorded logs. Lines that begin with "=" say what the roster of the default slot must be then.
func TestLogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlay(t)
			lines := bufio.NewScanner(bytes.NewReader(b))
			lines.Buffer(nil, 1<<20)
			for n := 1; lines.Scan(); n++ {
				line := lines.Text()
				if want, ok := strings.CutPrefix(line, "="); ok {
					p.roster(roomSlot, strings.Fields(want)...)
					continue
				}
				if line == "" || line[0] == '#' {
					continue
				}
				now, in, err := ReadLog([]byte(line))
				if err != nil {
					t.Fatalf("line %d: %v", n, err)
				}
				again, err := AppendLog(nil, now, in)
				if err != nil {
					t.Fatalf("line %d: %v", n, err)
				}
				if _, back, err := ReadLog(again); err != nil || !reflect.DeepEqual(back, in) {
					t.Fatalf("line %d: read back as %+v, %v; was %+v", n, back, err, in)
				}
				p.now = now
				p.do(in)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	e, err := Decode([]byte(`{"type":"m.room.redaction","sender":"@a:x","event_id":"$r","content":{"redacts":"$1"},"origin_server_ts":5.0,"unsigned":{"redacted_because":{}}}`), epoch)
	if err != nil || e.Redacts != "$1" || e.Origin != 5 || !e.Redacted || e.State {
		t.Errorf("%+v, %v", e, err)
	}
	e, err = Decode([]byte(`{"type":"t","sender":"@a:x","event_id":"$r","state_key":"","sticky":{"duration_ms":7},"msc4354_sticky":{"duration_ms":8},"unsigned":{"sticky_duration_ttl_ms":9}}`), epoch)
	if err != nil || !e.State || e.Sticky != 7 || !e.HasTTL || e.TTL != 9 {
		t.Errorf("%+v, %v", e, err)
	}
	for _, bad := range []string{``, `[]`, `{"type":"t","sender":"@a:x"}`, `{"type":"t","sender":7,"event_id":"$1"}`, `{"type":"` + strings.Repeat("t", 256) + `","sender":"@a:x","event_id":"$1"}`} {
		if _, err := Decode([]byte(bad), epoch); err == nil {
			t.Errorf("%.40q was read", bad)
		}
	}
}

// A change in a room of any size allocates for what it tells, not for who is there.
func TestAllocations(t *testing.T) {
	st, es := crowd(2000)
	r := NewRoom("!r", Config{URLs: []string{ourURL}})
	r.Apply(epoch, st, nil)
	r.Apply(epoch, Batch{es}, nil)
	p := &play{now: epoch.Add(time.Second)}
	leave, join := p.stateLeave("user40", "DEVICE"), p.state("user40", "DEVICE")
	out := make([]Effect, 0, 8)
	if n := testing.AllocsPerRun(200, func() {
		out = r.Apply(epoch, leave, out[:0])
		out = r.Apply(epoch, join, out[:0])
	}); n > 24 {
		t.Errorf("%v allocations for a leave and a join", n)
	}
}
