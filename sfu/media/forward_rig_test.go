package media

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

const ms = int64(time.Millisecond)

// rig is an engine with participants whose transports end in memory. Time is what now says.
type rig struct {
	t      testing.TB
	engine *Engine
	now    int64
	out    *Burst
	ends   map[netip.AddrPort]*end
	events []session.Event
}

// end is the far side of one transport.
type end struct {
	rig  *rig
	leg  *Leg
	send *Outbound
	in   *inbound
	rtt  time.Duration
	next map[uint32]sfu.ExtSeq // SRTP index of what we send, by SSRC

	rtp  []rtp.Packet
	rtcp []rtcp.Packet
}

func (e *end) Outbound() *Outbound        { return e.send }
func (e *end) RTT() time.Duration         { return e.rtt }
func (e *end) ObserveRTT(d time.Duration) { e.rtt = d }
func newRig(t testing.TB) *rig {
	r := &rig{t: t, now: 1e9, ends: make(map[netip.AddrPort]*end)}
	r.engine = newEngine(func() int64 { return r.now })
	r.out = newBurst(r, new(sentCounters))
	return r
}

// WriteBatch opens what the focus sent.
func (r *rig) WriteBatch(messages []Message) error {
	for _, m := range messages {
		e := r.ends[m.Addr]
		for rest := m.Buf; len(rest) > 0; {
			n := len(rest)
			if m.Segment > 0 {
				n = min(n, m.Segment)
			}
			e.receive(slices.Clone(rest[:n]))
			rest = rest[n:]
		}
	}
	return nil
}

func (e *end) receive(b []byte) {
	t := e.rig.t
	if b[1] >= 192 && b[1] < 224 { // RFC 5761 section 4
		plain, err := e.in.openRTCP(b)
		if err != nil {
			t.Fatalf("RTCP: %v", err)
		}
		ps, err := rtcp.Unmarshal(plain)
		if err != nil {
			t.Fatalf("RTCP %x: %v", plain, err)
		}
		e.rtcp = append(e.rtcp, ps...)
		return
	}
	plain, index, err := e.in.openRTP(b)
	if err != nil {
		t.Fatalf("RTP: %v", err)
	}
	var p rtp.Packet
	if err := p.Unmarshal(plain); err != nil {
		t.Fatalf("RTP %x: %v", plain, err)
	}
	if uint16(index) != p.SequenceNumber {
		t.Fatalf("index %d of packet %d", index, p.SequenceNumber)
	}
	e.rtp = append(e.rtp, p)
}

// join makes a participant with one transport.
func (r *rig) join(id sfu.ParticipantID) (*Participant, *end) {
	p := r.engine.NewParticipant(id, false, func(ev session.Event) { r.events = append(r.events, ev) })
	e := &end{rig: r, leg: p.Leg(session.Publisher), next: make(map[uint32]sfu.ExtSeq), rtt: 40 * time.Millisecond}
	e.send, e.in = testPair(r.t, profileGCM128)
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(len(r.ends) >> 8), byte(len(r.ends))}), 5000)
	e.send.addr.Store(&addr)
	auditNonces(r.t, e.send)
	r.ends[addr] = e
	e.leg.Attach(e)
	return p, e
}

// put hands packets to the leg as one input batch.
func (e *end) put(ps ...rtp.Packet) {
	for _, p := range ps {
		e.hand(p)
	}
	e.leg.Flush(e.rig.now, e.rig.out)
	e.rig.out.Flush()
}

func (e *end) hand(p rtp.Packet) {
	b, err := p.Marshal()
	if err != nil {
		e.rig.t.Fatal(err)
	}
	index, ok := e.next[p.SSRC]
	if !ok {
		index = 1<<16 + sfu.ExtSeq(p.SequenceNumber)
	}
	index = sfu.Seq(p.SequenceNumber).Extend(index)
	e.next[p.SSRC] = max(index, e.next[p.SSRC])
	e.leg.HandleRTP(e.rig.now, b, index)
}

// report hands RTCP to the leg.
func (e *end) report(ps ...rtcp.Packet) {
	b, err := rtcp.Marshal(ps)
	if err != nil {
		e.rig.t.Fatal(err)
	}
	e.leg.HandleRTCP(e.rig.now, b)
	e.leg.Flush(e.rig.now, e.rig.out)
	e.rig.out.Flush()
}

// tick lets the ticker run for every leg, every 20 ms for d.
func (r *rig) tick(d time.Duration) {
	for end := r.now + int64(d); ; r.now = min(r.now+20*ms, end) {
		r.engine.pass(r.now, r.out)
		if r.now >= end {
			return
		}
	}
}

// take returns the RTP received since the last time.
func (e *end) take() []rtp.Packet {
	ps := e.rtp
	e.rtp = nil
	return ps
}

// takeRTCP returns the RTCP of one kind received since the last time, and forgets the rest.
func takeRTCP[T rtcp.Packet](e *end) (out []T) {
	for _, p := range e.rtcp {
		if x, ok := p.(T); ok {
			out = append(out, x)
		}
	}
	e.rtcp = nil
	return out
}

var (
	opusIn  = negotiate.Format{Codec: sfu.Opus, PT: 111, Feedback: negotiate.NACK | negotiate.TransportCC}
	opusOut = negotiate.Format{Codec: sfu.Opus, PT: 109, Feedback: negotiate.NACK | negotiate.TransportCC}
	vp8In   = negotiate.Format{Codec: sfu.VP8, PT: 96, RTX: 97, Feedback: negotiate.NACK | negotiate.PLI | negotiate.TransportCC}
	vp8Out  = negotiate.Format{Codec: sfu.VP8, PT: 100, RTX: 101, Feedback: negotiate.NACK | negotiate.PLI | negotiate.TransportCC}
	extsIn  = negotiate.Extensions{Mid: 1, RID: 2, RepairedRID: 3, TransportCC: 4, AudioLevel: 5, AbsCaptureTime: 6, Dependency: 7}
	extsOut = negotiate.Extensions{Mid: 9, TransportCC: 10, AbsSendTime: 11, AudioLevel: 12, AbsCaptureTime: 13, Dependency: 14}
)

// publishAudio adds an Opus publication with one SSRC.
func publishAudio(p *Participant, id sfu.PublicationID, ssrc uint32) *Publication {
	pub := p.AddPublication(session.PublicationView{ID: id, Kind: sfu.Audio, Source: sfu.Microphone})
	p.ApplyReceives([]negotiate.Receive{{
		Mid: "0", Kind: sfu.Audio, Publication: id, Formats: []negotiate.Format{opusIn}, Extensions: extsIn,
		Streams: []negotiate.Stream{{SSRC: ssrc}},
	}})
	return pub
}

// publishSimulcast adds a VP8 publication of three layers that are told apart by rid.
func publishSimulcast(p *Participant, id sfu.PublicationID) *Publication {
	pub := p.AddPublication(session.PublicationView{ID: id, Kind: sfu.Video, Source: sfu.Camera})
	p.ApplyReceives([]negotiate.Receive{{
		Mid: "v", Kind: sfu.Video, Publication: id, Formats: []negotiate.Format{vp8In}, Extensions: extsIn, RIDs: []string{"q", "h", "f"},
	}})
	return pub
}

func sendAudio(ssrc uint32) negotiate.Send {
	return negotiate.Send{Mid: "a", Kind: sfu.Audio, SSRC: ssrc, CNAME: "cn", Formats: []negotiate.Format{opusOut}, Extensions: extsOut}
}

func sendVideo(ssrc uint32) negotiate.Send {
	return negotiate.Send{Mid: "b", Kind: sfu.Video, SSRC: ssrc, RTX: ssrc + 1, CNAME: "cn", Formats: []negotiate.Format{vp8Out}, Extensions: extsOut}
}

// voice is one Opus packet.
func voice(ssrc uint32, seq uint16, level uint8) rtp.Packet {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: seq, Timestamp: uint32(seq-65000) * 960, SSRC: ssrc}, Payload: []byte{0x78, byte(seq >> 8), byte(seq)}}
	set(&p, 5, level)
	return p
}

func set(p *rtp.Packet, id uint8, value ...byte) {
	if err := p.SetExtension(id, value); err != nil {
		panic(err)
	}
}

// encoder is one simulcast layer of a VP8 encoder.
type encoder struct {
	rid     string
	ssrc    uint32
	seq     uint16
	ts      uint32
	picture uint16
	tl0     uint8
	tid     bool // two temporal layers
	frames  int
}

// frame makes the packets of one frame. The body names the layer and the picture.
func (s *encoder) frame(key bool, packets int) (out []rtp.Packet) {
	temporal := byte(0)
	if s.tid && !key && s.frames%2 == 1 {
		temporal = 1
	}
	s.frames++
	if temporal == 0 {
		s.tl0++
	}
	for i := range packets {
		d := []byte{0x80, 0xe0, 0x80 | byte(s.picture>>8), byte(s.picture), s.tl0, temporal<<6 | temporal<<5}
		if i == 0 {
			d[0] |= 0x10
		}
		body := []byte{0x01, s.rid[0], byte(s.picture >> 8), byte(s.picture), byte(i), 0, 0, 0, 0, 0, 0, 0}
		if key && i == 0 {
			body = []byte{0x00, s.rid[0], byte(s.picture >> 8), 0x9d, 0x01, 0x2a, 64, 0, 64, 0, 0, 0}
		}
		p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: i == packets-1, PayloadType: 96, SequenceNumber: s.seq, Timestamp: s.ts, SSRC: s.ssrc}, Payload: append(d, body...)}
		set(&p, 1, 'v')
		set(&p, 2, []byte(s.rid)...)
		s.seq++
		out = append(out, p)
	}
	s.picture = (s.picture + 1) & 0x7fff
	s.ts += 3000
	return out
}

// pictureOf reads the 15 bit picture id of a VP8 packet.
func pictureOf(p *rtp.Packet) uint16 { return binary.BigEndian.Uint16(p.Payload[2:]) & 0x7fff }

// gapless fails unless the numbers of ps follow each other from the first on.
func gapless(t testing.TB, ps []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(ps); i++ {
		if ps[i].SequenceNumber != ps[i-1].SequenceNumber+1 {
			t.Fatalf("packet %d has number %d after %d", i, ps[i].SequenceNumber, ps[i-1].SequenceNumber)
		}
	}
}
