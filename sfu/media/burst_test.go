package media

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"weir/sfu"
)

// sink takes a burst's messages apart.
type sink struct {
	messages, packets int
	got               []Message
	keep              bool
}

func (s *sink) WriteBatch(ms []Message) error {
	if len(ms) > burstMessages {
		panic("batch too long")
	}
	for i := range ms {
		s.messages++
		s.packets += datagrams(&ms[i])
		if s.keep {
			for rest := ms[i].Buf; len(rest) > 0; {
				n := len(rest)
				if ms[i].Segment > 0 {
					n = min(n, ms[i].Segment)
				}
				s.got = append(s.got, Message{Addr: ms[i].Addr, Buf: bytes.Clone(rest[:n])})
				rest = rest[n:]
			}
		}
	}
	return nil
}

func address(i int) *netip.AddrPort {
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5000)
	return &a
}

// TestBurstKeepsEveryPacket: whatever the sizes and destinations, each packet goes out once, in order, to its address, and
// messages obey the rules of UDP_SEGMENT.
func TestBurstKeepsEveryPacket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	w := &sink{keep: true}
	b := newBurst(w, new(sentCounters))
	var outs []*Outbound
	var ins []*inbound
	for i := range 90 {
		o, in := testPair(t, profileGCM128)
		o.addr.Store(address(i))
		auditNonces(t, o)
		outs, ins = append(outs, o), append(ins, in)
	}
	type packet struct {
		to   netip.AddrPort
		size int
	}
	var want []packet
	next := make([]sfu.ExtSeq, len(outs))
	for range 400 {
		i := random.IntN(len(outs))
		size := []int{0, 10, 100, 1100, 1100, 1100, 1300}[random.IntN(7)]
		for range random.IntN(90) {
			next[i]++
			if !b.SendRTP(outs[i], header(0, uint32(i)), nil, make([]byte, size), 1<<16+next[i]) {
				t.Fatal("refused")
			}
			want = append(want, packet{*outs[i].addr.Load(), size})
			if random.IntN(40) == 0 {
				size = []int{10, 1100}[random.IntN(2)]
			}
		}
	}
	b.Flush()
	if len(w.got) != len(want) {
		t.Fatalf("%d packets, want %d", len(w.got), len(want))
	}
	for i, m := range w.got {
		plain, _, err := ins[int(m.Addr.Addr().As4()[2])<<8|int(m.Addr.Addr().As4()[3])].openRTP(m.Buf)
		if err != nil || m.Addr != want[i].to || len(plain) != 12+want[i].size {
			t.Fatalf("packet %d: %d bytes to %s, %v; want %+v", i, len(plain), m.Addr, err, want[i])
		}
	}
	if w.messages*4 > w.packets {
		t.Errorf("%d messages for %d packets: not merged", w.messages, w.packets)
	}
	if b.sent.packets.Load() != uint64(len(want)) {
		t.Errorf("counted %d", b.sent.packets.Load())
	}
}

func TestBurstRefuses(t *testing.T) {
	b := newBurst(&sink{}, new(sentCounters))
	o := new(Outbound)
	if b.SendRTP(o, header(0, 0), nil, nil, 1<<16) || b.SendRTCP(o, make([]byte, 8)) {
		t.Error("sent without an address")
	}
	o.addr.Store(address(1))
	if b.SendRTP(o, header(0, 0), nil, nil, 1<<16) || b.SendRTCP(o, make([]byte, 8)) {
		t.Error("sent without keys")
	}
	o, _ = testPair(t, profileGCM128)
	o.addr.Store(address(1))
	if b.SendRTP(o, header(0, 0), nil, make([]byte, maxPacket), 1<<16) {
		t.Error("sent a packet that is too long")
	}
	b.Flush()
	if n := b.sent.refused.Load(); n != 5 {
		t.Errorf("%d refused, want 5", n)
	}
}

func TestBurstDoesNotAllocate(t *testing.T) {
	b := newBurst(&sink{}, new(sentCounters))
	var outs []*Outbound
	for i := range 100 {
		o, _ := testPair(t, profileGCM128)
		o.addr.Store(address(i))
		outs = append(outs, o)
	}
	h, body := header(1, 5), make([]byte, 1100)
	index := sfu.ExtSeq(1 << 16)
	run := func() {
		for i := range 10 {
			for _, o := range outs {
				b.SendRTP(o, h, nil, body, index+sfu.ExtSeq(i))
			}
		}
		index += 10
		b.Flush()
	}
	for range 10 { // the arena grows to what is needed
		run()
	}
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
