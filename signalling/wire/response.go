package wire

import (
	"fmt"
	"time"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// DecodeResponse reads a frame from a server.
func DecodeResponse(frame []byte, enc Encoding) (Response, error) {
	var m livekit.SignalResponse
	if err := unmarshal(frame, enc, &m, MaxFrame); err != nil {
		return Response{}, err
	}
	switch r := m.Message.(type) {
	case *livekit.SignalResponse_Pong:
		return Response{Pong: &Pong{Old: true, Timestamp: r.Pong}}, nil
	case *livekit.SignalResponse_PongResp:
		return Response{Pong: &Pong{LastTimestamp: r.PongResp.GetLastPingTimestamp(), Timestamp: r.PongResp.GetTimestamp()}}, nil
	case *livekit.SignalResponse_RefreshToken:
		return Response{Token: r.RefreshToken}, nil
	case *livekit.SignalResponse_Join:
		return joinIn(r.Join), nil
	case *livekit.SignalResponse_Reconnect:
		return Response{
			Session: session.Resumed{
				ICEServers: iceServersIn(r.Reconnect.GetIceServers()), LastSeq: r.Reconnect.GetLastMessageSeq(),
			},
			Server: serverIn(r.Reconnect.GetServerInfo(), r.Reconnect.GetClientConfiguration()),
		}, nil
	}
	msg := controlIn(&m)
	if msg == nil {
		msg = mediaIn(&m)
	}
	if msg == nil {
		return Response{}, fmt.Errorf("%w response", ErrUnknown)
	}
	return Response{Session: msg}, nil
}

func joinIn(j *livekit.JoinResponse) Response {
	server := serverIn(j.GetServerInfo(), j.GetClientConfiguration())
	server.PingInterval = time.Duration(j.GetPingInterval()) * time.Second
	server.PingTimeout = time.Duration(j.GetPingTimeout()) * time.Second
	return Response{Server: server, Session: session.Welcome{
		Session: roomIn(j.GetRoom()), Self: participantIn(j.GetParticipant()), Others: participantsIn(j.GetOtherParticipants()),
		ICEServers: iceServersIn(j.GetIceServers()), SubscriberPrimary: j.GetSubscriberPrimary(), SIFTrailer: j.GetSifTrailer(),
		Publish: codecsIn(j.GetEnabledPublishCodecs()), FastPublish: j.GetFastPublish(),
		ForceRelay: j.GetClientConfiguration().GetForceRelay() == livekit.ClientConfigSetting_ENABLED,
	}}
}

func controlIn(m *livekit.SignalResponse) session.Message {
	switch r := m.Message.(type) {
	case *livekit.SignalResponse_Leave:
		return leaveIn(r.Leave)
	case *livekit.SignalResponse_Answer:
		return session.Answered{Description: descriptionIn(r.Answer)}
	case *livekit.SignalResponse_Offer:
		return session.Offered{Description: descriptionIn(r.Offer)}
	case *livekit.SignalResponse_Trickle:
		t := trickleIn(r.Trickle)
		return session.Candidate{Target: t.Target, Init: t.Init, Final: t.Final}
	case *livekit.SignalResponse_MediaSectionsRequirement:
		return session.SectionsNeeded{
			Audios: int(r.MediaSectionsRequirement.GetNumAudios()), Videos: int(r.MediaSectionsRequirement.GetNumVideos()),
		}
	case *livekit.SignalResponse_RoomUpdate:
		return session.SessionUpdate{Session: roomIn(r.RoomUpdate.GetRoom())}
	case *livekit.SignalResponse_Update:
		return session.Update{Participants: participantsIn(r.Update.GetParticipants())}
	case *livekit.SignalResponse_ConnectionQuality:
		return qualityUpdateIn(r.ConnectionQuality)
	case *livekit.SignalResponse_RequestResponse:
		return responseIn(r.RequestResponse)
	case *livekit.SignalResponse_PublishDataTrackResponse:
		return session.DataPublished{Track: dataTrackIn(r.PublishDataTrackResponse.GetInfo())}
	case *livekit.SignalResponse_UnpublishDataTrackResponse:
		return session.DataUnpublished{Track: dataTrackIn(r.UnpublishDataTrackResponse.GetInfo())}
	case *livekit.SignalResponse_DataTrackSubscriberHandles:
		return handlesIn(r.DataTrackSubscriberHandles)
	}
	return nil
}

func mediaIn(m *livekit.SignalResponse) session.Message {
	switch r := m.Message.(type) {
	case *livekit.SignalResponse_TrackPublished:
		return session.Published{CID: r.TrackPublished.GetCid(), Track: trackIn(r.TrackPublished.GetTrack())}
	case *livekit.SignalResponse_TrackUnpublished:
		return session.Unpublished{Publication: sfu.PublicationID(r.TrackUnpublished.GetTrackSid())}
	case *livekit.SignalResponse_Mute:
		return session.MuteOwn{Publication: sfu.PublicationID(r.Mute.GetSid()), Muted: r.Mute.GetMuted()}
	case *livekit.SignalResponse_SpeakersChanged:
		return speakersIn(r.SpeakersChanged)
	case *livekit.SignalResponse_StreamStateUpdate:
		return streamStatesIn(r.StreamStateUpdate)
	case *livekit.SignalResponse_SubscribedQualityUpdate:
		return demandIn(r.SubscribedQualityUpdate)
	case *livekit.SignalResponse_SubscriptionPermissionUpdate:
		return session.PermissionUpdate{
			Participant: sfu.ParticipantID(r.SubscriptionPermissionUpdate.GetParticipantSid()),
			Publication: sfu.PublicationID(r.SubscriptionPermissionUpdate.GetTrackSid()),
			Allowed:     r.SubscriptionPermissionUpdate.GetAllowed(),
		}
	case *livekit.SignalResponse_SubscriptionResponse:
		return session.SubscriptionFailed{
			Publication: sfu.PublicationID(r.SubscriptionResponse.GetTrackSid()),
			Unsupported: r.SubscriptionResponse.GetErr() == livekit.SubscriptionError_SE_CODEC_UNSUPPORTED,
		}
	case *livekit.SignalResponse_TrackSubscribed:
		return session.Subscribed{Publication: sfu.PublicationID(r.TrackSubscribed.GetTrackSid())}
	}
	return nil
}

// leaveIn reads either spelling of what the client shall do.
func leaveIn(l *livekit.LeaveRequest) session.Goodbye {
	out := session.Goodbye{
		Reason: reasonIn(l.GetReason()), Action: enum8(l.GetAction(), session.ActionReconnect, session.ActionDisconnect),
	}
	if l.GetCanReconnect() && out.Action == session.ActionDisconnect {
		out.Action = session.ActionReconnect
	}
	return out
}

func speakersIn(s *livekit.SpeakersChanged) session.Speakers {
	var out session.Speakers
	for _, l := range s.GetSpeakers() {
		out.Levels = append(out.Levels, session.SpeakerLevel{
			Participant: sfu.ParticipantID(l.GetSid()), Level: l.GetLevel(), Active: l.GetActive(),
		})
	}
	return out
}

func streamStatesIn(s *livekit.StreamStateUpdate) session.StreamStates {
	var out session.StreamStates
	for _, st := range s.GetStreamStates() {
		out.States = append(out.States, session.StreamState{
			Participant: sfu.ParticipantID(st.GetParticipantSid()), Publication: sfu.PublicationID(st.GetTrackSid()),
			Paused: st.GetState() == livekit.StreamState_PAUSED,
		})
	}
	return out
}

func qualityUpdateIn(u *livekit.ConnectionQualityUpdate) session.Quality {
	var out session.Quality
	for _, q := range u.GetUpdates() {
		out.Updates = append(out.Updates, session.QualityUpdate{
			Participant: sfu.ParticipantID(q.GetParticipantSid()), Score: q.GetScore(),
			Quality: enum8(q.GetQuality(), session.Lost, session.Poor),
		})
	}
	return out
}

func demandIn(u *livekit.SubscribedQualityUpdate) session.Demand {
	out := session.Demand{Publication: sfu.PublicationID(u.GetTrackSid())}
	for _, c := range u.GetSubscribedCodecs() {
		row := session.CodecDemand{Codec: sfu.ParseCodec(c.GetCodec())}
		for _, q := range c.GetQualities() {
			if n := q.GetQuality(); n >= 0 && int(n) < len(row.Enabled) {
				row.Enabled[n] = q.GetEnabled()
			}
		}
		out.Codecs = append(out.Codecs, row)
	}
	return out
}

func handlesIn(h *livekit.DataTrackSubscriberHandles) session.DataHandles {
	var out session.DataHandles
	for n, t := range h.GetSubHandles() {
		if handle16(n) == 0 {
			continue
		}
		if out.Handles == nil {
			out.Handles = map[uint16]session.DataHandle{}
		}
		out.Handles[handle16(n)] = session.DataHandle{
			Publisher: sfu.ParticipantID(t.GetPublisherSid()), Identity: sfu.Identity(t.GetPublisherIdentity()),
			Publication: sfu.PublicationID(t.GetTrackSid()),
		}
	}
	return out
}

func responseIn(r *livekit.RequestResponse) session.Response {
	out := session.Response{
		RequestID: r.GetRequestId(), Outcome: enum8(r.GetReason(), session.InvalidRequest, session.UnclassifiedError),
		Text: r.GetMessage(),
	}
	switch q := r.GetRequest().(type) {
	case *livekit.RequestResponse_Trickle:
		out.Request = trickleIn(q.Trickle)
	case *livekit.RequestResponse_AddTrack:
		out.Request = addTrackIn(q.AddTrack)
	case *livekit.RequestResponse_Mute:
		out.Request = session.Mute{Publication: sfu.PublicationID(q.Mute.GetSid()), Muted: q.Mute.GetMuted()}
	case *livekit.RequestResponse_UpdateMetadata:
		out.Request = updateOwnIn(q.UpdateMetadata)
	case *livekit.RequestResponse_UpdateAudioTrack:
		out.Request = updateAudioIn(q.UpdateAudioTrack)
	case *livekit.RequestResponse_UpdateVideoTrack:
		out.Request = updateVideoIn(q.UpdateVideoTrack)
	case *livekit.RequestResponse_PublishDataTrack:
		out.Request = publishDataIn(q.PublishDataTrack)
	case *livekit.RequestResponse_UnpublishDataTrack:
		out.Request = session.UnpublishData{Handle: handle16(q.UnpublishDataTrack.GetPubHandle())}
	}
	return out
}
