package delayed

import "cmp"

// queue is a heap of jobs (container/heap): the one whose time comes first is at the front, those without one at the end.
type queue []*job

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, k int) bool {
	a, b := q[i], q[k]
	at, bt := a.next(), b.next()
	switch {
	case at.IsZero() || bt.IsZero():
		return !at.IsZero() && bt.IsZero()
	case !at.Equal(bt):
		return at.Before(bt)
	}
	// So that a script always plays the same.
	return cmp.Or(cmp.Compare(a.leave.Session, b.leave.Session), cmp.Compare(a.leave.Identity, b.leave.Identity)) < 0
}

func (q queue) Swap(i, k int) {
	q[i], q[k] = q[k], q[i]
	q[i].place, q[k].place = i, k
}

func (q *queue) Push(j any) {
	j.(*job).place = len(*q)
	*q = append(*q, j.(*job))
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	j := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return j
}
