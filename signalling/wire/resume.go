package wire

import (
	"cmp"
	"maps"
	"slices"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// sortedKeys makes what is written of a map the same each time.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func syncIn(s *livekit.SyncState) session.Sync {
	out := session.Sync{Disabled: texts[sfu.PublicationID](s.GetTrackSidsDisabled())}
	if u := s.GetSubscription(); u != nil {
		sub := subscribeIn(u)
		out.Subscription = &sub
	}
	if d := s.GetOffer(); d != nil {
		offer := descriptionIn(d)
		out.Offer = &offer
	}
	if d := s.GetAnswer(); d != nil {
		answer := descriptionIn(d)
		out.Answer = &answer
	}
	for _, p := range s.GetPublishTracks() {
		out.Publications = append(out.Publications, session.SyncPublication{
			CID: p.GetCid(), Publication: sfu.PublicationID(p.GetTrack().GetSid()),
		})
	}
	for _, p := range s.GetPublishDataTracks() {
		out.DataTracks = append(out.DataTracks, dataTrackIn(p.GetInfo()))
	}
	for _, c := range s.GetDataChannels() {
		out.Channels = append(out.Channels, session.Channel{
			Label: c.GetLabel(), ID: handle16(c.GetId()), Target: targetIn(c.GetTarget()),
		})
	}
	for _, r := range s.GetDatachannelReceiveStates() {
		if out.ReceiveStates == nil {
			out.ReceiveStates = map[sfu.ParticipantID]uint32{}
		}
		out.ReceiveStates[sfu.ParticipantID(r.GetPublisherSid())] = r.GetLastSeq()
	}
	return out
}

func syncOut(s *session.Sync) *livekit.SyncState {
	out := &livekit.SyncState{TrackSidsDisabled: texts[string](s.Disabled)}
	if s.Subscription != nil {
		out.Subscription = subscribeOut(*s.Subscription)
	}
	if s.Offer != nil {
		out.Offer = descriptionOut("offer", *s.Offer)
	}
	if s.Answer != nil {
		out.Answer = descriptionOut("answer", *s.Answer)
	}
	for _, p := range s.Publications {
		row := &livekit.TrackPublishedResponse{Cid: p.CID}
		if p.Publication != "" {
			row.Track = &livekit.TrackInfo{Sid: string(p.Publication)}
		}
		out.PublishTracks = append(out.PublishTracks, row)
	}
	for i := range s.DataTracks {
		row := &livekit.PublishDataTrackResponse{}
		if s.DataTracks[i].ID != "" {
			row.Info = dataTrackOut(&s.DataTracks[i])
		}
		out.PublishDataTracks = append(out.PublishDataTracks, row)
	}
	for _, c := range s.Channels {
		out.DataChannels = append(out.DataChannels, &livekit.DataChannelInfo{
			Label: c.Label, Id: uint32(c.ID), Target: livekit.SignalTarget(c.Target),
		})
	}
	for _, id := range sortedKeys(s.ReceiveStates) {
		out.DatachannelReceiveStates = append(out.DatachannelReceiveStates, &livekit.DataChannelReceiveState{
			PublisherSid: string(id), LastSeq: s.ReceiveStates[id],
		})
	}
	return out
}

// simulateIn reads a scenario; one that is switched off is none.
func simulateIn(m *livekit.SimulateScenario) session.Simulate {
	when := func(on bool, s session.Scenario) session.Simulate {
		if !on {
			s = session.SimulateNothing
		}
		return session.Simulate{Scenario: s}
	}
	switch s := m.GetScenario().(type) {
	case *livekit.SimulateScenario_SpeakerUpdate:
		return session.Simulate{Scenario: session.SimulateSpeaker, Seconds: int(s.SpeakerUpdate)}
	case *livekit.SimulateScenario_NodeFailure:
		return when(s.NodeFailure, session.SimulateNodeFailure)
	case *livekit.SimulateScenario_Migration:
		return when(s.Migration, session.SimulateMigration)
	case *livekit.SimulateScenario_ServerLeave:
		return when(s.ServerLeave, session.SimulateServerLeave)
	case *livekit.SimulateScenario_SwitchCandidateProtocol:
		return session.Simulate{
			Scenario: session.SimulateSwitchProtocol, TCP: s.SwitchCandidateProtocol == livekit.CandidateProtocol_TCP,
			TLS: s.SwitchCandidateProtocol == livekit.CandidateProtocol_TLS,
		}
	case *livekit.SimulateScenario_SubscriberBandwidth:
		return session.Simulate{Scenario: session.SimulateBandwidth, Bandwidth: s.SubscriberBandwidth}
	case *livekit.SimulateScenario_DisconnectSignalOnResume:
		return when(s.DisconnectSignalOnResume, session.SimulateDisconnectOnResume)
	case *livekit.SimulateScenario_DisconnectSignalOnResumeNoMessages:
		return when(s.DisconnectSignalOnResumeNoMessages, session.SimulateDisconnectOnResumeNoMessages)
	case *livekit.SimulateScenario_LeaveRequestFullReconnect:
		return when(s.LeaveRequestFullReconnect, session.SimulateFullReconnect)
	}
	return session.Simulate{}
}

func simulateOut(s session.Simulate) *livekit.SimulateScenario {
	m := &livekit.SimulateScenario{}
	switch s.Scenario {
	case session.SimulateSpeaker:
		m.Scenario = &livekit.SimulateScenario_SpeakerUpdate{SpeakerUpdate: i32(s.Seconds)}
	case session.SimulateNodeFailure:
		m.Scenario = &livekit.SimulateScenario_NodeFailure{NodeFailure: true}
	case session.SimulateMigration:
		m.Scenario = &livekit.SimulateScenario_Migration{Migration: true}
	case session.SimulateServerLeave:
		m.Scenario = &livekit.SimulateScenario_ServerLeave{ServerLeave: true}
	case session.SimulateSwitchProtocol:
		protocol := livekit.CandidateProtocol_UDP
		if s.TCP {
			protocol = livekit.CandidateProtocol_TCP
		} else if s.TLS {
			protocol = livekit.CandidateProtocol_TLS
		}
		m.Scenario = &livekit.SimulateScenario_SwitchCandidateProtocol{SwitchCandidateProtocol: protocol}
	case session.SimulateBandwidth:
		m.Scenario = &livekit.SimulateScenario_SubscriberBandwidth{SubscriberBandwidth: s.Bandwidth}
	case session.SimulateDisconnectOnResume:
		m.Scenario = &livekit.SimulateScenario_DisconnectSignalOnResume{DisconnectSignalOnResume: true}
	case session.SimulateDisconnectOnResumeNoMessages:
		m.Scenario = &livekit.SimulateScenario_DisconnectSignalOnResumeNoMessages{DisconnectSignalOnResumeNoMessages: true}
	case session.SimulateFullReconnect:
		m.Scenario = &livekit.SimulateScenario_LeaveRequestFullReconnect{LeaveRequestFullReconnect: true}
	}
	return m
}
