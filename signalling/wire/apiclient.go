package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu/session"
)

// EncodeCall writes a call as a client of the API does.
func EncodeCall(c Call, enc Encoding) (method string, body []byte, err error) {
	method, m := callOut(c)
	if m == nil {
		return "", nil, fmt.Errorf("%w call %T", ErrUnknown, c)
	}
	body, err = marshal(enc, m)
	return method, body, err
}

func callOut(c Call) (method string, m proto.Message) {
	room := string(c.Room())
	switch c := c.(type) {
	case CreateRoom:
		return "CreateRoom", &livekit.CreateRoomRequest{
			Name: room, RoomPreset: c.Preset, Metadata: c.Config.Metadata, EmptyTimeout: u32(c.Config.EmptyTimeout),
			DepartureTimeout: u32(c.Config.DepartureTimeout), MaxParticipants: u32(c.Config.MaxParticipants),
		}
	case ListRooms:
		return "ListRooms", &livekit.ListRoomsRequest{Names: texts[string](c.Names)}
	case DeleteRoom:
		return "DeleteRoom", &livekit.DeleteRoomRequest{Room: room}
	case ListParticipants:
		return "ListParticipants", &livekit.ListParticipantsRequest{Room: room}
	case GetParticipant:
		return "GetParticipant", &livekit.RoomParticipantIdentity{Room: room, Identity: string(c.Identity)}
	case RemoveParticipant:
		return "RemoveParticipant", &livekit.RoomParticipantIdentity{
			Room: room, Identity: string(c.Identity), RevokeTokenTs: unixSeconds(c.RevokeBefore),
		}
	case MutePublishedTrack:
		return "MutePublishedTrack", &livekit.MuteRoomTrackRequest{
			Room: room, Identity: string(c.Event.Identity), TrackSid: string(c.Event.Publication), Muted: c.Event.Muted,
		}
	case UpdateParticipant:
		return "UpdateParticipant", updateParticipantOut(room, c.Event)
	case UpdateSubscriptions:
		return "UpdateSubscriptions", &livekit.UpdateSubscriptionsRequest{
			Room: room, Identity: string(c.Event.Identity), TrackSids: texts[string](c.Event.Subscribe.Publications),
			Subscribe: c.Event.Subscribe.On, ParticipantTracks: participantTracksOut(c.Event.Subscribe.ByParticipant),
		}
	case SendData:
		return "SendData", sendDataOut(room, c.Event)
	case UpdateRoomMetadata:
		return "UpdateRoomMetadata", &livekit.UpdateRoomMetadataRequest{Room: room, Metadata: c.Event.Metadata}
	case PerformRPC:
		return "PerformRpc", &livekit.PerformRpcRequest{
			Room: room, DestinationIdentity: string(c.Identity), Method: c.Method, Payload: c.Payload,
			ResponseTimeoutMs: u32(int(c.Timeout.Milliseconds())),
		}
	case ForwardParticipant:
		return "ForwardParticipant", &livekit.ForwardParticipantRequest{
			Room: room, Identity: string(c.Identity), DestinationRoom: string(c.Destination),
		}
	case MoveParticipant:
		return "MoveParticipant", &livekit.MoveParticipantRequest{
			Room: room, Identity: string(c.Identity), DestinationRoom: string(c.Destination),
		}
	}
	return "", nil
}

func updateParticipantOut(room string, e session.UpdateParticipant) *livekit.UpdateParticipantRequest {
	m := &livekit.UpdateParticipantRequest{Room: room, Identity: string(e.Identity), Attributes: e.Attributes}
	if e.Name != nil {
		m.Name = *e.Name
	}
	if e.Metadata != nil {
		m.Metadata = *e.Metadata
	}
	if e.Grant != nil {
		m.Permission = permissionOut(*e.Grant)
	}
	return m
}

func sendDataOut(room string, e session.Send) *livekit.SendDataRequest {
	m := &livekit.SendDataRequest{
		Room: room, DestinationIdentities: texts[string](e.To), Topic: e.Topic, Nonce: []byte(e.Nonce),
		DestinationSids: texts[string](e.ToSIDs), //nolint:staticcheck // deprecated, still read
	}
	if !e.Reliable {
		m.Kind = livekit.DataPacket_LOSSY
	}
	var p livekit.DataPacket
	if proto.Unmarshal(e.Packet, &p) == nil {
		m.Data = p.GetUser().GetPayload()
	}
	return m
}
