package media

import (
	"weir/sfu"
	"weir/sfu/rewrite"
)

// ParticipantSnapshot is the media of a participant as /debug and test failures show it.
type ParticipantSnapshot struct {
	ID            sfu.ParticipantID
	Publications  []PublicationSnapshot
	Subscriptions []SubscriptionSnapshot
	// Acknowledged and Missed count packets towards the participant by its transport-wide feedback.
	Acknowledged, Missed uint64
	Foreign              uint64 // reports about streams that are not its business
}

// PublicationSnapshot is one publication.
type PublicationSnapshot struct {
	ID       sfu.PublicationID
	Muted    bool
	Flowing  uint32 // spatial layers, as a bit set
	Wanted   uint32 // spatial layers that a keyframe is wanted of
	Rates    LayerRates
	Streams  []StreamSnapshot
	Audience int
}

// StreamSnapshot is one SSRC of a publisher.
type StreamSnapshot struct {
	SSRC, RTX uint32
	Codec     sfu.Codec
	Spatial   int8
	SVC       bool
	Received  uint64
	Repaired  uint64
	Missing   uint64
	Synced    bool // a sender report ties it to NTP
}

// SubscriptionSnapshot is one subscription.
type SubscriptionSnapshot struct {
	Publication sfu.PublicationID
	SSRC, RTX   uint32
	Target      sfu.Layer
	Current     sfu.Layer
	Paused      bool
	Packets     uint32
	Space       rewrite.Snapshot
}

// Snapshot tells where the participant's media stands. The session's loop calls it.
func (p *Participant) Snapshot() ParticipantSnapshot {
	out := ParticipantSnapshot{ID: p.id}
	for _, pub := range p.pubs {
		out.Publications = append(out.Publications, pub.snapshot())
	}
	for _, s := range p.subs {
		out.Subscriptions = append(out.Subscriptions, s.snapshot())
	}
	p.down.mu.Lock()
	out.Acknowledged, out.Missed, out.Foreign = p.down.seen.acked, p.down.seen.missed, p.down.seen.foreign
	p.down.mu.Unlock()
	if p.up != p.down {
		p.up.mu.Lock()
		out.Foreign += p.up.seen.foreign
		p.up.mu.Unlock()
	}
	return out
}

func (p *Publication) snapshot() PublicationSnapshot {
	out := PublicationSnapshot{
		ID: p.id, Muted: p.muted.Load(), Flowing: p.flowing.Load(), Wanted: p.wanted.Load(), Rates: p.Rates(),
		Audience: len(p.subscriptions()),
	}
	p.leg.mu.Lock()
	defer p.leg.mu.Unlock()
	for _, st := range p.streams {
		s := StreamSnapshot{
			SSRC: st.ssrc, RTX: st.rtx, Spatial: st.spatial, SVC: st.svc, Synced: st.sync().at != 0,
			Received: st.reception.received, Repaired: st.reception.repaired,
		}
		if st.format != nil {
			s.Codec = st.format.Codec
		}
		if all := st.reception.expected(); all > s.Received+s.Repaired {
			s.Missing = all - s.Received - s.Repaired
		}
		out.Streams = append(out.Streams, s)
	}
	return out
}

func (s *Subscription) snapshot() SubscriptionSnapshot {
	target, on := s.goal()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := SubscriptionSnapshot{
		Publication: s.pub.id, SSRC: s.ssrc, RTX: s.send.RTX, Target: target, Current: s.selector.Current(), Paused: !on,
		Packets: s.space.packets, Space: s.space.mapper.Snapshot(),
	}
	return out
}
