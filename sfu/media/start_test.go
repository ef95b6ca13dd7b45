package media

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
	"weir/sfu/sfutest/scalable"
)

// newcomer is a second subscriber of a simulcast camera.
type newcomer struct {
	*simulcast
	carol *Participant
	c     *end
}

// newNewcomer lets the camera run until its keyframes are spent and everybody is on the wanted layer.
func newNewcomer(t testing.TB, frames int) *newcomer {
	n := &newcomer{simulcast: newSimulcast(t, sfu.TopLayer)}
	for range frames {
		n.frames(0, 1, 2)
	}
	n.carol, n.c = n.join("PA_c")
	return n
}

func (n *newcomer) subscribe() *Subscription {
	sub := n.carol.Subscribe(n.pub, sendVideo(300), sfu.TopLayer, false)
	n.tick(0)
	return sub
}

// decodes fails unless the packets are what a decoder needs: from a keyframe on, without gaps, one timestamp for each
// picture, and time does not go back.
func decodes(t testing.TB, ps []rtp.Packet) {
	t.Helper()
	gapless(t, ps)
	if len(ps) == 0 || ps[0].Payload[0]&0x10 == 0 || ps[0].Payload[6]&1 != 0 {
		t.Fatalf("does not begin with a keyframe: %d packets", len(ps))
	}
	for i := 1; i < len(ps); i++ {
		d := int32(ps[i].Timestamp - ps[i-1].Timestamp)
		if same := pictureOf(&ps[i]) == pictureOf(&ps[i-1]); d < 0 || same != (d == 0) {
			t.Fatalf("picture %d with timestamp %d after picture %d with %d", pictureOf(&ps[i]), ps[i].Timestamp, pictureOf(&ps[i-1]), ps[i-1].Timestamp)
		}
	}
}

func TestNewcomerBeginsAtOnce(t *testing.T) {
	n := newNewcomer(t, 10)
	newest := n.layers[2].ts - 3000
	n.subscribe()
	first := n.c.take()
	decodes(t, first)
	if len(first) != 30 || first[0].Payload[7] != 'f' {
		t.Fatalf("%d packets of layer %c for ten frames of three", len(first), first[0].Payload[7])
	}
	if last := first[len(first)-1].Timestamp; last != newest || last-first[0].Timestamp > 9*3000>>squeezeBits {
		t.Errorf("a third of a second is shown as %d ticks, up to %d of %d", last-first[0].Timestamp, last, newest)
	}
	if len(takeRTCP[*rtcp.PictureLossIndication](n.a)) != 0 {
		t.Error("a keyframe was asked for")
	}
	n.frames(0, 1, 2)
	decodes(t, append(first, n.c.take()...))
}

func TestNewcomerWhoseTransportIsLate(t *testing.T) {
	n := newNewcomer(t, 3)
	n.c.send.ready.Store(false)
	n.subscribe()
	n.frames(0, 1, 2)
	if len(n.c.take()) != 0 {
		t.Fatal("sent before there were keys")
	}
	n.c.send.ready.Store(true)
	n.c.leg.ready()
	n.tick(0)
	decodes(t, n.c.take())
}

func TestReplayIsRepairedAsItWasSent(t *testing.T) {
	n := newNewcomer(t, 10)
	n.subscribe()
	sent := n.c.take()
	n.now += 10 * ms
	n.c.report(&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 300, Nacks: []rtcp.NackPair{{PacketID: sent[4].SequenceNumber}, {PacketID: sent[0].SequenceNumber}}})
	again := n.c.take()
	if len(again) != 2 || again[0].Timestamp != sent[4].Timestamp || again[1].Timestamp != sent[0].Timestamp || again[0].Marker != sent[4].Marker {
		t.Errorf("again %v", again)
	}
}

// TestReplayLeavesBeforeWhatFollows: what a newcomer is begun with is on the wire before a reader forwards the next frame.
func TestReplayLeavesBeforeWhatFollows(t *testing.T) {
	n := newNewcomer(t, 2)
	n.carol.Subscribe(n.pub, sendVideo(300), sfu.TopLayer, false)
	ticker := newBurst(n, new(sentCounters))
	n.a.leg.tick(n.now, ticker) // and the ticker goes on with other legs
	n.now += 33 * ms
	n.a.put(n.layers[2].frame(false, 3)...)
	ticker.Flush()
	got := n.c.take()
	decodes(t, got)
	if len(got) != 9 {
		t.Errorf("%d packets of three frames of three", len(got))
	}
}

func TestNewcomerIsNotShownWhatDoesNotDecode(t *testing.T) {
	for name, spoil := range map[string]func(n *newcomer){
		"a packet is missing": func(n *newcomer) {
			for _, l := range n.layers {
				ps := l.frame(false, 3)
				n.a.put(ps[0], ps[2])
			}
		},
		"the keyframe is long ago": func(n *newcomer) {
			for range 35 {
				n.frames(0, 1, 2)
			}
		},
		"much came since": func(n *newcomer) {
			for _, l := range n.layers {
				ps := l.frame(false, 60)
				for i := range ps {
					ps[i].Payload = append(ps[i].Payload, make([]byte, 1100)...)
				}
				n.a.put(ps...)
			}
		},
		"it was muted since": func(n *newcomer) {
			n.pub.SetMuted(true)
			n.frames(0, 1, 2)
			n.pub.SetMuted(false)
			n.frames(0, 1, 2)
		},
		"it is muted": func(n *newcomer) { n.pub.SetMuted(true) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNewcomer(t, 4)
			spoil(n)
			n.now += 1500 * ms // of which nothing is left, and the throttle is open
			takeRTCP[*rtcp.PictureLossIndication](n.a)
			if name == "a packet is missing" || name == "much came since" {
				n.now -= 1200 * ms
			}
			n.subscribe()
			if got := n.c.take(); len(got) != 0 {
				t.Fatalf("%d packets", len(got))
			}
			n.pub.SetMuted(false)
			n.now += 1000 * ms
			n.tick(0)
			asked := map[uint32]bool{}
			for _, p := range takeRTCP[*rtcp.PictureLossIndication](n.a) {
				asked[p.MediaSSRC] = true
			}
			if !asked[12] || name != "it is muted" && !asked[10] {
				t.Errorf("asked for %v: want the target, and the lowest for those who come next", asked)
			}
			var batch []rtp.Packet
			for _, l := range n.layers {
				batch = append(batch, l.frame(true, 2)...)
			}
			n.a.put(batch...)
			decodes(t, n.c.take())
		})
	}
}

func TestReplaysAreRationed(t *testing.T) {
	var r replays
	now := int64(7e9)
	for i, step := range []struct {
		after time.Duration
		bytes int
		want  bool
	}{
		{0, maxReplay, true}, {0, maxReplay, true}, {0, maxReplay, true}, {0, maxReplay, true}, {0, 1000, false},
		{100 * time.Millisecond, maxReplay, false}, {0, 10_000, true}, {0, 10_000, false},
		{time.Second, maxReplay, true}, {0, maxReplay, true}, {0, maxReplay, false},
		{time.Hour, maxReplay, true},
	} {
		now += int64(step.after)
		if got := r.take(now, step.bytes); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// A pause shorter than the age of the keyframe: what was sent before the pause is not sent again.
func TestShortPauseIsNotReplayed(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	for range 3 {
		s.frames(0, 1, 2)
	}
	s.sub.SetTarget(sfu.TopLayer, true)
	for range 3 {
		s.frames(0, 1, 2)
	}
	s.b.take()
	s.sub.SetTarget(sfu.TopLayer, false)
	s.tick(0)
	if got := s.b.take(); len(got) != 0 {
		t.Fatalf("%d packets were sent again", len(got))
	}
	s.now += 1000 * ms
	for range 3 {
		s.frames(0, 1, 2)
	}
	decodes(t, s.b.take())
}

// A tile that is shown again begins with a keyframe that came while it was hidden.
func TestLongPauseIsReplayed(t *testing.T) {
	s := newSimulcast(t, sfu.TopLayer)
	for range 3 {
		s.frames(0, 1, 2)
	}
	s.sub.SetTarget(sfu.TopLayer, true)
	s.frames(0, 1, 2)
	before := s.b.take()
	for i := range 3 {
		s.now += 33 * ms
		s.a.put(s.layers[2].frame(i == 0, 3)...)
	}
	s.sub.SetTarget(sfu.TopLayer, false)
	s.tick(0)
	after := s.b.take()
	if decodes(t, after); len(after) < 6 {
		t.Fatalf("%d packets", len(after))
	}
	gapless(t, append(before[len(before)-1:], after...))
	if d := int32(after[0].Timestamp - before[len(before)-1].Timestamp); d <= 0 {
		t.Errorf("time goes back by %d", -d)
	}
}

func TestChangeOfKey(t *testing.T) {
	for name, late := range map[string]int64{"on account of a newcomer": 1000 * ms, "long after": 6000 * ms} {
		t.Run(name, func(t *testing.T) {
			n := newNewcomer(t, 0)
			n.pub.encrypted = true
			seal := func(key byte, packets ...[]rtp.Packet) {
				n.now += 33 * ms
				for _, frame := range packets {
					last := &frame[len(frame)-1]
					last.Payload = append(last.Payload, 0x0c, key)
					n.a.put(frame...)
				}
				n.tick(0)
			}
			l := n.layers[2]
			seal(3, l.frame(true, 3))
			n.subscribe()
			decodes(t, n.c.take())
			n.now += late
			takeRTCP[*rtcp.PictureLossIndication](n.a)
			seal(3, l.frame(false, 3))
			if len(takeRTCP[*rtcp.PictureLossIndication](n.a)) != 0 {
				t.Error("a keyframe was asked for without reason")
			}
			seal(4, l.frame(false, 3))
			plis := takeRTCP[*rtcp.PictureLossIndication](n.a)
			if want := late < rekeyMemory; want != (len(plis) == 1) {
				t.Errorf("asked %v", plis)
			}
			if n.pub.streams[0].opening.seq != 0 {
				t.Error("what was sealed with the old key would be shown to newcomers")
			}
			seal(4, l.frame(true, 3))
			if n.pub.streams[0].opening.seq == 0 {
				t.Error("the new keyframe does not open")
			}
		})
	}
}

// TestScalableReplay begins in the middle of AV1 with all layers in one stream: the frames that follow refer to the structure
// of the keyframe that was replayed.
func TestScalableReplay(t *testing.T) {
	in := negotiate.Format{Codec: sfu.AV1, PT: 45, RTX: 46, Feedback: negotiate.NACK | negotiate.PLI}
	r := newRig(t)
	alice, a := r.join("PA_a")
	bob, b := r.join("PA_b")
	pub := alice.AddPublication(session.PublicationView{ID: "TR_s", Kind: sfu.Video, Source: sfu.Camera})
	alice.ApplyReceives([]negotiate.Receive{{
		Mid: "s", Kind: sfu.Video, Publication: "TR_s", Formats: []negotiate.Format{in}, Extensions: extsIn,
		Streams: []negotiate.Stream{{SSRC: 1, RTX: 2}},
	}})
	enc := scalable.New(3, 3, true, 65530)
	seq, ts := uint16(65500), uint32(9000)
	picture := func(key bool) {
		r.now += 33 * ms
		for _, f := range enc.Next(key) {
			p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: f.Last, PayloadType: 45, SequenceNumber: seq, Timestamp: ts, SSRC: 1}, Payload: []byte{0x10, byte(f.Layer.Spatial), byte(f.Layer.Temporal), byte(f.Number)}}
			dd := enc.Descriptor(f)
			if len(dd) > 16 { // RFC 8285 section 4.3
				p.Header.Extension, p.Header.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
			}
			set(&p, 7, dd...)
			set(&p, 1, 's')
			seq++
			a.put(p)
		}
		ts += 3000
		r.tick(0)
	}
	picture(true)
	for range 8 {
		picture(false)
	}
	send := sendVideo(300)
	send.Formats = []negotiate.Format{{Codec: sfu.AV1, PT: 35, RTX: 36, Feedback: in.Feedback}}
	sub := bob.Subscribe(pub, send, sfu.TopLayer, false)
	r.tick(0)
	got := b.take()
	if len(got) != 11 || got[0].Payload[1] != 0 {
		t.Fatalf("%d packets: want three of the key picture, and of eight others the highest layer", len(got))
	}
	for range 8 {
		picture(false)
	}
	got = append(got, b.take()...)
	gapless(t, got)
	if cur := sub.Current(); len(got) != 19 || cur.Spatial != 2 || cur.Temporal != 2 {
		t.Errorf("%d packets, current %v", len(got), cur)
	}
}

// The side that ends the handshake sends at once: its first packets wait for the keys.
func TestPacketsBeforeTheKeys(t *testing.T) {
	got := &collector{}
	tr := &Transport{endpoint: &Endpoint{begin: time.Now(), sockets: []Socket{nil}}, handler: got}
	send, in := testPair(t, profileGCM128)
	send.addr.Store(address(1))
	out := newBurst(&wire{give: func(b []byte) {
		r := &reader{bit: 1}
		take := tr.takeRTP
		if isRTCP(b) {
			take = tr.takeRTCP
		}
		if err := take(1, b, r); err != nil {
			got.refused++
		}
	}}, new(sentCounters))
	send.Lock()
	for i := range maxEarly + 10 {
		p := voice(7, uint16(i), 0)
		b, _ := p.Marshal()
		out.SendRTP(send, b[:20], nil, b[20:], 1<<16+sfu.ExtSeq(i))
	}
	send.Unlock()
	out.Flush()
	if got.rtp != 0 || got.refused != 10 {
		t.Fatalf("%d packets opened, %d refused", got.rtp, got.refused)
	}
	tr.unlock(in)
	if got.rtp != maxEarly || got.flushes != 1 || tr.early.packets != nil {
		t.Errorf("%d packets, %d flushes", got.rtp, got.flushes)
	}
	tr.unlock(in)
	if got.flushes != 1 {
		t.Error("packets came twice")
	}
}

// collector counts what a transport hands on.
type collector struct{ rtp, rtcp, flushes, refused int }

func (c *collector) HandleRTP(int64, []byte, sfu.ExtSeq) { c.rtp++ }
func (c *collector) HandleRTCP(int64, []byte)            { c.rtcp++ }
func (c *collector) Flush(int64, *Burst)                 { c.flushes++ }

// wire gives every datagram to give.
type wire struct{ give func([]byte) }

func (w *wire) WriteBatch(ms []Message) error {
	for _, m := range ms {
		for rest := m.Buf; len(rest) > 0; {
			n := len(rest)
			if m.Segment > 0 {
				n = min(n, m.Segment)
			}
			w.give(rest[:n])
			rest = rest[n:]
		}
	}
	return nil
}

// FuzzStart lets subscribers come, hide and show the camera while it loses packets and is muted. Whatever a subscriber gets
// from an instant when it had nothing begins with a keyframe, its numbers have no gaps but for what was lost, each picture
// has one timestamp, and time does not go back.
func FuzzStart(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0})
	f.Add([]byte{0, 0, 2, 0, 0, 3, 1, 0, 4, 0, 0, 5, 0, 0})
	f.Add([]byte{0, 6, 0, 0, 1, 0, 0, 2, 0, 0, 0, 3, 0, 7, 0, 0, 3, 0, 8})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		n := newNewcomer(t, 2)
		n.subscribe()
		sub := n.carol.Subscription("TR_v")
		times := map[uint16]uint32{}
		var last rtp.Packet
		idle, any := true, false
		for _, op := range script {
			n.now += int64(op>>4) * 20 * ms
			idle = idle || !sub.Current().Valid()
			switch op & 15 {
			case 1:
				n.now += 300 * ms
			case 2:
				sub.SetTarget(sfu.TopLayer, true)
			case 3:
				sub.SetTarget(sfu.Layer{Spatial: int8(op >> 4 & 3), Temporal: 7}, false)
			case 4:
				n.pub.SetMuted(true)
			case 5:
				n.pub.SetMuted(false)
			case 6: // a packet is lost
				ps := n.layers[op>>4%3].frame(false, 3)
				n.a.put(ps[0], ps[2])
			case 7:
				n.a.put(n.layers[op>>4%3].frame(true, 2)...)
			case 8:
				n.tick(time.Duration(ms * 40))
			}
			n.frames(0, 1, 2)
			for _, p := range n.c.take() {
				if p.SSRC != 300 {
					continue
				}
				if idle && (p.Payload[0]&0x10 == 0 || p.Payload[6]&1 != 0) {
					t.Fatalf("begins with %x", p.Payload)
				}
				idle = false
				if at, ok := times[pictureOf(&p)]; ok && at != p.Timestamp {
					t.Fatalf("picture %d has timestamps %d and %d", pictureOf(&p), at, p.Timestamp)
				}
				if any && (int32(p.Timestamp-last.Timestamp) < 0 || int16(p.SequenceNumber-last.SequenceNumber) <= 0) {
					t.Fatalf("%v after %v", p, last)
				}
				times[pictureOf(&p)] = p.Timestamp
				last, any = p, true
			}
		}
	})
}
