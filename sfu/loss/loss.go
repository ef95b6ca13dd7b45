// Package loss knows which packets of one incoming stream are missing: which to ask for again, when, and when to give up.
// It is pure; the stream owns its Tracker.
package loss

import (
	"time"

	"weir/sfu"
)

// Config of a tracker; the zero value is the decision of media.md section 5.
type Config struct {
	Tries    int           // how often a packet is asked for; 0: 2
	Deadline time.Duration // a packet that cannot be here so long after its loss was seen is given up; 0: 250 ms
	Spacing  time.Duration // least time between two requests for a packet, if the round trip is shorter; 0: 20 ms
	Pending  int           // how many missing packets are followed at most; 0: 256
}

const (
	// maxGap is the most packets that a jump may leave missing. A longer one is a restart: only a keyframe helps.
	maxGap = 512
	// seenWindow is how far back duplicates are recognised.
	seenWindow = 1024
)

// missing is one packet that has not come.
type missing struct {
	seq   sfu.ExtSeq
	since int64 // when the gap was seen
	asked int64 // when it was last asked for
	tries uint8
}

// Tracker follows one stream.
type Tracker struct {
	cfg     Config
	highest sfu.ExtSeq
	begun   bool
	list    []missing // by rising number; its memory is taken at the first loss
	seen    [seenWindow / 64]uint64
	count   Snapshot
}

// Snapshot counts what became of a stream's packets. Lost = Recovered + GivenUp + those still missing.
type Snapshot struct {
	Highest   sfu.ExtSeq
	Received  uint64 // each packet once
	Duplicate uint64
	Lost      uint64 // found missing
	Recovered uint64 // came late, asked for or not
	GivenUp   uint64
	Asked     uint64 // requests made
	Restarts  uint64 // jumps too long to repair
	Missing   int    // now
}

// New makes the tracker of a stream.
func New(cfg Config) *Tracker {
	if cfg.Tries <= 0 {
		cfg.Tries = 2
	}
	if cfg.Deadline <= 0 {
		cfg.Deadline = 250 * time.Millisecond
	}
	if cfg.Spacing <= 0 {
		cfg.Spacing = 20 * time.Millisecond
	}
	if cfg.Pending <= 0 {
		cfg.Pending = 256
	}
	return &Tracker{cfg: cfg}
}

// Received takes a packet, original or retransmitted, at now (ns, monotonic). False: it was here before, or is from before
// the stream began.
func (t *Tracker) Received(seq sfu.ExtSeq, now int64) bool {
	switch {
	case !t.begun:
		t.restart(seq)
	case seq > t.highest+maxGap:
		t.count.Restarts++
		t.restart(seq)
	case seq > t.highest:
		for s := t.highest + 1; s < seq; s++ {
			t.unmark(s)
			t.lose(s, now)
		}
		t.highest = seq
	case seq+seenWindow <= t.highest || t.marked(seq): // what is too old to tell counts as seen
		t.count.Duplicate++
		return false
	default:
		t.found(seq)
	}
	t.mark(seq)
	t.count.Received++
	return true
}

// restart forgets everything before seq.
func (t *Tracker) restart(seq sfu.ExtSeq) {
	t.count.GivenUp += uint64(len(t.list))
	t.list = t.list[:0]
	for i := range t.seen {
		t.seen[i] = ^uint64(0) // what is older does not count as missing
	}
	t.highest, t.begun = seq, true
}

func (t *Tracker) lose(seq sfu.ExtSeq, now int64) {
	t.count.Lost++
	if t.list == nil {
		t.list = make([]missing, 0, t.cfg.Pending)
	}
	if len(t.list) == cap(t.list) { // the oldest goes: the newest is worth most
		t.count.GivenUp++
		copy(t.list, t.list[1:])
		t.list = t.list[:len(t.list)-1]
	}
	t.list = append(t.list, missing{seq: seq, since: now})
}

// found takes a packet that was missing off the list; it may have been given up before.
func (t *Tracker) found(seq sfu.ExtSeq) {
	lo, hi := 0, len(t.list)
	for lo < hi {
		mid := (lo + hi) / 2
		if t.list[mid].seq < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(t.list) && t.list[lo].seq == seq {
		t.count.Recovered++
		t.list = append(t.list[:lo], t.list[lo+1:]...)
	}
}

// Due appends the numbers to ask for now, in order, and counts them as asked for. rtt is the round trip to the sender.
// A packet is asked for as soon as it is missing, again when an answer would have come, and given up when the tries are
// spent or an answer would come too late.
func (t *Tracker) Due(now int64, rtt time.Duration, out []sfu.Seq) []sfu.Seq {
	if len(t.list) == 0 {
		return out
	}
	spacing := t.spacing(rtt)
	keep := t.list[:0]
	for _, m := range t.list {
		if m.tries > 0 && now-m.asked < spacing {
			keep = append(keep, m)
			continue
		}
		if int(m.tries) >= t.cfg.Tries || now+int64(rtt)-m.since > int64(t.cfg.Deadline) && m.tries > 0 {
			t.count.GivenUp++
			continue
		}
		m.tries++
		m.asked = now
		t.count.Asked++
		out = append(out, m.seq.Seq())
		keep = append(keep, m)
	}
	t.list = keep
	return out
}

// spacing is how long an answer takes, with a quarter for jitter.
func (t *Tracker) spacing(rtt time.Duration) int64 {
	return int64(max(rtt+rtt/4, t.cfg.Spacing))
}

// Deadline is when Due has something to do next; false: nothing is missing.
func (t *Tracker) Deadline(rtt time.Duration) (int64, bool) {
	if len(t.list) == 0 {
		return 0, false
	}
	spacing := t.spacing(rtt)
	var next int64
	for i, m := range t.list {
		at := m.since
		if m.tries > 0 {
			at = m.asked + spacing
		}
		if i == 0 || at < next {
			next = at
		}
	}
	return next, true
}

func (t *Tracker) mark(s sfu.ExtSeq)   { t.seen[s%seenWindow/64] |= 1 << (s % 64) }
func (t *Tracker) unmark(s sfu.ExtSeq) { t.seen[s%seenWindow/64] &^= 1 << (s % 64) }
func (t *Tracker) marked(s sfu.ExtSeq) bool {
	return t.seen[s%seenWindow/64]>>(s%64)&1 != 0
}

// Snapshot tells what became of the packets so far.
func (t *Tracker) Snapshot() Snapshot {
	s := t.count
	s.Highest, s.Missing = t.highest, len(t.list)
	return s
}
