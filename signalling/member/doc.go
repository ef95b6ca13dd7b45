// Package member knows who is in the calls of a room: Matrix events and the time in; rosters, their changes and what to
// enforce out (matrixrtc.md sections 7 to 9). It is pure.
//
// A Room is one Matrix room as this focus sees it. Its owner hands it Inputs and the time, carries out the Effects, and
// calls again at Deadline. What the room keeps follows three rules:
//
//   - Events are parsed once, on arrival, by a reader that knows only the fields it needs, takes any type for an answer and
//     refuses what is too long. Nothing an event says is believed beyond what its homeserver vouches for: sender, state
//     key, time of receipt.
//   - Memberships stand in cells: one per state key, one per (sender, type, sticky key). A change touches its cell and the
//     person who owns it, never the whole roster.
//   - Expiry is wall-clock time, because events carry it; periods of grace are spans, so a clock that jumps neither
//     shortens nor stretches them if the caller's instants carry Go's monotonic reading.
package member

import "time"

// Types of events, unstable and stable (matrixrtc.md section 1).
const (
	typeCall         = "org.matrix.msc3401.call.member"
	typeCallStable   = "m.call.member"
	typeSticky       = "org.matrix.msc4143.rtc.member"
	typeStickyStable = "m.rtc.member"
	typeSlot         = "org.matrix.msc4143.rtc.slot"
	typeSlotStable   = "m.rtc.slot"
	typeEncrypted    = "m.room.encrypted"
	typeRedaction    = "m.room.redaction"
	typeMember       = "m.room.member"
	typePower        = "m.room.power_levels"
	typeACL          = "m.room.server_acl"
	typeEncryption   = "m.room.encryption"
	typeCreate       = "m.room.create"
	typeTombstone    = "m.room.tombstone"
)

// What a roster is bounded by. All are far above what a call uses, and low enough that a hostile member costs little.
const (
	maxContent     = 65536   // bytes of an event (Matrix: 65536 for the whole of it)
	maxID          = 255     // bytes of an identifier (Matrix)
	maxURL         = 2048    // bytes of a service URL
	maxTransports  = 16      // per membership
	maxWrites      = 16      // per sticky key: one that is overtaken counts only after that many redactions
	maxPerUser     = 64      // cells, and places in sessions, of one user in one room
	maxCells       = 1 << 16 // per room
	maxPlaces      = 1 << 16 // per room
	maxSlots       = 1024    // slot events per room
	maxRedactions  = 1024    // remembered per room
	maxNesting     = 64      // of arrays and objects
	maxStickyMS    = 3600000 // MSC4354: an hour
	defaultExpires = 14400000
)

// Periods of grace (matrixrtc.md sections 8 and 9).
const (
	withholdAfter   = 10 * time.Second // clients hide who has no membership; so much later the focus does too
	unattestedAfter = time.Minute
	ghostAfter      = time.Minute
	slotEndsAfter   = 10 * time.Second
	recordLife      = time.Hour   // as long as the token is good for
	vouchedFor      = time.Minute // how long a door's word that somebody joined stands before the event has come
	forgetAfter     = time.Hour   // a sticky key outlives its last write by this, so that late news cannot revive it
)
