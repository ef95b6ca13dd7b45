package bench

import "time"

// alarm wakes one goroutine. Calls of set belong under the lock of what they look at; the last one counts.
type alarm interface {
	// set has wait return after d, in place of when it would have.
	set(d time.Duration)
	wait()
	close()
}

// timerAlarm is an alarm of the runtime: the only kind that keeps fake time. On Linux it may be a millisecond late, which is how
// finely the runtime waits.
type timerAlarm struct{ timer *time.Timer }

func newTimerAlarm() timerAlarm { return timerAlarm{time.NewTimer(0)} }

func (a timerAlarm) set(d time.Duration) { a.timer.Reset(max(d, 0)) }

func (a timerAlarm) wait() { <-a.timer.C }

func (a timerAlarm) close() { a.timer.Stop() }
