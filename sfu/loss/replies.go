package loss

import (
	"time"

	"weir/sfu"
)

// Replies limits how often one subscription is sent the same packet again: requests repeated within half a round trip are
// one request, and no packet is sent more than twice (media.md section 5). The subscription owns it. The zero value is ready
// and holds no memory until the first request.
type Replies struct {
	ring []reply
}

type reply struct {
	at    int64
	seq   uint32 // low half of the outgoing number
	tries uint8
}

const (
	repliesKept = 256
	maxReplies  = 2
)

// Allow says whether the packet is to be sent again at now (ns, monotonic), and if so counts it.
func (r *Replies) Allow(seq sfu.ExtSeq, now int64, rtt time.Duration) bool {
	if r.ring == nil {
		r.ring = make([]reply, repliesKept)
	}
	e := &r.ring[seq%repliesKept]
	if e.tries == 0 || e.seq != uint32(seq) {
		*e = reply{at: now, seq: uint32(seq), tries: 1}
		return true
	}
	if e.tries >= maxReplies || now-e.at < int64(rtt/2) {
		return false
	}
	e.at = now
	e.tries++
	return true
}
