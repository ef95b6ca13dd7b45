package member

import "time"

// alarm is something that happens by itself. It belongs to one cell, seat or slot, and to one queue.
type alarm struct {
	at   time.Time
	pos  int // in its queue, counted from 1; 0: not set
	what alarmKind
	cell *cell
	seat *seat
	slot *slot
}

type alarmKind uint8

const (
	cellExpires alarmKind = iota
	cellHaunted
	seatWithheld
	seatUnattested
	seatDoubted
	recordEnds
	slotEnds
)

// alarms is a binary heap, soonest first.
type alarms []*alarm

func (q alarms) swap(i, k int) {
	q[i], q[k] = q[k], q[i]
	q[i].pos, q[k].pos = i+1, k+1
}

func (q alarms) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q[i].at.Before(q[parent].at) {
			return
		}
		q.swap(i, parent)
		i = parent
	}
}

func (q alarms) down(i int) {
	for {
		least := i
		for k := 2*i + 1; k <= 2*i+2 && k < len(q); k++ {
			if q[k].at.Before(q[least].at) {
				least = k
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}

// set puts the alarm at an instant, wherever it was.
func (q *alarms) set(a *alarm, at time.Time) {
	a.at = at
	if a.pos == 0 {
		*q = append(*q, a)
		a.pos = len(*q)
	}
	i := a.pos - 1
	q.up(i)
	q.down(a.pos - 1)
}

// clear takes the alarm out, if it is set.
func (q *alarms) clear(a *alarm) {
	if a == nil || a.pos == 0 {
		return
	}
	i, last := a.pos-1, len(*q)-1
	q.swap(i, last)
	(*q)[last] = nil
	*q = (*q)[:last]
	a.pos = 0
	if i < last {
		moved := (*q)[i]
		q.up(i)
		q.down(moved.pos - 1)
	}
}

// due takes out the soonest alarm, if its time has come.
func (q *alarms) due(now time.Time) *alarm {
	if len(*q) == 0 || (*q)[0].at.After(now) {
		return nil
	}
	a := (*q)[0]
	q.clear(a)
	return a
}
