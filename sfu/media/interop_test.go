package media_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
)

// TestPeerConnection: a full WebRTC client over loopback, RTP and data both ways, in the roles that the focus has with
// browsers. The SDP is written by hand: negotiation is another package's matter.
func TestPeerConnection(t *testing.T) {
	onPlain := func() (media.Socket, error) { return media.ListenPlain(netip.MustParseAddrPort("127.0.0.1:0")) }
	onBest := func() (media.Socket, error) {
		s, err := media.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), media.SocketConfig{Count: 1}, quiet)
		if err != nil {
			return nil, err
		}
		return s[0], nil
	}
	for name, c := range map[string]struct {
		lite   bool
		listen func() (media.Socket, error)
	}{"lite, plain": {true, onPlain}, "full, plain": {false, onPlain}, "lite, best": {true, onBest}, "full, best": {false, onBest}} {
		t.Run(name, func(t *testing.T) {
			socket, err := c.listen()
			if err != nil {
				t.Fatal(err)
			}
			server := newSide(t, socket, media.TransportConfig{Lite: c.lite})
			defer closeSides(t, server)

			pc, track, got := newPeer(t)
			defer func() { _ = pc.GracefulClose() }()
			opened := make(chan struct{})
			echoed := make(chan []byte, 1)
			ordered := true
			dc, err := pc.CreateDataChannel("_reliable", &webrtc.DataChannelInit{Ordered: &ordered})
			if err != nil {
				t.Fatal(err)
			}
			dc.OnOpen(func() { close(opened) })
			dc.OnMessage(func(m webrtc.DataChannelMessage) { echoed <- m.Data })

			offer, err := pc.CreateOffer(nil)
			if err != nil {
				t.Fatal(err)
			}
			gathered := webrtc.GatheringCompletePromise(pc)
			if err := pc.SetLocalDescription(offer); err != nil {
				t.Fatal(err)
			}
			<-gathered
			sdp := pc.LocalDescription().SDP
			if err := server.transport.Start(media.RemoteDescription{
				Ufrag: attribute(sdp, "ice-ufrag"), Pwd: attribute(sdp, "ice-pwd"), Fingerprint: attribute(sdp, "fingerprint"),
				Candidates: attributes(sdp, "candidate"), Data: true,
			}); err != nil {
				t.Fatal(err)
			}
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answerTo(sdp, server.transport.Local())}); err != nil {
				t.Fatal(err)
			}
			server.untilState(media.Connected)
			server.untilEvent("channel", func(e media.TransportEvent) bool { return e == media.ChannelOpened{Channel: session.Reliable} })
			if p := server.transport.Snapshot().Profile; p != "AEAD_AES_128_GCM" {
				t.Errorf("profile %s", p)
			}
			wait(t, opened)

			if err := dc.Send([]byte("from the client")); err != nil {
				t.Fatal(err)
			}
			server.untilEvent("message", func(e media.TransportEvent) bool {
				d, ok := e.(media.DataReceived)
				return ok && string(d.Payload) == "from the client"
			})
			// Other labels are taken too; a channel of the same label again replaces the first, as Safari does it.
			other, err := pc.CreateDataChannel("chat", nil)
			if err != nil {
				t.Fatal(err)
			}
			other.OnOpen(func() { _ = other.SendText("hello") })
			server.untilEvent("message of another label", func(e media.TransportEvent) bool {
				d, ok := e.(media.DataReceived)
				return ok && d.Label == "chat" && d.Text && string(d.Payload) == "hello"
			})
			again, err := pc.CreateDataChannel("_reliable", &webrtc.DataChannelInit{Ordered: &ordered})
			if err != nil {
				t.Fatal(err)
			}
			again.OnMessage(func(m webrtc.DataChannelMessage) { echoed <- m.Data })
			server.until("second channel", func() bool {
				n := 0
				for _, e := range server.events {
					if e == (media.ChannelOpened{Channel: session.Reliable}) {
						n++
					}
				}
				return n == 2
			})
			dc.OnMessage(func(webrtc.DataChannelMessage) { t.Error("message on the replaced channel") })

			long := bytes.Repeat([]byte{7}, 64_000)
			if err := server.transport.SendData(session.Reliable, long); err != nil {
				t.Fatal(err)
			}
			if b := wait(t, echoed); !bytes.Equal(b, long) {
				t.Errorf("client got %d bytes", len(b))
			}

			for i := range 30 {
				if err := track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(65520 + i), Timestamp: 1}, Payload: []byte("up")}); err != nil {
					t.Fatal(err)
				}
			}
			server.until("RTP", func() bool { return len(server.rtp) == 30 })
			if server.indices[29]-server.indices[0] != 29 {
				t.Errorf("indices %v", server.indices)
			}

			burst := server.endpoint.NewBurst()
			o := server.transport.Outbound()
			o.Lock()
			for i := range 30 {
				p := rtpPacket(uint16(i), 0xabcd, "down")
				if !burst.SendRTP(o, p[:12], nil, p[12:], sfu.ExtSeq(1<<16+i)) {
					t.Error("refused")
				}
			}
			o.Unlock()
			burst.Flush()
			for i := range 30 {
				if p := wait(t, got); string(p.Payload) != "down" || int(p.SequenceNumber) != i {
					t.Fatalf("client got %v", p)
				}
			}
			server.until("receiver report", func() bool { return len(server.rtcp) > 0 })
		})
	}
}

// newPeer is a client that sends one Opus track on the section where it also receives.
func newPeer(t *testing.T) (*webrtc.PeerConnection, *webrtc.TrackLocalStaticRTP, chan *rtp.Packet) {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(engine(t))).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(track); err != nil {
		t.Fatal(err)
	}
	got := make(chan *rtp.Packet, 100)
	pc.OnTrack(func(r *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := r.ReadRTP()
			if err != nil {
				return
			}
			got <- p
		}
	})
	return pc, track, got
}

func engine(t *testing.T) *webrtc.MediaEngine {
	t.Helper()
	m := new(webrtc.MediaEngine)
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	return m
}

// answerTo keeps the offer's sections and puts our transport in.
func answerTo(offer string, l media.LocalDescription) string {
	var out []string
	for line := range strings.Lines(offer) {
		line = strings.TrimSpace(line)
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch name {
		case "ice-ufrag":
			line = "a=ice-ufrag:" + l.Ufrag
		case "ice-pwd":
			line = "a=ice-pwd:" + l.Pwd
		case "fingerprint":
			line = "a=fingerprint:" + l.Fingerprint
		case "setup":
			line = "a=setup:passive"
		case "candidate", "end-of-candidates", "ssrc-group", "msid":
			continue
		case "ssrc":
			line = "a=ssrc:43981 cname:weir"
		}
		out = append(out, line)
		if name == "setup" && l.Lite {
			out = append(out, "a=ice-lite")
		}
		if name == "mid" {
			for _, c := range l.Candidates {
				out = append(out, "a=candidate:"+c)
			}
		}
	}
	return strings.Join(out, "\r\n") + "\r\n"
}

func attribute(sdp, name string) string {
	for _, v := range attributes(sdp, name) {
		return v
	}
	return ""
}

func attributes(sdp, name string) (out []string) {
	for line := range strings.Lines(sdp) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "a="+name+":"); ok {
			out = append(out, v)
		}
	}
	return out
}

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	select {
	case v := <-c:
		return v
	case <-ctx.Done():
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
