package matrix

import (
	"context"
	"errors"
	"net/http"
	"time"

	"weir/signalling/delayed"
	"weir/signalling/member"
)

// delayedPaths are where delayed events are (MSC4140): as homeservers have them today, and as the specification will.
var delayedPaths = []string{"/_matrix/client/unstable/org.matrix.msc4140/delayed_events", "/_matrix/client/v1/delayed_events"}

// delayedEvent is one that waits at the homeserver. Older drafts call its delay `delay`.
type delayedEvent struct {
	ID    string `json:"delay_id"`
	Room  string `json:"room_id"`
	Delay int64  `json:"delay_ms"`
	Older int64  `json:"delay"`
}

// unrecognised says that a homeserver does not know the path; anything else that it says is about the event.
func unrecognisedPath(err error) bool {
	r, ok := errors.AsType[*Refused](err)
	return ok && r.Status == http.StatusNotFound && r.Code == "M_UNRECOGNIZED"
}

// errNotOurs stops looking after leaves of users whose homeserver is not ours any more.
var errNotOurs = &Refused{Status: http.StatusForbidden, Code: "not a user of ours"}

// home is the homeserver that knows a user's events; nil: it is none of ours.
func (d *Delegation) home(user string) *Home {
	server := member.ServerOf(user)
	for i := range d.cfg.Homes {
		if d.cfg.Homes[i].Server == server {
			return &d.cfg.Homes[i]
		}
	}
	return nil
}

// delayedCall makes a call below the path of delayed events, in the user's name if that is permitted.
func (d *Delegation) delayedCall(ctx context.Context, method, end, user string, in, into any) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	home := d.home(user)
	if home == nil {
		return errNotOurs
	}
	c := call{method: method, in: in, into: into}
	if home.Assert {
		c.as = user
	}
	for _, base := range delayedPaths {
		c.path = base + end
		if err = home.API.do(ctx, c); !unrecognisedPath(err) {
			return err
		}
	}
	return err
}

// request restarts or sends, and says what came of it.
func (d *Delegation) request(r delayed.Request) {
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	case <-d.ctx.Done():
		return
	}
	err := d.delayedCall(d.ctx, http.MethodPost, "/"+escape(r.Leave.ID)+"/"+string(r.Action), r.Leave.User, struct{}{}, nil)
	if d.ctx.Err() != nil {
		return // we are about to end: nothing is known
	}
	answer := delayed.Answered{Key: r.Leave.Key, Serial: r.Serial, Outcome: delayed.Done}
	code := "done"
	if err != nil {
		answer.Outcome, answer.After, code = outcomeOf(err)
		// The path in the error holds the delay id.
		d.log.Debug("delayed leave", "code", "leave_"+code, "action", string(r.Action), "user", r.Leave.User, "room_id", r.Leave.Room, "err", cause(err))
	}
	d.metrics.requests.WithLabelValues(string(r.Action), code).Inc()
	d.put(message{event: answer})
}

// outcomeOf reads an error. A path that is not known is no word on the event: the homeserver is being upgraded, or a
// proxy in front of it does not pass the path to the right worker.
func outcomeOf(err error) (delayed.Outcome, time.Duration, string) {
	r, ok := errors.AsType[*Refused](err)
	switch {
	case !ok:
		return delayed.Unreached, 0, "unreached"
	case unrecognisedPath(err):
		return delayed.Unreached, r.After, "unrecognised"
	case r.Status == http.StatusNotFound, r.Status == http.StatusConflict:
		return delayed.Gone, 0, "gone"
	case r.Status == http.StatusTooManyRequests:
		return delayed.Unreached, r.After, "limited"
	case r.Status/100 == 4:
		return delayed.Refused, 0, "refused"
	}
	return delayed.Unreached, r.After, "failed"
}

// cause is the innermost error, which names no path.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// Find implements Leaves: it reads the event as its user. Homeservers that cannot show one show all.
func (d *Delegation) Find(ctx context.Context, user, delayID string) (room string, delay time.Duration, err error) {
	if h := d.home(user); h == nil || !h.Assert {
		return "", 0, errors.New("delayed events are read in the name of their users, which homeserver.assert_identity does not permit")
	}
	var e delayedEvent
	err = d.delayedCall(ctx, http.MethodGet, "/"+escape(delayID), user, nil, &e)
	if unrecognisedPath(err) {
		e, err = d.search(ctx, user, delayID)
	}
	if r, ok := errors.AsType[*Refused](err); ok && r.Status == http.StatusNotFound && !unrecognisedPath(err) {
		return "", 0, ErrUnknownLeave
	}
	if err != nil {
		return "", 0, cause(err)
	}
	return e.Room, time.Duration(max(e.Delay, e.Older)) * time.Millisecond, nil
}

func (d *Delegation) search(ctx context.Context, user, delayID string) (delayedEvent, error) {
	var all struct {
		Events []delayedEvent `json:"delayed_events"`
	}
	if err := d.delayedCall(ctx, http.MethodGet, "", user, nil, &all); err != nil {
		return delayedEvent{}, err
	}
	for _, e := range all.Events {
		if e.ID == delayID {
			return e, nil
		}
	}
	return delayedEvent{}, ErrUnknownLeave
}
