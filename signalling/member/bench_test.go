//go:build unix

package member

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"
)

// spent is the processor time of this process so far: on a busy machine it says more than the time that passed.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, cpu time.Duration) {
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func BenchmarkTenThousandOneByOne(b *testing.B) {
	st, es := crowd(10000)
	var out []Effect
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		r := NewRoom("!r", Config{URLs: []string{ourURL}})
		r.Apply(epoch, st, nil)
		b.StartTimer()
		from := spent()
		for i := range es {
			out = r.Apply(epoch, es[i], out[:0])
		}
		cpu += spent() - from
	}
	report(b, cpu)
}

func BenchmarkTenThousandAtOnce(b *testing.B) {
	st, es := crowd(10000)
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		r := NewRoom("!r", Config{URLs: []string{ourURL}})
		r.Apply(epoch, st, nil)
		b.StartTimer()
		from := spent()
		r.Apply(epoch, Batch{es}, nil)
		cpu += spent() - from
	}
	report(b, cpu)
}

// BenchmarkState is the first sight of a room: members and memberships.
func BenchmarkState(b *testing.B) {
	st, es := crowd(10000)
	for _, e := range es {
		if e.State {
			st.Events = append(st.Events, e)
		}
	}
	from := spent()
	for b.Loop() {
		NewRoom("!r", Config{}).Apply(epoch, st, nil)
	}
	report(b, spent()-from)
}

// BenchmarkOneChange is a user who leaves a roster of 10,000 and one who comes back to it.
func BenchmarkOneChange(b *testing.B) {
	st, es := crowd(10000)
	r := NewRoom("!r", Config{URLs: []string{ourURL}})
	r.Apply(epoch, st, nil)
	r.Apply(epoch, Batch{es}, nil)
	p := &play{now: epoch.Add(time.Second)}
	leave, join := p.stateLeave("user4000", "DEVICE"), p.state("user4000", "DEVICE")
	var out []Effect
	from := spent()
	for i := 0; b.Loop(); i++ {
		e := &leave
		if i%2 == 1 {
			e = &join
		}
		if out = r.Apply(epoch, *e, out[:0]); len(out) != 1 {
			b.Fatalf("%d: %v", i, out)
		}
	}
	report(b, spent()-from)
}

func BenchmarkDecode(b *testing.B) {
	p := &play{now: epoch}
	e := p.sticky("user", "DEVICE", "00000000-0000-0000-0000-000000000000")
	raw, err := json.Marshal(map[string]any{"type": e.Type, "sender": e.Sender, "event_id": e.ID, "origin_server_ts": e.Origin,
		"content": json.RawMessage(e.Content), "msc4354_sticky": map[string]any{"duration_ms": e.Sticky}, "unsigned": map[string]any{"age": 7}})
	if err != nil {
		b.Fatal(err)
	}
	from := spent()
	for b.Loop() {
		if _, err := Decode(raw, epoch); err != nil {
			b.Fatal(err)
		}
	}
	report(b, spent()-from)
}
