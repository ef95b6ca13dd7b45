// Package bench is Weir's load tester: bots that join a session of any LiveKit-compatible server as clients do, publish
// and receive media, and measure what happens to it; and the scenarios that set many of them on a server.
//
// A Bot owns one signalling connection and one or two transports. Three kinds of goroutine touch it: its own loop (all
// negotiation), the reader of its socket (what comes in), and the Pump, one for all bots of a run (what goes out).
package bench

import "time"

// Clock counts ns from an instant that all bots of a run share; stamps in payloads are in it.
type Clock struct{ begin time.Time }

// NewClock begins to count now.
func NewClock() Clock { return Clock{time.Now()} }

// Now is the time since the clock began, ns.
func (c Clock) Now() int64 { return int64(time.Since(c.begin)) }
