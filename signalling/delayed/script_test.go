package delayed

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/sfu"
)

var (
	start = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	ann   = Key{"call", "ann"}
	ben   = Key{"call", "ben"}
)

// script is a run of Jobs; its effects are read as words.
type script struct {
	t    *testing.T
	jobs *Jobs
	now  time.Time
	last map[Key]uint64 // serial of the last request
}

func play(t *testing.T) *script {
	return &script{t: t, jobs: New([32]byte{1}), now: start, last: map[Key]uint64{}}
}

func leave(k Key, id string, timeout time.Duration) Leave {
	return Leave{Key: k, ID: id, Timeout: timeout, User: "@" + string(k.Identity) + ":hs", Room: "!room", Slot: "m.call#ROOM"}
}

func (s *script) word(e Effect) string {
	switch e := e.(type) {
	case Request:
		s.last[e.Leave.Key] = e.Serial
		return fmt.Sprintf("%s %s", e.Action, e.Leave.ID)
	case Keep:
		return fmt.Sprintf("keep %s since %v", e.Leave.ID, e.Leave.Restarted.Sub(start))
	case Ended:
		return fmt.Sprintf("%s %s", e.End, e.Leave.ID)
	}
	return "?"
}

// then lets something happen and compares what follows.
func (s *script) then(why string, ev Event, want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.jobs.Handle(s.now, ev, nil) {
		got = append(got, s.word(e))
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("%v %s:\n got %q\nwant %q", s.now.Sub(start), why, got, want)
	}
}

// after lets time pass: nothing may happen before.
func (s *script) after(d time.Duration, why string, want ...string) {
	s.t.Helper()
	end := s.now.Add(d)
	if at := s.jobs.Deadline(); !at.IsZero() && at.Before(end) {
		s.t.Fatalf("%s: something is due %v from now, before %v", why, at.Sub(s.now), d)
	}
	if len(want) > 0 && !s.jobs.Deadline().Equal(end) {
		s.t.Fatalf("%s: due at %v, not %v", why, s.jobs.Deadline().Sub(start), end.Sub(start))
	}
	s.now = end
	s.then(why, Tick{}, want...)
}

func (s *script) answer(k Key, o Outcome, after time.Duration, want ...string) {
	s.t.Helper()
	s.then(fmt.Sprint("answer ", o), Answered{Key: k, Serial: s.last[k], Outcome: o, After: after}, want...)
}

// next is when something is due, from now.
func (s *script) next() time.Duration {
	if at := s.jobs.Deadline(); !at.IsZero() {
		return at.Sub(s.now)
	}
	return -1
}

func here(k Key, id sfu.ParticipantID) Arrived { return Arrived{k, id} }
func gone(k Key, id sfu.ParticipantID) Left    { return Left{Key: k, Participant: id} }

func TestLife(t *testing.T) {
	s := play(t)
	s.then("ann is in the call", here(ann, "PA_1"))
	s.then("her leave", Accepted{leave(ann, "d1", time.Hour)}, "keep d1 since 0s", "restart d1")
	s.now = s.now.Add(time.Second)
	s.answer(ann, Done, 0, "keep d1 since 0s")
	s.after(48*time.Minute-time.Second, "0.8 of the timeout after it was asked", "restart d1")
	s.answer(ann, Done, 0, "keep d1 since 48m0s")
	s.now = s.now.Add(time.Minute)
	s.then("another stay ends", gone(ann, "PA_0"))
	s.then("she is gone", gone(ann, "PA_1"), "send d1")
	s.answer(ann, Done, 0, "sent d1")
	if s.next() != -1 || s.jobs.Count() != [3]int{} {
		t.Fatal("something is left")
	}
}

func TestWaits(t *testing.T) {
	s := play(t)
	s.then("accepted before she is there", Accepted{leave(ann, "d1", 18*time.Second)}, "keep d1 since 0s")
	s.after(10*time.Second, "a while")
	s.then("she comes", here(ann, "PA_1"), "restart d1")
	s.answer(ann, Done, 0, "keep d1 since 10s")
	s.after(14400*time.Millisecond, "0.8 of it", "restart d1")

	s = play(t)
	s.then("accepted", Accepted{leave(ann, "d1", 18*time.Second)}, "keep d1 since 0s")
	s.after(18*time.Second, "she never came", "send d1")
	s.answer(ann, Gone, 0, "overtaken d1")

	s = play(t)
	s.then("accepted", Accepted{leave(ann, "d1", 24*time.Hour)}, "keep d1 since 0s")
	s.after(time.Hour, "an hour at most", "send d1")

	s = play(t)
	s.then("accepted", Accepted{leave(ann, "d1", time.Hour)}, "keep d1 since 0s")
	s.then("her first try fails, a second is under way", Failed{ann, true})
	s.then("her connection fails", Failed{ann, false}, "unused d1")

	s = play(t)
	s.then("a short one", Accepted{leave(ann, "d1", 2*time.Second)}, "keep d1 since 0s")
	s.then("she comes", here(ann, "PA_1"), "restart d1")
	s.answer(ann, Done, 0, "keep d1 since 0s")
	s.after(5*time.Second, "not more often than each 5 s", "restart d1")
	s.answer(ann, Gone, 0, "overtaken d1")
	s.then("she goes", gone(ann, "PA_1"))
}

func TestReplaced(t *testing.T) {
	s := play(t)
	s.then("here", here(ann, "PA_1"))
	s.then("first", Accepted{leave(ann, "d1", time.Hour)}, "keep d1 since 0s", "restart d1")
	s.then("second: neither sent nor cancelled", Accepted{leave(ann, "d2", time.Hour)}, "replaced d1", "keep d2 since 0s", "restart d2")
	s.then("the first one's answer says nothing", Answered{Key: ann, Serial: 1, Outcome: Gone})
	s.answer(ann, Done, 0, "keep d2 since 0s")
	s.then("the same again", Accepted{leave(ann, "d2", time.Hour)}, "keep d2 since 0s", "restart d2")
	s.then("ben's is his own", Accepted{leave(ben, "d3", time.Hour)}, "keep d3 since 0s")
	if got := s.jobs.Count(); got != [3]int{1, 1, 0} {
		t.Fatal(got)
	}
}

// A client that joins anew takes its own place: nothing may be sent meanwhile.
func TestSuccessor(t *testing.T) {
	s := play(t)
	s.then("here", here(ann, "PA_1"))
	s.then("leave", Accepted{leave(ann, "d1", time.Hour)}, "keep d1 since 0s", "restart d1")
	s.answer(ann, Done, 0, "keep d1 since 0s")
	s.then("replaced", Left{ann, "PA_1", true})
	s.after(300*time.Millisecond, "connecting")
	s.then("here again", here(ann, "PA_2"), "restart d1")
	s.then("the older stay is over for good", gone(ann, "PA_1"))
	s.answer(ann, Done, 0, "keep d1 since 300ms")

	s.then("replaced again", Left{ann, "PA_2", true})
	s.after(time.Minute, "the successor does not make it", "send d1")
	s.then("but does after all", here(ann, "PA_3"), "restart d1")
	s.then("gone before the answer", gone(ann, "PA_3"), "send d1")
	s.then("answer of the restart", Answered{Key: ann, Serial: s.last[ann] - 1, Outcome: Done})
	s.answer(ann, Done, 0, "sent d1")

	s.then("anew", Accepted{leave(ann, "d2", time.Hour)}, "keep d2 since 1m0.3s")
	s.then("here", here(ann, "PA_4"), "restart d2")
	s.then("replaced", Left{ann, "PA_4", true})
	s.then("its successor fails", Failed{ann, false}, "send d2")
}

func TestEvicted(t *testing.T) {
	s := play(t)
	s.then("here", here(ann, "PA_1"))
	s.then("leave", Accepted{leave(ann, "d1", time.Hour)}, "keep d1 since 0s", "restart d1")
	s.then("ben's", Accepted{leave(ben, "d2", time.Hour)}, "keep d2 since 0s")
	s.then("another room", Withdrawn{"!other", "@ann:hs", s.now})
	s.then("before she came back", Withdrawn{"!room", "@ann:hs", s.now.Add(-time.Second)})
	s.then("banned", Withdrawn{"!room", "@ann:hs", s.now}, "evicted d1")
	s.then("and gone: the homeserver would refuse", gone(ann, "PA_1"))
	s.answer(ann, Done, 0)
}

func TestRetries(t *testing.T) {
	s := play(t)
	s.then("here", here(ann, "PA_1"))
	s.then("leave", Accepted{leave(ann, "d1", time.Hour)}, "keep d1 since 0s", "restart d1")
	for i, most := range []time.Duration{1000, 1500, 2250, 3375} {
		s.answer(ann, Unreached, 0)
		most *= time.Millisecond
		if d := s.next(); d > most || d <= most*4/5 {
			t.Fatalf("retry %d after %v", i, d)
		}
		s.after(s.next(), "again", "restart d1")
	}
	for range 20 {
		s.answer(ann, Unreached, 0)
		s.after(s.next(), "again", "restart d1")
	}
	s.answer(ann, Unreached, 0)
	if d := s.next(); d > time.Minute || d <= 48*time.Second {
		t.Fatalf("retry after %v", d)
	}
	s.after(s.next(), "again", "restart d1")
	s.answer(ann, Unreached, 7*time.Minute)
	s.after(7*time.Minute, "as the homeserver asked", "restart d1")
	s.answer(ann, Unreached, 5*time.Hour)
	s.after(time.Hour, "an hour at most", "restart d1")
	s.answer(ann, Done, 0, fmt.Sprintf("keep d1 since %v", s.now.Sub(start)))
	s.then("gone", gone(ann, "PA_1"), "send d1")
	s.answer(ann, Unreached, 0)
	if d := s.next(); d > time.Second {
		t.Fatalf("the backoff does not begin anew: %v", d)
	}
	s.after(s.next(), "again", "send d1")
	s.answer(ann, Unreached, 2*time.Hour)
	if s.next() > time.Hour {
		t.Fatal("the homeserver sends it by itself long before")
	}
	s.after(s.next(), "too late", "expired d1")

	s = play(t)
	s.then("here", here(ann, "PA_1"))
	s.then("leave", Accepted{leave(ann, "d1", 10*time.Second)}, "keep d1 since 0s", "restart d1")
	s.now = s.now.Add(20 * time.Second) // the homeserver is away
	s.then("gone", gone(ann, "PA_1"), "send d1")
	s.after(time.Second, "a second at least", "expired d1")

	s = play(t)
	s.then("here", here(ann, "PA_1"))
	s.then("leave", Accepted{leave(ann, "d1", time.Hour)}, "keep d1 since 0s", "restart d1")
	s.answer(ann, Refused, 0, "denied d1")
}

func TestLoaded(t *testing.T) {
	kept := func(id string, timeout, ago time.Duration) Leave {
		l := leave(Key{"call", sfu.Identity(id)}, id, timeout)
		l.Restarted = start.Add(-ago)
		return l
	}
	s := play(t)
	s.then("loaded", Loaded{[]Leave{
		kept("long", time.Hour, 10*time.Minute), kept("over", time.Minute, time.Minute), kept("half", time.Hour, 31*time.Minute),
		kept("soon", time.Minute, 50*time.Second), kept("future", time.Hour, -time.Hour), kept("long", time.Minute, 0),
	}}, "expired over", "restart half", "restart soon")
	s.then("half", Answered{Key: Key{"call", "half"}, Serial: s.last[Key{"call", "half"}], Outcome: Done}, "keep half since 0s")
	s.after(5*time.Second, "some time")
	s.then("long comes back", here(Key{"call", "long"}, "PA_1"), "restart long")
	s.after(5*time.Second, "what was soon over is", "send soon")
	s.after(0, "no more")
	s.answer(Key{"call", "soon"}, Unreached, 0)
	s.jobs.Handle(s.now.Add(time.Second), Tick{}, nil)
	s.now = start.Add(time.Minute)
	s.then("a minute to come back", Tick{}, "send future", "send half")
	s.then("long goes", gone(Key{"call", "long"}, "PA_1"), "send long")
}

func TestFull(t *testing.T) {
	j := New([32]byte{})
	for i := range maxJobs {
		j.Handle(start, Accepted{leave(Key{"call", sfu.Identity(fmt.Sprint(i))}, "d", time.Hour)}, nil)
	}
	if !j.Full() {
		t.Fatal("not full")
	}
	if out := j.Handle(start, Accepted{leave(ann, "d", time.Hour)}, nil); len(out) != 0 {
		t.Fatal(out)
	}
	if out := j.Handle(start, Accepted{leave(Key{"call", "7"}, "d2", time.Hour)}, nil); len(out) != 2 {
		t.Fatal("a newer one of the same participant needs no room: ", out)
	}
}

func TestWords(t *testing.T) {
	var all []string
	for e := Sent; e <= Denied; e++ {
		all = append(all, e.String())
	}
	if got := strings.Join(all, " "); got != "sent overtaken replaced unused evicted expired denied" {
		t.Fatal(got)
	}
}
