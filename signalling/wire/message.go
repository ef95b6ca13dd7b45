package wire

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// Encode writes a message as the frames that carry it: several for a large Update, none for what is not sent as such
// (GrantChanged, Hangup).
func (d Dialect) Encode(m session.Message, enc Encoding) ([][]byte, error) {
	if u, ok := m.(session.Update); ok {
		return updateOut(u, enc)
	}
	r := &livekit.SignalResponse{}
	switch m.(type) {
	case session.GrantChanged, session.Hangup:
		return nil, nil
	}
	d.connectionOut(r, m)
	mediaOut(r, m)
	d.dataOut(r, m)
	if r.Message == nil {
		return nil, fmt.Errorf("%w message %T", ErrUnknown, m)
	}
	frame, err := marshal(enc, r)
	if err != nil {
		return nil, err
	}
	return [][]byte{frame}, nil
}

// Pong answers a ping. The old one is in Unix milliseconds: nanoseconds overflow the numbers of JavaScript.
func (d Dialect) Pong(p Ping, now time.Time, enc Encoding) ([]byte, error) {
	r := &livekit.SignalResponse{}
	if p.Old {
		r.Message = &livekit.SignalResponse_Pong{Pong: now.UnixMilli()}
	} else {
		r.Message = &livekit.SignalResponse_PongResp{
			PongResp: &livekit.Pong{LastPingTimestamp: p.Timestamp, Timestamp: now.UnixMilli()},
		}
	}
	return marshal(enc, r)
}

// Token hands the client a newer token.
func (d Dialect) Token(token string, enc Encoding) ([]byte, error) {
	return marshal(enc, &livekit.SignalResponse{Message: &livekit.SignalResponse_RefreshToken{RefreshToken: token}})
}

// connectionOut writes what a connection begins and ends with, and descriptions.
func (d Dialect) connectionOut(r *livekit.SignalResponse, m session.Message) {
	switch m := m.(type) {
	case session.Welcome:
		r.Message = &livekit.SignalResponse_Join{Join: d.joinOut(&m)}
	case session.Resumed:
		r.Message = &livekit.SignalResponse_Reconnect{Reconnect: &livekit.ReconnectResponse{
			IceServers: iceServersOut(m.ICEServers), ClientConfiguration: d.configurationOut(false),
			ServerInfo: d.serverOut(), LastMessageSeq: m.LastSeq,
		}}
	case session.Goodbye:
		r.Message = &livekit.SignalResponse_Leave{Leave: d.leaveOut(m)}
	case session.Answered:
		r.Message = &livekit.SignalResponse_Answer{Answer: descriptionOut("answer", m.Description)}
	case session.Offered:
		r.Message = &livekit.SignalResponse_Offer{Offer: descriptionOut("offer", m.Description)}
	case session.Candidate:
		r.Message = &livekit.SignalResponse_Trickle{Trickle: &livekit.TrickleRequest{
			CandidateInit: candidateOut(m.Init, ""), Target: livekit.SignalTarget(m.Target), Final: m.Final,
		}}
	case session.SectionsNeeded:
		r.Message = &livekit.SignalResponse_MediaSectionsRequirement{MediaSectionsRequirement: &livekit.MediaSectionsRequirement{
			NumAudios: u32(m.Audios), NumVideos: u32(m.Videos),
		}}
	case session.SessionUpdate:
		r.Message = &livekit.SignalResponse_RoomUpdate{RoomUpdate: &livekit.RoomUpdate{Room: roomOut(m.Session)}}
	}
}

// leaveOut writes action, or for clients before protocol 13 can_reconnect (livekit.md, gates).
func (d Dialect) leaveOut(m session.Goodbye) *livekit.LeaveRequest {
	l := &livekit.LeaveRequest{Reason: livekit.DisconnectReason(m.Reason)}
	if d.before(13) {
		l.CanReconnect = m.Action != session.ActionDisconnect
	} else {
		l.Action = livekit.LeaveRequest_Action(m.Action)
	}
	return l
}

// before reports a client that speaks an older protocol than p.
func (d Dialect) before(p int) bool { return d.Protocol != 0 && d.Protocol < p }

// mediaOut writes what tells of publications and subscriptions.
func mediaOut(r *livekit.SignalResponse, m session.Message) {
	switch m := m.(type) {
	case session.Published:
		r.Message = &livekit.SignalResponse_TrackPublished{TrackPublished: &livekit.TrackPublishedResponse{
			Cid: m.CID, Track: trackOut(&m.Track),
		}}
	case session.MuteOwn:
		r.Message = &livekit.SignalResponse_Mute{Mute: muteOut(m.Publication, m.Muted)}
	case session.Speakers:
		s := &livekit.SpeakersChanged{}
		for _, l := range m.Levels {
			s.Speakers = append(s.Speakers, &livekit.SpeakerInfo{Sid: string(l.Participant), Level: l.Level, Active: l.Active})
		}
		r.Message = &livekit.SignalResponse_SpeakersChanged{SpeakersChanged: s}
	case session.StreamStates:
		s := &livekit.StreamStateUpdate{}
		for _, st := range m.States {
			row := &livekit.StreamStateInfo{ParticipantSid: string(st.Participant), TrackSid: string(st.Publication)}
			if st.Paused {
				row.State = livekit.StreamState_PAUSED
			}
			s.StreamStates = append(s.StreamStates, row)
		}
		r.Message = &livekit.SignalResponse_StreamStateUpdate{StreamStateUpdate: s}
	case session.Demand:
		r.Message = &livekit.SignalResponse_SubscribedQualityUpdate{SubscribedQualityUpdate: demandOut(m)}
	case session.PermissionUpdate:
		r.Message = &livekit.SignalResponse_SubscriptionPermissionUpdate{
			SubscriptionPermissionUpdate: &livekit.SubscriptionPermissionUpdate{
				ParticipantSid: string(m.Participant), TrackSid: string(m.Publication), Allowed: m.Allowed,
			},
		}
	case session.SubscriptionFailed:
		e := livekit.SubscriptionError_SE_TRACK_NOTFOUND
		if m.Unsupported {
			e = livekit.SubscriptionError_SE_CODEC_UNSUPPORTED
		}
		r.Message = &livekit.SignalResponse_SubscriptionResponse{SubscriptionResponse: &livekit.SubscriptionResponse{
			TrackSid: string(m.Publication), Err: e,
		}}
	case session.Subscribed:
		r.Message = &livekit.SignalResponse_TrackSubscribed{TrackSubscribed: &livekit.TrackSubscribed{
			TrackSid: string(m.Publication),
		}}
	}
}

// dataOut writes answers, and what depends on the client's protocol.
func (d Dialect) dataOut(r *livekit.SignalResponse, m session.Message) {
	switch m := m.(type) {
	case session.Unpublished:
		if d.before(7) { // older clients know the muting of what ended
			r.Message = &livekit.SignalResponse_Mute{Mute: muteOut(m.Publication, true)}
			return
		}
		r.Message = &livekit.SignalResponse_TrackUnpublished{TrackUnpublished: &livekit.TrackUnpublishedResponse{
			TrackSid: string(m.Publication),
		}}
	case session.Quality:
		r.Message = &livekit.SignalResponse_ConnectionQuality{ConnectionQuality: d.qualityOut(m)}
	case session.Response:
		r.Message = &livekit.SignalResponse_RequestResponse{RequestResponse: responseOut(m)}
	case session.DataPublished:
		r.Message = &livekit.SignalResponse_PublishDataTrackResponse{
			PublishDataTrackResponse: &livekit.PublishDataTrackResponse{Info: dataTrackOut(&m.Track)},
		}
	case session.DataUnpublished:
		r.Message = &livekit.SignalResponse_UnpublishDataTrackResponse{
			UnpublishDataTrackResponse: &livekit.UnpublishDataTrackResponse{Info: dataTrackOut(&m.Track)},
		}
	case session.DataHandles:
		r.Message = &livekit.SignalResponse_DataTrackSubscriberHandles{DataTrackSubscriberHandles: handlesOut(m)}
	}
}

func (d Dialect) qualityOut(m session.Quality) *livekit.ConnectionQualityUpdate {
	out := &livekit.ConnectionQualityUpdate{}
	for _, q := range m.Updates {
		row := &livekit.ConnectionQualityInfo{
			ParticipantSid: string(q.Participant), Quality: livekit.ConnectionQuality(q.Quality), Score: q.Score,
		}
		if d.before(11) && q.Quality == session.Lost { // LOST came with protocol 11
			row.Quality = livekit.ConnectionQuality_POOR
		}
		out.Updates = append(out.Updates, row)
	}
	return out
}

// demandOut writes demand by codec, and for clients that know no codecs the sum over all.
func demandOut(m session.Demand) *livekit.SubscribedQualityUpdate {
	rows := func(enabled [3]bool) []*livekit.SubscribedQuality {
		var out []*livekit.SubscribedQuality
		for q, on := range enabled {
			out = append(out, &livekit.SubscribedQuality{Quality: livekit.VideoQuality(q), Enabled: on})
		}
		return out
	}
	out := &livekit.SubscribedQualityUpdate{TrackSid: string(m.Publication)}
	var sum [3]bool
	for _, c := range m.Codecs {
		out.SubscribedCodecs = append(out.SubscribedCodecs, &livekit.SubscribedCodec{
			Codec: c.Codec.String(), Qualities: rows(c.Enabled),
		})
		for q, on := range c.Enabled {
			sum[q] = sum[q] || on
		}
	}
	out.SubscribedQualities = rows(sum) //nolint:staticcheck // deprecated: for older clients
	return out
}

func handlesOut(m session.DataHandles) *livekit.DataTrackSubscriberHandles {
	out := &livekit.DataTrackSubscriberHandles{}
	for h, d := range m.Handles {
		if out.SubHandles == nil {
			out.SubHandles = make(map[uint32]*livekit.DataTrackSubscriberHandles_PublishedDataTrack, len(m.Handles))
		}
		out.SubHandles[uint32(h)] = &livekit.DataTrackSubscriberHandles_PublishedDataTrack{
			PublisherIdentity: string(d.Identity), PublisherSid: string(d.Publisher), TrackSid: string(d.Publication),
		}
	}
	return out
}

// responseOut echoes the request, so that the client need not remember it.
func responseOut(m session.Response) *livekit.RequestResponse {
	out := &livekit.RequestResponse{
		RequestId: m.RequestID, Reason: livekit.RequestResponse_Reason(m.Outcome), Message: m.Text,
	}
	switch q := m.Request.(type) {
	case session.Trickle:
		out.Request = &livekit.RequestResponse_Trickle{Trickle: trickleOut(q)}
	case session.AddTrack:
		out.Request = &livekit.RequestResponse_AddTrack{AddTrack: addTrackOut(&q)}
	case session.Mute:
		out.Request = &livekit.RequestResponse_Mute{Mute: muteOut(q.Publication, q.Muted)}
	case session.UpdateOwn:
		out.Request = &livekit.RequestResponse_UpdateMetadata{UpdateMetadata: updateOwnOut(q)}
	case session.UpdateAudio:
		out.Request = &livekit.RequestResponse_UpdateAudioTrack{UpdateAudioTrack: updateAudioOut(q)}
	case session.UpdateVideo:
		out.Request = &livekit.RequestResponse_UpdateVideoTrack{UpdateVideoTrack: updateVideoOut(q)}
	case session.PublishData:
		out.Request = &livekit.RequestResponse_PublishDataTrack{PublishDataTrack: publishDataOut(q)}
	case session.UnpublishData:
		out.Request = &livekit.RequestResponse_UnpublishDataTrack{UnpublishDataTrack: unpublishDataOut(q)}
	}
	return out
}

// updateOut cuts an update so that no frame is much over UpdateChunk; a single participant is never cut.
func updateOut(u session.Update, enc Encoding) ([][]byte, error) {
	var frames [][]byte
	part, size := &livekit.ParticipantUpdate{}, 0
	flush := func() error {
		frame, err := marshal(enc, &livekit.SignalResponse{Message: &livekit.SignalResponse_Update{Update: part}})
		frames, part, size = append(frames, frame), &livekit.ParticipantUpdate{}, 0
		return err
	}
	for i := range u.Participants {
		p := participantOut(&u.Participants[i])
		n := proto.Size(p) + 8 // tag and length
		if size > 0 && size+n > UpdateChunk {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		part.Participants, size = append(part.Participants, p), size+n
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return frames, nil
}

func iceServersOut(list []session.ICEServer) []*livekit.ICEServer {
	var out []*livekit.ICEServer
	for _, s := range list {
		out = append(out, &livekit.ICEServer{Urls: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	return out
}

func iceServersIn(list []*livekit.ICEServer) []session.ICEServer {
	var out []session.ICEServer
	for _, s := range list {
		out = append(out, session.ICEServer{URLs: s.GetUrls(), Username: s.GetUsername(), Credential: s.GetCredential()})
	}
	return out
}

func codecsOut(list []sfu.Codec) []*livekit.Codec {
	var out []*livekit.Codec
	for _, c := range list {
		out = append(out, &livekit.Codec{Mime: c.Mime()})
	}
	return out
}
