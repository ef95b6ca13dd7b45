package client

import "time"

// budget is a token bucket that may run into debt: it is asked after the fact, because a frame is read before its cost is known.
type budget struct {
	rate, burst float64
	left        float64
	at          time.Time
}

func newBudget(rate, burst int, now time.Time) budget {
	return budget{rate: float64(rate), burst: float64(burst), left: float64(burst), at: now}
}

// spend pays for a frame of n bytes: one, and one more for each 4 KiB.
func (b *budget) spend(now time.Time, n int) {
	b.left = min(b.burst, b.left+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	b.left -= 1 + float64(n/4096)
}

// solvent is when the debt is paid; not after now if there is none.
func (b *budget) solvent() time.Time {
	if b.left >= 0 {
		return b.at
	}
	return b.at.Add(time.Duration(-b.left / b.rate * float64(time.Second)))
}
