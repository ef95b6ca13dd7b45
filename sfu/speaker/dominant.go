package speaker

import (
	"math"
	"slices"
	"time"

	"weir/sfu"
)

// The dominant speaker after Volfin and Cohen, "Dominant speaker identification for multipoint videoconferencing" (Computer
// Speech and Language 27, 2013). Speech is looked at over three lengths of time. In each, the number of active parts
// is compared under two hypotheses, speech (binomial) and silence (exponential); the logarithm of the ratio is the score.
// Someone else takes over if their scores exceed those of the dominant speaker by enough in all three.
const (
	frame  = 20 * time.Millisecond // one level
	decide = 300 * time.Millisecond

	// How many parts a longer block has, and when one counts as active (section 2 and media.md section 10).
	immediateParts = 13 // N1: steps of the level above the noise floor
	mediumParts    = 5  // N2: frames of a medium block, 100 ms
	longParts      = 10 // N3: medium blocks of a long one, 1 s

	mediumThreshold = 7 // an immediate score that counts as active
	longThreshold   = 4 // active frames that make a medium block active

	// What the other has to be better by: C1, C2, C3.
	aheadImmediate = 3.0
	aheadMedium    = 2.0
	aheadLong      = 0.0

	// Rates of the exponential distributions of silence.
	immediateRate = 0.78
	mediumRate    = 24.0
	longRate      = 47.0

	activity = 0.5 // probability of an active part while someone speaks

	// idle: who sent nothing for so long counts as silent in the comparison.
	idle = 40 * time.Second

	// firstFloor is where the noise floor starts, −60 dBov: a quieter room lowers it at once.
	firstFloor = Silence - 60
)

// scores of the three lengths.
type scores struct{ immediate, medium, long float64 }

// voice is one participant's recent levels.
type voice struct {
	participant sfu.ParticipantID
	levels      [mediumParts * longParts]uint8 // loudness above silence, newest at next-1
	next        int
	last        int64   // time of the last level
	filled      int64   // until when the levels are filled
	floor       float64 // noise, in the units of levels
}

// Dominant finds the dominant speaker of a session.
type Dominant struct {
	voices  []voice
	current sfu.ParticipantID
	since   int64 // last decision
}

// NewDominant makes a finder with nobody in it.
func NewDominant() *Dominant { return &Dominant{} }

// Observe takes the levels of a participant's packets since the last call, in −dBov and in order; now is ns, monotonic.
func (d *Dominant) Observe(now int64, who sfu.ParticipantID, levels []uint8) {
	if len(levels) == 0 {
		return
	}
	i := slices.IndexFunc(d.voices, func(v voice) bool { return v.participant == who })
	if i < 0 {
		i = len(d.voices)
		d.voices = append(d.voices, voice{participant: who, floor: firstFloor, filled: now - int64(len(levels))*int64(frame)})
	}
	v := &d.voices[i]
	v.silence(now - int64(len(levels))*int64(frame))
	for _, l := range levels {
		v.add(Silence - min(l, Silence))
	}
	v.last, v.filled = now, now
}

// silence fills the time up to an instant for which nothing came: senders stop sending while nobody talks (DTX).
func (v *voice) silence(until int64) {
	n := int((until - v.filled) / int64(frame))
	for range min(max(n, 0), len(v.levels)) {
		v.add(0)
	}
	if n > 0 {
		v.filled += int64(n) * int64(frame)
	}
}

func (v *voice) add(loudness uint8) {
	v.levels[v.next] = loudness
	v.next = (v.next + 1) % len(v.levels)
	// The floor follows a quieter level at once, and a louder one over some seconds: speech has pauses, noise has none.
	switch x := float64(loudness); {
	case x == 0:
	case x < v.floor:
		v.floor = x
	default:
		v.floor += (x - v.floor) / 500
	}
}

// Remove forgets a participant.
func (d *Dominant) Remove(who sfu.ParticipantID) {
	d.voices = slices.DeleteFunc(d.voices, func(v voice) bool { return v.participant == who })
	if d.current == who {
		d.current = ""
	}
}

// Current is the dominant speaker; "" if nobody spoke yet.
func (d *Dominant) Current() sfu.ParticipantID { return d.current }

// Decide compares the participants, at most once in 300 ms, and says whether the dominant speaker changed.
func (d *Dominant) Decide(now int64) (sfu.ParticipantID, bool) {
	if d.since != 0 && now-d.since < int64(decide) {
		return d.current, false
	}
	d.since = now
	best, bestLead := "", 0.0
	mine, has := d.score(now, d.current)
	for i := range d.voices {
		v := &d.voices[i]
		if v.participant == d.current {
			continue
		}
		v.silence(now)
		if !v.speaks() {
			continue
		}
		s := v.scores()
		if !has {
			mine = silent
		}
		if math.Log(s.immediate/mine.immediate) > aheadImmediate && math.Log(s.medium/mine.medium) > aheadMedium &&
			math.Log(s.long/mine.long) > aheadLong {
			if lead := math.Log(s.medium / mine.medium); best == "" || lead > bestLead {
				best, bestLead = string(v.participant), lead
			}
		}
	}
	if best == "" {
		return d.current, false
	}
	d.current = sfu.ParticipantID(best)
	return d.current, true
}

// silent is the score of someone who says nothing.
var silent = scores{minScore, minScore, minScore}

func (d *Dominant) score(now int64, who sfu.ParticipantID) (scores, bool) {
	for i := range d.voices {
		if v := &d.voices[i]; v.participant == who {
			if now-v.last > int64(idle) {
				return silent, true
			}
			v.silence(now)
			return v.scores(), true
		}
	}
	return silent, false
}

// speaks: the newest medium block has something above noise.
func (v *voice) speaks() bool {
	for i := 1; i <= mediumParts; i++ {
		if v.immediate(i) > 0 {
			return true
		}
	}
	return false
}

// immediate is the level of the i-th newest frame in steps; none if it does not stand out of the noise.
func (v *voice) immediate(i int) int {
	const step = float64(Silence) / immediateParts
	x := float64(v.levels[(v.next-i+len(v.levels))%len(v.levels)])
	if x < v.floor+step {
		return 0
	}
	return int(x / step)
}

// scores of the newest frames, medium blocks and the long block.
func (v *voice) scores() scores {
	var mediums, newest, recent int
	for block := range longParts {
		n := 0
		for i := range mediumParts {
			step := v.immediate(1 + block*mediumParts + i)
			if step > mediumThreshold {
				n++
			}
			if block == 0 {
				newest = max(newest, step)
			}
		}
		if block == 0 {
			recent = n
		}
		if n >= longThreshold {
			mediums++
		}
	}
	return scores{
		immediate: score(newest, immediateParts, immediateRate),
		medium:    score(recent, mediumParts, mediumRate),
		long:      score(mediums, longParts, longRate),
	}
}

const minScore = 1e-10

// score is the log likelihood ratio of k active parts of n: speech (binomial) against silence (exponential).
func score(k, n int, rate float64) float64 {
	s := logChoose(n, k) + float64(k)*math.Log(activity) + float64(n-k)*math.Log(1-activity) - math.Log(rate) + rate*float64(k)
	return max(s, minScore)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
