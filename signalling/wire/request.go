package wire

import (
	"fmt"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// DecodeRequest reads a frame from a client.
func DecodeRequest(frame []byte, enc Encoding) (Request, error) {
	var m livekit.SignalRequest
	if err := unmarshal(frame, enc, &m, MaxFrame); err != nil {
		return Request{}, err
	}
	switch r := m.Message.(type) {
	case *livekit.SignalRequest_Ping:
		return Request{Ping: &Ping{Old: true, Timestamp: r.Ping}}, nil
	case *livekit.SignalRequest_PingReq:
		return Request{Ping: &Ping{Timestamp: r.PingReq.GetTimestamp(), RTT: r.PingReq.GetRtt()}}, nil
	}
	r := requestIn(&m)
	if r == nil {
		return Request{}, fmt.Errorf("%w request", ErrUnknown)
	}
	return Request{Session: r}, nil
}

// requestIn is nil for a request that is none of ours.
func requestIn(m *livekit.SignalRequest) session.Request {
	switch r := m.Message.(type) {
	case *livekit.SignalRequest_Offer:
		return session.Offer{Description: descriptionIn(r.Offer)}
	case *livekit.SignalRequest_Answer:
		return session.Answer{Description: descriptionIn(r.Answer)}
	case *livekit.SignalRequest_Trickle:
		return trickleIn(r.Trickle)
	case *livekit.SignalRequest_AddTrack:
		return addTrackIn(r.AddTrack)
	case *livekit.SignalRequest_Mute:
		return session.Mute{Publication: sfu.PublicationID(r.Mute.GetSid()), Muted: r.Mute.GetMuted()}
	case *livekit.SignalRequest_Subscription:
		return subscribeIn(r.Subscription)
	case *livekit.SignalRequest_TrackSetting:
		return trackSettingIn(r.TrackSetting)
	case *livekit.SignalRequest_Leave:
		return session.Leave{Reason: reasonIn(r.Leave.GetReason())}
	case *livekit.SignalRequest_SubscriptionPermission:
		return permissionListIn(r.SubscriptionPermission)
	case *livekit.SignalRequest_SyncState:
		return syncIn(r.SyncState)
	case *livekit.SignalRequest_Simulate:
		return simulateIn(r.Simulate)
	case *livekit.SignalRequest_UpdateMetadata:
		return updateOwnIn(r.UpdateMetadata)
	case *livekit.SignalRequest_UpdateAudioTrack:
		return updateAudioIn(r.UpdateAudioTrack)
	case *livekit.SignalRequest_UpdateVideoTrack:
		return updateVideoIn(r.UpdateVideoTrack)
	case *livekit.SignalRequest_PublishDataTrackRequest:
		return publishDataIn(r.PublishDataTrackRequest)
	case *livekit.SignalRequest_UnpublishDataTrackRequest:
		return session.UnpublishData{Handle: handle16(r.UnpublishDataTrackRequest.GetPubHandle())}
	case *livekit.SignalRequest_UpdateDataSubscription:
		return subscribeDataIn(r.UpdateDataSubscription)
	case *livekit.SignalRequest_UpdateLayers:
		return session.Ignored{Name: "update_layers"}
	case *livekit.SignalRequest_StoreDataBlobRequest:
		return session.Ignored{Name: "store_data_blob_request"}
	case *livekit.SignalRequest_GetDataBlobRequest:
		return session.Ignored{Name: "get_data_blob_request"}
	}
	return nil
}

// EncodeRequest writes a frame to a server.
func EncodeRequest(r Request, enc Encoding) ([]byte, error) {
	m := &livekit.SignalRequest{}
	switch {
	case r.Ping != nil && r.Ping.Old:
		m.Message = &livekit.SignalRequest_Ping{Ping: r.Ping.Timestamp}
	case r.Ping != nil:
		m.Message = &livekit.SignalRequest_PingReq{PingReq: &livekit.Ping{Timestamp: r.Ping.Timestamp, Rtt: r.Ping.RTT}}
	case r.Session != nil:
		requestOut(m, r.Session)
	}
	if m.Message == nil {
		return nil, fmt.Errorf("%w: nothing to write for %T", ErrUnknown, r.Session)
	}
	return marshal(enc, m)
}

// requestOut leaves m empty if there is no frame for r.
func requestOut(m *livekit.SignalRequest, r session.Request) {
	switch r := r.(type) {
	case session.Offer:
		m.Message = &livekit.SignalRequest_Offer{Offer: descriptionOut("offer", r.Description)}
	case session.Answer:
		m.Message = &livekit.SignalRequest_Answer{Answer: descriptionOut("answer", r.Description)}
	case session.Trickle:
		m.Message = &livekit.SignalRequest_Trickle{Trickle: trickleOut(r)}
	case session.AddTrack:
		m.Message = &livekit.SignalRequest_AddTrack{AddTrack: addTrackOut(&r)}
	case session.Mute:
		m.Message = &livekit.SignalRequest_Mute{Mute: muteOut(r.Publication, r.Muted)}
	case session.Subscribe:
		m.Message = &livekit.SignalRequest_Subscription{Subscription: subscribeOut(r)}
	case session.TrackSetting:
		m.Message = &livekit.SignalRequest_TrackSetting{TrackSetting: trackSettingOut(r)}
	case session.Leave:
		m.Message = &livekit.SignalRequest_Leave{Leave: &livekit.LeaveRequest{Reason: livekit.DisconnectReason(r.Reason)}}
	case session.Permission:
		m.Message = &livekit.SignalRequest_SubscriptionPermission{SubscriptionPermission: permissionListOut(r)}
	case session.Sync:
		m.Message = &livekit.SignalRequest_SyncState{SyncState: syncOut(&r)}
	case session.Simulate:
		m.Message = &livekit.SignalRequest_Simulate{Simulate: simulateOut(r)}
	case session.UpdateOwn:
		m.Message = &livekit.SignalRequest_UpdateMetadata{UpdateMetadata: updateOwnOut(r)}
	case session.UpdateAudio:
		m.Message = &livekit.SignalRequest_UpdateAudioTrack{UpdateAudioTrack: updateAudioOut(r)}
	case session.UpdateVideo:
		m.Message = &livekit.SignalRequest_UpdateVideoTrack{UpdateVideoTrack: updateVideoOut(r)}
	case session.PublishData:
		m.Message = &livekit.SignalRequest_PublishDataTrackRequest{PublishDataTrackRequest: publishDataOut(r)}
	case session.UnpublishData:
		m.Message = &livekit.SignalRequest_UnpublishDataTrackRequest{UnpublishDataTrackRequest: unpublishDataOut(r)}
	case session.SubscribeData:
		m.Message = &livekit.SignalRequest_UpdateDataSubscription{UpdateDataSubscription: subscribeDataOut(r)}
	case session.Ignored:
		ignoredOut(m, r.Name)
	}
}

func ignoredOut(m *livekit.SignalRequest, name string) {
	switch name {
	case "update_layers":
		//nolint:staticcheck // deprecated: that is why it is ignored
		m.Message = &livekit.SignalRequest_UpdateLayers{UpdateLayers: &livekit.UpdateVideoLayers{}}
	case "store_data_blob_request":
		m.Message = &livekit.SignalRequest_StoreDataBlobRequest{StoreDataBlobRequest: &livekit.StoreDataBlobRequest{}}
	case "get_data_blob_request":
		m.Message = &livekit.SignalRequest_GetDataBlobRequest{GetDataBlobRequest: &livekit.GetDataBlobRequest{}}
	}
}
