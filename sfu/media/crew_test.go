package media

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pion/rtp"

	"weir/sfu"
)

// roll counts how often each receiver was served.
type roll struct{ served []atomic.Int32 }

func (r *roll) serve(_ int64, i int, _ *Burst, _ []byte) { r.served[i].Add(1) }

// TestCrewServesEachOnce: whoever helps, and however late, each receiver is served once.
func TestCrewServesEachOnce(t *testing.T) {
	for _, helpers := range []int{0, 1, 3} {
		var c crew
		for range helpers {
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
							t.Errorf("%d helpers, %d receivers: number %d was served %d times", helpers, receivers, i, n)
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

// TestCrewSendsTheSame: what a receiver gets does not depend on who helps: frames of three layers, a mute, newcomers who are
// begun with what the history has.
func TestCrewSendsTheSame(t *testing.T) {
	const receivers = 2*crewLeast + 30
	play := func(helpers int) (got [][]rtp.Packet) {
		r := newRig(t)
		var c crew
		defer c.close()
		for range helpers {
			c.add(r, r.out.sent)
		}
		r.out.crew = &c
		alice, a := r.join("PA_a")
		pub := publishSimulcast(alice, "TR_v")
		var ends []*end
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
		for _, e := range ends {
			ps := e.take()
			gapless(t, ps)
			got = append(got, ps)
		}
		return got
	}
	alone := play(0)
	for _, helpers := range []int{1, 3} {
		for i, ps := range play(helpers) {
			if len(ps) == 0 || !reflect.DeepEqual(ps, alone[i]) {
				t.Fatalf("%d helpers: receiver %d got %d packets, other than the %d alone", helpers, i, len(ps), len(alone[i]))
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

// BenchmarkAudience is the time, not the work, that one burst to many takes with helpers.
func BenchmarkAudience(b *testing.B) {
	for _, helpers := range []int{0, 1} {
		b.Run(fmt.Sprintf("S=1000/helpers=%d", helpers), func(b *testing.B) {
			const burst, receivers = 10, 1000
			l := newLoad(b, receivers, burst)
			var c crew
			defer c.close()
			for range helpers {
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
