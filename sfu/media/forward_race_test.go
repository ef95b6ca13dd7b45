package media

import (
	"sync"
	"testing"

	"github.com/pion/rtcp"

	"weir/sfu"
	"weir/sfu/session"
)

// TestForwardingFromManyGoroutines has every party do its worst at the same time, for the race detector: the publisher's
// socket, the subscriber's socket, the ticker and the session's loop.
func TestForwardingFromManyGoroutines(t *testing.T) {
	l := newLoad(t, 3, 4)
	carol := l.engine.NewParticipant("PA_c", false, nil)
	out, _ := testPair(t, profileGCM128)
	out.addr.Store(address(999))
	leg := carol.Leg(session.Subscriber)
	leg.Attach(still{out})
	pub := l.leg.pubs[0]
	nack, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 5000, Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 5000},
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 5000}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sr, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 10, NTPTime: 1 << 40, RTPTime: 7}})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 300
	var wg sync.WaitGroup
	var clock sync.Mutex // newLoad's time is not made for sharing
	now := func() int64 { clock.Lock(); defer clock.Unlock(); return l.now }
	wg.Go(func() {
		for range rounds {
			clock.Lock()
			l.frame()
			clock.Unlock()
			l.leg.HandleRTCP(now(), sr)
		}
	})
	wg.Go(func() {
		out := newBurst(new(discard), new(sentCounters))
		for range rounds {
			leg.HandleRTCP(now(), append([]byte(nil), nack...))
			leg.Flush(now(), out)
			out.Flush()
		}
	})
	wg.Go(func() {
		out := newBurst(new(discard), new(sentCounters))
		for range rounds {
			l.engine.pass(now(), out)
		}
	})
	wg.Go(func() {
		var o session.Observed
		for i := range rounds {
			s := carol.Subscribe(pub, sendVideo(5000), sfu.TopLayer, false)
			s.SetTarget(sfu.Layer{Spatial: int8(i % 3)}, i%7 == 0)
			pub.SetMuted(i%5 == 0)
			carol.Observe(now(), &o)
			if i%3 == 0 {
				carol.CloseSubscription(pub.ID())
			}
		}
	})
	wg.Wait()
	carol.Close()
}

// TestEngineTicks runs the real ticker: a keyframe request leaves without any packet, and Close ends it.
func TestEngineTicks(t *testing.T) {
	sent := make(chan []Message, 16)
	e := NewEngine(func() int64 { return 5e9 }, newBurst(toChannel(sent), new(sentCounters)), DefaultAudioWait)
	alice := e.NewParticipant("PA_a", false, func(session.Event) {})
	out, _ := testPair(t, profileGCM128)
	out.addr.Store(address(1))
	alice.Leg(session.Publisher).Attach(still{out})
	pub := publishSimulcast(alice, "TR_v")
	frame := (&encoder{rid: "q", ssrc: 10}).frame(true, 1)[0]
	b, err := frame.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	alice.up.HandleRTP(5e9, b, 1<<16)
	pub.want(1)
	<-sent
	alice.Close()
	e.Close()
}

type toChannel chan []Message

func (c toChannel) WriteBatch(ms []Message) error {
	select {
	case c <- append([]Message(nil), ms...):
	default:
	}
	return nil
}

// TestGatherFromManyGoroutines: two singers' sockets, the gather's goroutine, and a listener that comes and goes.
func TestGatherFromManyGoroutines(t *testing.T) {
	c := newChoir(t, 10)
	for _, e := range c.ears {
		e.send.audit = nil
	}
	const rounds = 300
	var wg sync.WaitGroup
	for j, e := range c.singers {
		e.leg.participant.post = nil // the rig's list of events is not for sharing
		wg.Go(func() {
			out := newBurst(new(discard), new(sentCounters))
			for i := range uint16(rounds) {
				p := voice(uint32(1+j), i, 30)
				b, err := p.Marshal()
				if err != nil {
					t.Error(err)
					return
				}
				now := int64(1e9) + int64(i)*ms
				e.leg.HandleRTP(now, b, 1<<16+sfu.ExtSeq(i))
				e.leg.Flush(now, out)
				out.Flush()
			}
		})
	}
	wg.Go(func() {
		out := newBurst(new(discard), new(sentCounters))
		for i := range int64(rounds) {
			c.engine.gather.release(1e9+i*ms, out)
		}
	})
	wg.Go(func() {
		ear, pub := c.ears[0].leg.participant, c.singers[0].leg.pubs[0]
		for range rounds {
			ear.CloseSubscription(pub.ID())
			ear.Subscribe(pub, sendAudio(100), sfu.TopLayer, false)
		}
	})
	wg.Wait()
}
