package socket

import (
	"context"
	"errors"
	"slices"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/wire"
)

// answer does one call of RoomService (livekit.md section 9).
func (s *Server) answer(c caller, asked wire.Call) (wire.Reply, error) {
	if !c.permitted(asked) {
		return nil, unauthenticated
	}
	if call, ok := asked.(wire.PerformRPC); ok {
		return s.performRPC(c.ctx, call)
	}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithTimeout(c.ctx, callTimeout)
	defer cancel()
	switch asked := asked.(type) {
	case wire.CreateRoom:
		return s.createRoom(c.ctx, asked)
	case wire.ListRooms:
		return s.listRooms(c.ctx, asked)
	case wire.DeleteRoom:
		return s.done(c.ctx, asked, session.Close{Reason: session.SessionDeleted})
	case wire.UpdateRoomMetadata:
		return s.updateRoomMetadata(c.ctx, asked)
	case wire.ForwardParticipant, wire.MoveParticipant:
		return nil, unimplemented
	}
	return s.answerParticipant(c.ctx, asked)
}

// answerParticipant does the calls about participants.
func (s *Server) answerParticipant(ctx context.Context, asked wire.Call) (wire.Reply, error) {
	switch asked := asked.(type) {
	case wire.ListParticipants:
		return s.listParticipants(ctx, asked)
	case wire.GetParticipant:
		return s.participant(ctx, asked.Session, asked.Identity)
	case wire.RemoveParticipant:
		if asked.Identity == "" {
			return nil, unnamed
		}
		return s.done(ctx, asked, session.Evict{Identity: asked.Identity, Reason: session.ParticipantRemoved})
	case wire.MutePublishedTrack:
		return s.mute(ctx, asked)
	case wire.UpdateParticipant:
		return s.updateParticipant(ctx, asked)
	case wire.UpdateSubscriptions:
		return s.done(ctx, asked, asked.Event)
	case wire.SendData:
		return s.done(ctx, asked, asked.Event)
	}
	return nil, unimplemented
}

// done lets an event happen and has nothing to say about it.
func (s *Server) done(ctx context.Context, asked wire.Call, ev session.Event) (wire.Reply, error) {
	if err := s.focus.Call(ctx, asked.Room(), ev); err != nil {
		return nil, err
	}
	return wire.Done{}, nil
}

// createRoom opens a session. One that is open keeps what the call leaves out.
func (s *Server) createRoom(ctx context.Context, asked wire.CreateRoom) (wire.Reply, error) {
	switch {
	case asked.Session == "":
		return nil, wire.Fault{Code: wire.InvalidArgument, Text: "room name cannot be empty"}
	case len(asked.Session) > maxName || len(asked.Config.Metadata) > maxMetadata:
		return nil, overLimit
	}
	base := s.cfg.Session
	snap, err := s.focus.Snapshot(ctx, asked.Session)
	switch {
	case err == nil:
		v := snap.View
		base = session.Config{Metadata: v.Metadata, EmptyTimeout: v.EmptyTimeout, DepartureTimeout: v.DepartureTimeout,
			MaxParticipants: v.MaxParticipants, Encoding: v.Encodings}
	case !errors.Is(err, session.ErrNoSession):
		return nil, err
	}
	view, err := s.focus.Open(asked.Session, overlay(base, asked.Config))
	if err != nil {
		return nil, err
	}
	return wire.RoomReply{View: view}, nil
}

func (s *Server) listRooms(ctx context.Context, asked wire.ListRooms) (wire.Reply, error) {
	views := s.focus.Sessions(ctx)
	if len(asked.Names) > 0 {
		views = slices.DeleteFunc(views, func(v session.View) bool { return !slices.Contains(asked.Names, v.ID) })
	}
	slices.SortFunc(views, func(a, b session.View) int { return a.Created.Compare(b.Created) })
	return wire.RoomsReply{Views: views}, nil
}

func (s *Server) updateRoomMetadata(ctx context.Context, asked wire.UpdateRoomMetadata) (wire.Reply, error) {
	if len(asked.Event.Metadata) > maxMetadata {
		return nil, overLimit
	}
	if err := s.focus.Call(ctx, asked.Session, asked.Event); err != nil {
		return nil, err
	}
	snap, err := s.focus.Snapshot(ctx, asked.Session)
	if err != nil {
		return nil, err
	}
	return wire.RoomReply{View: snap.View}, nil
}

func (s *Server) listParticipants(ctx context.Context, asked wire.ListParticipants) (wire.Reply, error) {
	snap, err := s.focus.Snapshot(ctx, asked.Session)
	if err != nil {
		return nil, err
	}
	return wire.ParticipantsReply{Views: snap.Participants}, nil
}

// participant looks one up; those who are still joining count.
func (s *Server) participant(ctx context.Context, id sfu.SessionID, who sfu.Identity) (wire.Reply, error) {
	snap, err := s.focus.Snapshot(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, p := range snap.Participants {
		if p.Identity == who {
			return wire.ParticipantReply{View: p}, nil
		}
	}
	return nil, session.ErrNoParticipant
}

func (s *Server) mute(ctx context.Context, asked wire.MutePublishedTrack) (wire.Reply, error) {
	if !asked.Event.Muted && !s.cfg.RemoteUnmute {
		return nil, wire.Fault{Code: wire.FailedPrecondition, Text: "remote unmute not enabled"}
	}
	if err := s.focus.Call(ctx, asked.Session, asked.Event); err != nil {
		return nil, err
	}
	found, err := s.participant(ctx, asked.Session, asked.Event.Identity)
	if err != nil {
		return nil, err
	}
	for _, p := range found.(wire.ParticipantReply).View.Publications {
		if p.ID == asked.Event.Publication {
			return wire.TrackReply{View: p}, nil
		}
	}
	return nil, session.ErrNoPublication
}

func (s *Server) updateParticipant(ctx context.Context, asked wire.UpdateParticipant) (wire.Reply, error) {
	size := 0
	for k, v := range asked.Event.Attributes {
		size += len(k) + len(v)
	}
	name, metadata := asked.Event.Name, asked.Event.Metadata
	switch {
	case asked.Event.Identity == "":
		return nil, unnamed
	case name != nil && len(*name) > maxName, metadata != nil && len(*metadata) > maxMetadata, size > maxAttributes:
		return nil, overLimit
	}
	if err := s.focus.Call(ctx, asked.Session, asked.Event); err != nil {
		return nil, err
	}
	return s.participant(ctx, asked.Session, asked.Event.Identity)
}
