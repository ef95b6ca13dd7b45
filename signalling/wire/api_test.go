package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

func TestCallsInEitherCase(t *testing.T) {
	name := "n"
	for body, c := range map[string]struct {
		method string
		want   Call
	}{
		`{"name":"r","empty_timeout":300,"departure_timeout":20,"max_participants":0,"unheard_of":1}`: {
			"CreateRoom", CreateRoom{Session: "r", Config: session.Config{EmptyTimeout: 300, DepartureTimeout: 20}},
		},
		`{"name":"r","emptyTimeout":300,"departureTimeout":20,"roomPreset":"p"}`: {
			"CreateRoom", CreateRoom{Session: "r", Preset: "p", Config: session.Config{EmptyTimeout: 300, DepartureTimeout: 20}},
		},
		`{"room":"r","track_sid":"TR_1","identity":"i","muted":true}`: {
			"MutePublishedTrack",
			MutePublishedTrack{Session: "r", Event: session.MutePublication{Identity: "i", Publication: "TR_1", Muted: true}},
		},
		`{"room":"r","identity":"i","name":"n","permission":{"canPublish":true,"canPublishSources":["MICROPHONE"]}}`: {
			"UpdateParticipant", UpdateParticipant{Session: "r", Event: session.UpdateParticipant{
				Identity: "i", Name: &name, Grant: &session.Grant{Publish: true, Sources: []sfu.Source{sfu.Microphone}},
			}},
		},
		`{"room":"r","data":"cA==","kind":"LOSSY","destinationIdentities":["i"]}`: {
			"SendData", SendData{Session: "r", Event: session.Send{
				Packet: UserPacket([]byte("p"), nil, nil), To: []sfu.Identity{"i"},
			}},
		},
		`{"room":"r","identity":"i","revoke_token_ts":"1790000000"}`: {
			"RemoveParticipant", RemoveParticipant{Session: "r", Identity: "i", RevokeBefore: time.Unix(1_790_000_000, 0).UTC()},
		},
		`{"room":"r","destination_identity":"i","method":"m","response_timeout_ms":7000}`: {
			"PerformRpc", PerformRPC{Session: "r", Identity: "i", Method: "m", Timeout: 7 * time.Second},
		},
		`{}`: {"ListRooms", ListRooms{}},
		`{"room":"r","identity":"i","destination_room":"q"}`: {
			"MoveParticipant", MoveParticipant{Session: "r", Identity: "i", Destination: "q"},
		},
	} {
		got, err := DecodeCall(c.method, []byte(body), Text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s:\n got %+v %v\nwant %+v", c.method, body, got, err, c.want)
		}
	}
}

func TestCallsRefused(t *testing.T) {
	for _, c := range []struct {
		method, body string
		enc          Encoding
		want         error
		fault        FaultCode
	}{
		{"StartEgress", "{}", Text, ErrUnknown, BadRoute},
		{"", "", Binary, ErrUnknown, BadRoute},
		{"ListRooms", "{", Text, ErrMalformed, MalformedCall},
		{"ListRooms", "", Text, ErrMalformed, MalformedCall},
		{"ListRooms", "\xff", Binary, ErrMalformed, MalformedCall},
		{"SendData", `{"nonce":"AAAA"}`, Text, ErrMalformed, MalformedCall},
		{"SendData", strings.Repeat(" ", MaxBody+1), Text, ErrTooLarge, InvalidArgument},
	} {
		_, err := DecodeCall(c.method, []byte(c.body), c.enc)
		if !errors.Is(err, c.want) || FaultOf(err).Code != c.fault {
			t.Errorf("%s: %v, fault %v", c.method, err, FaultOf(err))
		}
	}
}

func TestReplies(t *testing.T) {
	for name, c := range map[string]struct {
		reply Reply
		json  string // a part of it: snake case, defaults
		want  proto.Message
	}{
		"room": {
			RoomReply{session.View{ID: "r", SID: "RM_1", Created: time.UnixMilli(1500)}},
			`"num_participants":0`, &livekit.Room{Sid: "RM_1", Name: "r", CreationTime: 1, CreationTimeMs: 1500},
		},
		"rooms": {RoomsReply{}, `"rooms":[]`, &livekit.ListRoomsResponse{}},
		"participant": {
			ParticipantReply{session.ParticipantView{ID: "PA_1", Identity: "i"}},
			`"is_publisher":false`, &livekit.ParticipantInfo{Sid: "PA_1", Identity: "i", Permission: &livekit.ParticipantPermission{}},
		},
		"participants": {ParticipantsReply{}, `"participants":[]`, &livekit.ListParticipantsResponse{}},
		"track": {
			TrackReply{session.PublicationView{ID: "TR_1", Kind: sfu.Video, Muted: true}},
			`"mime_type":""`, &livekit.MuteRoomTrackResponse{Track: &livekit.TrackInfo{Sid: "TR_1", Type: livekit.TrackType_VIDEO, Muted: true}},
		},
		"rpc":  {RPCResult{"p"}, `"payload":"p"`, &livekit.PerformRpcResponse{Payload: "p"}},
		"done": {Done{}, `{}`, &livekit.DeleteRoomResponse{}},
	} {
		text, err := EncodeReply(c.reply, Text)
		if err != nil || !json.Valid(text) || !strings.Contains(strings.ReplaceAll(string(text), " ", ""), c.json) {
			t.Errorf("%s: %s %v", name, text, err)
		}
		raw, err := EncodeReply(c.reply, Binary)
		if err != nil {
			t.Fatal(err)
		}
		got := c.want.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(raw, got); err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s:\n got %v %v\nwant %v", name, got, err, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for err, want := range map[error]struct {
		code   FaultCode
		status int
	}{
		session.ErrNoSession:       {NotFound, 404},
		session.ErrNoParticipant:   {NotFound, 404},
		session.ErrNoPublication:   {NotFound, 404},
		session.ErrNotAllowed:      {PermissionDenied, 403},
		session.ErrRemoteUnmute:    {FailedPrecondition, 412},
		session.ErrTooLarge:        {InvalidArgument, 400},
		session.ErrBadPacket:       {InvalidArgument, 400},
		errors.New("a secret"):     {Internal, 500},
		Fault{Unimplemented, "x"}:  {Unimplemented, 501},
		Fault{Unauthenticated, ""}: {Unauthenticated, 401},
	} {
		f := FaultOf(fmt.Errorf("calling: %w", err))
		if f.Code != want.code || f.Code.Status() != want.status || strings.Contains(f.Text, "secret") {
			t.Errorf("%v: %v, %d", err, f, f.Code.Status())
		}
	}
	if got := string(Fault{NotFound, `a "b"`}.Body()); got != `{"code":"not_found","msg":"a \"b\""}` {
		t.Error(got)
	}
}

// lk-jwt-service reads room.name, participant.identity and participant.disconnectReason (livekit.md section 9).
func TestWebhooks(t *testing.T) {
	view := session.View{ID: "alias", SID: "RM_1"}
	alice := &session.ParticipantView{ID: "PA_1", Identity: "alice"}
	for _, c := range []struct {
		notice session.Notice
		event  string
		parts  []string
	}{
		{session.Notice{Kind: session.SessionStarted}, "room_started", nil},
		{session.Notice{Kind: session.SessionFinished}, "room_finished", []string{`"roomEndReason":"ROOM_END_IDLE_TIMEOUT"`}},
		{
			session.Notice{Kind: session.SessionFinished, Reason: session.SessionDeleted}, "room_finished",
			[]string{`"roomEndReason":"ROOM_END_API_DELETE"`},
		},
		{
			session.Notice{Kind: session.SessionFinished, Reason: session.ServerShutdown}, "room_finished",
			[]string{`"roomEndReason":"ROOM_END_SERVER_SHUTDOWN"`},
		},
		{session.Notice{Kind: session.ParticipantJoined, Participant: alice}, "participant_joined", []string{`"identity":"alice"`}},
		{
			session.Notice{Kind: session.ParticipantLeft, Participant: alice, Reason: session.ClientInitiated}, "participant_left",
			[]string{`"identity":"alice"`, `"disconnectReason":"CLIENT_INITIATED"`},
		},
		{session.Notice{Kind: session.ParticipantAborted, Participant: alice}, "participant_connection_aborted", nil},
		{
			session.Notice{Kind: session.TrackPublished, Participant: alice, Publication: &session.PublicationView{ID: "TR_1", Kind: sfu.Video}},
			"track_published", []string{`"sid":"TR_1"`, `"type":"VIDEO"`},
		},
		{session.Notice{Kind: session.TrackUnpublished, Participant: alice}, "track_unpublished", nil},
	} {
		c.notice.Session = view
		body, err := EncodeWebhook(Webhook{ID: "EV_1", Created: time.Unix(1_790_000_000, 5), Notice: c.notice})
		if err != nil || !json.Valid(body) {
			t.Fatalf("%s: %s %v", c.event, body, err)
		}
		text := strings.NewReplacer(" ", "", "\n", "").Replace(string(body))
		for _, part := range append(c.parts, `"event":"`+c.event+`"`, `"name":"alias"`, `"id":"EV_1"`, `"createdAt":"1790000000"`) {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %s is not in %s", c.event, part, text)
			}
		}
	}
	if _, err := EncodeWebhook(Webhook{Notice: session.Notice{Kind: 99}}); !errors.Is(err, ErrUnknown) {
		t.Errorf("no such notice: %v", err)
	}
}

// FuzzDecodeCall: any body is refused with a typed error, or means the same when written again.
func FuzzDecodeCall(f *testing.F) {
	var methods []string
	for i, sample := range calls {
		for _, enc := range encodings {
			method, body, err := EncodeCall(settled(like(newGen(uint64(i)), sample)), enc)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), body, enc == Text)
			if enc == Text {
				methods = append(methods, method)
			}
		}
	}
	f.Fuzz(func(t *testing.T, pick uint8, body []byte, text bool) {
		enc := Binary
		if text {
			enc = Text
		}
		first, err := DecodeCall(methods[int(pick)%len(methods)], body, enc)
		if err != nil {
			typed(t, err)
			return
		}
		checkCall(t, first, Binary)
	})
}
