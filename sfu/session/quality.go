package session

import (
	"math"
	"time"

	"weir/sfu"
)

// Of the score (media.md section 11).
const (
	qualityPeriod = 5 * time.Second
	floorScore    = 30.0
	topScore      = 100.0
	excellentFrom = 80.0
	goodFrom      = 40.0
	rising        = 0.4 // weight of a better score
	falling       = 0.8 // weight of a worse one
	layerPenalty  = 35.0
	audioWeight   = 8.0 // points for each percent lost
	videoWeight   = 10.0
)

// links is the connection quality of all.
type links struct{ last time.Time }

// link is one participant's: what was measured in the period, and what was told.
type link struct {
	score  float64 // smoothed; 0: not yet
	worst  LinkObserved
	seen   bool
	told   ConnectionQuality
	toldIt bool
}

// observed takes what the media plane measured.
func (s *Session) observed(ev Observed) {
	s.observeSpeech(ev.Audio)
	for _, o := range ev.Participants {
		if p := s.byID[o.ID]; p != nil {
			p.link.take(o)
		}
	}
	if s.links.last.IsZero() {
		s.links.last = s.now
	}
	if s.now.Sub(s.links.last) >= qualityPeriod {
		s.links.last = s.now
		s.tellQuality()
	}
}

func (l *link) take(o LinkObserved) {
	if !l.seen {
		l.worst, l.seen = o, true
		return
	}
	w := &l.worst
	w.RTT = max(w.RTT, o.RTT)
	w.JitterMS = max(w.JitterMS, o.JitterMS)
	w.UpstreamLoss = (w.UpstreamLoss + o.UpstreamLoss) / 2
	w.DownstreamLoss = (w.DownstreamLoss + o.DownstreamLoss) / 2
}

// tellQuality tells those concerned whose quality changed.
func (s *Session) tellQuality() {
	rows := map[*participant][]QualityUpdate{}
	for _, p := range s.order {
		if p.state != Active || !p.link.seen {
			continue
		}
		p.link.smooth(p.measure())
		p.link.seen = false
		q := qualityOf(p.link.score)
		if p.link.toldIt && q == p.link.told {
			continue
		}
		p.link.told, p.link.toldIt = q, true
		row := QualityUpdate{Participant: p.id, Quality: q, Score: float32(1 + 3.5*p.link.score/topScore)}
		rows[p] = append(rows[p], row)
		for f := range p.followers { // rows are in the order of participants, whatever the order here
			rows[f] = append(rows[f], row)
		}
	}
	for _, p := range s.order {
		if r := rows[p]; r != nil {
			s.tell(p, Quality{r})
		}
	}
}

// smooth lets a fall count for more than a rise.
func (l *link) smooth(score float64) {
	switch {
	case l.score == 0:
		l.score = score
	case score > l.score:
		l.score += (score - l.score) * rising
	default:
		l.score += (score - l.score) * falling
	}
	l.score = max(l.score, floorScore)
}

// qualityOf never is Lost: a client that hears that of itself while it publishes reconnects, and here its transport lives.
func qualityOf(score float64) ConnectionQuality {
	switch {
	case score > excellentFrom:
		return Excellent
	case score > goodFrom:
		return Good
	}
	return Poor
}

// measure is the worse of what p sends and what it receives.
func (p *participant) measure() float64 {
	l := p.link.worst
	weight := audioWeight
	sends, receives := false, false
	for _, pub := range p.pubs {
		if !pub.published || pub.view.Muted {
			continue
		}
		sends = true
		if pub.view.Kind == sfu.Video {
			weight = videoWeight
		}
	}
	receives = len(p.following) > 0
	score := topScore - delayEffect(l)
	if sends {
		score = min(score, topScore-delayEffect(l)-l.UpstreamLoss*100*weight)
	}
	if receives {
		score = min(score, topScore-delayEffect(l)-l.DownstreamLoss*100*videoWeight)
		score = min(score, topScore-p.missing()*layerPenalty)
	}
	return max(score, 0)
}

// delayEffect is what round trip and jitter cost (ITU-T G.107 in short form, as media.md section 11).
func delayEffect(l LinkObserved) float64 {
	d := float64(l.RTT.Milliseconds())/2 + 2*l.JitterMS
	if d > 160 {
		return (d - 120) / 10
	}
	return d / 40
}

// missing is how many layers, on average, p gets fewer than it wants, because allocation paused them.
func (p *participant) missing() float64 {
	n, lacking := 0, 0.0
	for _, sub := range p.subs {
		if !sub.open || sub.paused || sub.pub.view.Kind != sfu.Video {
			continue
		}
		n++
		if sub.starve {
			lacking += 2 // paused scores 30
		}
	}
	if n == 0 {
		return 0
	}
	return math.Min(lacking/float64(n), 2)
}
