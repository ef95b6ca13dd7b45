package media

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// TestRepairIsWhatWasSent: who sends something else under an old number does not have it sealed under a nonce that was used;
// the rig's audit would fail.
func TestRepairIsWhatWasSent(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	bob, b := r.join("PA_b")
	bob.Subscribe(publishAudio(alice, "TR_a", 1), sendAudio(77), sfu.TopLayer, false)
	for i := range uint16(40) {
		r.now += 20 * ms
		a.put(voice(1, 1000+i, 40))
	}
	sent := b.take()
	forged := voice(1, 1002, 40)
	forged.Payload = []byte("something else under the same number")
	a.put(forged)
	ask := func(i int) []rtp.Packet {
		b.report(&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 77, Nacks: []rtcp.NackPair{{PacketID: sent[i].SequenceNumber}}})
		return b.take()
	}
	for _, p := range ask(2) {
		t.Errorf("packet %d is sent again as %q", p.SequenceNumber, p.Payload)
	}
	if got := ask(35); len(got) != 1 || string(got[0].Payload) != string(sent[35].Payload) {
		t.Errorf("a packet is sent again as %v", got)
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

// TestReplayLeavesBeforeWhatFollows: what a newcomer is begun with is on the wire before a reader forwards the next frame.
func TestReplayLeavesBeforeWhatFollows(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	pub := publishSimulcast(alice, "TR_v")
	e := &encoder{rid: "q", ssrc: 10}
	for i := range 2 {
		r.now += 33 * ms
		a.put(e.frame(i == 0, 3)...)
	}
	bob, b := r.join("PA_b")
	bob.Subscribe(pub, sendVideo(200), sfu.TopLayer, false)
	ticker := newBurst(r, new(sentCounters))
	a.leg.tick(r.now, ticker) // the ticker goes on with other legs
	r.now += 33 * ms
	a.put(e.frame(false, 3)...)
	ticker.Flush()
	got := b.take()
	if len(got) != 9 {
		t.Errorf("%d packets of 9", len(got))
	}
	gapless(t, got)
}

// vp9Frame is one packet of a spatial layer of a VP9 picture (RFC 9628 section 4.2).
func vp9Frame(ssrc uint32, seq, picture uint16, spatial uint8, last, key bool) rtp.Packet {
	first := byte(0x80 | 0x20 | 0x08 | 0x04) // picture id, layer indices, start and end of the frame
	if !key {
		first |= 0x40
	}
	indices := spatial << 1
	if spatial > 0 {
		indices |= 1 // refers to the layer below
	}
	return rtp.Packet{Header: rtp.Header{Version: 2, Marker: last, PayloadType: 98, SequenceNumber: seq, Timestamp: uint32(picture) * 3000, SSRC: ssrc},
		Payload: []byte{first, 0x80 | byte(picture>>8), byte(picture), indices, 0, 1, 2, 3}}
}

var vp9Both = negotiate.Format{Codec: sfu.VP9, PT: 98, RTX: 99, Feedback: negotiate.NACK | negotiate.PLI | negotiate.TransportCC}

// TestKeyframeOfAllLayers: a keyframe of a stream that holds all spatial layers settles what waits for any of them, and its
// encoder is asked once, whatever layers are wanted.
func TestKeyframeOfAllLayers(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	pub := alice.AddPublication(session.PublicationView{ID: "TR_v", Kind: sfu.Video, Source: sfu.Camera})
	alice.ApplyReceives([]negotiate.Receive{{
		Mid: "v", Kind: sfu.Video, Publication: "TR_v", Formats: []negotiate.Format{vp9Both}, Extensions: extsIn, Streams: []negotiate.Stream{{SSRC: 10}},
	}})
	bob, b := r.join("PA_b")
	send := sendVideo(200)
	send.Formats = []negotiate.Format{vp9Both}
	bob.Subscribe(pub, send, sfu.Layer{Spatial: 2, Temporal: 2}, false)
	seq := uint16(1)
	play := func(picture uint16, key bool) {
		var ps []rtp.Packet
		for sid := range uint8(3) {
			ps = append(ps, vp9Frame(10, seq, picture, sid, sid == 2, key))
			seq++
		}
		a.put(ps...)
	}
	requests, answer := 0, int64(0)
	for i := range uint16(120) { // four seconds
		r.now += 33 * ms
		r.tick(0)
		if n := len(takeRTCP[*rtcp.PictureLossIndication](a)); n > 0 {
			if i >= 40 { // before, for the start
				requests += n
			}
			answer = r.now + 200*ms
		}
		if i == 40 || i == 43 { // a receiver says twice that it lost something
			b.report(&rtcp.PictureLossIndication{SenderSSRC: 5, MediaSSRC: 200})
		}
		if i == 80 {
			pub.want(0b111)
		}
		key := i == 0 || answer != 0 && r.now >= answer
		if key {
			answer = 0
		}
		play(i, key)
	}
	if requests != 2 {
		t.Errorf("asked %d times for what two keyframes settle", requests)
	}
}

// TestPicturesFollowTheCodec: how pictures that are left out are closed over goes by the codec of now, not of the first.
func TestPicturesFollowTheCodec(t *testing.T) {
	r := newRig(t)
	alice, a := r.join("PA_a")
	pub := alice.AddPublication(session.PublicationView{ID: "TR_v", Kind: sfu.Video, Source: sfu.Camera})
	alice.ApplyReceives([]negotiate.Receive{
		{Mid: "w", Kind: sfu.Video, Publication: "TR_v", Formats: []negotiate.Format{vp9Both}, Extensions: extsIn, Streams: []negotiate.Stream{{SSRC: 20}}},
		{Mid: "v", Kind: sfu.Video, Publication: "TR_v", Formats: []negotiate.Format{vp8In}, Extensions: extsIn, RIDs: []string{"q"}},
	})
	bob, b := r.join("PA_b")
	send := sendVideo(200)
	send.Formats = []negotiate.Format{vp9Both, vp8Out}
	bob.Subscribe(pub, send, sfu.Layer{}, false)
	for i := range uint16(5) {
		r.now += 33 * ms
		a.put(vp9Frame(20, i, i, 0, true, i == 0))
	}
	r.now += 3000 * ms // the primary codec stops
	b.take()
	e := encoder{rid: "q", ssrc: 10, tid: true}
	for i := range 8 {
		r.now += 33 * ms
		a.put(e.frame(i == 0, 1)...)
	}
	got := b.take()
	if len(got) != 4 {
		t.Fatalf("%d frames of the base layer, want 4", len(got))
	}
	for i, p := range got[1:] {
		if pictureOf(&p) != pictureOf(&got[i])+1 {
			t.Errorf("picture %d after %d", pictureOf(&p), pictureOf(&got[i]))
		}
	}
}
