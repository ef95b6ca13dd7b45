package media

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"

	"weir/sfu"
)

// choir is two audio publishers with n listeners, on an engine whose gather is released by hand.
type choir struct {
	*rig
	singers [2]*end
	ears    []*end
}

func newChoir(t testing.TB, n int) *choir {
	c := &choir{rig: newRig(t)}
	c.engine.gather = newGather(DefaultAudioWait)
	var pubs [2]*Publication
	for i := range c.singers {
		p, e := c.join(sfu.ParticipantID(fmt.Sprint("PA_s", i)))
		c.singers[i] = e
		pubs[i] = publishAudio(p, sfu.PublicationID(fmt.Sprint("TR_", i)), uint32(1+i))
	}
	for i := range n {
		p, e := c.join(sfu.ParticipantID(fmt.Sprint("PA_e", i)))
		c.ears = append(c.ears, e)
		for j, pub := range pubs {
			p.Subscribe(pub, sendAudio(uint32(100+j)), sfu.TopLayer, false)
		}
	}
	return c
}

func TestGatheredAudioSharesMessages(t *testing.T) {
	for _, s := range []struct {
		listeners, held int
	}{{2, 0}, {20, 16}} { // of 20 packets; the first two of each singer go out before their pace is known
		c := newChoir(t, s.listeners)
		held, sent := 0, 0
		for i := range uint16(10) {
			for j, e := range c.singers {
				c.now += ms
				e.put(voice(uint32(1+j), 65530+i, 30))
				if n := len(c.ears[0].take()); n == 0 {
					held++
				} else {
					sent += n
				}
			}
			before := c.out.sent.messages.Load()
			c.engine.gather.release(c.now, c.out)
			if n := len(c.ears[0].take()); n > 0 {
				sent += n
				if got := int(c.out.sent.messages.Load() - before); n == 2 && got != s.listeners {
					t.Errorf("%d messages for two packets to each of %d", got, s.listeners)
				}
			}
			c.now += 18 * ms
		}
		if held != s.held || sent != 20 {
			t.Errorf("%d listeners: %d packets waited, want %d; %d came", s.listeners, held, s.held, sent)
		}
	}
}

// TestGatherWaitsForWhatComes: a packet waits until the last that is expected is there, for a millisecond longer if that is
// late, never longer than the span, and not at all when nothing is expected.
func TestGatherWaitsForWhatComes(t *testing.T) {
	for name, s := range map[string]struct {
		listeners          int
		apart, late, waits int64 // of the second singer's packets behind the first's; of its last one; how long the first one waits
		most               int64 // that one may wait; 0: as ever
	}{
		"together":           {8, 0, 0, 0, 0},
		"soon":               {8, 2 * ms, 0, 2 * ms, 0},
		"early":              {8, 2 * ms, -ms, ms, 0},
		"late":               {8, 2 * ms, ms / 2, 2*ms + ms/2, 0},
		"missing":            {8, 2 * ms, 9 * ms, 3 * ms, 0},
		"at the end":         {8, 5 * ms, 0, 5 * ms, 0},
		"missing at the end": {8, 5 * ms, 9 * ms, 5 * ms, 0},
		"too late to wait":   {49, 6 * ms, 0, 0, 0},
		"soon for many":      {50, 8 * ms, 0, 8 * ms, 0},
		"missing to many":    {50, 8 * ms, 9 * ms, 9 * ms, 0},
		"too late for many":  {50, 11 * ms, 0, 0, 0},
		"alone in small":     {7, 2 * ms, 0, 0, 0},
		"within a shorter":   {50, 3 * ms, 0, 3 * ms, 3 * ms},
		"beyond a shorter":   {50, 4 * ms, 0, 0, 3 * ms},
		"shorter for few":    {8, 4 * ms, 0, 0, 3 * ms},
	} {
		c := newChoir(t, s.listeners)
		g := c.engine.gather
		if s.most != 0 {
			g.most = s.most
		}
		begin := c.now
		wait := int64(-1)
		for i := range uint16(6) {
			at := begin + int64(i)*20*ms
			last := i == 5
			second := at + s.apart
			if last {
				second += s.late
			}
			for c.now = at; c.now < at+20*ms; c.now += ms / 4 {
				if c.now == at {
					c.singers[0].put(voice(1, i, 0))
				}
				if c.now == second {
					c.singers[1].put(voice(2, i, 0))
				}
				if g.due != 0 && c.now >= g.due {
					g.alarm(c.now, c.out)
				}
				for _, p := range c.ears[0].take() {
					if last && p.SSRC == 100 {
						wait = c.now - at
					}
				}
			}
		}
		if wait != s.waits {
			t.Errorf("%s: waited %v ms, want %v", name, float64(wait)/float64(ms), float64(s.waits)/float64(ms))
		}
	}
}

// TestGatherKeepsToTheShortest: a packet of a smaller call that joins those of a large one waits no longer than in its own.
func TestGatherKeepsToTheShortest(t *testing.T) {
	c := newChoir(t, 50)
	p, third := c.join("PA_s2")
	pub := publishAudio(p, "TR_2", 3)
	for _, e := range c.ears[:10] {
		e.leg.participant.Subscribe(pub, sendAudio(102), sfu.TopLayer, false)
	}
	begin := c.now
	for i := range uint16(3) { // until the pace is known, 9 ms apart
		at := begin + int64(i)*20*ms
		c.now = at
		c.singers[0].put(voice(1, i, 0))
		c.now = at + 9*ms
		c.singers[1].put(voice(2, i, 0))
		c.engine.gather.release(c.now, c.out)
	}
	c.now = begin + 60*ms
	c.singers[0].put(voice(1, 3, 0))
	if got := c.engine.gather.due - c.now; got != 10*ms {
		t.Fatalf("the large call waits %v ms", got/ms)
	}
	c.now += ms
	third.put(voice(3, 0, 0))
	if got := c.engine.gather.due - c.now; got != 5*ms {
		t.Errorf("the smaller call waits %v ms", got/ms)
	}
}

func TestGatherHasBounds(t *testing.T) {
	c := newChoir(t, 8)
	for i := range uint16(3) { // until the pace is known
		c.singers[0].put(voice(1, i, 0))
		c.singers[1].put(voice(2, i, 0))
		c.engine.gather.alarm(c.now, c.out)
		c.now += 20 * ms
	}
	c.ears[0].take()
	for i := range uint16(5000) {
		p := voice(1, 3+i, 0)
		p.Payload = append(p.Payload, make([]byte, 1000)...)
		c.singers[0].put(p)
	}
	g := c.engine.gather
	if g.opened == 0 || cap(g.filling.buf) != gatherBytes {
		t.Errorf("opened at %d, %d bytes of memory for what waits", g.opened, cap(g.filling.buf))
	}
	g.release(c.now, c.out)
	got := c.ears[0].take()
	if len(got) != 5000 {
		t.Errorf("%d packets came of 5000", len(got))
	}
	gapless(t, got)
}

// FuzzGatherKeepsOrder: whatever comes when, from whom, and whoever listens, a receiver gets each publication's packets in
// the order in which they came, none is lost, and none waits longer than the span.
func FuzzGatherKeepsOrder(f *testing.F) {
	f.Add(uint64(1), uint16(400))
	f.Add(uint64(7), uint16(900))
	f.Add(uint64(65535), uint16(300))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16) {
		rng := rand.New(rand.NewPCG(seed, 2))
		c := newChoir(t, 9)
		g := c.engine.gather
		extra := c.ears[8].leg.participant
		subscribed := true
		var seq, came [2]uint16
		due := [2]int64{c.now, c.now + int64(rng.IntN(20))*ms}
		for range steps % 1000 {
			c.now += int64(rng.IntN(3000)) * ms / 1000
			for j, e := range c.singers {
				for c.now >= due[j] {
					var batch []rtp.Packet
					for range 1 + rng.IntN(1+rng.IntN(3)) {
						p := voice(uint32(1+j), seq[j], 0)
						p.Payload = append(p.Payload, make([]byte, rng.IntN(1+rng.IntN(1200)))...)
						batch = append(batch, p)
						seq[j]++
					}
					e.put(batch...)
					due[j] += 20*ms + int64(rng.IntN(1+rng.IntN(4)))*ms - int64(rng.IntN(2))*ms
				}
			}
			if rng.IntN(60) == 0 { // eight or nine listeners: on the edge of what is worth it; or fewer
				for j, s := range c.singers {
					pub := s.leg.pubs[0]
					if subscribed {
						extra.CloseSubscription(pub.ID())
						c.ears[7].leg.participant.CloseSubscription(pub.ID())
					} else {
						extra.Subscribe(pub, sendAudio(uint32(100+j)), sfu.TopLayer, false)
						c.ears[7].leg.participant.Subscribe(pub, sendAudio(uint32(100+j)), sfu.TopLayer, false)
					}
				}
				subscribed = !subscribed
			}
			if g.opened != 0 && c.now > g.opened+int64(gatherSpan) || g.due != 0 && c.now >= g.due {
				g.alarm(c.now, c.out)
				if g.opened != 0 {
					t.Fatal("not released at the end of the span")
				}
			}
			for _, p := range c.ears[0].take() {
				j := p.SSRC - 100
				if n := binary.BigEndian.Uint16(p.Payload[1:]); n != came[j] {
					t.Fatalf("publication %d: packet %d came, want %d", j, n, came[j])
				}
				came[j]++
			}
		}
		g.release(c.now, c.out)
		for _, p := range c.ears[0].take() {
			came[p.SSRC-100]++
		}
		if came != seq {
			t.Fatalf("%v packets came of %v", came, seq)
		}
	})
}

func TestGatherAllocatesNothing(t *testing.T) {
	c := newChoir(t, 12)
	c.out = newBurst(new(discard), new(sentCounters))
	for _, e := range c.ears {
		e.send.audit = nil
	}
	var batch [2][]byte
	for j := range batch {
		p := voice(uint32(1+j), 0, 30)
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		batch[j] = b
	}
	seq := uint16(0)
	buf := make([]byte, 0, 200)
	round := func() {
		for j, e := range c.singers {
			b := append(buf[:0], batch[j]...)
			b[2], b[3] = byte(seq>>8), byte(seq)
			e.leg.HandleRTP(c.now, b, 1<<16+sfu.ExtSeq(seq))
			e.leg.Flush(c.now, c.out)
		}
		c.engine.gather.release(c.now, c.out)
		seq++
		c.now += 20 * ms
	}
	for range 200 {
		round()
	}
	before := c.out.sent.packets.Load()
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%v allocations per round of 24 packets", n)
	}
	if c.out.sent.packets.Load()-before < 200*24 {
		t.Error("not all was sent")
	}
}
