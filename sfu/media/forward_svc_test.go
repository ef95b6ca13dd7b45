package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/negotiate"
	"weir/sfu/session"
	"weir/sfu/sfutest/scalable"
)

// TestScalableByDescriptor forwards AV1 with all layers in one stream: what the payload holds is nobody's business, the
// dependency descriptor says everything, and leaves with the subscription's frame numbers.
func TestScalableByDescriptor(t *testing.T) {
	const feedback = negotiate.NACK | negotiate.PLI
	in := negotiate.Format{Codec: sfu.AV1, PT: 45, RTX: 46, Feedback: feedback}
	out := negotiate.Format{Codec: sfu.AV1, PT: 35, RTX: 36, Feedback: feedback}
	r := newRig(t)
	alice, a := r.join("PA_a")
	bob, b := r.join("PA_b")
	pub := alice.AddPublication(session.PublicationView{ID: "TR_s", Kind: sfu.Video, Source: sfu.Camera})
	alice.ApplyReceives([]negotiate.Receive{{
		Mid: "s", Kind: sfu.Video, Publication: "TR_s", Formats: []negotiate.Format{in}, Extensions: extsIn,
		Streams: []negotiate.Stream{{SSRC: 1, RTX: 2}},
	}})
	send := sendVideo(300)
	send.Formats = []negotiate.Format{out}
	sub := bob.Subscribe(pub, send, sfu.Layer{Spatial: 1, Temporal: 2}, false)

	enc := scalable.New(3, 3, true, 65530)
	seq, ts := uint16(65500), uint32(1<<32-9000)
	picture := func(key bool) {
		r.now += 33 * ms
		var batch []rtp.Packet
		for _, f := range enc.Next(key) {
			p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: f.Last, PayloadType: 45, SequenceNumber: seq, Timestamp: ts, SSRC: 1}, Payload: []byte{0x10, byte(f.Layer.Spatial), byte(f.Layer.Temporal), byte(f.Number)}}
			dd := enc.Descriptor(f)
			if len(dd) > 16 { // RFC 8285 section 4.3
				p.Header.Extension, p.Header.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
			}
			set(&p, 7, dd...)
			set(&p, 1, 's')
			batch = append(batch, p)
			seq++
		}
		ts += 3000
		a.put(batch...)
		r.tick(0)
	}
	read := func(ps []rtp.Packet, top byte) {
		t.Helper()
		var reader codec.Reader
		gapless(t, ps)
		for i, p := range ps {
			if p.Payload[1] > top {
				t.Errorf("packet %d of spatial layer %d", i, p.Payload[1])
			}
			raw, _ := p.Marshal()
			var q sfu.Packet
			var d codec.Description
			if err := codec.Parse(&q, raw); err != nil {
				t.Fatal(err)
			}
			q.Seq = 1<<16 + sfu.ExtSeq(i)
			if err := reader.Describe(sfu.AV1, &q, p.GetExtension(14), &d); err != nil || d.Dependency.Structure == nil {
				t.Fatalf("packet %d: descriptor %x: %v", i, p.GetExtension(14), err)
			}
			if byte(d.Layer.Spatial) != p.Payload[1] || byte(d.Layer.Temporal) != p.Payload[2] {
				t.Errorf("packet %d: described as %v, is %v", i, d.Layer, p.Payload)
			}
			if p.Marker != (p.Payload[1] == top) {
				t.Errorf("packet %d of layer %d: marker %v", i, p.Payload[1], p.Marker)
			}
		}
	}
	picture(true)
	for range 20 {
		picture(false)
	}
	got := b.take()
	if len(got) < 21 {
		t.Fatalf("%d packets", len(got))
	}
	if cur := sub.Current(); cur.Spatial != 1 {
		t.Errorf("current %v", cur)
	}
	read(got[2:2], 1)
	read(got, 1)
	lost := got[7]
	b.report(&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 300, Nacks: []rtcp.NackPair{{PacketID: lost.SequenceNumber}}})
	again := b.take()
	if len(again) != 1 || again[0].PayloadType != 36 || !bytes.Equal(again[0].Payload[2:], lost.Payload) || !bytes.Equal(again[0].GetExtension(14)[:3], lost.GetExtension(14)[:3]) {
		t.Errorf("again %v of %v", again, lost)
	}
	takeRTCP[*rtcp.PictureLossIndication](a)
	r.now += 2000 * ms
	sub.SetTarget(sfu.TopLayer, false)
	picture(false)
	if n := len(takeRTCP[*rtcp.PictureLossIndication](a)); n != 1 {
		t.Errorf("%d keyframe requests to go up", n)
	}
	b.take()
	picture(true)
	picture(false)
	read(b.take(), 2)
	if f := pub.Flowing(); f != 7 {
		t.Errorf("flowing %b", f)
	}
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
