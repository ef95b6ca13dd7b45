package session

import (
	"weir/sfu"
	"weir/sfu/speaker"
)

// voice is how loud a participant is, as it was last told.
type voice struct {
	level     float32
	simulated bool
}

// observeSpeech turns one interval's audio levels into deltas for those who receive the speakers.
func (s *Session) observeSpeech(audio []AudioObserved) {
	for _, a := range audio {
		pub := s.publications[a.Publication]
		if pub != nil && pub.view.Kind == sfu.Audio && !pub.view.Muted {
			s.speakers.Observe(pub.owner.id, a.Levels)
		}
	}
	s.turned = s.speakers.Turn(s.turned[:0])
	var changed []*participant
	for _, l := range s.turned {
		p := s.byID[l.Participant]
		if p != nil && !p.voice.simulated {
			p.voice.level = l.Level
			changed = append(changed, p)
		}
	}
	s.tellSpeech(changed)
}

// tellSpeech tells the speakers and those who receive something of them.
func (s *Session) tellSpeech(changed []*participant) {
	if len(changed) == 0 {
		return
	}
	rows := map[*participant][]SpeakerLevel{}
	for _, p := range changed {
		row := p.speaker()
		rows[p] = append(rows[p], row)
		for q := range p.followers { // the order of rows follows changed, whatever the order here
			rows[q] = append(rows[q], row)
		}
	}
	for _, q := range s.order {
		if r := rows[q]; r != nil {
			s.tell(q, Speakers{r})
		}
	}
}

func (p *participant) speaker() SpeakerLevel {
	return SpeakerLevel{Participant: p.id, Level: p.voice.level, Active: p.voice.level > 0}
}

// follow notes that q receives one more publication of p; unfollow, one less.
func (s *Session) follow(q, p *participant) {
	q.following[p]++
	p.followers[q]++
	if q.following[p] == 1 && p.voice.level > 0 {
		s.tell(q, Speakers{[]SpeakerLevel{p.speaker()}})
	}
}

func (s *Session) unfollow(q, p *participant) {
	q.following[p]--
	p.followers[q]--
	if q.following[p] > 0 {
		return
	}
	delete(q.following, p)
	delete(p.followers, q)
	if p.voice.level > 0 && !p.hidden() && !s.closing {
		s.tell(q, Speakers{[]SpeakerLevel{{Participant: p.id}}})
	}
}

// hush silences at once who has nothing to talk with any more.
func (s *Session) hush(pub *publication) {
	p := pub.owner
	if pub.view.Kind != sfu.Audio {
		return
	}
	for _, other := range p.pubs {
		if other != pub && other.published && other.view.Kind == sfu.Audio && !other.view.Muted {
			return
		}
	}
	s.speakers.Remove(p.id)
	if p.voice.level > 0 && !p.voice.simulated {
		p.voice.level = 0
		s.tellSpeech([]*participant{p})
	}
}

// simulateSpeech makes p a speaker, or stops it.
func (s *Session) simulateSpeech(p *participant, on bool) {
	s.speakers.Remove(p.id)
	p.voice = voice{simulated: on}
	if on {
		p.voice.level = 1
	}
	s.tellSpeech([]*participant{p})
}

func newSpeakers() *speaker.List { return speaker.NewList(speaker.Config{Interval: ObservePeriod}) }
