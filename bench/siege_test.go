//go:build system

package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/signalling/wire"
)

// garbage is a datagram of one of the protocols by its first byte (RFC 7983), and of none by the rest.
func garbage(r *rand.Rand) []byte {
	b := make([]byte, 1+r.IntN(1400))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch r.IntN(6) {
	case 0:
		b[0] = byte(r.IntN(4))
		if len(b) >= 20 { // the frame of a STUN message
			b[0], b[1] = byte(r.IntN(2)), byte(r.IntN(20))
			b = b[:20+(len(b)-20)/4*4]
			b[2], b[3] = byte((len(b)-20)>>8), byte(len(b)-20)
			copy(b[4:], []byte{0x21, 0x12, 0xa4, 0x42})
		}
	case 1:
		b[0] = byte(20 + r.IntN(6))
		if len(b) >= 13 { // the frame of a DTLS record
			copy(b[1:], []byte{0xfe, 0xfd, 0, byte(r.IntN(2))})
			b[11], b[12] = byte((len(b)-13)>>8), byte(len(b)-13)
		}
	case 2:
		b[0] = 0x80 | byte(r.IntN(64))
	case 3:
		b[0] = 0x80 | byte(r.IntN(32))
		if len(b) > 1 {
			b[1] = byte(192 + r.IntN(32))
		}
	}
	return b
}

// besiege writes garbage to the media port until stop is closed, with pauses that leave the machine to others.
func besiege(s media.Socket, to netip.AddrPort, seed uint64, stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(seed, 1))
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for range 10 {
			if s.WriteBatch([]media.Message{{Addr: to, Buf: garbage(r)}}) != nil {
				return
			}
		}
	}
}

// frames that no client sends.
func strangeFrames() [][]byte {
	sdp := func(text string) []byte {
		b, _ := wire.EncodeRequest(wire.Request{Session: session.Offer{Description: session.Description{SDP: text, ID: 7}}}, wire.Binary)
		return b
	}
	head := "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 0\r\n"
	section := "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
	ice := "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n"
	return [][]byte{
		{}, {0xff, 0xff}, {0x0a, 0xff, 0xff, 0xff, 0x7f}, {0x0a, 0x05, 1}, {0x08, 0x01}, bytes.Repeat([]byte{0x0a, 0}, 1<<20-8),
		bytes.Repeat([]byte{0x5a, 4, 0x12, 0, 0x12, 0}, 300_000), []byte(strings.Repeat("{", 100_000)), []byte(`{"mute":{"sid":7}}`), []byte("null"), []byte("\x00"),
		sdp(""), sdp("v=0"), sdp(head), sdp(head + section), sdp(head + ice + section + section),
		sdp(head + ice + "a=fingerprint:sha-256 AA:BB\r\n" + section), sdp(head + ice + strings.Repeat("a=x\r\n", 10_000)), sdp(strings.Repeat("m=audio 9 X 0\r\n", 5000)),
	}
}

// TestSiege: a call goes on while strangers and a third participant do what they can to the focus: garbage of every
// protocol at the media port, from unknown addresses and from the addresses of the call's own participants; frames that no
// client sends; floods of requests about what is not theirs; joins that never come to anything.
func TestSiege(t *testing.T) {
	p := startProcess(t)
	clock := NewClock()
	pump := NewPump(clock)
	defer pump.Close()
	sockets := make(chan media.Socket, 8)
	listen := func() (media.Socket, error) {
		s, err := ListenUDP(loopback)
		if err == nil {
			sockets <- s
		}
		return s, err
	}
	var call []*Bot
	for i, dual := range []bool{false, true} {
		b := NewBot(BotConfig{URL: p.url, Token: p.token("siege", fmt.Sprint("friend", i)), Subscribe: true, Dual: dual, Listen: listen,
			Publish: []Publication{Microphone("m", 80), Camera("c", sfu.VP8, layers720[:1])}}, clock, pump)
		defer b.Close()
		call = append(call, b)
	}
	for _, b := range call {
		p.await(b, "the call", func(s *Snapshot) bool { return s.State == Connected && len(s.Streams) == 2 })
	}
	var theirs []sfu.PublicationID
	for id := range call[0].Snapshot().Remote {
		theirs = append(theirs, id)
	}
	goroutines, memory := p.goroutines(), p.memory()

	stop := make(chan struct{})
	var enemies sync.WaitGroup
	var requests, connections atomic.Int64
	stranger, err := ListenUDP(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	enemies.Go(func() { besiege(stranger, p.media, 1, stop) })
	for i := range len(sockets) {
		enemies.Go(func() { besiege(<-sockets, p.media, uint64(2+i), stop) })
	}
	dial := func(name string) *signal {
		s, err := dialSignal(t.Context(), &BotConfig{URL: p.url, Token: p.token("siege", name)}, wire.JoinRequest{Settings: session.Settings{Dual: true, AutoSubscribe: true}})
		if err != nil {
			return nil
		}
		connections.Add(1)
		go func() {
			for {
				if _, _, err := s.ws.ReadMessage(); err != nil {
					return
				}
			}
		}()
		return s
	}
	over := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	enemies.Go(func() { // asks for what is not his, as fast as he can
		for n := 0; !over(); n++ {
			s := dial("mallory")
			if s == nil {
				return
			}
			for !over() {
				id := theirs[n%len(theirs)]
				n++
				var err error
				for _, r := range []session.Request{
					session.Mute{Publication: id, Muted: true}, session.UpdateVideo{Publication: id, Width: 1, Height: 1}, session.UnpublishData{Handle: 1},
					session.AddTrack{CID: fmt.Sprint(n), Kind: sfu.Video, Source: sfu.Camera, Publication: id}, session.AddTrack{CID: fmt.Sprint(n), Kind: sfu.Audio},
					session.Subscribe{Publications: []sfu.PublicationID{id, sfu.PublicationID(fmt.Sprint("TR_", n))}, On: n%2 == 0},
					session.UpdateOwn{RequestID: uint32(n), Metadata: fmt.Sprint(n)}, session.Permission{}, session.Simulate{Scenario: session.SimulateSpeaker, Seconds: 1},
					session.TrackSetting{Publications: []sfu.PublicationID{id}, Width: n % 2000, Height: n % 1000},
				} {
					if err = s.request(r); err != nil {
						break
					}
					requests.Add(1)
				}
				if err != nil {
					break
				}
			}
			s.close(false)
		}
	})
	enemies.Go(func() { // says what nobody says
		for !over() {
			for i, frame := range strangeFrames() {
				s := dial("trudy")
				if s == nil || over() {
					return
				}
				for range 20 {
					if s.ws.WriteMessage(websocket.BinaryMessage-i%2, frame) != nil {
						break
					}
					requests.Add(1)
				}
				s.close(i%3 == 0)
			}
		}
	})
	enemies.Go(func() { // joins and sends nothing more
		for i := 0; i < 100 && !over(); i++ {
			if s := dial(fmt.Sprint("ghost", i)); s != nil {
				defer s.close(i%2 == 0)
			}
		}
		<-stop
	})

	before := []Snapshot{call[0].Snapshot(), call[1].Snapshot()}
	<-time.After(10 * time.Second)
	after := []Snapshot{call[0].Snapshot(), call[1].Snapshot()}
	highest, crowd := p.memory(), p.goroutines()
	close(stop)
	enemies.Wait()
	t.Logf("%d requests on %d connections; memory %d MB before, %d MB in the siege; goroutines %d before, %d in it", requests.Load(), connections.Load(), memory, highest, goroutines, crowd)
	for i := range call {
		a, b := before[i], after[i]
		t.Logf("friend %d: %d packets in, %d lost, %d freezes", i, b.PacketsIn-a.PacketsIn, b.Lost-a.Lost, b.Freezes-a.Freezes)
		// 50 of audio and 15 frames of two packets each second; the machine is busy.
		if b.State != Connected || b.Resumes != 0 || b.PacketsIn-a.PacketsIn < 500 || b.Strangers != 0 {
			t.Errorf("friend %d is %s, %d resumes, %d packets, %d strangers: %v", i, b.State, b.Resumes, b.PacketsIn-a.PacketsIn, b.Strangers, b.Err)
		}
		for id, r := range b.Remote {
			if strings.HasPrefix(string(r.Identity), "friend") && r.View.Muted {
				t.Errorf("%s was muted", id)
			}
		}
	}
	if highest > memory+300 {
		t.Errorf("memory went from %d to %d MB", memory, highest)
	}
	p.until("the enemies to be forgotten", 90*time.Second, func() bool { return p.goroutines() <= goroutines+2 })
	for i, b := range call {
		if s := b.Snapshot(); s.State != Connected || s.Resumes != 0 {
			t.Errorf("friend %d is %s at last", i, s.State)
		}
	}
}
