package speaker

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"weir/sfu"
)

func steady(level uint8, n int) []uint8 { return slices.Repeat([]uint8{level}, n) }

func TestList(t *testing.T) {
	type turn struct {
		in   map[sfu.ParticipantID][]uint8
		want []Level
	}
	both := slices.Concat(steady(0, 8), steady(Silence, 12))
	tests := map[string][]turn{
		"silence":                   {{map[sfu.ParticipantID][]uint8{"a": steady(127, 20)}, nil}},
		"just too quiet":            {{map[sfu.ParticipantID][]uint8{"a": steady(36, 20)}, nil}},
		"just loud enough":          {{map[sfu.ParticipantID][]uint8{"a": steady(35, 20)}, nil}, {map[sfu.ParticipantID][]uint8{"a": steady(32, 20)}, []Level{{"a", 0.125, true}}}},
		"too short":                 {{map[sfu.ParticipantID][]uint8{"a": append(steady(0, 7), steady(127, 13)...)}, nil}},
		"just long enough":          {{map[sfu.ParticipantID][]uint8{"a": both}, []Level{{"a", 0.375, true}}}},
		"as loud as can be":         {{map[sfu.ParticipantID][]uint8{"a": steady(0, 20)}, []Level{{"a", 0.75, true}}}, {map[sfu.ParticipantID][]uint8{"a": steady(0, 20)}, []Level{{"a", 1, true}}}, {map[sfu.ParticipantID][]uint8{"a": steady(0, 20)}, nil}},
		"falls silent, once":        {{map[sfu.ParticipantID][]uint8{"a": steady(20, 20)}, []Level{{"a", 0.125, true}}}, {nil, nil}, {nil, []Level{{"a", 0, false}}}, {nil, nil}, {nil, nil}},
		"loudest first, ties by id": {{map[sfu.ParticipantID][]uint8{"b": steady(20, 20), "a": steady(20, 20), "c": steady(1, 20)}, []Level{{"c", 0.625, true}, {"a", 0.125, true}, {"b", 0.125, true}}}},
	}
	for name, script := range tests {
		t.Run(name, func(t *testing.T) {
			l := NewList(Config{})
			for i, turn := range script {
				for _, who := range []sfu.ParticipantID{"b", "a", "c"} {
					if v, ok := turn.in[who]; ok {
						l.Observe(who, v)
					}
				}
				if got := l.Turn(nil); !slices.Equal(got, turn.want) {
					t.Errorf("%d: %v, want %v", i, got, turn.want)
				}
			}
		})
	}
}

func TestListForgets(t *testing.T) {
	l := NewList(Config{})
	for i := range 100 {
		l.Observe(sfu.ParticipantID(fmt.Sprint(i)), steady(10, 20))
	}
	l.Turn(nil)
	if got := l.All(nil); len(got) != 100 {
		t.Errorf("%d talk", len(got))
	}
	l.Remove("7")
	if got := l.All(nil); len(got) != 99 {
		t.Errorf("%d talk", len(got))
	}
	for range 20 {
		l.Turn(nil)
	}
	if len(l.meters) != 0 || len(l.All(nil)) != 0 {
		t.Errorf("%d meters are left", len(l.meters))
	}
}

// FuzzList checks that the deltas, applied by a client, give what All says, and that levels are eighths.
func FuzzList(f *testing.F) {
	f.Add([]byte{0, 10, 20, 255, 1, 30, 20, 255, 255, 255})
	f.Fuzz(func(t *testing.T, script []byte) {
		l := NewList(Config{})
		shown := map[sfu.ParticipantID]float32{}
		for len(script) >= 3 {
			if script[0] == 255 {
				script = script[1:]
				for _, c := range l.Turn(nil) {
					if c.Active != (c.Level > 0) || c.Level < 0 || c.Level > 1 || c.Level*8 != float32(math.Trunc(float64(c.Level*8))) {
						t.Fatalf("level %+v", c)
					}
					if shown[c.Participant] == c.Level {
						t.Fatalf("told twice: %+v", c)
					}
					if shown[c.Participant] = c.Level; !c.Active {
						delete(shown, c.Participant)
					}
				}
				all := l.All(nil)
				for _, c := range all {
					if shown[c.Participant] != c.Level {
						t.Fatalf("%+v is shown as %v", c, shown[c.Participant])
					}
				}
				if len(all) != len(shown) {
					t.Fatalf("%v is shown, %v talk", shown, all)
				}
				continue
			}
			l.Observe(sfu.ParticipantID(rune('a'+script[0]%5)), steady(script[1]&0x7f, int(script[2]%40)))
			script = script[3:]
		}
	})
}

// talk is 100 ms of a scripted voice: syllables with pauses between words.
func talk(at int) []uint8 {
	if at%1200 < 200 {
		return steady(70, 5)
	}
	return []uint8{24, 20, 28, 30, 26}
}

type scene struct {
	d    *Dominant
	now  int64
	seen []string // changes: "time who"
}

// run plays 100 ms steps; each voice is given the time in ms from its start.
func (s *scene) run(d time.Duration, voices map[sfu.ParticipantID]func(at int) []uint8) {
	for at := 0; at < int(d/time.Millisecond); at += 100 {
		s.now += int64(100 * time.Millisecond)
		for _, who := range []sfu.ParticipantID{"a", "b", "c"} {
			if v := voices[who]; v != nil {
				s.d.Observe(s.now, who, v(at))
			}
		}
		if who, changed := s.d.Decide(s.now); changed {
			s.seen = append(s.seen, fmt.Sprintf("%d %s", at+100, who))
		}
	}
}

func noise(level uint8) func(int) []uint8 { return func(int) []uint8 { return steady(level, 5) } }

type voices = map[sfu.ParticipantID]func(int) []uint8

func TestDominant(t *testing.T) {
	t.Run("nobody in silence or noise", func(t *testing.T) {
		s := &scene{d: NewDominant()}
		s.run(20*time.Second, voices{"a": noise(127), "b": noise(70)})
		if len(s.seen) != 0 {
			t.Errorf("chose %v", s.seen)
		}
	})
	t.Run("who talks, soon, and then the next", func(t *testing.T) {
		s := &scene{d: NewDominant()}
		s.run(5*time.Second, voices{"a": talk, "b": noise(70), "c": noise(127)})
		if len(s.seen) != 1 || s.d.Current() != "a" {
			t.Fatalf("chose %v", s.seen)
		}
		s.seen = nil
		s.run(3*time.Second, voices{"a": noise(70), "b": talk})
		if len(s.seen) != 1 || s.d.Current() != "b" {
			t.Fatalf("chose %v", s.seen)
		}
		var at int
		var who string
		if _, err := fmt.Sscan(s.seen[0], &at, &who); err != nil || at > 1500 {
			t.Errorf("took %d ms", at)
		}
	})
	t.Run("a cough changes nothing", func(t *testing.T) {
		s := &scene{d: NewDominant()}
		s.run(5*time.Second, voices{"a": talk, "b": noise(70)})
		s.seen = nil
		for range 20 {
			s.run(100*time.Millisecond, voices{"a": noise(26), "b": func(int) []uint8 { return []uint8{70, 5, 5, 70, 70} }})
			s.run(1400*time.Millisecond, voices{"a": talk, "b": noise(70)})
		}
		if len(s.seen) != 0 {
			t.Errorf("chose %v", s.seen)
		}
	})
	t.Run("stays through silence", func(t *testing.T) {
		s := &scene{d: NewDominant()}
		s.run(5*time.Second, voices{"a": talk, "b": noise(70)})
		s.run(10*time.Second, voices{})
		if s.d.Current() != "a" {
			t.Errorf("%q", s.d.Current())
		}
	})
	t.Run("after leaving", func(t *testing.T) {
		s := &scene{d: NewDominant()}
		s.run(3*time.Second, voices{"a": talk})
		s.d.Remove("a")
		if s.d.Current() != "" {
			t.Error("who left still dominates")
		}
		s.run(3*time.Second, voices{"b": talk})
		if s.d.Current() != "b" {
			t.Errorf("%q", s.d.Current())
		}
	})
}

// FuzzDominant checks that the dominant speaker is always one who was heard and has not left.
func FuzzDominant(f *testing.F) {
	f.Add([]byte{0, 20, 1, 70, 0, 20, 250, 2, 5, 3, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		d := NewDominant()
		here := map[sfu.ParticipantID]bool{}
		now := int64(0)
		for len(script) >= 2 {
			who := sfu.ParticipantID(rune('a' + script[0]%4))
			if script[0] >= 250 {
				d.Remove(who)
				delete(here, who)
			} else {
				now += int64(script[1]) * int64(2*time.Millisecond)
				d.Observe(now, who, steady(script[1], int(script[0]>>2)))
				if script[0]>>2 > 0 {
					here[who] = true
				}
			}
			got, changed := d.Decide(now)
			if got != d.Current() || got != "" && !here[got] || changed && got == "" {
				t.Fatalf("chose %q of %v", got, here)
			}
			script = script[2:]
		}
	})
}

func TestAllocatesNothing(t *testing.T) {
	l, d := NewList(Config{}), NewDominant()
	in := steady(30, 20)
	out := make([]Level, 0, 8)
	now := int64(1)
	step := func() {
		now += int64(400 * time.Millisecond)
		for _, who := range []sfu.ParticipantID{"a", "b", "c"} {
			l.Observe(who, in)
			d.Observe(now, who, in)
		}
		out = l.Turn(out[:0])
		d.Decide(now)
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTurn(b *testing.B) {
	l := NewList(Config{})
	in := steady(30, 20)
	ids := make([]sfu.ParticipantID, 50)
	for i := range ids {
		ids[i] = sfu.ParticipantID(fmt.Sprint("PA_", i))
	}
	out := make([]Level, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		for _, who := range ids {
			l.Observe(who, in)
		}
		out = l.Turn(out[:0])
	}
}

func BenchmarkDecide(b *testing.B) {
	d := NewDominant()
	now := int64(1)
	for i := range 50 {
		d.Observe(now, sfu.ParticipantID(fmt.Sprint("PA_", i)), steady(uint8(20+i), 50))
	}
	b.ReportAllocs()
	for b.Loop() {
		now += int64(400 * time.Millisecond)
		d.Decide(now)
	}
}
