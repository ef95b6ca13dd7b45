package session

// request serves what came over a participant's current connection.
func (s *Session) request(ev FromParticipant) {
	p := s.byID[ev.ID]
	if p == nil || p.sink == nil || p.sink != ev.Sink {
		return
	}
	p.heard = s.now
	switch r := ev.Request.(type) {
	case Offer:
		s.offer(p, r.Description)
	case Answer:
		s.do(ApplyAnswer{p.id, r.Description})
	case Trickle:
		if r.Bad {
			s.refuse(p, UnclassifiedError, "undecodable candidate", r)
			return
		}
		s.do(ApplyCandidate{p.id, r})
	case Subscribe:
		s.subscribe(p, r)
	case TrackSetting:
		s.trackSetting(p, r)
	case Permission:
		s.permit(p, r)
	case Leave:
		s.leave(p, r)
	case Sync:
		s.sync(p, r)
	case Simulate:
		s.simulate(p, r)
	case UpdateOwn:
		s.updateOwn(p, r)
	default:
		s.publisherRequest(p, r)
	}
}

// publisherRequest serves what concerns own publications.
func (s *Session) publisherRequest(p *participant, r Request) {
	switch r := r.(type) {
	case AddTrack:
		s.addTrack(p, r)
	case Mute:
		s.mute(p, r)
	case UpdateAudio:
		s.updateAudio(p, r)
	case UpdateVideo:
		s.updateVideo(p, r)
	case PublishData:
		s.publishData(p, r)
	case UnpublishData:
		s.unpublishData(p, r)
	case SubscribeData:
		s.subscribeData(p, r)
	}
}
