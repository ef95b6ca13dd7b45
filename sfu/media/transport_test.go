package media_test

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/sfu/sfutest"
)

// side is a transport on an endpoint of its own, with all that it was told.
type side struct {
	t         *testing.T
	endpoint  *media.Endpoint
	transport *media.Transport

	mu      sync.Mutex
	change  sync.Cond
	events  []media.TransportEvent
	rtp     [][]byte
	indices []sfu.ExtSeq
	rtcp    [][]byte
	flushes int
}

var quiet = slog.New(slog.DiscardHandler)

func newSide(t *testing.T, socket media.Socket, cfg media.TransportConfig) *side {
	t.Helper()
	s := &side{t: t}
	s.change.L = &s.mu
	e, err := media.NewEndpoint(media.EndpointConfig{}, []media.Socket{socket}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Events = func(ev media.TransportEvent) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, ev)
		s.change.Broadcast()
	}
	s.endpoint = e
	if s.transport, err = e.NewTransport(cfg, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *side) HandleRTP(_ int64, b []byte, index sfu.ExtSeq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rtp = append(s.rtp, bytes.Clone(b))
	s.indices = append(s.indices, index)
	s.change.Broadcast()
}

func (s *side) HandleRTCP(_ int64, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rtcp = append(s.rtcp, bytes.Clone(b))
	s.change.Broadcast()
}

func (s *side) Flush(int64, *media.Burst) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushes++
}

// until waits for a condition; the bubble's clock or the test's deadline ends it.
func (s *side) until(what string, ok func() bool) {
	s.t.Helper()
	timer := time.AfterFunc(30*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.change.Broadcast()
	})
	defer timer.Stop()
	end := time.Now().Add(30 * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if !time.Now().Before(end) {
			s.t.Fatalf("no %s after 30 s; events %v; drops %v", what, s.events, s.endpoint.Snapshot().Drops)
		}
		s.change.Wait()
	}
}

func (s *side) untilState(want media.State) {
	s.t.Helper()
	s.until("state", func() bool {
		for i := len(s.events) - 1; i >= 0; i-- {
			if e, ok := s.events[i].(media.StateChanged); ok {
				return e.State == want
			}
		}
		return false
	})
}

func (s *side) untilEvent(what string, ok func(media.TransportEvent) bool) {
	s.t.Helper()
	s.until(what, func() bool {
		for _, e := range s.events {
			if ok(e) {
				return true
			}
		}
		return false
	})
}

func remoteOf(l media.LocalDescription, data bool) media.RemoteDescription {
	return media.RemoteDescription{Ufrag: l.Ufrag, Pwd: l.Pwd, Fingerprint: l.Fingerprint, Lite: l.Lite, Candidates: l.Candidates, Data: data}
}

// connect starts both sides towards each other and waits.
func connect(t *testing.T, a, b *side, data bool) {
	t.Helper()
	if err := b.transport.Start(remoteOf(a.transport.Local(), data)); err != nil {
		t.Fatal(err)
	}
	if err := a.transport.Start(remoteOf(b.transport.Local(), data)); err != nil {
		t.Fatal(err)
	}
	a.untilState(media.Connected)
	b.untilState(media.Connected)
}

func rtpPacket(seq uint16, ssrc uint32, payload string) []byte {
	h := []byte{0x80, 111, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(h[2:], seq)
	binary.BigEndian.PutUint32(h[8:], ssrc)
	return append(h, payload...)
}

var receiverReport = []byte{0x80, 201, 0, 1, 0, 0, 0, 7}

func (s *side) send(first uint16, count int) {
	s.t.Helper()
	burst := s.endpoint.NewBurst()
	o := s.transport.Outbound()
	o.Lock()
	defer o.Unlock()
	index := sfu.ExtSeq(1<<16 + int(first))
	for range count {
		p := rtpPacket(uint16(index.Seq()), 0xfeed, "hello")
		if !burst.SendRTP(o, p[:12], nil, p[12:], index) {
			s.t.Fatal("packet refused")
		}
		index++
	}
	if !burst.SendRTCP(o, receiverReport) {
		s.t.Fatal("RTCP refused")
	}
	burst.Flush()
}

func TestTransportsOverFakeNetwork(t *testing.T) {
	for name, c := range map[string]struct {
		server, client media.TransportConfig
		impairment     sfutest.Impairment
	}{
		"lite": {media.TransportConfig{Lite: true},
			media.TransportConfig{Controlling: true, DTLSClient: true, Channels: media.OpenChannels}, sfutest.Impairment{}},
		"full with loss": {media.TransportConfig{},
			media.TransportConfig{Controlling: true, DTLSClient: true, Channels: media.OpenChannels},
			sfutest.Impairment{Loss: .1, Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Reorder: .05}},
		"server opens channels": {media.TransportConfig{Lite: true, Channels: media.OpenChannels},
			media.TransportConfig{Controlling: true, DTLSClient: true}, sfutest.Impairment{}},
		"negotiated channels": {media.TransportConfig{Lite: true, Channels: media.NegotiatedChannels},
			media.TransportConfig{Controlling: true, DTLSClient: true, Channels: media.NegotiatedChannels}, sfutest.Impairment{}},
		"server controls and dials": {media.TransportConfig{Controlling: true, DTLSClient: true},
			media.TransportConfig{Channels: media.OpenChannels}, sfutest.Impairment{Delay: 50 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := sfutest.New(7)
				n.Impair(c.impairment)
				server := newSide(t, listen(t, n, "10.0.0.1:7882"), c.server)
				client := newSide(t, listen(t, n, "10.0.0.2:5000"), c.client)
				connect(t, client, server, true)

				for _, s := range []*side{server, client} {
					s.untilEvent("reliable channel", func(e media.TransportEvent) bool { return e == media.ChannelOpened{Channel: session.Reliable} })
				}
				exchange(t, server, client, c.impairment.Loss > 0)

				local, err := client.transport.Restart()
				if err != nil {
					t.Fatal(err)
				}
				answer, err := server.transport.Restart()
				if err != nil {
					t.Fatal(err)
				}
				if local.Ufrag == "" || answer.Ufrag == "" || local.Fingerprint == "" {
					t.Fatalf("restart gave %+v, %+v", local, answer)
				}
				if err := server.transport.Restarted(remoteOf(local, true)); err != nil {
					t.Fatal(err)
				}
				if err := client.transport.Restarted(remoteOf(answer, true)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Second) // longer than a dead transport would be called connected
				exchange(t, server, client, c.impairment.Loss > 0)
				client.untilState(media.Connected)
				server.untilState(media.Connected)

				closeSides(t, client, server)
			})
		})
	}
}

func listen(t *testing.T, n *sfutest.Network, addr string) *sfutest.Socket {
	t.Helper()
	s, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeSides(t *testing.T, sides ...*side) {
	t.Helper()
	for _, s := range sides {
		if err := s.endpoint.Close(); err != nil {
			t.Error(err)
		}
		if got := s.endpoint.Snapshot(); got.Transports != 0 || got.Addresses != 0 {
			t.Errorf("left behind: %+v", got)
		}
	}
}

// exchange sends RTP, RTCP and data both ways.
func exchange(t *testing.T, a, b *side, lossy bool) {
	t.Helper()
	for _, way := range [][2]*side{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		to.mu.Lock()
		to.rtp, to.rtcp, to.indices, to.events = nil, nil, nil, to.events[:len(to.events):len(to.events)]
		before := len(to.events)
		to.mu.Unlock()
		from.send(65530, 20)
		if !lossy {
			to.until("RTP", func() bool { return len(to.rtp) == 20 && len(to.rtcp) == 1 && to.flushes > 0 })
			to.mu.Lock()
			for i, p := range to.rtp {
				if want := rtpPacket(uint16(65530+i), 0xfeed, "hello"); !bytes.Equal(p, want) {
					t.Errorf("packet %d: got %x, want %x", i, p, want)
				}
				if want := sfu.ExtSeq(1<<16 + 65530 + i); to.indices[i] != want {
					t.Errorf("packet %d: index %d, want %d", i, to.indices[i], want)
				}
			}
			if !bytes.Equal(to.rtcp[0], receiverReport) {
				t.Errorf("RTCP: got %x", to.rtcp[0])
			}
			to.mu.Unlock()
		}
		long := bytes.Repeat([]byte("0123456789"), 6400) // 64,000 bytes, as JS may send
		for _, payload := range [][]byte{[]byte("hi"), long, {}} {
			if err := from.transport.SendData(session.Reliable, payload); err != nil {
				t.Fatal(err)
			}
		}
		to.until("data", func() bool {
			var got [][]byte
			for _, e := range to.events[before:] {
				if d, ok := e.(media.DataReceived); ok && d.Channel == session.Reliable {
					got = append(got, d.Payload)
				}
			}
			return len(got) == 3 && string(got[0]) == "hi" && bytes.Equal(got[1], long) && len(got[2]) == 0
		})
	}
}
