package bench

import (
	"encoding/binary"
	"maps"
	"time"

	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/loss"
	"weir/sfu/negotiate"
)

// incoming is one RTP stream that a bot receives. The leg's lock guards it.
type incoming struct {
	ssrc, rtx   uint32
	kind        sfu.Kind
	reader      codec.Reader
	dependency  uint8 // id of the dependency descriptor
	clock       uint32
	publication sfu.PublicationID
	wide        uint8               // id of the transport-wide number
	codecs      map[uint8]sfu.Codec // by payload type
	nack        bool
	troubled    bool // on the leg's list of streams that miss packets

	lost     *loss.Tracker
	begun    bool
	highest  sfu.ExtSeq
	first    int64 // of the first packet
	packets  uint64
	bytes    uint64
	repaired uint64
	padding  uint64

	// Reception report (RFC 3550 appendix A).
	base          sfu.ExtSeq
	transit       int64 // RTP units
	jitter        float64
	expectedPrior int64
	receivedPrior int64
	lastSR        uint32
	lastSRAt      int64

	// Frames.
	timestamp uint32
	frames    uint64
	frameAt   int64
	interval  float64 // mean ns from frame to frame
	freezes   uint64
	frozen    int64 // ns
	asked     int64 // when a keyframe was asked for
	givenUp   uint64

	opener  opener
	checker *checker // of bots that look at whole frames
}

func newIncoming(r *negotiate.Receive, s negotiate.Stream) *incoming {
	in := &incoming{
		ssrc: s.SSRC, rtx: s.RTX, kind: r.Kind, publication: r.Publication, wide: r.Extensions.TransportCC,
		dependency: r.Extensions.Dependency,
		codecs:     map[uint8]sfu.Codec{}, clock: 90000, lost: loss.New(loss.Config{}),
	}
	for _, f := range r.Formats {
		if f.Codec == sfu.RED {
			continue
		}
		in.codecs[f.PT] = f.Codec
		in.nack = in.nack || f.Feedback.Has(negotiate.NACK)
	}
	return in
}

// opens reports whether a keyframe starts with the packet: a decoder can begin with it.
func (in *incoming) opens(p *sfu.Packet, index sfu.ExtSeq) bool {
	p.Seq = index
	var d codec.Description
	err := in.reader.Describe(in.codecs[p.PayloadType], p, codec.Extension(p, in.dependency), &d)
	return err == nil && d.Keyframe
}

// received takes a packet, original or repaired. It reports false for a copy.
func (in *incoming) received(now int64, seq sfu.ExtSeq, p *sfu.Packet, repaired bool) bool {
	if !in.begun {
		in.begun, in.first, in.base, in.highest = true, now, seq, seq
		in.asked = now
		if c := in.codecs[p.PayloadType]; c != sfu.NoCodec {
			in.clock, in.opener.codec = c.ClockRate(), c
		}
	}
	if !in.lost.Received(seq, now) {
		return false
	}
	in.packets++
	in.bytes += uint64(len(p.Raw))
	if repaired {
		in.repaired++
	}
	if seq > in.highest {
		in.highest = seq
	}
	if len(p.Raw) == p.HeaderLen {
		in.padding++
		return true
	}
	if p.Timestamp != in.timestamp || in.frames == 0 {
		in.frame(now, p)
	}
	if !repaired {
		arrived := now/1e9*int64(in.clock) + now%1e9*int64(in.clock)/1e9
		transit := arrived - int64(p.Timestamp)
		if in.packets > 1 {
			d := transit - in.transit
			if d > -int64(in.clock)*10 && d < int64(in.clock)*10 {
				in.jitter += (float64(max(d, -d)) - in.jitter) / 16
			}
		}
		in.transit = transit
	}
	return true
}

// frame notes that a new frame began. A freeze is what browsers call one: a gap of over three mean intervals, or of
// 150 ms more than the mean (webrtc-stats, freezeCount).
func (in *incoming) frame(now int64, p *sfu.Packet) {
	if in.frames > 0 && int32(p.Timestamp-in.timestamp) < 0 {
		return // late
	}
	if in.kind == sfu.Video && in.frames > 1 {
		gap := float64(now - in.frameAt)
		if in.frames > 10 && gap > max(3*in.interval, in.interval+float64(150*time.Millisecond)) {
			in.freezes++
			in.frozen += now - in.frameAt
		} else {
			in.interval += (gap - in.interval) / float64(min(in.frames-1, 30))
		}
	}
	in.timestamp, in.frameAt = p.Timestamp, now
	in.frames++
}

// senderReport notes when the last report was (RFC 3550 section 6.4.1).
func (in *incoming) senderReport(now int64, body []byte) {
	in.lastSR = uint32(binary.BigEndian.Uint64(body[4:]) >> 16)
	in.lastSRAt = now
}

// block appends a reception report block (RFC 3550 section 6.4.1 and appendix A.3).
func (in *incoming) block(dst []byte, now int64) []byte {
	be := binary.BigEndian
	expected := int64(in.highest-in.base) + 1
	received := int64(in.packets)
	missing := min(max(expected-received, -0x800000), 0x7fffff)
	var fraction int64
	if step := expected - in.expectedPrior; step > 0 {
		if gone := step - (received - in.receivedPrior); gone > 0 {
			fraction = min(gone<<8/step, 255)
		}
	}
	in.expectedPrior, in.receivedPrior = expected, received
	var delay uint32
	if in.lastSR != 0 {
		delay = uint32((now - in.lastSRAt) << 16 / 1e9)
	}
	dst = be.AppendUint32(dst, in.ssrc)
	dst = be.AppendUint32(dst, uint32(fraction)<<24|uint32(missing)&0xffffff)
	dst = be.AppendUint32(dst, uint32(in.highest-1<<16))
	dst = be.AppendUint32(dst, uint32(in.jitter))
	dst = be.AppendUint32(dst, in.lastSR)
	return be.AppendUint32(dst, delay)
}

// StreamSnapshot is what became of one stream that a bot received.
type StreamSnapshot struct {
	SSRC        uint32
	Kind        sfu.Kind
	Publication sfu.PublicationID
	First       int64 // ns of the run's clock
	Packets     uint64
	Bytes       uint64
	Lost        uint64 // for good or still missing
	Missed      uint64 // did not come at first
	Repaired    uint64
	Duplicate   uint64
	Frames      uint64
	Freezes     uint64
	Frozen      time.Duration
	Padding     uint64            // packets without payload: probes
	Opened      uint64            // frames decrypted
	Unopened    uint64            // frames that no key opened
	Refused     map[string]uint64 // of Unopened, by reason; nil: not looked at
}

func (in *incoming) snapshot() StreamSnapshot {
	l := in.lost.Snapshot()
	s := StreamSnapshot{
		SSRC: in.ssrc, Kind: in.kind, Publication: in.publication, First: in.first, Packets: in.packets, Bytes: in.bytes,
		Lost: l.Lost - l.Recovered, Missed: l.Lost, Repaired: in.repaired, Duplicate: l.Duplicate,
		Frames: in.frames, Freezes: in.freezes, Frozen: time.Duration(in.frozen), Padding: in.padding,
		Opened: in.opener.opened, Unopened: in.opener.failed,
	}
	if in.checker != nil {
		s.Opened, s.Unopened, s.Refused = in.checker.opened, in.checker.failed, maps.Clone(in.checker.refused)
	}
	return s
}
