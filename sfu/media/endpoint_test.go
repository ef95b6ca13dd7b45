package media_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"weir/sfu/media"
	"weir/sfu/session"
	"weir/sfu/sfutest"
)

var (
	asServer = media.TransportConfig{Lite: true}
	asClient = media.TransportConfig{Controlling: true, DTLSClient: true, Channels: media.OpenChannels}
)

// TestSilenceEndsInStages: 10 s without a word is disconnected, 5 s more is failed; an ICE restart brings it back.
func TestSilenceEndsInStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
		connect(t, client, server, false)
		n.Impair(sfutest.Impairment{Loss: 1})
		cut := time.Now()
		server.untilState(media.Disconnected)
		if d := time.Since(cut); d < 8*time.Second || d > 13*time.Second {
			t.Errorf("disconnected after %s", d)
		}
		server.untilState(media.Failed)
		if d := time.Since(cut); d < 14*time.Second || d > 20*time.Second {
			t.Errorf("failed after %s", d)
		}
		client.untilState(media.Failed)
		n.Impair(sfutest.Impairment{})
		restart(t, client, server)
		client.untilState(media.Connected)
		server.untilState(media.Connected)
		client.send(100, 3)
		server.until("RTP", func() bool { return len(server.rtp) == 3 })
		closeSides(t, client, server)
	})
}

func restart(t *testing.T, client, server *side) {
	t.Helper()
	offer, err := client.transport.Restart()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.transport.Restart()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.transport.Restarted(remoteOf(offer, false)); err != nil {
		t.Fatal(err)
	}
	if err := client.transport.Restarted(remoteOf(answer, false)); err != nil {
		t.Fatal(err)
	}
}

// TestRoleConflict: a lite agent never controls (RFC 8445 section 6.1.1), so that a far side that obeys is told 487.
func TestRoleConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		if err := server.transport.Start(media.RemoteDescription{Ufrag: "far", Pwd: "x"}); err != nil {
			t.Fatal(err)
		}
		far := listen(t, n, "10.0.0.3:666")
		l := server.transport.Local()
		for _, c := range []struct {
			remote string
			with   stun.Setter
			want   stun.MessageType
		}{
			{"far", stun.RawAttribute{Type: stun.AttrICEControlled, Value: make([]byte, 8)}, stun.NewType(stun.MethodBinding, stun.ClassErrorResponse)},
			{"far", stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)}, stun.BindingSuccess},
		} {
			m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(l.Ufrag+":"+c.remote), c.with, stun.NewShortTermIntegrity(l.Pwd), stun.Fingerprint)
			if err != nil {
				t.Fatal(err)
			}
			if err := far.WriteBatch([]media.Message{{Addr: netip.MustParseAddrPort("10.0.0.1:7882"), Buf: m.Raw}}); err != nil {
				t.Fatal(err)
			}
			got := make([]media.Message, 1)
			if _, err := far.ReadBatch(got); err != nil {
				t.Fatal(err)
			}
			answer := &stun.Message{Raw: got[0].Buf}
			if err := answer.Decode(); err != nil || answer.Type != c.want || answer.TransactionID != m.TransactionID {
				t.Errorf("got %v, %v; want %v", answer, err, c.want)
			}
			if ok := server.transport.Snapshot().Remote.IsValid(); ok != (c.want == stun.BindingSuccess) {
				t.Errorf("after %v there is a pair: %v", c.want, ok)
			}
		}
		// The refused check made no pair, the true one did. A stranger with the right password and another name is nobody.
		if to := server.transport.Snapshot().Remote; to != far.LocalAddr() {
			t.Errorf("media goes to %s", to)
		}
		if err := far.WriteBatch([]media.Message{{Addr: netip.MustParseAddrPort("10.0.0.1:7882"), Buf: request(t, l.Ufrag+":stranger", l.Pwd)}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := server.endpoint.Snapshot().Drops["stun_ufrag"]; d != 1 {
			t.Errorf("%d strangers counted", d)
		}
		server.untilState(media.Failed) // nobody came
		if err := far.Close(); err != nil {
			t.Fatal(err)
		}
		closeSides(t, server)
	})
}

// TestWrongFingerprint: DTLS with another certificate than the description names gives no keys.
func TestWrongFingerprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, bad := range []string{"sha-256 " + strings.TrimSuffix(strings.Repeat("00:", 32), ":"), "sha-1 00", "", "md5"} {
			n := sfutest.New(1)
			server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
			client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
			remote := remoteOf(client.transport.Local(), true)
			remote.Fingerprint = bad
			if err := server.transport.Start(remote); err != nil {
				t.Fatal(err)
			}
			if err := client.transport.Start(remoteOf(server.transport.Local(), true)); err != nil {
				t.Fatal(err)
			}
			server.untilState(media.Failed)
			if server.transport.Outbound().Ready() {
				t.Errorf("%q: keys were taken", bad)
			}
			closeSides(t, client, server)
		}
	})
}

// TestGarbageIsCounted: nothing that anybody may send stops the endpoint; each kind has its count.
func TestGarbageIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
		connect(t, client, server, false)
		stranger := listen(t, n, "10.0.0.3:666")
		to := netip.MustParseAddrPort("10.0.0.1:7882")
		ufrag := server.transport.Local().Ufrag
		script := []struct {
			reason string
			b      []byte
		}{
			{"unknown", []byte{200, 1, 2}},
			{"unknown", []byte{100}},
			{"stun_malformed", []byte{0}},
			{"stun_malformed", []byte{0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
			{"stun_ufrag", request(t, "nobody:x", "p")},
			{"stun_ufrag", request(t, "", "p")},
			{"stun_integrity", request(t, ufrag+":x", "guess")},
			{"no_transport", []byte{22, 254, 253}},
			{"no_transport", rtpPacket(1, 2, "x")},
			{"no_transport", []byte{128}},
			{"no_transport", []byte{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		}
		for _, step := range script {
			before := server.endpoint.Snapshot().Drops[step.reason]
			if err := stranger.WriteBatch([]media.Message{{Addr: to, Buf: step.b}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := server.endpoint.Snapshot().Drops[step.reason]; got != before+1 {
				t.Errorf("%x: %s counted %d times, want 1", step.b, step.reason, got-before)
			}
		}
		// From the client's own address, as a forger on the path would.
		for reason, b := range map[string][]byte{"forged": append(rtpPacket(1, 2, "x"), make([]byte, 16)...), "malformed": {128, 96}} {
			if err := client.endpoint.Forge(to, b); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := server.endpoint.Snapshot().Drops[reason]; got != 1 {
				t.Errorf("%s counted %d times", reason, got)
			}
		}
		client.send(1, 2)
		server.until("RTP", func() bool { return len(server.rtp) == 2 })
		if err := stranger.Close(); err != nil {
			t.Fatal(err)
		}
		closeSides(t, client, server)
	})
}

// TestCloseAtAnyMoment leaves nothing behind: the bubble ends only when every goroutine has.
func TestCloseAtAnyMoment(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := sfutest.New(1)
				n.Impair(sfutest.Impairment{Delay: 10 * time.Millisecond})
				server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
				client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
				if err := server.transport.Start(remoteOf(client.transport.Local(), true)); err != nil {
					t.Fatal(err)
				}
				if err := client.transport.Start(remoteOf(server.transport.Local(), true)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(after)
				server.transport.Close()
				server.transport.Close()
				if err := server.transport.SendData(session.Reliable, nil); err == nil {
					t.Error("a closed transport took data")
				}
				if _, err := server.transport.Restart(); err == nil {
					t.Error("a closed transport restarted")
				}
				closeSides(t, server, client)
				if _, err := server.endpoint.NewTransport(asServer, nil); err == nil {
					t.Error("a closed endpoint made a transport")
				}
			})
		})
	}
}

// TestTransportIsSmall: goroutines and memory of a connected server transport with its three channels.
func TestTransportIsSmall(t *testing.T) {
	const count = 20
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		socket := listen(t, n, "10.0.0.1:7882")
		server := newSide(t, socket, asServer)
		var clients []*side
		measure := func() (uint64, int) {
			synctest.Wait()
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()
		}
		for i := range count {
			clients = append(clients, newSide(t, listen(t, n, fmt.Sprintf("10.0.1.%d:5000", i+1)), asClient))
		}
		memory, goroutines := measure()
		for _, c := range clients {
			s := &side{t: t, endpoint: server.endpoint}
			s.change.L = &s.mu
			var err error
			cfg := asServer
			cfg.Events = func(e media.TransportEvent) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.events = append(s.events, e)
				s.change.Broadcast()
			}
			if s.transport, err = server.endpoint.NewTransport(cfg, s); err != nil {
				t.Fatal(err)
			}
			connect(t, c, s, true)
			for kind := range session.DataChannel(3) {
				s.untilEvent("channel", func(e media.TransportEvent) bool { return e == media.ChannelOpened{Channel: kind} })
			}
		}
		time.Sleep(5 * time.Second)
		all, running := measure()
		bytes, each := (all-memory)/count, (running-goroutines)/count
		t.Logf("%d bytes and %d goroutines for each pair", bytes, each)
		if each > 15 || bytes > 220<<10 { // 6 and some 70 KB of them are the server's
			t.Errorf("%d bytes and %d goroutines for each pair", bytes, each)
		}
		closeSides(t, append(clients, server)...)
	})
}
