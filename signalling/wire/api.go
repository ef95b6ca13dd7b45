package wire

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// DecodeCall reads the body of a RoomService call; ErrUnknown if it has no such method. JSON may be in either case.
func DecodeCall(method string, body []byte, enc Encoding) (Call, error) {
	read := func(m proto.Message) error { return unmarshal(body, enc, m, MaxBody) }
	c, err := decodeRoomCall(method, read)
	if err == nil && c == nil {
		c, err = decodeParticipantCall(method, read)
	}
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fmt.Errorf("%w method", ErrUnknown)
	}
	return c, nil
}

// decodeRoomCall returns nil, nil for a method that is not about a whole session.
func decodeRoomCall(method string, read func(proto.Message) error) (Call, error) {
	switch method {
	case "CreateRoom":
		var m livekit.CreateRoomRequest
		err := read(&m)
		return CreateRoom{
			Session: sfu.SessionID(m.GetName()), Preset: m.GetRoomPreset(),
			Config: session.Config{
				Metadata: m.GetMetadata(), EmptyTimeout: int(m.GetEmptyTimeout()),
				DepartureTimeout: int(m.GetDepartureTimeout()), MaxParticipants: int(m.GetMaxParticipants()),
			},
		}, err
	case "ListRooms":
		var m livekit.ListRoomsRequest
		err := read(&m)
		return ListRooms{Names: texts[sfu.SessionID](m.GetNames())}, err
	case "DeleteRoom":
		var m livekit.DeleteRoomRequest
		err := read(&m)
		return DeleteRoom{Session: sfu.SessionID(m.GetRoom())}, err
	case "ListParticipants":
		var m livekit.ListParticipantsRequest
		err := read(&m)
		return ListParticipants{Session: sfu.SessionID(m.GetRoom())}, err
	case "SendData":
		var m livekit.SendDataRequest
		if err := read(&m); err != nil {
			return nil, err
		}
		return sendDataIn(&m)
	case "UpdateRoomMetadata":
		var m livekit.UpdateRoomMetadataRequest
		err := read(&m)
		return UpdateRoomMetadata{
			Session: sfu.SessionID(m.GetRoom()), Event: session.SetMetadata{Metadata: m.GetMetadata()},
		}, err
	}
	return nil, nil
}

// decodeParticipantCall returns nil, nil for a method there is not.
func decodeParticipantCall(method string, read func(proto.Message) error) (Call, error) {
	switch method {
	case "GetParticipant":
		var m livekit.RoomParticipantIdentity
		err := read(&m)
		return GetParticipant{Session: sfu.SessionID(m.GetRoom()), Identity: sfu.Identity(m.GetIdentity())}, err
	case "RemoveParticipant":
		var m livekit.RoomParticipantIdentity
		err := read(&m)
		out := RemoveParticipant{Session: sfu.SessionID(m.GetRoom()), Identity: sfu.Identity(m.GetIdentity())}
		if ts := m.GetRevokeTokenTs(); ts > 0 && ts < 1<<40 {
			out.RevokeBefore = time.Unix(ts, 0).UTC()
		}
		return out, err
	case "MutePublishedTrack":
		var m livekit.MuteRoomTrackRequest
		err := read(&m)
		return MutePublishedTrack{Session: sfu.SessionID(m.GetRoom()), Event: session.MutePublication{
			Identity: sfu.Identity(m.GetIdentity()), Publication: sfu.PublicationID(m.GetTrackSid()), Muted: m.GetMuted(),
		}}, err
	case "UpdateParticipant":
		var m livekit.UpdateParticipantRequest
		err := read(&m)
		return updateParticipantIn(&m), err
	case "UpdateSubscriptions":
		var m livekit.UpdateSubscriptionsRequest
		err := read(&m)
		return UpdateSubscriptions{Session: sfu.SessionID(m.GetRoom()), Event: session.UpdateSubscriptions{
			Identity: sfu.Identity(m.GetIdentity()),
			Subscribe: session.Subscribe{
				Publications: texts[sfu.PublicationID](m.GetTrackSids()), On: m.GetSubscribe(),
				ByParticipant: participantTracksIn(m.GetParticipantTracks()),
			},
		}}, err
	case "PerformRpc":
		var m livekit.PerformRpcRequest
		err := read(&m)
		return PerformRPC{
			Session: sfu.SessionID(m.GetRoom()), Identity: sfu.Identity(m.GetDestinationIdentity()), Method: m.GetMethod(),
			Payload: m.GetPayload(), Timeout: time.Duration(m.GetResponseTimeoutMs()) * time.Millisecond,
		}, err
	case "ForwardParticipant":
		var m livekit.ForwardParticipantRequest
		err := read(&m)
		return ForwardParticipant{
			Session: sfu.SessionID(m.GetRoom()), Destination: sfu.SessionID(m.GetDestinationRoom()),
			Identity: sfu.Identity(m.GetIdentity()),
		}, err
	case "MoveParticipant":
		var m livekit.MoveParticipantRequest
		err := read(&m)
		return MoveParticipant{
			Session: sfu.SessionID(m.GetRoom()), Destination: sfu.SessionID(m.GetDestinationRoom()),
			Identity: sfu.Identity(m.GetIdentity()),
		}, err
	}
	return nil, nil
}

// updateParticipantIn: what is left empty stays as it is.
func updateParticipantIn(m *livekit.UpdateParticipantRequest) UpdateParticipant {
	out := UpdateParticipant{Session: sfu.SessionID(m.GetRoom()), Event: session.UpdateParticipant{
		Identity: sfu.Identity(m.GetIdentity()), Attributes: full(m.GetAttributes()),
	}}
	if p := m.GetPermission(); p != nil {
		g := permissionIn(p)
		out.Event.Grant = &g
	}
	if name := m.GetName(); name != "" {
		out.Event.Name = &name
	}
	if metadata := m.GetMetadata(); metadata != "" {
		out.Event.Metadata = &metadata
	}
	return out
}

// nonceLen is the only length of a nonce, if there is one (livekit.md section 9).
const nonceLen = 16

func sendDataIn(m *livekit.SendDataRequest) (Call, error) {
	if n := len(m.GetNonce()); n != 0 && n != nonceLen {
		return nil, fmt.Errorf("%w: nonce should be %d bytes or not present, got %d", ErrMalformed, nonceLen, n)
	}
	return SendData{Session: sfu.SessionID(m.GetRoom()), Event: session.Send{
		Packet: UserPacket(m.GetData(), m.Topic, m.GetNonce()), Reliable: m.GetKind() == livekit.DataPacket_RELIABLE,
		To:     texts[sfu.Identity](m.GetDestinationIdentities()),
		ToSIDs: texts[sfu.ParticipantID](m.GetDestinationSids()), //nolint:staticcheck // deprecated, still written
		Topic:  m.Topic, Nonce: string(m.GetNonce()),
	}}, nil
}

// EncodeReply writes the body that answers a call; JSON in snake case with defaults, as Twirp's.
func EncodeReply(r Reply, enc Encoding) ([]byte, error) {
	m := replyOut(r)
	if enc != Text {
		return marshal(enc, m)
	}
	out, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("wire: writing %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return out, nil
}

func replyOut(r Reply) proto.Message {
	switch r := r.(type) {
	case RoomReply:
		return roomOut(r.View)
	case RoomsReply:
		m := &livekit.ListRoomsResponse{}
		for _, v := range r.Views {
			m.Rooms = append(m.Rooms, roomOut(v))
		}
		return m
	case ParticipantReply:
		return participantOut(&r.View)
	case ParticipantsReply:
		return &livekit.ListParticipantsResponse{Participants: participantsOut(r.Views)}
	case TrackReply:
		return &livekit.MuteRoomTrackResponse{Track: trackOut(&r.View)}
	case RPCResult:
		return &livekit.PerformRpcResponse{Payload: r.Payload}
	}
	return &livekit.DeleteRoomResponse{} // Done: every such answer is empty
}
