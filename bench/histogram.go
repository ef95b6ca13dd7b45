package bench

import (
	"fmt"
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are 1/16 of a power of two wide: a quantile is off by at most 6 %.
// The zero value is empty. It has no lock.
type Histogram struct {
	counts [buckets]uint32
	count  uint64
	most   int64
}

const (
	subBits = 4
	octaves = 32 // from 1 µs to over an hour
	buckets = (octaves + 1) << subBits
	unit    = int64(time.Microsecond)
)

func bucket(us int64) int {
	if us < 1<<subBits {
		return int(max(us, 0))
	}
	shift := bits.Len64(uint64(us)) - subBits - 1
	return min((shift<<subBits)+int(us>>shift), buckets-1)
}

// middle of a bucket, µs.
func middle(b int) float64 {
	if b < 1<<(subBits+1) {
		return float64(b) + .5
	}
	shift := b>>subBits - 1
	return (float64(b&(1<<subBits-1)+1<<subBits) + .5) * float64(int64(1)<<shift)
}

// Add counts one duration, ns.
func (h *Histogram) Add(d int64) {
	h.counts[bucket(d/unit)]++
	h.count++
	h.most = max(h.most, d)
}

// Merge adds what o counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.count == 0 {
		return
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.count += o.count
	h.most = max(h.most, o.most)
}

// Since is what was added after before was copied from h; the longest is that of all.
func (h *Histogram) Since(before *Histogram) Histogram {
	out := *h
	for i, n := range before.counts {
		out.counts[i] -= n
	}
	out.count -= before.count
	return out
}

// Count is how many were added.
func (h *Histogram) Count() uint64 { return h.count }

// Max is the longest.
func (h *Histogram) Max() time.Duration { return time.Duration(h.most) }

// Quantile is the duration that a share q of all do not exceed; 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(q * float64(h.count))
	rank = min(rank, h.count-1)
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen > rank {
			return min(time.Duration(middle(i)*float64(unit)), time.Duration(h.most))
		}
	}
	return time.Duration(h.most)
}

// String tells count and quantiles.
func (h Histogram) String() string {
	return fmt.Sprintf("%d, p50 %v, p99 %v, max %v", h.count, h.Quantile(.5), h.Quantile(.99), h.Max())
}
