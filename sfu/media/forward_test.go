package media

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

func TestAudioIsForwarded(t *testing.T) {
	for _, first := range []uint16{0, 1, 32767, 65530} {
		r := newRig(t)
		alice, a := r.join("PA_a")
		bob, b := r.join("PA_b")
		pub := publishAudio(alice, "TR_a", 1)
		bob.Subscribe(pub, sendAudio(77), sfu.TopLayer, false)
		for i := range uint16(20) {
			r.now += 20 * ms
			a.put(voice(1, first+i, uint8(i)))
		}
		got := b.take()
		if len(got) != 20 {
			t.Fatalf("%d packets", len(got))
		}
		gapless(t, got)
		for i, p := range got {
			if p.SSRC != 77 || p.PayloadType != 109 || p.Timestamp-got[0].Timestamp != uint32(i)*960 || !bytes.Equal(p.Payload[:1], []byte{0x78}) {
				t.Errorf("packet %d: %v", i, p)
			}
			if l := p.GetExtension(12); len(l) != 1 || l[0] != byte(i) {
				t.Errorf("packet %d: level %v", i, l)
			}
			if s := p.GetExtension(10); len(s) != 2 || s[1] != byte(i) {
				t.Errorf("packet %d: transport-wide number %v", i, s)
			}
			if len(p.GetExtension(11)) != 3 || string(p.GetExtension(9)) != "a" || p.GetExtension(5) != nil {
				t.Errorf("packet %d: extensions %v", i, p.Extensions)
			}
		}
		var o session.Observed
		alice.Observe(r.now, &o)
		if len(o.Audio) != 1 || len(o.Audio[0].Levels) != 20 || !o.Participants[0].MediaSeen {
			t.Errorf("observed %+v", o)
		}
		if len(r.events) != 1 || r.events[0] != (session.StreamSeen{Publication: "TR_a", Codec: sfu.Opus}) {
			t.Errorf("events %v", r.events)
		}
	}
}

func TestReceiverKnowsTheSSRC(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	bob, b := r.join("PA_b")
	bob.Subscribe(publishAudio(alice, "TR_a", 1), sendAudio(77), sfu.TopLayer, false)
	a.put(voice(1, 1, 0))
	b.report(&rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{{SSRC: 77, LastSequenceNumber: 1}}})
	a.put(voice(1, 2, 0))
	if got := b.take(); len(got) != 2 || got[0].GetExtension(9) == nil || got[1].GetExtension(9) != nil {
		t.Errorf("the mid is sent until the first report: %v", got)
	}
}

// simulcast is a camera with three layers and one subscriber.
type simulcast struct {
	*rig
	pub    *Publication
	sub    *Subscription
	alice  *Participant
	a, b   *end
	layers [3]*encoder
}

func newSimulcast(t testing.TB, target sfu.Layer) *simulcast {
	s := &simulcast{rig: newRig(t)}
	s.alice, s.a = s.join("PA_a")
	bob, b := s.join("PA_b")
	s.b = b
	s.pub = publishSimulcast(s.alice, "TR_v")
	for i, rid := range []string{"q", "h", "f"} {
		s.layers[i] = &encoder{rid: rid, ssrc: uint32(10 + i), seq: uint16(65000 * (i + 1)), ts: uint32(1e6 * (i + 1)), picture: uint16(32760 + 5*i), tid: true}
	}
	s.sub = bob.Subscribe(s.pub, sendVideo(200), target, false)
	return s
}

// frames sends one frame of each of the given layers, 33 ms later, and answers keyframe requests in the next one.
func (s *simulcast) frames(layers ...int) {
	s.now += 33 * ms
	keys := map[uint32]bool{}
	for _, p := range takeRTCP[*rtcp.PictureLossIndication](s.a) {
		keys[p.MediaSSRC] = true
	}
	var batch []rtp.Packet
	for _, i := range layers {
		l := s.layers[i]
		batch = append(batch, l.frame(l.frames == 0 || keys[l.ssrc], i+1)...)
	}
	s.a.put(batch...)
	s.tick(0)
}

func TestSimulcastStartsAtTheTarget(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 1, Temporal: 7})
	for range 10 {
		s.frames(0, 1, 2)
	}
	got := s.b.take()
	gapless(t, got)
	if len(got) != 21 {
		t.Errorf("%d packets of ten frames of two packets and one of the layer below", len(got))
	}
	for _, p := range got[1:] { // the first keyframe of any layer is better than nothing
		if p.Payload[7] != 'h' {
			t.Fatalf("packet of layer %c", p.Payload[7])
		}
	}
	if len(s.events) != 3 {
		t.Errorf("events %v", s.events)
	}
}

func TestSimulcastSwitches(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 0, Temporal: 7})
	for range 10 {
		s.frames(0, 1, 2)
	}
	s.sub.SetTarget(sfu.Layer{Spatial: 2, Temporal: 7}, false)
	if cur := s.sub.Current(); cur.Spatial != 0 {
		t.Fatalf("current %v before a keyframe", cur)
	}
	s.tick(0)
	if want := s.a.rtcp; len(want) == 0 {
		t.Fatal("no keyframe was asked for")
	}
	for range 10 {
		s.frames(0, 1, 2)
	}
	if cur := s.sub.Current(); cur.Spatial != 2 {
		t.Fatalf("current %v after the keyframe", cur)
	}
	s.sub.SetTarget(sfu.Layer{Spatial: 1, Temporal: 7}, false)
	for range 60 { // the throttle lets a second pass
		s.frames(0, 1, 2)
		s.tick(0)
	}
	if cur := s.sub.Current(); cur.Spatial != 1 {
		t.Fatalf("current %v after the way down", cur)
	}
	got := s.b.take()
	gapless(t, got)
	pictures := got[:0:0]
	for i, p := range got {
		if i == 0 || p.Timestamp != got[i-1].Timestamp {
			pictures = append(pictures, p)
		}
	}
	for i := 1; i < len(pictures); i++ {
		d := pictures[i].Timestamp - pictures[i-1].Timestamp
		if pictureOf(&pictures[i]) != (pictureOf(&pictures[i-1])+1)&0x7fff {
			t.Errorf("picture %d after %d", pictureOf(&pictures[i]), pictureOf(&pictures[i-1]))
		}
		if d < 1 || d > 12000 { // 1: the old layer's frame of the same instant was sent already
			t.Errorf("timestamp moves by %d", d)
		}
	}
}

func TestStoppedLayerFallsBack(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	for range 5 {
		s.frames(0, 1, 2)
	}
	for range 40 { // the publisher's estimate fell: the top layer stops
		s.frames(0, 1)
	}
	if cur := s.sub.Current(); cur.Spatial != 1 {
		t.Fatalf("current %v while the top layer is off", cur)
	}
	for range 60 {
		s.frames(0, 1, 2)
	}
	if cur := s.sub.Current(); cur.Spatial != 2 {
		t.Fatalf("current %v after the top layer came back", cur)
	}
	gapless(t, s.b.take())
}

func TestGoodbyeStopsALayerAtOnce(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	for range 5 {
		s.frames(0, 1, 2)
	}
	s.a.report(&rtcp.Goodbye{Sources: []uint32{12, 13}})
	if f := s.pub.Flowing(); f != 3 {
		t.Errorf("flowing %b", f)
	}
	s.frames(0, 1, 2)
	if f := s.pub.Flowing(); f != 7 {
		t.Errorf("flowing %b after it went on", f)
	}
}

func TestKeyframeRequestsCoalesce(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	s.frames(0, 1, 2)
	s.now += 2000 * ms
	s.a.rtcp = nil
	for range 49 {
		s.b.report(&rtcp.PictureLossIndication{SenderSSRC: 5, MediaSSRC: 200})
		s.tick(20 * time.Millisecond)
	}
	if n := len(takeRTCP[*rtcp.PictureLossIndication](s.a)); n != 1 {
		t.Errorf("%d requests upstream for 49 in a second", n)
	}
	s.tick(100 * time.Millisecond)
	if n := len(takeRTCP[*rtcp.PictureLossIndication](s.a)); n != 1 {
		t.Errorf("%d requests in the next second", n)
	}
	s.b.report(&rtcp.FullIntraRequest{SenderSSRC: 5, FIR: []rtcp.FIREntry{{SSRC: 200}}})
	if s.pub.wanted.Load() != 1<<2 {
		t.Errorf("FIR set %b", s.pub.wanted.Load())
	}
}

func TestRTXRoundTrip(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 1, Temporal: 7})
	for range 5 {
		s.frames(0, 1, 2)
	}
	got := s.b.take()
	lost := got[3]
	s.now += 10 * ms
	nack := &rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 200, Nacks: []rtcp.NackPair{{PacketID: lost.SequenceNumber}}}
	s.b.report(nack)
	again := s.b.take()
	if len(again) != 1 {
		t.Fatalf("%d packets for one request", len(again))
	}
	p := again[0]
	if p.SSRC != 201 || p.PayloadType != 101 || p.Timestamp != lost.Timestamp || p.Marker != lost.Marker {
		t.Errorf("retransmission %v of %v", p, lost)
	}
	if osn := uint16(p.Payload[0])<<8 | uint16(p.Payload[1]); osn != lost.SequenceNumber || !bytes.Equal(p.Payload[2:], lost.Payload) {
		t.Errorf("retransmission repeats %d %x, want %d %x", osn, p.Payload[2:], lost.SequenceNumber, lost.Payload)
	}
	s.now += 5 * ms
	s.b.report(nack) // within half a round trip: the same request
	if n := len(s.b.take()); n != 0 {
		t.Errorf("%d packets for a repeat", n)
	}
	s.now += 100 * ms
	s.b.report(nack)
	s.now += 100 * ms
	s.b.report(nack)
	if n := len(s.b.take()); n != 1 {
		t.Errorf("%d packets for two more requests", n)
	}
}

func TestUpstreamRepair(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 1, Temporal: 7})
	for range 3 {
		s.frames(1)
	}
	l := s.layers[1]
	frame := l.frame(false, 4)
	s.now += 33 * ms
	s.a.put(frame[0], frame[1], frame[3])
	nacks := takeRTCP[*rtcp.TransportLayerNack](s.a)
	if len(nacks) != 1 || nacks[0].MediaSSRC != l.ssrc || nacks[0].Nacks[0].PacketID != frame[2].SequenceNumber {
		t.Fatalf("asked %v for %d", nacks, frame[2].SequenceNumber)
	}
	before := s.b.take()
	p := frame[2]
	osn := p.SequenceNumber
	p.Header.Extensions = nil
	p.PayloadType, p.SSRC, p.SequenceNumber = 97, 900, 5
	p.Payload = append([]byte{byte(osn >> 8), byte(osn)}, p.Payload...)
	set(&p, 1, 'v')
	set(&p, 3, 'h')
	s.now += 40 * ms
	s.a.put(p)
	got := s.b.take()
	if len(got) != 1 || got[0].SSRC != 200 || got[0].SequenceNumber != before[len(before)-1].SequenceNumber-1 {
		t.Fatalf("the repaired packet came as %v after %v", got, before[len(before)-1])
	}
	if !bytes.Equal(got[0].Payload[6:], frame[2].Payload[6:]) {
		t.Errorf("payload %x, want %x", got[0].Payload, frame[2].Payload)
	}
	p.SequenceNumber++
	s.a.put(p) // twice the same
	p.Payload, p.SequenceNumber = nil, 7
	s.a.put(p) // a probe
	if n := len(s.b.take()); n != 0 {
		t.Errorf("%d packets of a copy and a probe", n)
	}
	if d := s.engine.Drops(); d["duplicate"] != 1 || d["padding"] != 1 {
		t.Errorf("drops %v", d)
	}
}

func TestPaddingLeavesNoGap(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 1, Temporal: 7})
	for range 3 {
		s.frames(1)
		p := rtp.Packet{Header: rtp.Header{Version: 2, Padding: true, PayloadType: 96, SequenceNumber: s.layers[1].seq, Timestamp: s.layers[1].ts - 3000, SSRC: 11, PaddingSize: 200}}
		s.layers[1].seq++
		s.a.put(p)
	}
	if got := s.b.take(); len(got) != 6 {
		t.Errorf("%d packets", len(got))
	} else {
		gapless(t, got)
	}
}

func TestMute(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 1, Temporal: 7})
	for range 5 {
		s.frames(0, 1, 2)
	}
	before := s.b.take()
	s.pub.SetMuted(true)
	s.tick(20 * time.Millisecond)
	s.a.rtcp = nil
	for range 40 {
		s.frames(0, 1, 2)
	}
	if n := len(s.b.take()); n != 0 {
		t.Fatalf("%d packets while muted", n)
	}
	s.pub.SetMuted(false)
	s.tick(0)
	if plis := takeRTCP[*rtcp.PictureLossIndication](s.a); len(plis) != 1 || plis[0].MediaSSRC != 11 {
		t.Fatalf("asked for %v at unmute", plis)
	}
	s.now += 33 * ms
	s.a.put(s.layers[1].frame(false, 2)...)
	if n := len(s.b.take()); n != 0 {
		t.Fatalf("%d packets before the keyframe", n)
	}
	s.a.put(s.layers[1].frame(true, 2)...)
	after := s.b.take()
	if len(after) != 2 {
		t.Fatalf("%d packets at the keyframe", len(after))
	}
	gapless(t, append(before[len(before)-1:], after...))
	if d := after[0].Timestamp - before[len(before)-1].Timestamp; d < 41*3000 {
		t.Errorf("41 frames later the timestamp moved by %d", d)
	}
}

func TestPausedSubscription(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 1, Temporal: 7})
	for range 5 {
		s.frames(1)
	}
	before := s.b.take()
	s.sub.SetTarget(sfu.Layer{Spatial: 1, Temporal: 7}, true)
	for range 5 {
		s.frames(1)
	}
	if n := len(s.b.take()); n != 0 {
		t.Fatalf("%d packets while paused", n)
	}
	s.now += 1000 * ms
	s.sub.SetTarget(sfu.Layer{Spatial: 1, Temporal: 7}, false)
	s.tick(0)
	s.frames(1)
	after := s.b.take()
	if len(after) != 2 {
		t.Fatalf("%d packets after resuming", len(after))
	}
	gapless(t, append(before[len(before)-1:], after...))
}

func TestSenderReportsAlign(t *testing.T) {
	s := newSimulcast(t, sfu.Layer{Spatial: 1, Temporal: 7})
	for range 3 {
		s.frames(0, 1, 2)
	}
	got := s.b.take()
	offset := got[len(got)-1].Timestamp - (s.layers[1].ts - 3000)
	s.tick(400 * time.Millisecond)
	if n := len(takeRTCP[*rtcp.SenderReport](s.b)); n != 0 {
		t.Fatalf("%d sender reports before the publisher sent one", n)
	}
	const ntp = uint64(3_900_000_000)<<32 | 1<<31
	s.a.report(&rtcp.SenderReport{SSRC: 11, NTPTime: ntp, RTPTime: 5_000_000})
	s.now += 100 * ms
	s.tick(0)
	sr := takeRTCP[*rtcp.SenderReport](s.b)
	if len(sr) != 1 || sr[0].SSRC != 200 {
		t.Fatalf("sender reports %v", sr)
	}
	if want := 5_000_000 + offset + 9000; sr[0].RTPTime != want || sr[0].NTPTime-ntp != 1<<32/10 {
		t.Errorf("NTP %d ticks later is timestamp %d, want %d", sr[0].NTPTime-ntp, sr[0].RTPTime, want)
	}
	if sr[0].PacketCount != uint32(len(got)) {
		t.Errorf("%d packets reported of %d", sr[0].PacketCount, len(got))
	}
	s.now += 60 * ms
	s.b.report(&rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{{SSRC: 200, LastSenderReport: uint32(sr[0].NTPTime >> 16), Delay: 65536 / 50}}})
	if d := s.b.rtt - 40*time.Millisecond; d < -time.Millisecond || d > time.Millisecond {
		t.Errorf("round trip %v, want 40 ms", s.b.rtt)
	}
	s.tick(7 * time.Second)
	if n := len(takeRTCP[*rtcp.SenderReport](s.b)); n < 2 || n > 3 {
		t.Errorf("%d sender reports in seven seconds", n)
	}
}

func TestReportsToThePublisher(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	publishAudio(alice, "TR_a", 1)
	a.report(&rtcp.SenderReport{SSRC: 1, NTPTime: 0x12345678_9abcdef0, RTPTime: 1})
	for i := range uint16(100) {
		r.now += 20 * ms
		if i%10 != 9 {
			p := voice(1, 65500+i, 0)
			set(&p, 4, byte(i>>8), byte(i))
			a.put(p)
		}
		r.tick(0)
	}
	rrs := []*rtcp.ReceiverReport{}
	feedback := map[uint16]int64{}
	for _, p := range a.rtcp {
		switch p := p.(type) {
		case *rtcp.ReceiverReport:
			rrs = append(rrs, p)
		case *rtcp.TransportLayerCC:
			b, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			readFeedback(t, b, feedback)
		}
	}
	last := rrs[len(rrs)-1].Reports[0]
	if last.SSRC != 1 || last.FractionLost < 20 || last.FractionLost > 30 || last.LastSequenceNumber>>16 != 1 || last.LastSenderReport != 0x56789abc {
		t.Errorf("reception report %+v", last)
	}
	if len(feedback) < 80 {
		t.Errorf("feedback on %d numbers", len(feedback))
	}
	var o session.Observed
	alice.Observe(r.now, &o)
	if l := o.Participants[0].UpstreamLoss; l < 0.08 || l > 0.12 {
		t.Errorf("upstream loss %v", l)
	}
}

func TestRepeatWithoutRTXIsBitIdentical(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	bob, b := r.join("PA_b")
	bob.Subscribe(publishAudio(alice, "TR_a", 1), sendAudio(77), sfu.TopLayer, false)
	for i := range uint16(10) {
		r.now += 20 * ms
		a.put(voice(1, 65530+i, 40))
	}
	sent := b.take()
	r.now += 50 * ms
	b.report(&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 77, Nacks: []rtcp.NackPair{{PacketID: sent[4].SequenceNumber}}})
	again := b.take() // the audit fails the test if one byte differs under the nonce
	if len(again) != 1 {
		t.Fatalf("%d packets", len(again))
	}
	x, _ := sent[4].Marshal()
	y, _ := again[0].Marshal()
	if !bytes.Equal(x, y) {
		t.Errorf("sent %x, again %x", x, y)
	}
}

func TestSSRCUsedAgainContinues(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	bob, b := r.join("PA_b")
	pub := publishAudio(alice, "TR_a", 1)
	var last *rtp.Packet
	for round := range uint16(3) {
		bob.Subscribe(pub, sendAudio(77), sfu.TopLayer, false)
		for i := range uint16(5) {
			r.now += 20 * ms
			a.put(voice(1, round*1000+i, 0))
		}
		got := b.take()
		if len(got) != 5 || last != nil && got[0].SequenceNumber != last.SequenceNumber+1 {
			t.Fatalf("round %d: %v after %v", round, got, last)
		}
		last = &got[4]
		bob.CloseSubscription("TR_a")
		a.put(voice(1, round*1000+5, 0))
	}
	r.tick(0)
	if n := len(takeRTCP[*rtcp.Goodbye](b)); n == 0 {
		t.Error("no goodbye")
	}
}

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
