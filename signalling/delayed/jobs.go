package delayed

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"weir/sfu"
)

const (
	// maxJobs is far above the participants of one focus; a job is a few hundred bytes.
	maxJobs = 1 << 16
	// A restart each 0.8 of the timeout, but not more often than each 5 s.
	minPeriod = 5 * time.Second
	// patience is how long anything is waited for at most.
	patience = time.Hour
	// returnTime is how long a participant may take to come back after its focus was started anew or its place was taken.
	returnTime = time.Minute
	// A send is tried for a second at least, even if the homeserver is about to send the event by itself.
	minSending = time.Second
	// Requests are repeated after a second, then half as long again each time, up to a minute.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// state is where a job stands.
type state uint8

const (
	waiting   state = iota // for its participant
	connected              // its participant is in the call: the event is put off
	sending                // its participant is gone: the event is sent
)

// job is one leave that is looked after.
type job struct {
	leave    Leave
	state    state
	accepted time.Time
	seen     bool // its participant has been in the call, so it can leave
	serial   uint64
	asked    time.Time // when the request on its way was made; zero: there is none
	retry    time.Duration
	due      time.Time // of the next request; zero: none, or one is on its way
	limit    time.Time // when the state is given up; zero: never
	place    int       // in the queue
}

// next is when time alone changes something; zero: never.
func (j *job) next() time.Time {
	if j.due.IsZero() || !j.limit.IsZero() && j.limit.Before(j.due) {
		return j.limit
	}
	return j.due
}

// Jobs are all leaves that a focus looks after. It has one owner, who calls it from one goroutine at a time.
type Jobs struct {
	jobs    map[Key]*job
	queue   queue                     // the same, the next one first
	present map[Key]sfu.ParticipantID // who is in a call, with or without a leave
	random  *rand.Rand
	serial  uint64
	now     time.Time
	out     []Effect
}

// New has no jobs; seed makes the jitter of retries.
func New(seed [32]byte) *Jobs {
	return &Jobs{jobs: map[Key]*job{}, present: map[Key]sfu.ParticipantID{}, random: rand.New(rand.NewChaCha8(seed))}
}

// Full says that Accepted has no effect now, unless it replaces.
func (s *Jobs) Full() bool { return len(s.jobs) >= maxJobs }

// Deadline is when time alone changes something; zero: never.
func (s *Jobs) Deadline() (at time.Time) {
	if len(s.queue) > 0 {
		at = s.queue[0].next()
	}
	return at
}

// Count is how many jobs wait, are connected, are sending.
func (s *Jobs) Count() (n [3]int) {
	for _, j := range s.jobs {
		n[j.state]++
	}
	return n
}

// Handle takes what happened, and appends to out what is to be done.
func (s *Jobs) Handle(now time.Time, ev Event, out []Effect) []Effect {
	s.now, s.out = now, out
	switch e := ev.(type) {
	case Accepted:
		s.accept(e.Leave)
	case Loaded:
		s.load(e.Leaves)
	case Arrived:
		s.present[e.Key] = e.Participant
		if j := s.jobs[e.Key]; j != nil {
			s.connect(j)
		}
	case Left:
		s.left(e)
	case Failed:
		s.failed(e)
	case Withdrawn:
		s.withdrawn(e)
	case Answered:
		s.answered(e)
	}
	s.pass()
	out, s.out = s.out, nil
	return out
}

func (s *Jobs) accept(l Leave) {
	old := s.jobs[l.Key]
	if old == nil && s.Full() {
		return
	}
	switch {
	case old == nil:
	case old.leave.ID == l.ID:
		s.drop(old)
	default:
		s.end(old, Replaced)
	}
	l.Restarted = s.now // at the latest: its user has just made it
	j := &job{leave: l, accepted: s.now, seen: old != nil && old.seen, limit: s.now.Add(min(patience, l.Timeout))}
	s.add(j)
	s.do(Keep{l})
	if _, here := s.present[l.Key]; here {
		s.connect(j)
	}
}

// load takes up what a former process kept. Nobody is in a call yet: participants come back within a minute or not at all.
func (s *Jobs) load(all []Leave) {
	for _, l := range all {
		// A clock that was set back while we were away makes the past the future.
		ran := max(s.now.Sub(l.Restarted), 0)
		left := l.Timeout - ran
		if s.jobs[l.Key] != nil || s.Full() {
			continue
		}
		if left <= 0 {
			s.do(Ended{l, Expired})
			continue
		}
		l.Restarted = s.now.Add(-ran)
		j := &job{leave: l, accepted: s.now, seen: true, limit: s.now.Add(min(left, returnTime))}
		if left < l.Timeout/2 {
			j.due = s.now
		}
		s.add(j)
	}
}

// connect puts the event off for as long as the participant is there.
func (s *Jobs) connect(j *job) {
	j.state, j.seen, j.limit = connected, true, time.Time{}
	s.cancel(j)
	j.due = s.now
	s.moved(j)
}

func (s *Jobs) left(e Left) {
	if s.present[e.Key] != e.Participant {
		return // another one with that identity is there
	}
	delete(s.present, e.Key)
	j := s.jobs[e.Key]
	if j == nil || j.state != connected {
		return
	}
	if e.Replaced {
		// Its successor is connecting.
		j.state, j.limit = waiting, s.now.Add(min(returnTime, j.remaining(s.now)))
		s.moved(j)
		return
	}
	s.send(j)
}

func (s *Jobs) failed(e Failed) {
	j := s.jobs[e.Key]
	switch {
	case j == nil || j.state != waiting || e.Replaced:
	case j.seen:
		s.send(j)
	default:
		s.end(j, Unused)
	}
}

func (s *Jobs) withdrawn(e Withdrawn) {
	var all []*job
	for _, j := range s.queue {
		if j.leave.User == e.User && j.leave.Room == e.Room && !j.accepted.After(e.Before) {
			all = append(all, j)
		}
	}
	for _, j := range all {
		s.end(j, Evicted)
	}
}

// send has the event sent now.
func (s *Jobs) send(j *job) {
	j.state = sending
	s.cancel(j)
	j.due, j.limit = s.now, s.now.Add(min(patience, max(minSending, j.remaining(s.now))))
	s.moved(j)
}

// remaining is how long the homeserver waits yet.
func (j *job) remaining(now time.Time) time.Duration {
	return j.leave.Timeout - now.Sub(j.leave.Restarted)
}

// cancel forgets a request that is on its way: its answer says nothing of what is wanted now.
func (s *Jobs) cancel(j *job) { j.serial, j.asked, j.retry = 0, time.Time{}, 0 }

func (s *Jobs) answered(e Answered) {
	j := s.jobs[e.Key]
	if j == nil || j.serial != e.Serial || e.Serial == 0 {
		return
	}
	asked := j.asked
	j.serial, j.asked = 0, time.Time{}
	switch e.Outcome {
	case Gone:
		s.end(j, Overtaken)
	case Refused:
		s.end(j, Denied)
	case Unreached:
		j.due = s.now.Add(max(s.backoff(j), min(e.After, patience)))
		s.moved(j)
	case Done:
		j.retry = 0
		if j.state == sending {
			s.end(j, Sent)
			return
		}
		j.leave.Restarted = asked // the homeserver began to count after that
		s.do(Keep{j.leave})
		if j.state == connected {
			j.due = asked.Add(max(minPeriod, j.leave.Timeout*4/5))
			s.moved(j)
		}
	}
}

// backoff is the time until the next try: from 1 s, half as long again each time, to 60 s, less up to a fifth so that
// many jobs do not come back at once.
func (s *Jobs) backoff(j *job) time.Duration {
	j.retry = min(max(firstRetry, j.retry*3/2), lastRetry)
	return j.retry - time.Duration(s.random.Int64N(int64(j.retry/5)))
}

// pass does what is due.
func (s *Jobs) pass() {
	for len(s.queue) > 0 {
		j := s.queue[0]
		switch {
		case s.over(j.limit):
			s.expire(j)
		case s.over(j.due):
			s.serial++
			j.serial, j.asked, j.due = s.serial, s.now, time.Time{}
			action := Restart
			if j.state == sending {
				action = Send
			}
			s.do(Request{j.leave, action, s.serial})
			s.moved(j)
		default:
			return
		}
	}
}

func (s *Jobs) expire(j *job) {
	if j.state == sending {
		s.end(j, Expired)
		return
	}
	s.send(j) // its participant did not come
}

// add makes a job of a leave.
func (s *Jobs) add(j *job) {
	s.jobs[j.leave.Key] = j
	heap.Push(&s.queue, j)
}

// moved is called after a change of a job's times.
func (s *Jobs) moved(j *job) { heap.Fix(&s.queue, j.place) }

func (s *Jobs) end(j *job, how End) {
	s.drop(j)
	s.do(Ended{j.leave, how})
}

func (s *Jobs) drop(j *job) {
	delete(s.jobs, j.leave.Key)
	heap.Remove(&s.queue, j.place)
}

func (s *Jobs) do(e Effect) { s.out = append(s.out, e) }

// over says whether a time is set and has come.
func (s *Jobs) over(t time.Time) bool { return !t.IsZero() && !s.now.Before(t) }
