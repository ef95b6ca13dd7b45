package bench

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAlarm: an alarm rings when it was last set to, not before, and again whenever it is set.
func TestAlarm(t *testing.T) {
	check := func(t *testing.T, a alarm) {
		defer a.close()
		for _, wait := range []time.Duration{0, time.Millisecond, -time.Second, 3 * time.Millisecond} {
			a.set(time.Hour)
			begin := time.Now()
			a.set(wait)
			a.wait()
			if d := time.Since(begin); d < wait {
				t.Errorf("set to %v, rang after %v", wait, d)
			}
		}
		rang := make(chan struct{})
		a.set(time.Hour)
		go func() {
			a.wait()
			close(rang)
		}()
		a.set(0)
		<-rang
	}
	t.Run("kernel", func(t *testing.T) { check(t, newAlarm()) })
	t.Run("fake time", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { check(t, newTimerAlarm()) }) })
}
