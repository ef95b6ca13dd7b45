package media

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"weir/sfu"
)

// roll counts how often each receiver was served.
type roll struct{ served []atomic.Int32 }

func (r *roll) serve(_ int64, i int, _ *Burst, _ []byte) { r.served[i].Add(1) }

// TestCrewServesEachOnce: whoever helps, and however late, each receiver is served once.
func TestCrewServesEachOnce(t *testing.T) {
	for _, workers := range []int{0, 1, 3} {
		var c crew
		for range workers {
			c.add(new(discard), new(sentCounters))
		}
		var callers sync.WaitGroup // readers that have large audiences at the same time
		for _, receivers := range []int{0, 1, crewLeast - 1, crewLeast, 2*crewLeast + 1, 10 * crewLeast} {
			callers.Go(func() {
				b := newBurst(new(discard), new(sentCounters))
				b.crew = &c
				for range 50 {
					r := roll{make([]atomic.Int32, receivers)}
					b.serve(1, &r, receivers, nil)
					for i := range r.served {
						if n := r.served[i].Load(); n != 1 {
							t.Errorf("%d workers, %d receivers: number %d was served %d times", workers, receivers, i, n)
							return
						}
					}
				}
			})
		}
		callers.Wait()
		c.close()
	}
}

// meeting is an audience that nobody leaves before all are there who can be.
type meeting struct {
	mu   sync.Mutex
	come map[*Burst]bool
	want int
	all  chan struct{}
}

func (m *meeting) serve(_ int64, _ int, out *Burst, _ []byte) {
	m.mu.Lock()
	if !m.come[out] {
		m.come[out] = true
		if len(m.come) == m.want {
			close(m.all)
		}
	}
	m.mu.Unlock()
	<-m.all
}

// TestCrewCallsTheIdle: callers at the same time get workers of their own while there are idle ones.
func TestCrewCallsTheIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if all wait
		var c crew
		const callers, each = 4, 2
		for range callers * each {
			c.add(new(discard), new(sentCounters))
		}
		m := &meeting{come: map[*Burst]bool{}, want: callers * (1 + each), all: make(chan struct{})}
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				b := newBurst(new(discard), new(sentCounters))
				b.crew = &c
				b.serve(1, m, each*crewLeast, nil)
			})
		}
		wg.Wait()
		c.close()
	})
}

// withCrew gives a rig workers until the test ends.
func (r *rig) withCrew(workers int) {
	c := new(crew)
	r.t.Cleanup(c.close)
	for range workers {
		c.add(r, r.out.sent)
	}
	r.out.crew = c
}

// TestCrewSendsTheSame: what a receiver gets does not depend on who else works.
func TestCrewSendsTheSame(t *testing.T) {
	const receivers = 2*crewLeast + 30
	scenes := map[string]func(workers int) []*end{
		// frames of three layers, a mute, newcomers who are begun with what the history has
		"video": func(workers int) (ends []*end) {
			r := newRig(t)
			r.withCrew(workers)
			alice, a := r.join("PA_a")
			pub := publishSimulcast(alice, "TR_v")
			join := func(n int) {
				for range n {
					i := len(ends)
					p, e := r.join(sfu.ParticipantID(fmt.Sprint("PA_", i)))
					p.Subscribe(pub, sendVideo(uint32(1000+2*i)), sfu.Layer{Spatial: int8(i % 3), Temporal: 1}, false)
					ends = append(ends, e)
				}
			}
			join(receivers - 20)
			layers := []encoder{{rid: "q", ssrc: 10, tid: true}, {rid: "h", ssrc: 20, tid: true}, {rid: "f", ssrc: 30, tid: true}}
			for frame := range 40 {
				r.now += 33 * ms
				switch frame {
				case 10:
					join(20)
				case 20, 24:
					pub.SetMuted(frame == 20)
				}
				for i := range layers {
					a.put(layers[i].frame(frame%15 == 0 || frame == 25, 2+i)...)
				}
				r.tick(0)
			}
			return ends
		},
		"gathered audio": func(workers int) []*end {
			c := newChoir(t, receivers)
			c.withCrew(workers)
			for i := range uint16(10) {
				for j, e := range c.singers {
					c.now += 3 * ms
					e.put(voice(uint32(1+j), i, 30))
				}
				c.engine.gather.release(c.now, c.out)
				c.now += 14 * ms
			}
			return c.ears
		},
	}
	for name, play := range scenes {
		alone := play(0)
		for _, workers := range []int{1, 3} {
			for i, e := range play(workers) {
				if len(e.rtp) == 0 || !reflect.DeepEqual(e.rtp, alone[i].rtp) {
					t.Fatalf("%s: with %d workers receiver %d got %d packets, other than the %d alone", name, workers, i, len(e.rtp), len(alone[i].rtp))
				}
			}
		}
	}
}

// TestCrewAllocatesNothing, as TestForwardAllocatesNothing.
func TestCrewAllocatesNothing(t *testing.T) {
	l := newLoad(t, crewLeast, 10)
	var c crew
	defer c.close()
	c.add(new(discard), l.out.sent)
	l.out.crew = &c
	for range 300 {
		l.frame()
	}
	before := l.out.sent.packets.Load()
	if n := testing.AllocsPerRun(50, l.frame); n != 0 {
		t.Errorf("%v allocations per burst of 10 packets", n)
	}
	if l.out.sent.packets.Load()-before < 50*10*crewLeast {
		t.Error("not everything was forwarded")
	}
}

// BenchmarkAudience is the time, not the work, that one burst to many takes with workers.
func BenchmarkAudience(b *testing.B) {
	for _, workers := range []int{0, 1} {
		b.Run(fmt.Sprintf("S=1000/workers=%d", workers), func(b *testing.B) {
			const burst, receivers = 10, 1000
			l := newLoad(b, receivers, burst)
			var c crew
			defer c.close()
			for range workers {
				c.add(new(discard), l.out.sent)
			}
			l.out.crew = &c
			for range 20 {
				l.frame()
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				l.frame()
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*burst*receivers), "ns/packet")
		})
	}
}
