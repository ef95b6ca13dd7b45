package media

import (
	"fmt"
	"testing"

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
	c.engine.gather = newGather()
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
	}{{2, 0}, {20, 18}} { // of 20 packets; the first of each singer goes out before anybody knows of the other
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

func TestGatherHasBounds(t *testing.T) {
	c := newChoir(t, 8)
	c.singers[0].put(voice(1, 1, 0))
	c.singers[1].put(voice(2, 1, 0))
	c.ears[0].take()
	for i := range uint16(5000) {
		p := voice(1, 2+i, 0)
		p.Payload = append(p.Payload, make([]byte, 1000)...)
		c.singers[0].put(p)
	}
	if n := cap(c.engine.gather.filling.buf); n != gatherBytes {
		t.Errorf("%d bytes of memory for what waits", n)
	}
	// What found no room went ahead of what waits. That is late by then, and dropped where the gap was too long to keep.
	c.engine.gather.release(c.now, c.out)
	if n := len(c.ears[0].take()); n < 5000-gatherBytes/1000 {
		t.Errorf("%d packets came of 5000", n)
	}
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
