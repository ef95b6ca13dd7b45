package media

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"weir/sfu"
	"weir/sfu/session"
)

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
	if sub := s.sub.snapshot(); sub.Packets != uint32(len(got)) || sub.Current.Spatial != 1 || sub.Space.Timestamp != got[len(got)-1].Timestamp {
		t.Errorf("subscription %+v", sub)
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
	if st := alice.Snapshot().Publications[0].Streams[0]; st.Received != 90 || st.Missing != 9 || !st.Synced || st.Codec != sfu.Opus {
		t.Errorf("stream %+v", st)
	}
	if l := o.Participants[0].UpstreamLoss; l < 0.08 || l > 0.12 {
		t.Errorf("upstream loss %v", l)
	}
}
