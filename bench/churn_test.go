//go:build system

package bench

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/sfu"
)

// TestChurn: two hundred come, hear and are heard, and go, half of them without a word. What they cost goes with them.
func TestChurn(t *testing.T) {
	p := startProcess(t)
	clock := NewClock()
	pump := NewPump(clock)
	defer pump.Close()
	host := NewBot(BotConfig{URL: p.url, Token: p.token("churn", "host"), Subscribe: true,
		Publish: []Publication{Microphone("m", 80), Camera("c", sfu.VP8, layers720[:1])}}, clock, pump)
	defer host.Close()
	p.await(host, "the host", connected)
	wave := func(n, from int) {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				b := NewBot(BotConfig{URL: p.url, Token: p.token("churn", fmt.Sprint("guest", from+i)), Subscribe: true, Dual: i%4 < 2,
					Publish: []Publication{Microphone("m", 80)}}, clock, pump)
				ctx := timeout(t, 30*time.Second)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for s := b.Snapshot(); len(s.Streams) < 2 || s.PacketsIn < 20; s = b.Snapshot() {
					select {
					case <-tick.C:
					case <-ctx.Done():
						t.Errorf("guest %d is %s with %d streams: %v", from+i, s.State, len(s.Streams), s.Err)
						b.Close()
						return
					}
				}
				if i%2 == 0 {
					b.Leave()
				} else {
					b.Close()
				}
			})
		}
		all.Wait()
	}
	alone := func(goroutines int) {
		t.Helper()
		p.until("what is left to go", time.Minute, func() bool { return p.goroutines() <= goroutines })
		p.await(host, "the others to be gone", func(s *Snapshot) bool { return s.State == Connected && len(s.Remote) == 0 })
	}
	before := p.goroutines()
	wave(20, 0) // fills pools
	alone(before + 2)
	warm := p.memory()
	for i := range 20 {
		wave(10, 20+10*i)
	}
	most := p.goroutines()
	alone(before + 2)
	t.Logf("goroutines %d before, %d at most, %d after; memory %d MB after 20, %d MB after 220", before, most, p.goroutines(), warm, p.memory())
	if now := p.memory(); now > warm+150 { // what the collector has not looked at since: those without a word stay for 20 s
		t.Errorf("memory went from %d to %d MB", warm, now)
	}
	if s := host.Snapshot(); s.State != Connected || s.Resumes != 0 {
		t.Errorf("the host is %s after %d resumes", s.State, s.Resumes)
	}
}
