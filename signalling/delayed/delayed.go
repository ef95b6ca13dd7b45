// Package delayed is the delegated delayed leave (MSC4140, MSC4195; matrixrtc.md section 5): what becomes of the leaves
// that clients had us take over. A client schedules the event that ends its membership, and would have to put it off
// again and again while it is in the call. The focus sees when the client is gone, so it does that for it, with a delay
// long enough to outlive any trouble of the homeserver, and has the event sent at once when the participant has left.
//
// The package is pure: Events in, Effects out, the time is an argument.
package delayed

import (
	"errors"
	"time"

	"weir/sfu"
)

// Key names a job: there is one leave per participant of a session.
type Key struct {
	Session  sfu.SessionID
	Identity sfu.Identity
}

// Leave is a delayed event that somebody had us take over.
type Leave struct {
	Key
	ID         string        // of the delayed event; a secret: it is all that is needed to have the event sent
	Timeout    time.Duration // from a restart until the homeserver sends it by itself
	User       string        // whose it is
	Room, Slot string
	Restarted  time.Time // when the homeserver last began to count, as far as is known
}

// Event is what happens to jobs.
type Event interface{ event() }

type (
	// Accepted is a leave that a door took over. It replaces an older one of the same participant.
	Accepted struct{ Leave Leave }
	// Loaded are the leaves that were kept when this focus was last running.
	Loaded struct{ Leaves []Leave }
	// Arrived is a participant who is active now.
	Arrived struct {
		Key
		Participant sfu.ParticipantID
	}
	// Left is a participant who is gone: it left, or did not come back in time. Replaced: somebody took its place, or
	// it did so itself.
	Left struct {
		Key
		Participant sfu.ParticipantID
		Replaced    bool
	}
	// Failed is a participant whose connection never came about. Replaced: it tries again.
	Failed struct {
		Key
		Replaced bool
	}
	// Withdrawn is a user who may not be in the room any more: the homeserver would refuse its event. Leaves that were
	// taken over after Before stay: the user came back.
	Withdrawn struct {
		Room, User string
		Before     time.Time
	}
	// Answered is what came of a request; Serial is the request's.
	Answered struct {
		Key
		Serial  uint64
		Outcome Outcome
		After   time.Duration // when to come back, if the homeserver said so
	}
	// Tick only lets time pass.
	Tick struct{}
)

func (Accepted) event()  {}
func (Loaded) event()    {}
func (Arrived) event()   {}
func (Left) event()      {}
func (Failed) event()    {}
func (Withdrawn) event() {}
func (Answered) event()  {}
func (Tick) event()      {}

// Outcome is how a request to the homeserver ended.
type Outcome uint8

// Outcomes, by the status of the answer.
const (
	Unreached Outcome = iota // no answer, 429 or 5xx: to be tried again
	Done                     // 2xx
	Gone                     // 404 or 409: the event was sent or cancelled
	Refused                  // any other 4xx: trying again is no use
)

// Action is what a homeserver is asked to do with a delayed event (MSC4140).
type Action string

// Actions.
const (
	Restart Action = "restart" // begin to count anew
	Send    Action = "send"    // send it now
)

// Effect is what is to be done.
type Effect interface{ effect() }

type (
	// Request asks the homeserver; its answer comes back as Answered with Serial.
	Request struct {
		Leave  Leave
		Action Action
		Serial uint64
	}
	// Keep remembers a leave, instead of an older one with its key, in case this focus is started anew.
	Keep struct{ Leave Leave }
	// Ended is a job that is over: nothing of it has to be remembered.
	Ended struct {
		Leave Leave
		End   End
	}
)

func (Request) effect() {}
func (Keep) effect()    {}
func (Ended) effect()   {}

// End is how a job ended.
type End uint8

// Ends of jobs.
const (
	Sent      End = iota // the participant is gone, and the event was sent
	Overtaken            // the event had been sent or cancelled already
	Replaced             // the participant handed over a newer leave
	Unused               // the participant never came
	Evicted              // the user may not send it any more
	Expired              // the homeserver was not reached in time; it sends the event by itself
	Denied               // the homeserver refused
)

var ends = [...]string{"sent", "overtaken", "replaced", "unused", "evicted", "expired", "denied"}

func (e End) String() string { return ends[e] }

// ErrFull says that no further leave can be taken over.
var ErrFull = errors.New("delayed: too many leaves are kept")
