package main

import "testing"

func TestUntidy(t *testing.T) {
	const mb = 1 << 20
	for name, c := range map[string]struct {
		before, now heap
		want        bool
	}{
		"a wave of joins is over":             {heap{made: 90 * mb}, heap{made: 90*mb + 1000, lives: 12 * mb, holds: 15 * mb}, true},
		"people are joining":                  {heap{made: 89 * mb}, heap{made: 90 * mb, lives: 12 * mb, holds: 15 * mb}, false},
		"little garbage":                      {heap{made: 90 * mb}, heap{made: 90 * mb, lives: 12 * mb, holds: 13 * mb}, false},
		"little for so large a heap":          {heap{made: 90 * mb}, heap{made: 90 * mb, lives: 400 * mb, holds: 440 * mb}, false},
		"a call ended":                        {heap{made: 90 * mb}, heap{made: 90 * mb, lives: 7 * mb, holds: 7 * mb, idle: 30 * mb}, true},
		"nothing was ever collected":          {heap{made: 1 * mb}, heap{made: 1 * mb, holds: 1 * mb}, false},
		"swept while it was read: less holds": {heap{made: 90 * mb}, heap{made: 90 * mb, lives: 12 * mb, holds: 11 * mb}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.now.untidy(c.before); got != c.want {
				t.Errorf("untidy is %v", got)
			}
		})
	}
}

// The runtime has the numbers, and they are of the kind that is read.
func TestReadHeap(t *testing.T) {
	h := readHeap()
	if h.made == 0 || h.holds == 0 || h.holds > h.made {
		t.Errorf("%+v", h)
	}
}
