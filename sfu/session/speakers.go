package session

import (
	"math"
	"time"

	"weir/sfu"
)

// Thresholds of who is talking (livekit.md section 8, speakers).
const (
	loud        = 35                    // −dBov; less is louder
	packetTime  = 20 * time.Millisecond // what one observed packet stands for
	talkTime    = ObservePeriod * 2 / 5 // of an interval, to count as talking
	smoothing   = 2.0 / 3               // weight of the newest of about two intervals
	levelSteps  = 8                     // levels are told in eighths
	activeLevel = 0.0178                // amplitude of −35 dBov
)

// detector turns the audio levels of one publication into how loud it talks.
type detector struct{ smooth float64 }

// observe takes one interval's packets and returns the level, 0 if it does not talk.
func (d *detector) observe(levels []uint8) float32 {
	var n int
	loudest := uint8(127)
	for _, l := range levels {
		if l <= loud {
			n++
			loudest = min(loudest, l)
		}
	}
	now := 0.0
	if talked := time.Duration(n) * packetTime; talked >= talkTime {
		share := min(1, float64(talked)/float64(ObservePeriod))
		now = math.Pow(10, -float64(loudest)/20) * share
	}
	d.smooth += (now - d.smooth) * smoothing
	if d.smooth < activeLevel {
		if now == 0 {
			d.smooth = 0
		}
		return 0
	}
	return float32(math.Ceil(d.smooth*levelSteps) / levelSteps)
}

// voice is how loud a participant is, and as what it was last told.
type voice struct {
	level     float32
	simulated bool
}

// speech is who talks now.
type speech struct {
	talking []*publication // with a detector that is not at rest
}

// observeSpeech turns one interval's audio levels into deltas for those who receive the speakers.
func (s *Session) observeSpeech(audio []AudioObserved) {
	before := s.speech.talking
	s.speech.talking = nil
	heard := make(map[*publication]bool, len(audio))
	levels := map[*participant]float32{}
	take := func(pub *publication, l []uint8) {
		heard[pub] = true
		if level := pub.voice.observe(l); level > levels[pub.owner] {
			levels[pub.owner] = level
		}
		if pub.voice.smooth > 0 {
			s.speech.talking = append(s.speech.talking, pub)
		}
	}
	for _, a := range audio {
		if pub := s.publications[a.Publication]; pub != nil && pub.view.Kind == sfu.Audio && !pub.view.Muted && !heard[pub] {
			take(pub, a.Levels)
		}
	}
	for _, pub := range before {
		if !heard[pub] && pub.published {
			take(pub, nil) // no packets: DTX or a pause
		}
	}
	var changed []*participant
	for _, p := range s.order {
		if level := levels[p]; !p.voice.simulated && level != p.voice.level {
			p.voice.level = level
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

// hush silences a publication that ended or was muted, at once.
func (s *Session) hush(pub *publication) {
	pub.voice = detector{}
}

// forgetSpeech drops what is left of one who is gone.
func (s *Session) forgetSpeech(p *participant) {
	p.voice = voice{}
}

// simulateSpeech makes p a speaker, or stops it.
func (s *Session) simulateSpeech(p *participant, on bool) {
	p.voice.simulated, p.voice.level = on, 0
	if on {
		p.voice.level = 1
	}
	s.tellSpeech([]*participant{p})
}
