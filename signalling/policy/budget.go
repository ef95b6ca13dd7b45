package policy

import "time"

// Rate bounds how often tokens are asked for. Zero fields take the defaults.
type Rate struct {
	IPPerMinute   int `yaml:"ip_per_minute"`   // 600: an office behind one address joins at once, with three requests each
	IPBurst       int `yaml:"ip_burst"`        // 300
	UserPerMinute int `yaml:"user_per_minute"` // 60: one user with a few devices, and a page that reloads
	UserBurst     int `yaml:"user_burst"`      // 30
}

func (r Rate) check() error {
	for _, f := range []struct {
		key string
		n   int
	}{{"ip_per_minute", r.IPPerMinute}, {"ip_burst", r.IPBurst}, {"user_per_minute", r.UserPerMinute}, {"user_burst", r.UserBurst}} {
		if f.n < 0 || f.n > 1_000_000 {
			return &Fault{"rate." + f.key, "outside 0 to 1000000"}
		}
	}
	return nil
}

// PerIP is the budget of one address.
func (r Rate) PerIP() *Budget { return NewBudget(orElse(r.IPPerMinute, 600), orElse(r.IPBurst, 300)) }

// PerUser is the budget of one verified user.
func (r Rate) PerUser() *Budget {
	return NewBudget(orElse(r.UserPerMinute, 60), orElse(r.UserBurst, 30))
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// maxKeys bounds a budget's memory (about 8 MiB). Above it, strangers share one purse until others are forgotten.
const maxKeys = 65536

// Budget is a set of purses that refill steadily, one per key: the generic cell rate algorithm (ITU-T I.371), which
// needs one instant per key. Its owner guards it.
type Budget struct {
	interval time.Duration // one more is earned in this time
	ahead    time.Duration // how far a purse may be overdrawn into the future
	keys     int
	full     map[string]time.Time // when a purse will be full again; absent: now
	swept    time.Time
}

// NewBudget allows perMinute in the long run, and burst at once.
func NewBudget(perMinute, burst int) *Budget {
	interval := time.Minute / time.Duration(perMinute)
	return &Budget{interval: interval, ahead: interval * time.Duration(burst-1), keys: maxKeys, full: map[string]time.Time{}}
}

// Take takes one from the key's purse. If it is empty nothing is taken, and the time until it is not is returned.
func (b *Budget) Take(now time.Time, key string) time.Duration {
	at, known := b.full[key]
	if !known && len(b.full) >= b.keys {
		b.sweep(now)
		if len(b.full) >= b.keys {
			key = ""
			at = b.full[key]
		}
	}
	if at.Before(now) {
		at = now
	}
	if wait := at.Sub(now) - b.ahead; wait > 0 {
		return wait
	}
	b.full[key] = at.Add(b.interval)
	return 0
}

// sweep forgets full purses; at most once a second, because it looks at all of them.
func (b *Budget) sweep(now time.Time) {
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for k, at := range b.full {
		if !at.After(now) {
			delete(b.full, k)
		}
	}
}
