package session

import (
	"fmt"
	"testing"
	"time"

	"weir/sfu"
)

// crowd is a session of n who all publish a camera and a microphone and receive everything.
func crowd(n int) *Session {
	s := New("room", "RM_x", Config{}, jsonCodec{}, [32]byte{}, start)
	for i := range n {
		name := fmt.Sprint(i)
		s.Handle(start, modern(name), nil)
		s.Handle(start, connected(name), nil)
		p := s.byIdentity[sfu.Identity(name)]
		for c := Reliable; c <= DataTracks; c++ {
			s.Handle(start, DataOpen{p.id, c}, nil)
		}
		s.Handle(start, ask(name, camera("cam")), nil)
		s.Handle(start, ask(name, microphone("mic")), nil)
		s.Handle(start, Negotiated{ID: p.id, Bound: []Bound{
			{Publication: p.pubs[0].id, Codec: sfu.VP8, Mid: "0"}, {Publication: p.pubs[1].id, Codec: sfu.Opus, Mid: "1"},
		}}, nil)
	}
	for _, p := range s.order {
		for id := range p.subs {
			s.Handle(start, SubscriptionBound{Subscriber: p.id, Publication: id}, nil)
		}
	}
	return s
}

// BenchmarkJoinAndLeave is one more in a call of 200, with everything both ways.
func BenchmarkJoinAndLeave(b *testing.B) {
	s := crowd(200)
	out := make([]Effect, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out = s.Handle(start, modern("new"), out[:0])
		out = s.Handle(start, connected("new"), out[:0])
		out = s.Handle(start, ask("new", Leave{}), out[:0])
	}
}

func BenchmarkMute(b *testing.B) {
	s := crowd(200)
	id := s.order[0].pubs[1].id
	out := make([]Effect, 0, 4096)
	muted := false
	b.ReportAllocs()
	for b.Loop() {
		muted = !muted
		out = s.Handle(start, ask("0", Mute{id, muted}), out[:0])
	}
}

func BenchmarkObserved(b *testing.B) {
	s := crowd(200)
	var ev Observed
	for _, p := range s.order {
		ev.Audio = append(ev.Audio, AudioObserved{p.pubs[1].id, levels(20, 60)})
		ev.Participants = append(ev.Participants, LinkObserved{ID: p.id})
	}
	now := start
	out := make([]Effect, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(ObservePeriod)
		out = s.Handle(now, ev, out[:0])
	}
}

func BenchmarkTrackSetting(b *testing.B) {
	s := crowd(200)
	id := s.order[0].pubs[0].id
	out := make([]Effect, 0, 16)
	now := start
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(200 * time.Millisecond)
		out = s.Handle(now, ask("1", TrackSetting{Publications: []sfu.PublicationID{id}, Width: 320 * (1 + i%4), Height: 180 * (1 + i%4)}), out[:0])
	}
}
