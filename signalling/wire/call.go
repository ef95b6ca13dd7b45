package wire

import (
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// Call is a decoded call of the server API (RoomService). Its room is what the grant must name.
type Call interface {
	// Room is the session the call is about; "" if it names none.
	Room() sfu.SessionID
}

type (
	// CreateRoom opens a session, or configures the one there is. Preset names a configuration of the server.
	CreateRoom struct {
		Session sfu.SessionID
		Config  session.Config
		Preset  string
	}
	// ListRooms asks for the open sessions; nil Names: all.
	ListRooms struct{ Names []sfu.SessionID }
	// DeleteRoom ends a session.
	DeleteRoom struct{ Session sfu.SessionID }

	ListParticipants struct{ Session sfu.SessionID }
	GetParticipant   struct {
		Session  sfu.SessionID
		Identity sfu.Identity
	}
	// RemoveParticipant evicts. RevokeBefore: tokens from before are void; zero: the server's choice.
	RemoveParticipant struct {
		Session      sfu.SessionID
		Identity     sfu.Identity
		RevokeBefore time.Time
	}
	MutePublishedTrack struct {
		Session sfu.SessionID
		Event   session.MutePublication
	}
	// UpdateParticipant: empty name and metadata change nothing.
	UpdateParticipant struct {
		Session sfu.SessionID
		Event   session.UpdateParticipant
	}
	UpdateSubscriptions struct {
		Session sfu.SessionID
		Event   session.UpdateSubscriptions
	}
	// SendData's event is ready for the session: its packet is a whole DataPacket.
	SendData struct {
		Session sfu.SessionID
		Event   session.Send
	}
	UpdateRoomMetadata struct {
		Session sfu.SessionID
		Event   session.SetMetadata
	}
	// PerformRPC calls a method of a participant. Timeout 0: the default.
	PerformRPC struct {
		Session  sfu.SessionID
		Identity sfu.Identity
		Method   string
		Payload  string
		Timeout  time.Duration
	}
	// ForwardParticipant and MoveParticipant are not offered, but their rights are checked.
	ForwardParticipant struct {
		Session, Destination sfu.SessionID
		Identity             sfu.Identity
	}
	MoveParticipant struct {
		Session, Destination sfu.SessionID
		Identity             sfu.Identity
	}
)

func (c CreateRoom) Room() sfu.SessionID          { return c.Session }
func (c ListRooms) Room() sfu.SessionID           { return "" }
func (c DeleteRoom) Room() sfu.SessionID          { return c.Session }
func (c ListParticipants) Room() sfu.SessionID    { return c.Session }
func (c GetParticipant) Room() sfu.SessionID      { return c.Session }
func (c RemoveParticipant) Room() sfu.SessionID   { return c.Session }
func (c MutePublishedTrack) Room() sfu.SessionID  { return c.Session }
func (c UpdateParticipant) Room() sfu.SessionID   { return c.Session }
func (c UpdateSubscriptions) Room() sfu.SessionID { return c.Session }
func (c SendData) Room() sfu.SessionID            { return c.Session }
func (c UpdateRoomMetadata) Room() sfu.SessionID  { return c.Session }
func (c PerformRPC) Room() sfu.SessionID          { return c.Session }
func (c ForwardParticipant) Room() sfu.SessionID  { return c.Session }
func (c MoveParticipant) Room() sfu.SessionID     { return c.Session }

// Reply answers a Call.
type Reply interface{ reply() }

type (
	// RoomReply answers CreateRoom and UpdateRoomMetadata, RoomsReply ListRooms.
	RoomReply  struct{ View session.View }
	RoomsReply struct{ Views []session.View }
	// ParticipantReply answers GetParticipant and UpdateParticipant, ParticipantsReply ListParticipants.
	ParticipantReply  struct{ View session.ParticipantView }
	ParticipantsReply struct{ Views []session.ParticipantView }
	// TrackReply answers MutePublishedTrack, RPCResult PerformRPC, Done all others.
	TrackReply struct{ View session.PublicationView }
	RPCResult  struct{ Payload string }
	Done       struct{}
)

func (RoomReply) reply()         {}
func (RoomsReply) reply()        {}
func (ParticipantReply) reply()  {}
func (ParticipantsReply) reply() {}
func (TrackReply) reply()        {}
func (RPCResult) reply()         {}
func (Done) reply()              {}
