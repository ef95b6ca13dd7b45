package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// counting gives keys 00…, 01…, 02…: a key's first byte tells which one it is.
type counting struct{ n byte }

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.n
	}
	c.n++
	return len(b), nil
}

var (
	ann  = Peer{"@ann", "A", 1}
	bob  = Peer{"@bob", "B", 1}
	cat  = Peer{"@cat", "C", 1}
	bob2 = Peer{"@bob", "B", 2}
)

// TestRotation plays scripts: what happens when, and what is to be done then. "use i/k" and "send i/k names": index and
// number of the key.
func TestRotation(t *testing.T) {
	type at struct {
		ms   int
		do   string // "members", "sent", "tick"
		with []Peer // members, or those that were missed
		want string
	}
	for name, c := range map[string]struct {
		opt    RotationOptions
		script []at
	}{
		"alone, the first key is used at once": {script: []at{
			{0, "members", nil, "use 0/0"}, {5000, "members", nil, ""},
		}},
		"who is there gets the first key": {script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {10, "sent", nil, ""}, {5000, "members", []Peer{bob, ann}, ""},
		}},
		"a joiner gets a young key": {script: []at{
			{0, "members", []Peer{ann}, "use 0/0; send 0/0 @ann"}, {10, "sent", nil, ""},
			{9999, "members", []Peer{ann, bob}, "send 0/0 @bob"}, {10010, "sent", nil, ""},
		}},
		"a joiner makes an old key new": {script: []at{
			{0, "members", []Peer{ann}, "use 0/0; send 0/0 @ann"}, {10, "sent", nil, ""},
			{10_000, "members", []Peer{ann, bob}, "send 1/1 @ann @bob"}, {10_050, "sent", nil, ""},
			{11_049, "tick", nil, ""}, {11_050, "tick", nil, "use 1/1"}, {20_000, "tick", nil, ""},
		}},
		"a leaver makes even a young key new": {script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {10, "sent", nil, ""},
			{100, "members", []Peer{ann}, "send 1/1 @ann"}, {110, "sent", nil, ""}, {1110, "tick", nil, "use 1/1"},
		}},
		"the last other leaves": {script: []at{
			{0, "members", []Peer{ann}, "use 0/0; send 0/0 @ann"}, {10, "sent", nil, ""},
			{100, "members", nil, ""}, {1100, "tick", nil, "use 1/1"},
		}},
		"a device that comes back under another membership has joined": {script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {10, "sent", nil, ""},
			{100, "members", []Peer{ann, bob2}, "send 0/0 @bob"}, {110, "sent", nil, ""},
			{200, "members", []Peer{ann, bob2}, ""},
		}},
		"changes during a roll-out are dealt with once, after it": {script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {10, "sent", nil, ""},
			{100, "members", []Peer{ann}, "send 1/1 @ann"}, {105, "members", []Peer{ann, bob2}, ""}, {110, "sent", nil, ""},
			{500, "members", []Peer{ann, bob2, cat}, ""},
			{1110, "tick", nil, "use 1/1; send 1/1 @bob @cat"}, {1120, "sent", nil, ""}, {3000, "tick", nil, ""},
		}},
		"a leave during the sending of the first key": {script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {5, "members", []Peer{ann}, ""},
			{10, "sent", nil, "send 1/1 @ann"}, {20, "sent", nil, ""}, {1020, "tick", nil, "use 1/1"},
		}},
		"who was not reached is sent the same key again": {script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {10, "sent", []Peer{bob}, ""},
			{5009, "tick", nil, ""}, {5010, "tick", nil, "send 0/0 @bob"}, {5020, "sent", []Peer{bob}, ""},
			{20_000, "tick", nil, "send 0/0 @bob"}, {20_010, "sent", nil, ""}, {60_000, "tick", nil, ""},
		}},
		"a new key is used though somebody was not reached": {script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {10, "sent", nil, ""},
			{100, "members", []Peer{ann}, "send 1/1 @ann"}, {110, "sent", []Peer{ann}, ""},
			{1110, "tick", nil, "use 1/1"}, {6110, "tick", nil, "send 1/1 @ann"},
		}},
		"at the limit keys stay": {opt: RotationOptions{Limit: 3}, script: []at{
			{0, "members", []Peer{ann}, "use 0/0; send 0/0 @ann"}, {10, "sent", nil, ""},
			{50_000, "members", []Peer{ann, bob}, "send 0/0 @bob"}, {50_010, "sent", nil, ""},
			{60_000, "members", []Peer{ann, cat}, "send 0/0 @cat"}, {60_010, "sent", nil, ""},
			{70_000, "members", []Peer{ann}, "send 1/1 @ann"}, // below it, who left is remembered
		}},
		"MSC4143's delay": {opt: RotationOptions{UseDelay: 5 * time.Second}, script: []at{
			{0, "members", []Peer{ann, bob}, "use 0/0; send 0/0 @ann @bob"}, {10, "sent", nil, ""},
			{100, "members", []Peer{ann}, "send 1/1 @ann"}, {110, "sent", nil, ""}, {5109, "tick", nil, ""}, {5110, "tick", nil, "use 1/1"},
		}},
		"a word of delivery that nobody waits for": {script: []at{
			{0, "sent", nil, ""}, {0, "members", nil, "use 0/0"}, {10, "sent", []Peer{ann}, ""}, {10_000, "tick", nil, ""},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRotation(c.opt, &counting{})
			for _, s := range c.script {
				now := time.UnixMilli(int64(s.ms))
				var steps []Step
				var err error
				switch s.do {
				case "members":
					steps, err = r.Members(now, s.with, nil)
				case "sent":
					steps, err = r.Sent(now, s.with, nil)
				case "tick":
					steps, err = r.Tick(now, nil)
				}
				if got := tell(steps); err != nil || got != s.want {
					t.Fatalf("at %d ms, %s: %q, %v; want %q", s.ms, s.do, got, err, s.want)
				}
			}
		})
	}
}

func tell(steps []Step) string {
	var out []string
	for _, s := range steps {
		switch s := s.(type) {
		case Use:
			out = append(out, fmt.Sprintf("use %d/%d", s.Index, s.Material[0]))
		case Send:
			line := fmt.Sprintf("send %d/%d", s.Index, s.Material[0])
			for _, p := range s.To {
				line += " " + p.User
			}
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}

func TestRotationWraps(t *testing.T) {
	r := NewRotation(RotationOptions{}, &counting{})
	now := time.UnixMilli(0)
	var steps []Step
	for i := range 258 {
		now = now.Add(time.Minute)
		steps, _ = r.Members(now, []Peer{{"@ann", "A", 1}, {"@bob", fmt.Sprint(i), 1}}, nil)
		_, _ = r.Sent(now, nil, nil)
		_, _ = r.Tick(now.Add(time.Second), nil)
	}
	if got := steps[0].(Send).Index; got != 1 {
		t.Fatalf("after 257 new keys the index is %d, want 1", got)
	}
}

func TestRotationWithoutRandomness(t *testing.T) {
	if _, err := NewRotation(RotationOptions{}, bytes.NewReader(nil)).Members(time.UnixMilli(0), nil, nil); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v", err)
	}
}

// However members come and go: a key that is used was sent to all who were there when it was made; a leaver never gets
// a key made after it left; and once all is quiet everybody has the key in use.
func FuzzRotation(f *testing.F) {
	f.Add([]byte{1, 0x10, 3, 0x10, 7, 0x20, 5, 0x10, 0x30})
	f.Add([]byte{7, 1, 7, 1, 0x10, 0x10, 0x20, 0x20, 0x20})
	f.Fuzz(func(t *testing.T, script []byte) {
		all := []Peer{ann, bob, cat}
		r := NewRotation(RotationOptions{}, &counting{})
		now := time.UnixMilli(0)
		var present []Peer
		has := map[Peer]map[byte]bool{ann: {}, bob: {}, cat: {}}
		made := map[byte]bool{}
		var used byte
		pending := 0
		do := func(steps []Step, err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				switch s := s.(type) {
				case Use:
					used = s.Material[0]
				case Send:
					pending++
					if pending > 1 {
						t.Fatal("two roll-outs at once")
					}
					first := !made[s.Material[0]]
					made[s.Material[0]] = true
					for _, p := range s.To {
						if first && !slices.Contains(present, p) {
							t.Fatalf("%v gets key %d without being there", p, s.Material[0])
						}
						has[p][s.Material[0]] = true
					}
				}
			}
		}
		sent := func() {
			if pending > 0 {
				pending--
				do(r.Sent(now, nil, nil))
			}
		}
		tick := func() {
			if d := r.Deadline(); !d.IsZero() && d.After(now) {
				now = d
			}
			do(r.Tick(now, nil))
		}
		for _, b := range script {
			switch b >> 4 {
			case 0:
				present = present[:0:0]
				for i, p := range all {
					if b>>i&1 != 0 {
						present = append(present, p)
					}
				}
				do(r.Members(now, present, nil))
			case 1:
				sent()
			case 2:
				tick()
			default:
				now = now.Add(time.Duration(b) * 100 * time.Millisecond)
			}
		}
		if len(script) > 250 { // key numbers wrap
			return
		}
		do(r.Members(now, present, nil))
		for range 8 {
			sent()
			tick()
		}
		for _, p := range present {
			if !has[p][used] {
				t.Fatalf("%v lacks key %d", p, used)
			}
		}
	})
}
