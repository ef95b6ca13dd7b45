// Package sdktest runs the unmodified Go SDK of LiveKit as a client of `weir serve --dev`. It is a module of its own, so
// that the SDK's dependencies stay out of the product's.
package sdktest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// focus is the running binary.
var focus struct{ ws, http string }

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	bin := os.Getenv("WEIR")
	if bin == "" {
		fmt.Fprintln(os.Stderr, "WEIR must name the weir binary")
		return 1
	}
	port := freePort()
	cmd := exec.Command(bin, "serve", "--dev")
	cmd.Env = append(os.Environ(), "WEIR_PORT="+port, "WEIR_RTC__UDP_PORT="+freePort(), "WEIR_PROMETHEUS__PORT=0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	focus.ws, focus.http = "ws://127.0.0.1:"+port, "http://127.0.0.1:"+port
	code := 1
	if err := ready(); err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "weir did not end well:", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, out.String())
	}
	return code
}

func freePort() string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func ready() error {
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		resp, err := http.Get(focus.http + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("weir is not ready: %v", err)
		}
	}
}

// watcher turns the SDK's callbacks into channels.
type watcher struct {
	tracks   chan *webrtc.TrackRemote
	data     chan *lksdk.UserDataPacket
	senders  chan string
	metadata chan string
	gone     chan lksdk.DisconnectionReason
	left     chan string
}

func join(t *testing.T, session, identity string, opts ...lksdk.ConnectOption) (*lksdk.Room, *watcher) {
	t.Helper()
	w := &watcher{
		tracks: make(chan *webrtc.TrackRemote, 8), data: make(chan *lksdk.UserDataPacket, 8), senders: make(chan string, 8),
		metadata: make(chan string, 8), gone: make(chan lksdk.DisconnectionReason, 1), left: make(chan string, 8),
	}
	cb := &lksdk.RoomCallback{
		OnDisconnectedWithReason:  func(r lksdk.DisconnectionReason) { w.gone <- r },
		OnParticipantDisconnected: func(p *lksdk.RemoteParticipant) { w.left <- p.Identity() },
		ParticipantCallback: lksdk.ParticipantCallback{
			OnTrackSubscribed: func(track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
				w.tracks <- track
			},
			OnDataPacket: func(data lksdk.DataPacket, p lksdk.DataReceiveParams) {
				if user, ok := data.(*lksdk.UserDataPacket); ok {
					w.data <- user
					w.senders <- p.SenderIdentity
				}
			},
			OnMetadataChanged: func(_ string, p lksdk.Participant) { w.metadata <- p.Metadata() },
		},
	}
	yes := true
	token, err := auth.NewAccessToken("devkey", "secret").SetIdentity(identity).SetVideoGrant(&auth.VideoGrant{
		RoomJoin: true, Room: session, CanUpdateOwnMetadata: &yes,
	}).ToJWT()
	if err != nil {
		t.Fatal(err)
	}
	room, err := lksdk.ConnectToRoomWithToken(focus.ws, token, cb, opts...)
	if err != nil {
		t.Fatalf("%s joins: %v", identity, err)
	}
	t.Cleanup(room.Disconnect)
	return room, w
}

func await[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// modes are the two ways the SDK connects.
var modes = []struct {
	name string
	opts []lksdk.ConnectOption
}{
	{"two transports", nil},
	{"single transport", []lksdk.ConnectOption{lksdk.WithSinglePeerConnection()}},
}

func TestCall(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			session := "sdk " + mode.name
			alice, aliceSaw := join(t, session, "alice", mode.opts...)
			bob, bobSaw := join(t, session, "bob", mode.opts...)

			t.Run("publish and subscribe", func(t *testing.T) { publish(t, alice, bobSaw) })
			t.Run("data", func(t *testing.T) { data(t, alice, bob, aliceSaw, bobSaw) })
			t.Run("remote procedure call", func(t *testing.T) { rpc(t, alice, bob) })
			t.Run("metadata", func(t *testing.T) {
				alice.LocalParticipant.SetMetadata("here I am")
				if got := await(t, "alice's metadata", bobSaw.metadata); got != "here I am" {
					t.Fatalf("got %q", got)
				}
			})
			t.Run("leave", func(t *testing.T) {
				alice.Disconnect()
				if got := await(t, "alice to leave", bobSaw.left); got != "alice" {
					t.Fatalf("%q left", got)
				}
			})
		})
	}
}

// publish sends Opus packets from one and reads them, payload for payload, at the other.
func publish(t *testing.T, from *lksdk.Room, to *watcher) {
	track, err := lksdk.NewLocalSampleTrack(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from.LocalParticipant.PublishTrack(track, &lksdk.TrackPublicationOptions{Name: "tone", Source: livekit.TrackSource_MICROPHONE}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	payload := []byte{0xfc, 1, 2, 3, 4, 5}
	go func() {
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			_ = track.WriteSample(media.Sample{Data: payload, Duration: 20 * time.Millisecond}, nil)
		}
	}()
	remote := await(t, "the track", to.tracks)
	_ = remote.SetReadDeadline(time.Now().Add(patience))
	var last uint16
	for n := range 20 {
		p, _, err := remote.ReadRTP()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Payload, payload) {
			t.Fatalf("payload % x", p.Payload)
		}
		if n > 0 && p.SequenceNumber != last+1 {
			t.Fatalf("packet %d after %d", p.SequenceNumber, last)
		}
		last = p.SequenceNumber
	}
}

func data(t *testing.T, alice, bob *lksdk.Room, aliceSaw, bobSaw *watcher) {
	for _, way := range []struct {
		from *lksdk.Room
		name string
		to   *watcher
	}{{alice, "alice", bobSaw}, {bob, "bob", aliceSaw}} {
		for _, size := range []int{1, 15_000, 60_000} {
			sent := bytes.Repeat([]byte{7}, size)
			err := way.from.LocalParticipant.PublishDataPacket(lksdk.UserData(sent), lksdk.WithDataPublishReliable(true), lksdk.WithDataPublishTopic("t"))
			if err != nil {
				t.Fatal(err)
			}
			got := await(t, fmt.Sprintf("%d bytes from %s", size, way.name), way.to.data)
			if sender := <-way.to.senders; sender != way.name || got.Topic != "t" || !bytes.Equal(got.Payload, sent) {
				t.Fatalf("%d bytes on %q from %q", len(got.Payload), got.Topic, sender)
			}
		}
	}
}

func rpc(t *testing.T, alice, bob *lksdk.Room) {
	if err := bob.RegisterRpcMethod("greet", func(d lksdk.RpcInvocationData) (string, error) {
		return "hello " + d.CallerIdentity + ", " + d.Payload, nil
	}); err != nil {
		t.Fatal(err)
	}
	got, err := alice.LocalParticipant.PerformRpc(lksdk.PerformRpcParams{DestinationIdentity: "bob", Method: "greet", Payload: "you"})
	if err != nil || got == nil || *got != "hello alice, you" {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, err := alice.LocalParticipant.PerformRpc(lksdk.PerformRpcParams{DestinationIdentity: "bob", Method: "none"}); err == nil {
		t.Fatal("a method that nobody registered answered")
	}
}

func TestDisconnectReasons(t *testing.T) {
	api := lksdk.NewRoomServiceClient(focus.http, "devkey", "secret")
	ctx := context.Background()
	for _, c := range []struct {
		name string
		act  func(t *testing.T, session string) error
		want livekit.DisconnectReason
	}{
		{"same identity again", func(t *testing.T, session string) error {
			join(t, session, "carol")
			return nil
		}, livekit.DisconnectReason_DUPLICATE_IDENTITY},
		{"evicted", func(_ *testing.T, session string) error {
			_, err := api.RemoveParticipant(ctx, &livekit.RoomParticipantIdentity{Room: session, Identity: "carol"})
			return err
		}, livekit.DisconnectReason_PARTICIPANT_REMOVED},
		{"session deleted", func(_ *testing.T, session string) error {
			_, err := api.DeleteRoom(ctx, &livekit.DeleteRoomRequest{Room: session})
			return err
		}, livekit.DisconnectReason_ROOM_DELETED},
	} {
		t.Run(c.name, func(t *testing.T) {
			session := "gone " + c.name
			carol, saw := join(t, session, "carol")
			if err := c.act(t, session); err != nil {
				t.Fatal(err)
			}
			await(t, "the end", saw.gone)
			if got := carol.DisconnectReason(); got != c.want {
				t.Fatalf("reason %v, want %v", got, c.want)
			}
		})
	}
}

func TestServerAPI(t *testing.T) {
	api := lksdk.NewRoomServiceClient(focus.http, "devkey", "secret")
	ctx := context.Background()
	const session = "sdk api"
	made, err := api.CreateRoom(ctx, &livekit.CreateRoomRequest{Name: session, Metadata: "m", EmptyTimeout: 60})
	if err != nil || made.Name != session || made.Metadata != "m" {
		t.Fatalf("%v, %v", made, err)
	}
	_, saw := join(t, session, "alice")
	list, err := api.ListParticipants(ctx, &livekit.ListParticipantsRequest{Room: session})
	if err != nil || len(list.Participants) != 1 || list.Participants[0].Identity != "alice" {
		t.Fatalf("%v, %v", list, err)
	}
	topic := "from outside"
	if _, err := api.SendData(ctx, &livekit.SendDataRequest{Room: session, Data: []byte("hi"), Kind: livekit.DataPacket_RELIABLE, Topic: &topic}); err != nil {
		t.Fatal(err)
	}
	if got := await(t, "data from outside", saw.data); string(got.Payload) != "hi" || got.Topic != topic {
		t.Fatalf("%q on %q", got.Payload, got.Topic)
	}
	rooms, err := api.ListRooms(ctx, &livekit.ListRoomsRequest{Names: []string{session}})
	if err != nil || len(rooms.Rooms) != 1 || rooms.Rooms[0].NumParticipants > 1 {
		t.Fatalf("%v, %v", rooms, err)
	}
}
