package wire

import (
	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

func subscribeIn(u *livekit.UpdateSubscription) session.Subscribe {
	return session.Subscribe{
		Publications: texts[sfu.PublicationID](u.GetTrackSids()), On: u.GetSubscribe(),
		ByParticipant: participantTracksIn(u.GetParticipantTracks()),
	}
}

func participantTracksIn(list []*livekit.ParticipantTracks) map[sfu.ParticipantID][]sfu.PublicationID {
	var out map[sfu.ParticipantID][]sfu.PublicationID
	for _, p := range list {
		if out == nil {
			out = make(map[sfu.ParticipantID][]sfu.PublicationID, len(list))
		}
		id := sfu.ParticipantID(p.GetParticipantSid())
		out[id] = append(out[id], texts[sfu.PublicationID](p.GetTrackSids())...)
	}
	return out
}

func subscribeOut(s session.Subscribe) *livekit.UpdateSubscription {
	return &livekit.UpdateSubscription{
		TrackSids: texts[string](s.Publications), Subscribe: s.On, ParticipantTracks: participantTracksOut(s.ByParticipant),
	}
}

func participantTracksOut(m map[sfu.ParticipantID][]sfu.PublicationID) []*livekit.ParticipantTracks {
	var out []*livekit.ParticipantTracks
	for _, id := range sortedKeys(m) {
		out = append(out, &livekit.ParticipantTracks{ParticipantSid: string(id), TrackSids: texts[string](m[id])})
	}
	return out
}

func trackSettingIn(s *livekit.UpdateTrackSettings) session.TrackSetting {
	return session.TrackSetting{
		Publications: texts[sfu.PublicationID](s.GetTrackSids()), Disabled: s.GetDisabled(), Quality: qualityIn(s.GetQuality()),
		Width: int(s.GetWidth()), Height: int(s.GetHeight()), FPS: int(s.GetFps()), Priority: int(s.GetPriority()),
	}
}

func trackSettingOut(s session.TrackSetting) *livekit.UpdateTrackSettings {
	return &livekit.UpdateTrackSettings{
		TrackSids: texts[string](s.Publications), Disabled: s.Disabled, Quality: livekit.VideoQuality(s.Quality),
		Width: u32(s.Width), Height: u32(s.Height), Fps: u32(s.FPS), Priority: u32(s.Priority),
	}
}

func permissionListIn(p *livekit.SubscriptionPermission) session.Permission {
	out := session.Permission{AllParticipants: p.GetAllParticipants()}
	for _, t := range p.GetTrackPermissions() {
		out.Tracks = append(out.Tracks, session.TrackPermission{
			Participant: sfu.ParticipantID(t.GetParticipantSid()), Identity: sfu.Identity(t.GetParticipantIdentity()),
			All: t.GetAllTracks(), Publications: texts[sfu.PublicationID](t.GetTrackSids()),
		})
	}
	return out
}

func permissionListOut(p session.Permission) *livekit.SubscriptionPermission {
	out := &livekit.SubscriptionPermission{AllParticipants: p.AllParticipants}
	for _, t := range p.Tracks {
		out.TrackPermissions = append(out.TrackPermissions, &livekit.TrackPermission{
			ParticipantSid: string(t.Participant), ParticipantIdentity: string(t.Identity), AllTracks: t.All,
			TrackSids: texts[string](t.Publications),
		})
	}
	return out
}

func subscribeDataIn(u *livekit.UpdateDataSubscription) session.SubscribeData {
	var out session.SubscribeData
	for _, d := range u.GetUpdates() {
		out.Updates = append(out.Updates, session.DataSubscription{
			Publication: sfu.PublicationID(d.GetTrackSid()), On: d.GetSubscribe(), FPS: int(d.GetOptions().GetTargetFps()),
		})
	}
	return out
}

func subscribeDataOut(s session.SubscribeData) *livekit.UpdateDataSubscription {
	out := &livekit.UpdateDataSubscription{}
	for _, d := range s.Updates {
		row := &livekit.UpdateDataSubscription_Update{TrackSid: string(d.Publication), Subscribe: d.On}
		if d.FPS > 0 {
			fps := u32(d.FPS)
			row.Options = &livekit.DataTrackSubscriptionOptions{TargetFps: &fps}
		}
		out.Updates = append(out.Updates, row)
	}
	return out
}
