package media

import (
	"fmt"
	"testing"
	"time"

	"weir/sfu"
)

// BenchmarkGather is the cost of a forwarded audio packet of five publishers, who send together, to S listeners, from
// decrypted input to sealed messages, without system calls; cold when something else used the caches in between, as the
// kernel does.
func BenchmarkGather(b *testing.B) {
	for _, listeners := range []int{10, 100} {
		b.Run(fmt.Sprintf("S=%d", listeners), func(b *testing.B) { benchmarkGather(b, listeners, nil) })
	}
	b.Run("S=100/cold", func(b *testing.B) { benchmarkGather(b, 100, make([]byte, 2<<20)) })
	b.Run("S=100/icy", func(b *testing.B) { benchmarkGather(b, 100, make([]byte, 48<<20)) })
}

func benchmarkGather(b *testing.B, listeners int, other []byte) {
	const singers = 5
	r := newRig(b)
	r.engine.gather = newGather(DefaultAudioWait)
	out := newBurst(new(discard), new(sentCounters))
	var legs []*Leg
	var packets [singers][]byte
	for i := range singers {
		p, e := r.join(sfu.ParticipantID(fmt.Sprint("PA_s", i)))
		publishAudio(p, sfu.PublicationID(fmt.Sprint("TR_", i)), uint32(1+i))
		legs = append(legs, e.leg)
		v := voice(uint32(1+i), 0, 30)
		v.Payload = make([]byte, 80)
		raw, err := v.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		packets[i] = raw
	}
	for i := range listeners {
		p, e := r.join(sfu.ParticipantID(fmt.Sprint("PA_e", i)))
		e.send.audit = nil
		for j, l := range legs {
			p.Subscribe(l.pubs[0], sendAudio(uint32(100+j)), sfu.TopLayer, false)
		}
		e.leg.HandleRTCP(r.now, nil)
	}
	seq, ts := sfu.ExtSeq(1<<16), uint32(0)
	buf := make([]byte, 0, 200)
	var spent time.Duration
	round := func() {
		for j, l := range legs {
			raw := append(buf[:0], packets[j]...)
			raw[2], raw[3] = byte(seq>>8), byte(seq)
			raw[4], raw[5], raw[6], raw[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
			l.HandleRTP(r.now, raw, seq)
			l.Flush(r.now, out)
		}
		for i := 0; i < len(other); i += 64 {
			other[i]++
		}
		begin := time.Now()
		if r.engine.gather.opened != 0 {
			r.engine.gather.alarm(r.now, out)
		}
		out.Flush()
		spent += time.Since(begin)
		seq++
		ts += 960
		r.now += 20 * ms
	}
	for range 300 {
		round()
	}
	b.ReportAllocs()
	spent = 0
	sent, n := out.sent.packets.Load(), 0
	for b.Loop() {
		round()
		n++
	}
	if got := out.sent.packets.Load() - sent; got != uint64(n*singers*listeners) {
		b.Fatalf("%d packets sent of %d", got, n*singers*listeners)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(n*singers*listeners), "ns/packet")
}
