package wire

import (
	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

func roomOut(v session.View) *livekit.Room {
	r := &livekit.Room{
		Sid: v.SID, Name: string(v.ID), EmptyTimeout: u32(v.EmptyTimeout), DepartureTimeout: u32(v.DepartureTimeout),
		MaxParticipants: u32(v.MaxParticipants), CreationTime: unixSeconds(v.Created), CreationTimeMs: unixMilli(v.Created),
		Metadata: v.Metadata, NumParticipants: u32(v.Participants), NumPublishers: u32(v.Publishers), ActiveRecording: v.Recording,
	}
	for _, c := range v.Encodings {
		r.EnabledCodecs = append(r.EnabledCodecs, &livekit.Codec{Mime: c.Mime()})
	}
	return r
}

func roomIn(r *livekit.Room) session.View {
	v := session.View{
		ID: sfu.SessionID(r.GetName()), SID: r.GetSid(), Metadata: r.GetMetadata(), Created: milliTime(r.GetCreationTimeMs()),
		Participants: int(r.GetNumParticipants()), Publishers: int(r.GetNumPublishers()),
		MaxParticipants: int(r.GetMaxParticipants()), EmptyTimeout: int(r.GetEmptyTimeout()),
		DepartureTimeout: int(r.GetDepartureTimeout()), Recording: r.GetActiveRecording(),
	}
	v.Encodings = session.Encodings(codecsIn(r.GetEnabledCodecs()))
	return v
}

func codecsIn(list []*livekit.Codec) []sfu.Codec {
	var out []sfu.Codec
	for _, c := range list {
		if codec := sfu.ParseCodec(c.GetMime()); codec != sfu.NoCodec {
			out = append(out, codec)
		}
	}
	return out
}

func participantOut(v *session.ParticipantView) *livekit.ParticipantInfo {
	p := &livekit.ParticipantInfo{
		Sid: string(v.ID), Identity: string(v.Identity), State: livekit.ParticipantInfo_State(v.State), Metadata: v.Metadata,
		JoinedAt: unixSeconds(v.JoinedAt), JoinedAtMs: unixMilli(v.JoinedAt), Name: v.Name, Version: v.Version,
		Permission: permissionOut(v.Grant), Region: v.Region, IsPublisher: v.IsPublisher,
		Kind: livekit.ParticipantInfo_Kind(v.Kind), Attributes: v.Attributes,
		DisconnectReason: livekit.DisconnectReason(v.Reason), ClientProtocol: i32(v.ClientProtocol),
		Capabilities: capabilitiesOut(v.Software),
	}
	for i := range v.Publications {
		p.Tracks = append(p.Tracks, trackOut(&v.Publications[i]))
	}
	for i := range v.DataTracks {
		p.DataTracks = append(p.DataTracks, dataTrackOut(&v.DataTracks[i]))
	}
	return p
}

func participantIn(p *livekit.ParticipantInfo) session.ParticipantView {
	v := session.ParticipantView{
		ID: sfu.ParticipantID(p.GetSid()), Identity: sfu.Identity(p.GetIdentity()), Name: p.GetName(), Metadata: p.GetMetadata(),
		Attributes: full(p.GetAttributes()), State: enum8(p.GetState(), session.Disconnected, session.Disconnected),
		Kind: enum8(p.GetKind(), session.ParticipantKind(255), session.Standard), Grant: permissionIn(p.GetPermission()),
		Version: p.GetVersion(), JoinedAt: milliTime(p.GetJoinedAtMs()), IsPublisher: p.GetIsPublisher(),
		Reason: reasonIn(p.GetDisconnectReason()), Region: p.GetRegion(), ClientProtocol: int(p.GetClientProtocol()),
	}
	capabilitiesIn(&v.Software, p.GetCapabilities())
	for _, t := range p.GetTracks() {
		v.Publications = append(v.Publications, trackIn(t))
	}
	for _, t := range p.GetDataTracks() {
		v.DataTracks = append(v.DataTracks, dataTrackIn(t))
	}
	return v
}

func participantsOut(list []session.ParticipantView) []*livekit.ParticipantInfo {
	var out []*livekit.ParticipantInfo
	for i := range list {
		out = append(out, participantOut(&list[i]))
	}
	return out
}

func participantsIn(list []*livekit.ParticipantInfo) []session.ParticipantView {
	var out []session.ParticipantView
	for _, p := range list {
		out = append(out, participantIn(p))
	}
	return out
}

func reasonIn(r livekit.DisconnectReason) session.LeaveReason {
	return enum8(r, session.LeaveReason(255), session.UnknownReason)
}

func permissionOut(g session.Grant) *livekit.ParticipantPermission {
	p := &livekit.ParticipantPermission{
		CanSubscribe: g.Subscribe, CanPublish: g.Publish, CanPublishData: g.PublishData, Hidden: g.Hidden,
		CanUpdateMetadata: g.UpdateOwn, CanSubscribeMetrics: g.Metrics,
		Recorder: g.Recorder, Agent: g.Agent, //nolint:staticcheck // deprecated, but what older clients read
	}
	for _, s := range g.Sources {
		p.CanPublishSources = append(p.CanPublishSources, livekit.TrackSource(s))
	}
	return p
}

func permissionIn(p *livekit.ParticipantPermission) session.Grant {
	g := session.Grant{
		Publish: p.GetCanPublish(), Subscribe: p.GetCanSubscribe(), PublishData: p.GetCanPublishData(),
		UpdateOwn: p.GetCanUpdateMetadata(), Metrics: p.GetCanSubscribeMetrics(), Hidden: p.GetHidden(),
		Recorder: p.GetRecorder(), Agent: p.GetAgent(), //nolint:staticcheck // deprecated, but what older callers write
	}
	for _, s := range p.GetCanPublishSources() {
		if s > 0 && s <= livekit.TrackSource(sfu.ScreenAudio) {
			g.Sources = append(g.Sources, sfu.Source(s))
		}
	}
	// A list of which we know nothing permits nothing: an empty list would permit all.
	if len(p.GetCanPublishSources()) > 0 && len(g.Sources) == 0 {
		g.Publish = false
	}
	return g
}

func capabilitiesOut(s sfu.Software) []livekit.ClientInfo_Capability {
	var out []livekit.ClientInfo_Capability
	if s.PacketTrailer {
		out = append(out, livekit.ClientInfo_CAP_PACKET_TRAILER)
	}
	if s.DeflateRaw {
		out = append(out, livekit.ClientInfo_CAP_COMPRESSION_DEFLATE_RAW)
	}
	return out
}

func capabilitiesIn(s *sfu.Software, list []livekit.ClientInfo_Capability) {
	for _, c := range list {
		s.PacketTrailer = s.PacketTrailer || c == livekit.ClientInfo_CAP_PACKET_TRAILER
		s.DeflateRaw = s.DeflateRaw || c == livekit.ClientInfo_CAP_COMPRESSION_DEFLATE_RAW
	}
}
