package media

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
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
