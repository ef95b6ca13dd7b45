package media_test

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"weir/sfu/media"
	"weir/sfu/session"
	"weir/sfu/sfutest"
)

// TestRoaming: after a restart from another address media follows, and the old address is free.
func TestRoaming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		socket := listen(t, n, "10.0.0.2:5000")
		client := newSide(t, socket, asClient)
		connect(t, client, server, false)
		if err := socket.Move("10.9.9.9:6000"); err != nil {
			t.Fatal(err)
		}
		restart(t, client, server)
		want := netip.MustParseAddrPort("10.9.9.9:6000")
		for end := time.Now().Add(10 * time.Second); server.transport.Snapshot().Remote != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("media still goes to %s", server.transport.Snapshot().Remote)
			}
		}
		server.send(1, 4)
		client.until("RTP", func() bool { return len(client.rtp) == 4 })
		client.send(1, 4)
		server.until("RTP", func() bool { return len(server.rtp) == 4 })
		closeSides(t, client, server)
	})
}

// TestSlowRestart: a client takes long over an ICE restart, while its media goes on over the old pair. Nobody gives it up
// before it is silent.
func TestSlowRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
		connect(t, client, server, false)
		if _, err := server.transport.Restart(); err != nil {
			t.Fatal(err)
		}
		later := client.transport.Local()
		later.Ufrag, later.Pwd = "laterfrag", "laterpasswordofthisclient"
		if err := server.transport.Restarted(remoteOf(later, false)); err != nil {
			t.Fatal(err)
		}
		for i := range uint16(60) {
			client.send(i, 1)
			time.Sleep(time.Second)
		}
		server.mu.Lock()
		for _, e := range server.events {
			if c, ok := e.(media.StateChanged); ok && c.State > media.Connected {
				t.Errorf("called %v", c.State)
			}
		}
		server.mu.Unlock()
		time.Sleep(16 * time.Second)
		server.untilState(media.Failed)
		closeSides(t, client, server)
	})
}

// TestForgetfulNAT: the client's address changes under it, without a restart and without a new nomination. Media follows
// a lite agent's authentic checks and nobody calls the transport dead. (A full agent waits for the restart.)
func TestForgetfulNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		socket := listen(t, n, "10.0.0.2:5000")
		client := newSide(t, socket, asClient)
		connect(t, client, server, true)
		if err := socket.Move("10.9.9.9:6000"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		server.send(1, 4)
		client.until("RTP", func() bool { return len(client.rtp) == 4 })
		time.Sleep(time.Minute)
		client.send(1, 4)
		server.until("RTP", func() bool { return len(server.rtp) == 4 })
		if err := server.transport.SendData(session.Reliable, []byte("still here")); err != nil {
			t.Fatal(err)
		}
		client.untilEvent("data", func(e media.TransportEvent) bool { d, ok := e.(media.DataReceived); return ok && len(d.Payload) == 10 })
		for _, e := range server.events {
			if e == (media.StateChanged{State: media.Disconnected}) {
				t.Error("called disconnected")
			}
		}
		closeSides(t, client, server)
	})
}

func request(t *testing.T, user, password string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(user), stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// TestNobodyTakesANeighboursAddress: one participant claims the address of another with its own, true password and a
// forged source. The neighbour's media flows on.
func TestNobodyTakesANeighboursAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
		connect(t, client, server, false)
		thief, err := server.endpoint.NewTransport(asServer, nil)
		if err != nil {
			t.Fatal(err)
		}
		claim := request(t, thief.Local().Ufrag+":x", thief.Local().Pwd)
		for range 10 {
			if err := client.endpoint.Forge(netip.MustParseAddrPort("10.0.0.1:7882"), claim); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := server.endpoint.Snapshot().Drops["route"]; got != 10 {
			t.Errorf("%d claims refused, want 10", got)
		}
		client.send(1, 2)
		server.until("RTP", func() bool { return len(server.rtp) == 2 })
		closeSides(t, client, server)
	})
}

// TestNobodySendsMediaToAStranger: a client nominates an address that is not its own, by forging the source of true
// checks. The stranger is asked, does not answer as the client would, and gets no media.
func TestNobodySendsMediaToAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
		connect(t, client, server, false)
		stranger := listen(t, n, "10.0.0.9:9")
		to, own := netip.MustParseAddrPort("10.0.0.1:7882"), netip.MustParseAddrPort("10.0.0.2:5000")
		send := func(m *stun.Message) {
			if err := stranger.WriteBatch([]media.Message{{Addr: to, Buf: m.Raw}}); err != nil {
				t.Fatal(err)
			}
		}
		ours, theirs := server.transport.Local(), client.transport.Local()
		var asked *stun.Message
		for range 20 {
			send(stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ours.Ufrag+":"+theirs.Ufrag),
				stun.RawAttribute{Type: stun.AttrUseCandidate}, stun.NewShortTermIntegrity(ours.Pwd), stun.Fingerprint))
			server.send(1, 4)
			ms := make([]media.Message, 16)
			for range 2 { // the answer, and a question
				count, err := stranger.ReadBatch(ms[:1])
				if err != nil || count != 1 {
					t.Fatal(count, err)
				}
				m := &stun.Message{Raw: bytes.Clone(ms[0].Buf)}
				if err := m.Decode(); err != nil {
					t.Fatalf("the stranger got %x", ms[0].Buf)
				}
				if m.Type == stun.BindingRequest {
					asked = m
				}
			}
			time.Sleep(time.Second)
		}
		if asked == nil {
			t.Fatal("the stranger was not asked")
		}
		if err := stun.NewShortTermIntegrity(theirs.Pwd).Check(asked); err != nil {
			t.Error(err)
		}
		// Neither an answer without the client's password, nor one with it to a question that was not asked, moves media.
		send(stun.MustBuild(asked, stun.BindingSuccess, stun.NewShortTermIntegrity(ours.Pwd), stun.Fingerprint))
		send(stun.MustBuild(stun.TransactionID, stun.BindingSuccess, stun.NewShortTermIntegrity(theirs.Pwd), stun.Fingerprint))
		time.Sleep(time.Second)
		if got := server.transport.Snapshot().Remote; got != own {
			t.Errorf("media goes to %s", got)
		}
		if got := server.endpoint.Snapshot().Drops["stun_integrity"]; got != 2 {
			t.Errorf("%d answers refused, want 2", got)
		}
		client.until("RTP", func() bool { return len(client.rtp) == 80 })
		send(stun.MustBuild(asked, stun.BindingSuccess, stun.NewShortTermIntegrity(theirs.Pwd), stun.Fingerprint))
		time.Sleep(time.Second)
		if got := server.transport.Snapshot().Remote; got == own {
			t.Error("who answers as the client would is not believed")
		}
		if err := stranger.Close(); err != nil {
			t.Fatal(err)
		}
		closeSides(t, client, server)
	})
}
