package client

import (
	"time"

	"weir/sfu/session"
)

// Event is anything that happens to a connection.
type Event interface{ event() }

type (
	// Begin starts the machine; it is the first event.
	Begin struct{}

	// Frame is one data frame of the client, inflated. Text frames carry JSON, binary ones protobuf.
	Frame struct {
		Data []byte
		Text bool
	}

	// Alive says that the client answered a WebSocket ping.
	Alive struct{}

	// Told is a message of the session.
	Told struct{ Message session.Message }

	// Refused says that the session did not take an event: it is not there, or not keeping up.
	Refused struct{ Err error }

	// Lost says that the connection can carry nothing any more, and why.
	Lost struct{ Why Why }

	// Tick passes time; the loop sends it at Deadline.
	Tick struct{}
)

// Effect is what the loop does for the machine. Effects are values, in the order they must happen.
type Effect interface{ effect() }

type (
	// Post hands an event to the session.
	Post struct{ Event session.Event }

	// Write sends one data frame.
	Write struct {
		Data []byte
		Text bool
	}

	// Pause writes nothing more for a while.
	Pause struct{ For time.Duration }

	// Ping sends a WebSocket ping (RFC 6455 section 5.5.2).
	Ping struct{}

	// Malformed counts a frame that could not be read.
	Malformed struct{ Err error }

	// Unsaid counts a message that could not be encoded: our fault, never the client's.
	Unsaid struct{ Err error }

	// Close ends the connection once everything before it is written. It is the last effect.
	Close struct{ Why Why }
)

// Why a connection ended.
type Why uint8

const (
	Left       Why = iota // the client said leave: the session knows
	Dismissed             // the session said Goodbye
	HungUp                // the session closed the connection, not the stay
	Dropped               // the socket broke or was closed by the client
	Silent                // no frame and no pong for Config.PingTimeout
	Behind                // the client reads too slowly: it shall resume
	Unanswered            // the session did not answer the join or resume
	Gone                  // the session is not there any more
	Garbled               // too many malformed frames
	TooBig                // a frame over the limit
	Stopping              // the focus closes its listeners
)

var whyNames = [...]string{"left", "dismissed", "hung_up", "dropped", "silent", "behind", "unanswered", "gone", "garbled", "too_big", "stopping"}

func (w Why) String() string { return whyNames[w] }

// Status is the WebSocket close code (RFC 6455 section 7.4.1) that fits. Clients resume after any of them, unless a leave came first.
func (w Why) Status() int {
	switch w {
	case Silent, Behind, Unanswered:
		return 1013 // try again later
	case Garbled:
		return 1007
	case TooBig:
		return 1009
	case Stopping, Gone:
		return 1001
	}
	return 1000
}

func (Begin) event()   {}
func (Frame) event()   {}
func (Alive) event()   {}
func (Told) event()    {}
func (Refused) event() {}
func (Lost) event()    {}
func (Tick) event()    {}

func (Post) effect()      {}
func (Write) effect()     {}
func (Pause) effect()     {}
func (Ping) effect()      {}
func (Malformed) effect() {}
func (Unsaid) effect()    {}
func (Close) effect()     {}
