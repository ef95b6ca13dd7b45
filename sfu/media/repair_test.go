package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
)

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

// listener was sent packets of a voice, without a retransmission stream.
type listener struct {
	*rig
	a, b *end
	sent []rtp.Packet
}

func newListener(t *testing.T, first uint16, packets int) *listener {
	l := &listener{rig: newRig(t)}
	alice, a := l.join("PA_a")
	bob, b := l.join("PA_b")
	l.a, l.b = a, b
	bob.Subscribe(publishAudio(alice, "TR_a", 1), sendAudio(77), sfu.TopLayer, false)
	for i := range packets {
		l.now += 20 * ms
		a.put(voice(1, first+uint16(i), 40))
	}
	l.sent = b.take()
	return l
}

// again asks for a packet that was sent, and gives what comes. The audit fails the test if one byte differs under its nonce.
func (l *listener) again(i int) []rtp.Packet {
	l.b.report(&rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 77, Nacks: []rtcp.NackPair{{PacketID: l.sent[i].SequenceNumber}}})
	return l.b.take()
}

func TestRepeatWithoutRTXIsBitIdentical(t *testing.T) {
	l := newListener(t, 65530, 10)
	l.now += 50 * ms
	again := l.again(4)
	if len(again) != 1 {
		t.Fatalf("%d packets", len(again))
	}
	x, _ := l.sent[4].Marshal()
	y, _ := again[0].Marshal()
	if !bytes.Equal(x, y) {
		t.Errorf("sent %x, again %x", x, y)
	}
}

// TestRepairIsWhatWasSent: who sends something else under an old number does not have it sealed under a nonce that was used.
func TestRepairIsWhatWasSent(t *testing.T) {
	l := newListener(t, 1000, 40)
	forged := voice(1, 1002, 40)
	forged.Payload = []byte("something else under the same number")
	l.a.put(forged)
	for _, p := range l.again(2) {
		t.Errorf("packet %d is sent again as %q", p.SequenceNumber, p.Payload)
	}
	if got := l.again(35); len(got) != 1 || !bytes.Equal(got[0].Payload, l.sent[35].Payload) {
		t.Errorf("a packet is sent again as %v", got)
	}
}
