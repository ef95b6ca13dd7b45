package matrix

import (
	"context"
	"errors"
	"time"

	"weir/sfu"
	"weir/signalling/derive"
)

// Leave is a delayed event of an own user that says "I have left": whoever holds its id can put it off, or have it sent
// at once. Its client would have us do so, because we see when it is gone (matrixrtc.md section 5).
type Leave struct {
	DelayID    string // a secret: it is all that is needed to have the event sent
	Timeout    time.Duration
	User       string // whose it is
	Room, Slot string
	Alias      sfu.SessionID
	Identity   sfu.Identity // with Alias it names the job
}

// Leaves takes leaves over; *Delegation is one.
type Leaves interface {
	// Accept keeps the leave alive until its participant is gone. A newer leave of a participant replaces the older.
	Accept(Leave) error
	// Find asks the homeserver for a leave in the name of its user. ErrUnknownLeave if there is none such.
	Find(ctx context.Context, user, delayID string) (room string, delay time.Duration, err error)
}

// ErrUnknownLeave says that the homeserver has no such delayed event of that user.
var ErrUnknownLeave = errors.New("no such delayed event")

// delegate takes over the leave of a request that was allowed.
func (d *Doors) delegate(q *request) *refusal {
	if q.delay.id == "" {
		return nil
	}
	err := d.leaves.Accept(Leave{
		DelayID: q.delay.id, Timeout: q.delay.timeout, User: q.claim.User, Room: q.room, Slot: q.slot,
		Alias: derive.Alias(q.room, q.slot, ""), Identity: derive.Identity(q.version, q.claim),
	})
	if err != nil {
		return internal.because(err)
	}
	return nil
}
