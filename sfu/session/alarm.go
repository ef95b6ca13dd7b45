package session

import (
	"container/heap"
	"time"
)

// reason says why an alarm is set.
type reason uint8

const (
	becauseEmpty       reason = iota // nobody ever came, or everybody left
	becauseBatch                     // collected updates are due
	becauseCounts                    // the session's counts are due
	becauseNotActive                 // a participant did not get its media up
	becauseFailed                    // a participant's transport failed and nobody resumed
	becauseGivenUp                   // a subscription did not come about
	becauseDataGivenUp               // a data track that is wanted did not come
	becauseRetry                     // a refused subscription may be tried again
	becauseSetting                   // a track setting has settled
	becauseDemandLower               // less is wanted for long enough
	becauseDemandAgain               // an answer may have switched layers on again
	becauseSimulated                 // a simulated speaker falls silent
)

// alarm is a deadline with its reason and what it concerns. The zero value is not set; it belongs to one owner
// and is set at most once at a time, so that the alarms of a session are bounded by what it holds.
type alarm struct {
	at    time.Time
	order uint64 // of setting, among equal times
	place int    // in the heap, from 1; 0: not set
	why   reason

	participant  *participant
	publication  *publication
	subscription *subscription
	data         *dataSubscription
}

// alarms is a heap by time.
type alarms struct {
	list  []*alarm
	count uint64
}

func (a *alarms) Len() int { return len(a.list) }

func (a *alarms) Less(i, j int) bool {
	x, y := a.list[i], a.list[j]
	if x.at.Equal(y.at) {
		return x.order < y.order
	}
	return x.at.Before(y.at)
}

func (a *alarms) Swap(i, j int) {
	a.list[i], a.list[j] = a.list[j], a.list[i]
	a.list[i].place, a.list[j].place = i+1, j+1
}

// Push and Pop are for the heap only: use set and clear.
func (a *alarms) Push(x any) {
	al := x.(*alarm)
	a.list = append(a.list, al)
	al.place = len(a.list)
}

func (a *alarms) Pop() any {
	n := len(a.list) - 1
	al := a.list[n]
	a.list[n] = nil
	a.list = a.list[:n]
	al.place = 0
	return al
}

// set moves al to a new time.
func (a *alarms) set(al *alarm, at time.Time) {
	a.clear(al)
	a.count++
	al.at, al.order = at, a.count
	heap.Push(a, al)
}

// setOnce leaves a set alarm alone.
func (a *alarms) setOnce(al *alarm, at time.Time) {
	if al.place == 0 {
		a.set(al, at)
	}
}

func (a *alarms) clear(al *alarm) {
	if al.place != 0 {
		heap.Remove(a, al.place-1)
	}
}

// due takes the first alarm that is not after now, or returns nil.
func (a *alarms) due(now time.Time) *alarm {
	if len(a.list) == 0 || a.list[0].at.After(now) {
		return nil
	}
	return heap.Pop(a).(*alarm)
}

// next is the time of the first alarm; zero if none is set.
func (a *alarms) next() time.Time {
	if len(a.list) == 0 {
		return time.Time{}
	}
	return a.list[0].at
}
