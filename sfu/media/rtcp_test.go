package media

import (
	"reflect"
	"testing"

	"github.com/pion/rtcp"

	"weir/sfu"
)

func TestWriteRTCP(t *testing.T) {
	var compound []byte
	compound = appendSenderReport(compound, 7, 0x1122334455667788, 9, 10, 11)
	compound = appendCNAME(compound, 7, "abc")
	compound = appendReceiverReport(compound, 1, 1)
	compound = appendReportBlock(compound, &reportBlock{ssrc: 2, fraction: 3, lost: -4, highest: 5, jitter: 6, lastSR: 7, delay: 8})
	compound = appendPLI(compound, 1, 2)
	compound = appendFIR(compound, 1, 2, 3)
	compound = appendNACK(compound, 1, 2, []sfu.Seq{65534, 65535, 0, 14, 15, 64})
	compound = appendGoodbye(compound, 7)
	got, err := rtcp.Unmarshal(compound)
	if err != nil {
		t.Fatal(err)
	}
	want := []rtcp.Packet{
		&rtcp.SenderReport{SSRC: 7, NTPTime: 0x1122334455667788, RTPTime: 9, PacketCount: 10, OctetCount: 11},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 7, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "abc"}}}}},
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2, FractionLost: 3, TotalLost: 0xfffffc, LastSequenceNumber: 5, Jitter: 6, LastSenderReport: 7, Delay: 8}}},
		&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2},
		&rtcp.FullIntraRequest{SenderSSRC: 1, FIR: []rtcp.FIREntry{{SSRC: 2, SequenceNumber: 3}}},
		&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 2, Nacks: []rtcp.NackPair{{PacketID: 65534, LostPackets: 1 | 1<<1 | 1<<15}, {PacketID: 15}, {PacketID: 64}}},
		&rtcp.Goodbye{Sources: []uint32{7}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if sr, ok := got[i].(*rtcp.SenderReport); ok && len(sr.Reports) == 0 {
			sr.Reports, sr.ProfileExtensions = nil, nil
		}
		if rr, ok := got[i].(*rtcp.ReceiverReport); ok {
			rr.ProfileExtensions = nil
		}
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("packet %d: %#v, want %#v", i, got[i], want[i])
		}
	}
}

func TestReportBlockRoundTrip(t *testing.T) {
	for _, lost := range []int32{0, 1, -1, 1<<23 - 1, -1 << 23} {
		in := reportBlock{ssrc: 0xffffffff, fraction: 255, lost: lost, highest: 0xfffffffe, jitter: 1, lastSR: 2, delay: 3}
		if out := readReportBlock(appendReportBlock(nil, &in)); out != in {
			t.Errorf("%+v came back as %+v", in, out)
		}
	}
}

// FuzzRTCP: splitting a compound never reads past it, ends, and finds what a foreign writer put in.
func FuzzRTCP(f *testing.F) {
	f.Add(appendPLI(appendReceiverReport(nil, 1, 0), 1, 2))
	f.Add([]byte{0xa0, 200, 0, 1, 0, 0, 0, 4})
	f.Add([]byte{0x80, 200, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		total, rest := 0, b
		for len(rest) > 0 {
			p, next, err := nextRTCP(rest)
			if err != nil {
				break
			}
			if len(p.body)+rtcpCommonLen > len(rest)-len(next) {
				t.Fatalf("body of %d bytes in a packet of %d", len(p.body), len(rest)-len(next))
			}
			total += len(rest) - len(next)
			rest = next
		}
		if total > len(b) {
			t.Fatalf("read %d of %d bytes", total, len(b))
		}
	})
}

func TestNTPArithmetic(t *testing.T) {
	if got := ntpAfter(0xffffffff_80000000, 500e6); got != 0 { // the era ends in 2036
		t.Errorf("half a second past the end of the era: %x", got)
	}
	if got := ntpAfter(1<<32, -250e6); got != 0xc0000000 {
		t.Errorf("a quarter second back: %x", got)
	}
	if got := ticks(-10e6, 90000); got != 0xfffffc7c { // −900
		t.Errorf("10 ms back on a video clock: %x", got)
	}
}
