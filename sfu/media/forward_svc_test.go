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
