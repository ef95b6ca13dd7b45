package media

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
	"weir/sfu/session"
)

// discard is a socket that nobody hears.
type discard struct{ messages int }

func (d *discard) WriteBatch(ms []Message) error {
	d.messages += len(ms)
	return nil
}

// load is one publisher of a single VP8 layer of 2 Mb/s and subscribers to it, in bursts of packets as a frame gives.
type load struct {
	engine *Engine
	leg    *Leg
	out    *Burst
	batch  [][]byte
	seq    uint16
	index  sfu.ExtSeq
	now    int64
	ts     uint32
	buf    []byte
}

type still struct {
	out *Outbound
}

func (s still) Outbound() *Outbound        { return s.out }
func (s still) RTT() time.Duration         { return 20 * time.Millisecond }
func (s still) ObserveRTT(d time.Duration) {}

func newLoad(t testing.TB, subscribers, burst int) *load {
	l := &load{now: 1e9, index: 1 << 16, out: newBurst(new(discard), new(sentCounters))}
	l.engine = newEngine(func() int64 { return l.now })
	alice := l.engine.NewParticipant("PA_a", false, func(session.Event) {})
	out, _ := testPair(t, profileGCM128)
	alice.Leg(session.Publisher).Attach(still{out})
	l.leg = alice.Leg(session.Publisher)
	pub := publishSimulcast(alice, "TR_v")
	for i := range subscribers {
		bob := l.engine.NewParticipant(sfu.ParticipantID(fmt.Sprint("PA_", i)), false, nil)
		out, _ := testPair(t, profileGCM128)
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 5000)
		out.addr.Store(&addr)
		bob.Leg(session.Publisher).Attach(still{out})
		bob.Subscribe(pub, sendVideo(uint32(1000+2*i)), sfu.TopLayer, false)
	}
	e := encoder{rid: "q", ssrc: 10}
	for i, p := range e.frame(true, burst) {
		p.Payload = append(p.Payload, make([]byte, 1100-len(p.Payload))...)
		if i > 0 {
			p.Payload[6] |= 1
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		l.batch = append(l.batch, b)
	}
	l.buf = make([]byte, 0, burst*1500)
	return l
}

// frame sends one burst: each packet with the next numbers.
func (l *load) frame() {
	l.now += 10 * ms
	l.ts += 900
	buf := l.buf[:0]
	for i, b := range l.batch {
		at := len(buf)
		buf = append(buf, b...)
		p := buf[at:]
		p[2], p[3] = byte(l.seq>>8), byte(l.seq)
		p[4], p[5], p[6], p[7] = byte(l.ts>>24), byte(l.ts>>16), byte(l.ts>>8), byte(l.ts)
		if i == 0 && l.seq != 0 {
			p[len(p)-1100+6] |= 1 // a delta frame
		}
		l.leg.HandleRTP(l.now, p, l.index)
		l.seq++
		l.index++
	}
	l.leg.Flush(l.now, l.out)
	l.out.Flush()
}

// BenchmarkForward is the cost of a forwarded packet from decrypted input to sealed messages, without system calls.
func BenchmarkForward(b *testing.B) {
	for _, s := range []int{1, 10, 50, 100} {
		b.Run(fmt.Sprintf("S=%d", s), func(b *testing.B) {
			const burst = 10
			l := newLoad(b, s, burst)
			for range 100 {
				l.frame()
			}
			b.ReportAllocs()
			sent := l.out.sent.packets.Load()
			n := 0
			for b.Loop() {
				l.frame()
				n++
			}
			if got := l.out.sent.packets.Load() - sent; got < uint64(n*burst*s) {
				b.Fatalf("%d packets sent of %d", got, n*burst*s)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*burst*s), "ns/packet")
		})
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	l := newLoad(t, 5, 10)
	for range 300 { // history, arenas and maps reach their size
		l.frame()
	}
	before := l.out.sent.packets.Load()
	if n := testing.AllocsPerRun(200, l.frame); n != 0 {
		t.Errorf("%v allocations per burst of 10 packets to 5 subscribers", n)
	}
	if l.out.sent.packets.Load()-before < 200*50 {
		t.Error("nothing was forwarded")
	}
}

// FuzzForward plays a meeting with loss, reordering, switches, mutes and NACKs. The audit of the rig fails when a nonce is
// used twice; besides, each subscription's numbers are unique, repairs repeat what was sent, and every number that the
// publisher's gaps did not keep free arrives.
func FuzzForward(f *testing.F) {
	f.Add(uint64(1), uint16(0), uint16(200))
	f.Add(uint64(2), uint16(65500), uint16(400))
	f.Add(uint64(3), uint16(32760), uint16(300))
	f.Fuzz(func(t *testing.T, seed uint64, first, steps uint16) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := newSimulcast(t, sfu.TopLayer)
		for i := range s.layers {
			s.layers[i].seq = first + uint16(i)*7
		}
		sent := make(map[uint16]rtp.Packet)
		var held []rtp.Packet
		high := -1
		for range steps % 500 {
			s.now += int64(rng.IntN(60)) * ms
			switch rng.IntN(12) {
			case 0:
				s.sub.SetTarget(sfu.Layer{Spatial: int8(rng.IntN(4)), Temporal: int8(rng.IntN(3))}, rng.IntN(6) == 0)
			case 1:
				s.pub.SetMuted(rng.IntN(2) == 0)
			case 2:
				if high >= 0 {
					s.b.report(&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 200, Nacks: []rtcp.NackPair{{PacketID: uint16(high - rng.IntN(50)), LostPackets: 0x5555}}})
				}
			case 3:
				s.tick(0)
			}
			keys := map[uint32]bool{}
			for _, p := range takeRTCP[*rtcp.PictureLossIndication](s.a) {
				keys[p.MediaSSRC] = true
			}
			var batch []rtp.Packet
			for i, l := range s.layers {
				for _, p := range l.frame(l.frames == 0 || keys[l.ssrc] || rng.IntN(40) == 0, i+1) {
					switch rng.IntN(20) {
					case 0: // lost
					case 1:
						held = append(held, p)
					default:
						batch = append(batch, p)
					}
				}
			}
			if rng.IntN(4) == 0 {
				batch, held = append(batch, held...), nil
			}
			s.a.put(batch...)
			for _, p := range s.b.take() {
				if p.SSRC == 201 {
					osn := uint16(p.Payload[0])<<8 | uint16(p.Payload[1])
					if o, ok := sent[osn]; !ok || string(o.Payload) != string(p.Payload[2:]) || o.Timestamp != p.Timestamp || o.Marker != p.Marker {
						t.Fatalf("retransmission of %d: %v, sent was %v", osn, p, o)
					}
					continue
				}
				if _, twice := sent[p.SequenceNumber]; twice {
					t.Fatalf("number %d sent twice", p.SequenceNumber)
				}
				sent[p.SequenceNumber] = p
				if high < 0 || int16(p.SequenceNumber-uint16(high)) > 0 {
					high = int(p.SequenceNumber)
				}
			}
			if len(sent) > 30000 {
				return
			}
		}
	})
}
