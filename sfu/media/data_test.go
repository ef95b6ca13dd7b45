package media_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/sctp"

	"weir/sfu/media"
	"weir/sfu/session"
	"weir/sfu/sfutest"
)

// TestSlowReader: lossy data is dropped, reliable data is refused with one event, and neither call waits.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		n.Impair(sfutest.Impairment{Delay: 50 * time.Millisecond})
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
		client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
		connect(t, client, server, true)
		for _, c := range []session.DataChannel{session.Reliable, session.Lossy, session.DataTracks} {
			server.untilEvent("channel", func(e media.TransportEvent) bool { return e == media.ChannelOpened{Channel: c} })
		}
		n.Impair(sfutest.Impairment{Loss: 1})
		start := time.Now()
		kept := [3]int{}
		for range 5000 {
			for c := range session.DataChannel(3) {
				if server.transport.SendData(c, make([]byte, 1000)) == nil {
					kept[c]++
				}
			}
		}
		if time.Since(start) != 0 {
			t.Errorf("sending waited %s", time.Since(start))
		}
		if kept[session.Reliable] < 1000 || kept[session.Reliable] > 2200 || kept[session.Lossy] < 5 || kept[session.Lossy] > 200 {
			t.Errorf("kept %v", kept)
		}
		overflows := 0
		server.mu.Lock()
		for _, e := range server.events {
			if e == (media.DataOverflow{Channel: session.Reliable}) {
				overflows++
			}
		}
		server.mu.Unlock()
		if overflows != 1 {
			t.Errorf("%d overflow events, want 1", overflows)
		}
		if err := server.transport.SendData(session.Reliable, make([]byte, media.MaxMessageSize+1)); err != media.ErrTooLong {
			t.Errorf("too long a message: %v", err)
		}
		closeSides(t, client, server)
	})
}

// TestHeldReader: a channel whose reader is held back holds up nothing else of its transport, and ends with it.
func TestHeldReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		held := make(chan struct{})
		cfg := asServer
		cfg.Pace = func(c session.DataChannel, _ int, done <-chan struct{}) {
			if c == session.Reliable {
				close(held)
				<-done
			}
		}
		server := newSide(t, listen(t, n, "10.0.0.1:7882"), cfg)
		client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
		connect(t, client, server, true)
		for c := range session.DataChannel(3) {
			client.untilEvent("channel", func(e media.TransportEvent) bool { return e == media.ChannelOpened{Channel: c} })
		}
		if err := client.transport.SendData(session.Reliable, []byte("much")); err != nil {
			t.Fatal(err)
		}
		<-held
		if err := client.transport.SendData(session.Lossy, []byte("little")); err != nil {
			t.Fatal(err)
		}
		server.untilEvent("lossy data", func(e media.TransportEvent) bool {
			d, ok := e.(media.DataReceived)
			return ok && d.Channel == session.Lossy
		})
		n.Impair(sfutest.Impairment{Loss: 1})
		for range 3000 {
			_ = server.transport.SendData(session.Reliable, make([]byte, 1000))
		}
		server.untilEvent("overflow", func(e media.TransportEvent) bool { return e == media.DataOverflow{Channel: session.Reliable} })
		server.untilState(media.Disconnected)
		closeSides(t, client, server)
	})
}

// TestManyChannels: whoever opens channel after channel loses them all, and nothing else.
func TestManyChannels(t *testing.T) {
	open := []byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 'x'} // RFC 8832 section 5.1
	for name, c := range map[string]struct {
		message []byte
		ppid    sctp.PayloadProtocolIdentifier
		most    int
	}{
		"open at a time":    {open, sctp.PayloadTypeWebRTCDCEP, 32},
		"refused over time": {[]byte("?"), sctp.PayloadTypeWebRTCString, 1024},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := sfutest.New(1)
				server := newSide(t, listen(t, n, "10.0.0.1:7882"), asServer)
				client := newSide(t, listen(t, n, "10.0.0.2:5000"), asClient)
				connect(t, client, server, true)
				client.untilEvent("channel", func(e media.TransportEvent) bool { return e == media.ChannelOpened{Channel: session.Reliable} })
				opened := 3
				for id := uint16(1000); client.transport.WriteStream(id, c.message, c.ppid) == nil && opened < 2000; id++ {
					opened++
					if streams := server.transport.Snapshot().Data.Streams; streams > 32 {
						t.Fatalf("%d channels", streams)
					}
					synctest.Wait()
				}
				server.untilEvent("end", func(e media.TransportEvent) bool { return e == media.ChannelClosed{Channel: session.Reliable} })
				if got := server.transport.Snapshot().Data.Streams; got != 0 || opened < c.most || opened > c.most+100 {
					t.Errorf("%d channels are left after %d", got, opened)
				}
				client.send(1, 2)
				server.until("RTP", func() bool { return len(server.rtp) == 2 })
				closeSides(t, client, server)
			})
		})
	}
}
