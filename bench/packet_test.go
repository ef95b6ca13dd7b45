package bench

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/media"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// sink is a socket that gives nothing and keeps what it is given if somebody asks.
type sink struct {
	got  func(media.Message)
	done chan struct{}
}

func (s *sink) ReadBatch([]media.Message) (int, error) { <-s.done; return 0, errClosedSink }
func (s *sink) LocalAddr() netip.AddrPort              { return netip.MustParseAddrPort("127.0.0.1:9") }
func (s *sink) Close() error                           { close(s.done); return nil }
func (s *sink) WriteBatch(ms []media.Message) error {
	for _, m := range ms {
		if s.got != nil {
			s.got(m)
		}
	}
	return nil
}

var errClosedSink = session.ErrNoSession

// newTestLeg is a leg on a sink; it has no keys, so that what it sends is built and not sealed.
func newTestLeg(t testing.TB) *leg {
	t.Helper()
	s := &sink{done: make(chan struct{})}
	e, err := media.NewEndpoint(media.EndpointConfig{}, []media.Socket{s}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	l := &leg{endpoint: e, burst: e.NewBurst(), streams: map[uint32]*incoming{}, repairs: map[uint32]*incoming{}, outgoing: map[uint32]*outgoing{}}
	if l.transport, err = e.NewTransport(media.TransportConfig{}, l); err != nil {
		t.Fatal(err)
	}
	return l
}

// cut makes the payloads of a frame as the bots send it.
func cut(c sfu.Codec, frame []byte, key bool) [][]byte {
	var out [][]byte
	count := max(1, (len(frame)+packetMost-1)/packetMost)
	size := (len(frame) + count - 1) / count
	for i := range count {
		p := descriptor(nil, c, 0x7ffe, i == 0, i == count-1, key)
		out = append(out, append(p, frame[min(i*size, len(frame)):min((i+1)*size, len(frame))]...))
	}
	return out
}

// FuzzFrames: a sealed frame comes back through cutting and putting together; a lost packet loses its frame and no other.
func FuzzFrames(f *testing.F) {
	f.Add(uint8(0), 3000, uint16(65534), uint8(1))
	f.Add(uint8(1), 20, uint16(0), uint8(0))
	f.Add(uint8(2), 100, uint16(32767), uint8(9))
	key, err := keyring.FromMaterial([]byte("0123456789abcdef"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, pick uint8, size int, start uint16, lose uint8) {
		c := []sfu.Codec{sfu.VP8, sfu.VP9, sfu.Opus}[pick%3]
		size = size&0x3fff + 2*stampLen
		if c == sfu.Opus {
			size = min(size, packetMost-64)
		}
		r := keyring.NewRing(keyring.Shared)
		r.Set(0, key)
		sealer := keyring.NewSealer(1, 1)
		feed := newFiller(c, size, 320, 180)
		o := opener{codec: c}
		seq := 1<<16 + sfu.ExtSeq(start)
		const frames = 4
		total := 0
		var opened []int64
		lost := -1
		for n := range frames {
			data, isKey := feed.Frame(n == 0)
			data = bytes.Clone(data)
			putStamp(data[len(data)-stampLen:], int64(n))
			sealed, err := sealer.Seal(nil, r, c, data, uint32(n))
			if err != nil {
				t.Fatal(err)
			}
			parts := cut(c, sealed, isKey)
			for i, part := range parts {
				if total == int(lose) && lose > 0 {
					lost = n
				} else if stamp, ok := o.add(r, seq, &sfu.Packet{Raw: part, Marker: i == len(parts)-1}); ok {
					opened = append(opened, stamp)
				}
				seq++
				total++
			}
		}
		want := 0
		for n := range frames {
			if n == lost {
				continue
			}
			if want >= len(opened) || opened[want] != int64(n) {
				t.Fatalf("%v opened, frame %d was lost; failed %d", opened, lost, o.failed)
			}
			want++
		}
		if want != len(opened) || o.failed != 0 {
			t.Fatalf("%v opened, frame %d was lost; failed %d", opened, lost, o.failed)
		}
	})
}

// FuzzDescriptorLen: it stays within the payload.
func FuzzDescriptorLen(f *testing.F) {
	f.Add([]byte{0x90, 0x80, 0xff, 0xfe, 1}, false)
	f.Add([]byte{0x80, 0xf0, 0x80}, true)
	f.Fuzz(func(t *testing.T, b []byte, nine bool) {
		c := sfu.VP8
		if nine {
			c = sfu.VP9
		}
		if n := descriptorLen(c, b); n > len(b) || n == 0 || n < -1 {
			t.Fatalf("%d of %d", n, len(b))
		}
	})
}

// TestFramesAreRecognised: the focus sees in made-up frames what they stand for.
func TestFramesAreRecognised(t *testing.T) {
	for _, c := range []sfu.Codec{sfu.VP8, sfu.VP9, sfu.H264} {
		feed := newFiller(c, 500, 640, 360)
		for _, key := range []bool{true, false} {
			data, isKey := feed.Frame(key)
			if isKey != key {
				t.Fatalf("%s: keyframe %v, asked for %v", c, isKey, key)
			}
			raw := append(make([]byte, 12), cut(c, data, key)[0]...)
			raw[0] = 0x80
			var d codec.Description
			var r codec.Reader
			if err := r.Describe(c, &sfu.Packet{Raw: raw, HeaderLen: 12}, nil, &d); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
			if d.Keyframe != key {
				t.Errorf("%s: keyframe %v, want %v", c, d.Keyframe, key)
			}
		}
	}
}

func testOutgoing(l *leg, p *Publication) *outgoing {
	return &outgoing{
		place: -1, leg: l, publication: p, stream: &p.Streams[len(p.Streams)-1], mid: "1", pt: 96, rtxPT: 97, ssrc: 5, rtx: 6,
		seq: 1<<16 + 65530, rtxSeq: 1 << 16, ids: negotiate.Extensions{Mid: 4, RID: 10, RepairedRID: 11, TransportCC: 3, AbsSendTime: 2},
	}
}

// TestPathAllocates: neither sending nor receiving a packet allocates.
func TestPathAllocates(t *testing.T) {
	l := newTestLeg(t)
	p := Camera("camera", sfu.VP8, layers720)
	o := testOutgoing(l, &p)
	now := int64(1e9)
	frame, _ := o.stream.Feed.Frame(true)
	send := func() {
		now += 33e6
		o.packetise(now, uint32(now/11111), frame, true)
		l.burst.Flush()
	}
	for range 40 { // the history is taken, the arena has grown
		send()
	}
	if n := testing.AllocsPerRun(100, send); n != 0 {
		t.Errorf("a frame of %d packets: %g allocations", len(frame)/packetMost+1, n)
	}

	in := newIncoming(&negotiate.Receive{Kind: sfu.Video, Extensions: negotiate.Extensions{TransportCC: 3},
		Formats: []negotiate.Format{{Codec: sfu.VP8, PT: 96, Feedback: negotiate.NACK}}}, negotiate.Stream{SSRC: 5})
	l.streams[5] = in
	index := sfu.ExtSeq(1<<16 + 65000)
	var w codec.Writer
	buf := make([]byte, 0, 1400)
	receive := func() {
		index++
		now += 1e6
		w.Start(buf, codec.Header{PayloadType: 96, Seq: index.Seq(), Timestamp: uint32(index / 8 * 3000), SSRC: 5})
		copy(w.Reserve(3, 2), []byte{byte(index >> 8), byte(index)})
		b := append(w.Finish(), frame[:1000]...)
		putStamp(b[len(b)-stampLen:], now-1e5)
		l.HandleRTP(now, b, index)
		l.Flush(now, l.burst)
	}
	for range 2000 {
		receive()
	}
	if n := testing.AllocsPerRun(1000, receive); n != 0 {
		t.Errorf("a received packet: %g allocations", n)
	}
	if l.latency.Count() < 3000 || l.latency.Quantile(.5) > 200*time.Microsecond || in.lost.Snapshot().Lost != 0 {
		t.Errorf("latency %v, %+v", l.latency, in.snapshot())
	}
}

// TestFreezes: what browsers count, and nothing else.
func TestFreezes(t *testing.T) {
	for name, c := range map[string]struct {
		gap    time.Duration
		want   uint64
		frozen time.Duration
	}{
		"none":  {33 * time.Millisecond, 0, 0},
		"short": {150 * time.Millisecond, 0, 0},
		"long":  {400 * time.Millisecond, 1, 400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			in := newIncoming(&negotiate.Receive{Kind: sfu.Video}, negotiate.Stream{SSRC: 1})
			now := int64(1e9)
			for i := range 60 {
				in.received(now, sfu.ExtSeq(1<<16+65520+i), &sfu.Packet{Raw: make([]byte, 100), HeaderLen: 12, Timestamp: uint32(i * 3000)}, false)
				now += 33e6
				if i == 30 {
					now += int64(c.gap) - 33e6
				}
			}
			if s := in.snapshot(); s.Freezes != c.want || s.Frozen != c.frozen || s.Lost != 0 || s.Frames != 60 {
				t.Errorf("%+v", s)
			}
		})
	}
}
