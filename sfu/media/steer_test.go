package media

import (
	"errors"
	"testing"
	"time"
)

// wheel notes how it was turned.
type wheel struct {
	Socket
	turns  []bool
	refuse bool
}

func (w *wheel) steer(spread bool) error {
	if w.refuse {
		return errors.New("refused")
	}
	w.turns = append(w.turns, spread)
	return nil
}

func TestSteering(t *testing.T) {
	const second = int64(time.Second)
	w := new(wheel)
	s := newSteering([]Socket{w, w, w})
	for _, step := range []struct {
		at     int64
		reader int
		cores  float64
		spread bool
		why    string
	}{
		{0, 0, 0.5, false, "enough for one"},
		{1 * second, 0, 0.51, true, "too much for one"},
		{2 * second, 0, 0.01, true, "it was changed just now"},
		{6 * second, 1, 0.3, true, "still too much"},
		{6*second + 1, 0, 0.1, true, "together too much"},
		{8 * second, 0, 0.1, false, "the others get nothing"},
		{9 * second, 0, 0.9, false, "it was changed just now"},
		{13 * second, 0, 0.9, true, "too much for one"},
	} {
		s.loaded(step.reader, step.cores, step.at)
		if s.spread != step.spread {
			t.Fatalf("at %v: spread is %v; %s", time.Duration(step.at), s.spread, step.why)
		}
	}
	if want := []bool{false, true, false, true}; len(w.turns) != len(want) {
		t.Errorf("turned %v, want %v", w.turns, want)
	}
	if newSteering([]Socket{w}) != nil || newSteering([]Socket{&wheel{refuse: true}, w}) != nil {
		t.Error("steering where there is nothing to steer")
	}
}
