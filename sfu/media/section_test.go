package media

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
	"weir/sfu/negotiate"
)

func TestHostileInput(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	s.frames(0, 1, 2)
	s.b.take()
	mallory, m := s.join("PA_m")
	publishAudio(mallory, "TR_m", 500)
	m.put(voice(11, 1, 0)) // an SSRC of Alice's: here it is nobody's, or at most his own audio
	m.put(s.layers[2].frame(true, 1)...)
	if n := len(s.b.take()); n != 0 {
		t.Errorf("%d packets from a stranger", n)
	}
	m.report(
		&rtcp.SenderReport{SSRC: 12, NTPTime: 1, RTPTime: 1},
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 200, TotalLost: 99}}},
		&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 200, Nacks: []rtcp.NackPair{{PacketID: 1}}},
		&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 200},
		&rtcp.Goodbye{Sources: []uint32{12}},
	)
	if n := s.engine.Drops()["foreign_rtcp"]; n != 5 {
		t.Errorf("%d foreign reports counted, want 5", n)
	}
	if s.pub.Flowing() != 7 || len(m.take()) != 0 {
		t.Error("a stranger's report had an effect")
	}
	for _, b := range [][]byte{nil, {0x80}, {0x80, 205, 0xff, 0xff}, {0x81, 206, 0, 0}, {0x8f, 205, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}} {
		m.leg.HandleRTCP(s.now, b)
	}
	for _, b := range [][]byte{nil, {0x80}, make([]byte, 12), {0xbf, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		m.leg.HandleRTP(s.now, b, 1<<16)
	}
	for ssrc := range uint32(2000) {
		p := s.layers[0].frame(true, 1)[0]
		p.SSRC = 1000 + ssrc
		s.a.put(p)
	}
	if n := len(s.a.leg.origins); n > maxSSRCs {
		t.Errorf("%d SSRCs remembered", n)
	}
}

func TestClosedPublicationForgetsItsMedia(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	s.frames(0, 1, 2)
	s.b.take()
	s.alice.ClosePublication("TR_v")
	s.frames(0, 1, 2)
	if n := len(s.b.take()); n != 0 {
		t.Errorf("%d packets of a closed publication", n)
	}
	// The section is used for another publication; a browser keeps its SSRCs and says their names no more.
	pub := publishSimulcast(s.alice, "TR_w")
	s.sub.close()
	carol, c := s.join("PA_c")
	carol.Subscribe(pub, sendVideo(300), sfu.Layer{Spatial: 2, Temporal: 7}, false)
	for range 3 {
		s.now += 33 * ms
		ps := s.layers[2].frame(true, 2)
		for i := range ps {
			ps[i].Header.Extensions, ps[i].Header.Extension = nil, false
		}
		s.a.put(ps...)
	}
	if n := len(c.take()); n != 6 {
		t.Errorf("%d packets of the new publication", n)
	}
}

// TestClosedSubscriptionKeepsLittle: its numbers stay used, its memory for repairs does not.
func TestClosedSubscriptionKeepsLittle(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	bob, b := r.join("PA_b")
	b.send.audit = nil
	const rounds, most = 100, 2 << 10
	var before, after runtime.MemStats
	for i := range 2 * rounds {
		if i == rounds {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		id := sfu.PublicationID(fmt.Sprint("TR_", i))
		bob.Subscribe(publishSimulcast(alice, id), sendVideo(uint32(1000+2*i)), sfu.TopLayer, false)
		e := encoder{rid: "q", ssrc: uint32(100000 + i)}
		r.now += 33 * ms
		a.put(e.frame(true, 2)...)
		got := b.take()
		if len(got) == 0 {
			t.Fatal("nothing came")
		}
		b.report(&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: uint32(1000 + 2*i), Nacks: []rtcp.NackPair{{PacketID: got[0].SequenceNumber}}})
		bob.CloseSubscription(id)
		alice.ClosePublication(id)
		r.tick(0)
		a.rtcp, b.rtcp, b.rtp = nil, nil, nil
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / rounds; each > most {
		t.Errorf("%d bytes stay of each closed subscription", each)
	}
}

// TestLayerIsNotTakenInTurns: SSRCs that claim one layer in turn, or in a format that nobody agreed on, do not replace each
// other with every packet.
func TestLayerIsNotTakenInTurns(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	pub := publishSimulcast(alice, "TR_v")
	x, y := encoder{rid: "q", ssrc: 10}, encoder{rid: "q", ssrc: 11}
	holder := func() uint32 { return pub.streams[0].ssrc }
	changes, was := 0, uint32(0)
	for range 100 { // a second
		r.now += 10 * ms
		for _, e := range []*encoder{&x, &y} {
			a.put(e.frame(true, 1)...)
			if now := holder(); now != was {
				changes, was = changes+1, now
			}
		}
	}
	if changes > 11 {
		t.Errorf("the layer changed hands %d times in a second", changes)
	}
	r.now += 200 * ms
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 55, SSRC: 999}, Payload: []byte{1, 2, 3}}
	set(&p, 1, 'v')
	set(&p, 2, 'q')
	a.put(p)
	if holder() == 999 {
		t.Error("a packet of an unknown format took the layer")
	}
	z := encoder{rid: "q", ssrc: 12}
	a.put(z.frame(true, 1)...)
	if holder() != 12 {
		t.Error("a new encoder does not get its layer")
	}
}

func TestSubscriberWithoutTheCodec(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	carol, c := s.join("PA_c")
	send := sendVideo(300)
	send.Formats = []negotiate.Format{{Codec: sfu.H264, PT: 102}}
	carol.Subscribe(s.pub, send, sfu.TopLayer, false)
	s.frames(0, 1, 2)
	if n := len(c.take()); n != 0 || s.engine.Drops()["no_format"] != 1 {
		t.Errorf("%d packets, drops %v", n, s.engine.Drops())
	}
}
