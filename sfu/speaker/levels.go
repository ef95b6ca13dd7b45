// Package speaker tells who is talking, from the audio levels in the header extensions (RFC 6464), which no encryption
// hides. It has the list of speakers that clients show (livekit.md section 8) and the dominant speaker, who gets the
// bandwidth. It is pure; the session owns both.
package speaker

import (
	"cmp"
	"math"
	"slices"
	"time"

	"weir/sfu"
)

// Silence is the level that says so (RFC 6464 section 3): −dBov.
const Silence = 127

// Config of the list. The zero value is what LiveKit's clients are used to.
type Config struct {
	Threshold uint8         // −dBov: up to this a packet is loud; 0: 35
	Share     float64       // of the interval that has to be loud; 0: 0.4
	Interval  time.Duration // 0: 400 ms
	Smooth    int           // intervals that the level is averaged over; 0: 2
	Packet    time.Duration // length of one packet's audio; 0: 20 ms
}

func (c Config) withDefaults() Config {
	if c.Threshold == 0 {
		c.Threshold = 35
	}
	if c.Share == 0 {
		c.Share = 0.4
	}
	if c.Interval == 0 {
		c.Interval = 400 * time.Millisecond
	}
	if c.Smooth == 0 {
		c.Smooth = 2
	}
	if c.Packet == 0 {
		c.Packet = 20 * time.Millisecond
	}
	return c
}

// Level is one speaker; Level from 0 to 1 in steps of an eighth, Active false when they fell silent.
type Level struct {
	Participant sfu.ParticipantID
	Level       float32
	Active      bool
}

// meter is the loudness of one participant.
type meter struct {
	participant sfu.ParticipantID
	loud        int   // loud packets of this interval
	peak        uint8 // loudest of them, −dBov
	smooth      float64
	told        float32 // last announced
}

// List is the speakers of one session. Between two calls of Turn it takes the levels of one interval.
type List struct {
	cfg    Config
	meters []meter
}

// NewList makes an empty list.
func NewList(cfg Config) *List { return &List{cfg: cfg.withDefaults()} }

// Observe takes levels of a participant's packets, in −dBov.
func (l *List) Observe(who sfu.ParticipantID, levels []uint8) {
	m := l.meter(who)
	for _, v := range levels {
		if v > l.cfg.Threshold {
			continue
		}
		if m.loud == 0 || v < m.peak {
			m.peak = v
		}
		m.loud++
	}
}

func (l *List) meter(who sfu.ParticipantID) *meter {
	for i := range l.meters {
		if l.meters[i].participant == who {
			return &l.meters[i]
		}
	}
	l.meters = append(l.meters, meter{participant: who})
	return &l.meters[len(l.meters)-1]
}

// Turn ends an interval and appends what changed since the last, loudest first, those who fell silent at the end.
func (l *List) Turn(out []Level) []Level {
	start := len(out)
	for i := range l.meters {
		m := &l.meters[i]
		level := l.turn(m)
		if level == m.told {
			continue
		}
		m.told = level
		out = append(out, Level{m.participant, level, level > 0})
	}
	order(out[start:])
	// Nothing is kept for who is silent and was told so.
	l.meters = slices.DeleteFunc(l.meters, func(m meter) bool { return m.told == 0 && m.smooth < 1e-4 })
	return out
}

// turn ends the interval of one participant and gives the level to announce.
func (l *List) turn(m *meter) float32 {
	share := min(float64(m.loud)*float64(l.cfg.Packet)/float64(l.cfg.Interval), 1)
	now := 0.0
	if share >= l.cfg.Share {
		// Quieter by the share of the time that was silent, so that a steady voice stands above a shout.
		now = math.Pow(10, -float64(m.peak)/20) * share
	}
	m.smooth += (now - m.smooth) * 2 / (float64(l.cfg.Smooth) + 1)
	m.loud = 0
	if m.smooth < l.floor() {
		return 0
	}
	return float32(math.Ceil(min(m.smooth, 1)*8) / 8)
}

// floor is the threshold on the linear scale: below it nobody counts as talking.
func (l *List) floor() float64 {
	return math.Pow(10, -float64(l.cfg.Threshold)/20)
}

// Remove forgets a participant that left or has no microphone any more; what clients were told ends with their leaving.
func (l *List) Remove(who sfu.ParticipantID) {
	l.meters = slices.DeleteFunc(l.meters, func(m meter) bool { return m.participant == who })
}

// All appends everyone who counts as talking, loudest first: for a participant that joins.
func (l *List) All(out []Level) []Level {
	start := len(out)
	for i := range l.meters {
		if m := &l.meters[i]; m.told > 0 {
			out = append(out, Level{m.participant, m.told, true})
		}
	}
	order(out[start:])
	return out
}

func order(levels []Level) {
	slices.SortFunc(levels, func(a, b Level) int {
		return cmp.Or(cmp.Compare(b.Level, a.Level), cmp.Compare(a.Participant, b.Participant))
	})
}
