package media

import (
	"testing"

	"github.com/pion/rtcp"

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
