package matrix

import (
	"context"
	"errors"
	"time"

	"weir/signalling/delayed"
	"weir/signalling/derive"
)

// Leaves takes leaves over; *Delegation is one.
type Leaves interface {
	// Accept keeps the leave alive until its participant is gone. A newer leave of a participant replaces the older.
	Accept(delayed.Leave) error
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
	err := d.leaves.Accept(delayed.Leave{
		Key: delayed.Key{Session: derive.Alias(q.room, q.slot, ""), Identity: derive.Identity(q.version, q.claim)},
		ID:  q.delay.id, Timeout: q.delay.timeout, User: q.claim.User, Room: q.room, Slot: q.slot,
	})
	if err != nil {
		return internal.because(err)
	}
	return nil
}
