package matrix

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"weir/signalling/member"
)

const (
	// pollPeriod is how often a room is asked about of which no events come (matrixrtc.md section 10).
	pollPeriod = 10 * time.Second
	// shunned is how long an own user is not asked for again who could not read the room.
	shunned = 5 * time.Minute
	// idlePause keeps a homeserver that answers at once with nothing from being asked without end.
	idlePause = 250 * time.Millisecond
	// awayTime is for how long a homeserver that is out of reach is not the first to be asked.
	awayTime = time.Minute
	// The pause between tries while the homeserver is out of reach: so short that joins resume soon after it is back.
	firstRetry, lastRetry = time.Second, 8 * time.Second
)

// follower reads one room through the homeserver and tells its watch. It belongs to the goroutine of follow.
type follower struct {
	v       *watch
	failed  int  // in a row
	partial bool // who is joined was not told yet
	shunned map[string]time.Time
	away    map[*lookup]time.Time // homeservers that are out of reach, until when another is asked rather
}

func (v *watch) follow() {
	f := &follower{v: v, shunned: map[string]time.Time{}, away: map[*lookup]time.Time{}}
	for v.stopped.Err() == nil {
		as, ok := f.witness()
		if !ok {
			f.pollSeats()
			f.pause(pollPeriod)
			continue
		}
		v.reads.Store(as.home)
		f.readAs(as)
	}
}

// pause waits, unless the watch ends.
func (f *follower) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.v.stopped.Done():
	}
}

// backoff is the pause after so many failures in a row; rooms that failed together do not come back together.
func (f *follower) backoff() time.Duration {
	d := firstRetry
	for i := 1; i < f.failed && d < lastRetry; i++ {
		d += d / 2
	}
	d = min(d, lastRetry)
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// ask puts a question to the watch.
func ask[T any](v *watch, reply chan T, q any) (answer T) {
	if !v.send(q) {
		return answer
	}
	select {
	case answer = <-reply:
	case <-v.done:
	}
	return answer
}

// witness chooses who reads the room: an own user who is in it, or a bot.
func (f *follower) witness() (as reader, ok bool) {
	reply := make(chan []string, 1)
	now := time.Now()
	for _, r := range f.v.w.homes.readers(ask(f.v, reply, whoSees{reply})) {
		if until, bad := f.shunned[r.key()]; bad && now.Before(until) {
			continue
		}
		delete(f.shunned, r.key())
		if now.After(f.away[r.home]) {
			return r, true
		}
		if !ok { // a homeserver that is out of reach is better than none
			as, ok = r, true
		}
	}
	return as, ok
}

// elsewhere says whether the room can be read at another homeserver of ours while this one is out of reach.
func (f *follower) elsewhere(as reader) bool {
	if len(f.v.w.homes) < 2 {
		return false
	}
	f.away[as.home] = time.Now().Add(awayTime)
	other, ok := f.witness()
	return ok && other.home != as.home && time.Now().After(f.away[other.home])
}

// readAs follows the room as one user until that user cannot see it any more.
func (f *follower) readAs(as reader) {
	f.v.log.Info("reading the room", "code", "witness", "server", as.home.own, "as", as.as)
	since := ""
	for f.v.stopped.Err() == nil {
		began := time.Now()
		a, err := as.home.home.sync(f.v.stopped, f.v.id, as.as, since)
		f.count("sync", err)
		if err != nil {
			if !f.survives(as, &since, err) {
				return
			}
			continue
		}
		if r := a.Rooms.Leave[f.v.id]; r != nil && since != "" {
			f.v.send(f.measured(r.news()))
			f.shun(as)
			return
		}
		r := a.Rooms.Join[f.v.id]
		if r == nil && since == "" {
			f.unseen(as)
			return
		}
		if f.failed > 0 {
			f.failed = 0
			f.v.log.Info("the homeserver answers again", "code", "homeserver_back")
		}
		switch {
		case r == nil:
			f.v.send(seen{live})
			f.complete(as)
			if time.Since(began) < time.Second {
				f.pause(idlePause)
			}
		case since == "":
			f.first(as, r)
			if as.home.push {
				f.listen(as)
				return
			}
		case r.Timeline.Limited:
			// Events were left out. What they came to is among the news; but a redaction may be missing, so all is read anew.
			f.v.send(f.measured(r.news()))
			since = ""
			continue
		default:
			f.v.send(f.measured(r.news()))
			f.v.send(seen{live})
		}
		f.ignored(r)
		since = a.Next
	}
}

// first tells the whole room.
func (f *follower) first(as reader, r *syncRoom) {
	state, sticky := r.whole()
	f.v.send(state)
	f.partial = true
	f.complete(as)
	f.v.send(sticky)
	f.v.send(seen{live})
}

// checkPeriod is how often who is joined is asked for where events are pushed: one that got lost does not stay so.
const checkPeriod = time.Minute

// listen leaves it to the homeserver to push events, until it answers no more or this user is not in the room any more.
func (f *follower) listen(as reader) {
	for f.v.stopped.Err() == nil {
		f.pause(checkPeriod)
		f.partial = true
		if f.complete(as); f.partial {
			f.v.send(seen{blind})
			return // and read the room again when that can be done
		}
	}
}

// complete tells who is joined, unless that is known. A homeserver that knows a room in part only may keep us waiting.
func (f *follower) complete(as reader) {
	if !f.partial || !f.enter() {
		return
	}
	defer f.exit()
	ctx, cancel := context.WithTimeout(f.v.stopped, callTimeout)
	defer cancel()
	users, err := as.home.members(ctx, f.v.id, as.as)
	f.count("members", err)
	if err == nil {
		f.partial = false
		f.v.send(member.JoinedUsers{Users: users})
		f.missing(users)
	}
}

func (f *follower) measured(b member.Batch) member.Batch {
	f.v.w.measure(b, time.Now())
	return b
}

func (f *follower) ignored(r *syncRoom) {
	if r != nil {
		f.v.w.metrics.ignored.Add(float64(r.unreadable))
	}
}

// survives decides how to go on after a failure; false: as somebody else.
func (f *follower) survives(as reader, since *string, err error) bool {
	if f.v.stopped.Err() != nil {
		return false
	}
	f.failed++
	r, refused := errors.AsType[*Refused](err)
	switch {
	case refused && r.Status == http.StatusTooManyRequests:
		f.failed--
		f.pause(max(r.After, firstRetry))
		return true
	case refused && r.Status == http.StatusForbidden, refused && r.Code == "M_USER_DEACTIVATED":
		f.v.log.Warn("the room cannot be read in this name", "code", "witness_refused", "server", as.home.own, "as", as.as, "err", err)
		f.shun(as)
		f.failed--
		return false
	case refused && r.Status == http.StatusBadRequest && *since != "":
		*since = "" // the homeserver does not know its own mark any more: it was restored from a copy
		f.pause(firstRetry)
		return true
	}
	if (!refused || r.Status >= http.StatusInternalServerError) && f.elsewhere(as) {
		f.v.log.Warn("the homeserver is out of reach: the room is read at another", "code", "homeserver_away", "server", as.home.own, "err", err)
		f.failed--
		return false
	}
	if f.failed == 1 {
		f.v.log.Error("the homeserver does not tell what happens in the room: participants stay", "code", "homeserver_lost", "err", err)
	}
	if !refused || f.failed == 1 || !f.pollMembers(as) { // it may answer, only not this
		f.v.send(seen{blind})
	}
	f.pause(f.backoff())
	return true
}

// shun asks somebody else for a while. There is nobody else for the bot of an only homeserver: it waits to be invited.
func (f *follower) shun(as reader) {
	switch {
	case as.as != "":
		f.shunned[as.key()] = time.Now().Add(shunned)
		return
	case len(f.v.w.homes) > 1: // users of another homeserver may come to the room
		f.shunned[as.key()] = time.Now().Add(pollPeriod)
		return
	}
	f.v.send(seen{blind})
	f.pause(pollPeriod)
}

// unseen is a room that the witness is not shown: it left, or the homeserver knows the room only in part yet (a join
// over federation that goes on).
func (f *follower) unseen(as reader) {
	if !f.pollMembers(as) {
		f.v.send(seen{blind})
	}
	f.pause(pollPeriod)
}

// pollMembers asks who is joined. Somebody who may not ask is not in the room.
func (f *follower) pollMembers(as reader) bool {
	if !f.enter() {
		return false
	}
	defer f.exit()
	ctx, cancel := context.WithTimeout(f.v.stopped, callTimeout)
	defer cancel()
	users, err := as.home.members(ctx, f.v.id, as.as)
	f.count("members", err)
	if r, ok := errors.AsType[*Refused](err); ok && r.Status == http.StatusForbidden {
		f.shun(as)
	}
	if err != nil {
		return false
	}
	f.v.send(member.JoinedUsers{Users: users})
	f.missing(users)
	f.v.send(seen{polled})
	return true
}

// missing asks about users with a token who are not among the joined: a door saw them in the room, so they came or went
// just now.
func (f *follower) missing(joined []string) {
	reply := make(chan []string, 1)
	for _, u := range ask(f.v, reply, whoSits{reply}) {
		if _, found := slices.BinarySearch(joined, u); found {
			continue
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(f.v.stopped, callTimeout)
		in, err := f.v.w.homes.ask(ctx, f.v.id, u)
		cancel()
		if f.count("is_joined", err); err == nil && !in {
			f.v.send(absent{u, began})
		}
	}
}

// pollSeats asks of each user with a participant or a token whether it is joined, when nobody can read the room for us.
func (f *follower) pollSeats() {
	reply := make(chan []string, 1)
	users := ask(f.v, reply, whoSits{reply})
	var joined []string
	for _, u := range users {
		began := time.Now()
		in, err := f.isJoined(u)
		if err != nil {
			if f.failed == 0 {
				f.v.log.Error("the homeserver does not tell who is in the room: participants stay", "code", "homeserver_lost", "err", err)
			}
			f.failed++
			f.v.send(seen{blind})
			return
		}
		if in {
			joined = append(joined, u)
		} else {
			f.v.send(absent{u, began})
		}
	}
	f.failed = 0
	if len(users) == 0 || len(joined) == 0 && f.ownGone() {
		return
	}
	slices.Sort(joined)
	f.v.send(member.JoinedUsers{Users: joined})
	f.v.send(seen{polled})
}

func (f *follower) isJoined(user string) (bool, error) {
	if !f.enter() {
		return false, f.v.stopped.Err()
	}
	defer f.exit()
	ctx, cancel := context.WithTimeout(f.v.stopped, callTimeout)
	defer cancel()
	in, err := f.v.w.homes.ask(ctx, f.v.id, user)
	f.count("is_joined", err)
	return in, err
}

// ownGone asks whether any own homeserver is in the room at all; if none is, they know of nobody there.
func (f *follower) ownGone() bool {
	in, err := f.v.w.homes.present(f.v.stopped, f.v.id)
	f.count("is_joined", err)
	if err == nil && !in {
		f.v.send(member.OwnServer{Joined: false})
	}
	return err != nil || !in
}

// enter takes a place among the polls in flight.
func (f *follower) enter() bool {
	select {
	case f.v.w.polls <- struct{}{}:
		return true
	case <-f.v.stopped.Done():
		return false
	}
}

func (f *follower) exit() { <-f.v.w.polls }

func (f *follower) count(kind string, err error) {
	outcome := "ok"
	switch r, refused := errors.AsType[*Refused](err); {
	case err == nil:
	case refused && r.Status == http.StatusTooManyRequests:
		outcome = "limited"
	case refused:
		outcome = "refused"
	case f.v.stopped.Err() != nil:
		return
	default:
		outcome = "unreachable"
	}
	f.v.w.metrics.requests.WithLabelValues(kind, outcome).Inc()
}
