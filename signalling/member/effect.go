package member

import (
	"time"

	"weir/sfu"
)

// Input is anything a Room is told.
type Input interface{ input() }

// Events of the homeserver.
type (
	// Batch is several events, in the homeserver's order; what they do is told once.
	Batch struct{ Events []Event }

	// State is the whole current state of the room: what is not in it is gone. Sticky events are not state.
	// Partial says that the homeserver does not know all members yet; then nobody is gone for not being in it.
	State struct {
		Events  []Event
		Partial bool
	}

	// JoinedUsers is who is joined, by another way than the events; everybody else is not.
	JoinedUsers struct{ Users []string }

	// Sight says whether events arrive. A room begins blind; State gives it sight. While it is blind nobody is held to
	// account for an event that may only be late.
	Sight struct{ Clear bool }

	// OwnServer says whether any user of the focus's own servers is still joined.
	OwnServer struct{ Joined bool }
)

// Events of the focus.
type (
	// Record is what a door learned when it gave out a token.
	Record struct {
		Slot     string
		Identity sfu.Identity
		User     string // verified
		Device   string // the caller's word, as is Member
		Member   string // member id; "" at a door that asks for none
		Door     string
	}

	// Arrived and Departed say that a participant is in our session of the slot. A participant that may come back
	// (resume) has not departed.
	Arrived struct {
		Slot     string
		Identity sfu.Identity
	}
	Departed struct {
		Slot     string
		Identity sfu.Identity
	}

	// Tick passes time; it is sent at Deadline.
	Tick struct{}
)

func (Event) input()       {}
func (Batch) input()       {}
func (State) input()       {}
func (JoinedUsers) input() {}
func (Sight) input()       {}
func (OwnServer) input()   {}
func (Record) input()      {}
func (Arrived) input()     {}
func (Departed) input()    {}
func (Tick) input()        {}

// Reason is why somebody is evicted, or sessions end.
type Reason uint8

const (
	Left         Reason = iota + 1 // left the room
	Kicked                         // was removed from the room
	Banned                         // was banned from the room
	NotJoined                      // holds a token, but is not in the room
	ServerDenied                   // its server is denied by m.room.server_acl
	OwnServerGone
)

func (r Reason) String() string {
	return [...]string{"", "left", "kicked", "banned", "not_joined", "server_denied", "own_server_gone"}[r]
}

// Effect is anything the owner of a Room carries out.
type Effect interface{ effect() }

type (
	// RosterChanged tells what is new in a slot. Members are in order.
	RosterChanged struct {
		Slot string
		Diff Diff
	}

	// Evict ends all of a user's participants in the room, in all slots, revokes the user's earlier grants and drops its
	// delegated leaves. It comes even if the room knows of no participant: tokens may be out.
	Evict struct {
		User   string
		Reason Reason
	}

	// Withhold keeps a participant's publications from others, because clients hide who has no membership; Release
	// gives them back.
	Withhold struct {
		Slot     string
		Identity sfu.Identity
	}
	Release struct {
		Slot     string
		Identity sfu.Identity
	}

	// Unattested says that a participant has had no membership event for a minute; Attested that it has one again.
	Unattested struct {
		Slot     string
		Identity sfu.Identity
		User     string // "" if unknown
	}
	AttestedAgain struct {
		Slot     string
		Identity sfu.Identity
		User     string
	}

	// MayPublish says that a user's power to send memberships, and with it the right to publish, has changed.
	// Everybody may until it is said.
	MayPublish struct {
		User    string
		Allowed bool
	}

	// SlotClosing stops minting at once; SlotClosed ends the session; SlotReopened comes instead of it.
	SlotClosing struct {
		Slot string
		Ends time.Time
	}
	SlotReopened struct{ Slot string }
	SlotClosed   struct{ Slot string }

	// EndSessions ends all sessions of the room.
	EndSessions struct{ Reason Reason }

	// OwnGone says that no user of an own server is seen joined any more: ask the homeserver, and send OwnServer.
	OwnGone struct{}

	// GhostFound tells of a member that names our transport and is not here; GhostGone that it came or went.
	GhostFound struct{ Member *Member }
	GhostGone  struct{ Key Key }

	// Upgraded says that the room was replaced; running sessions go on.
	Upgraded struct{ To string }

	// Refused is an event that was not looked at. It never comes for an event that merely says nothing of use.
	Refused struct {
		Event string
		Err   error
	}
)

func (RosterChanged) effect() {}
func (Evict) effect()         {}
func (Withhold) effect()      {}
func (Release) effect()       {}
func (Unattested) effect()    {}
func (AttestedAgain) effect() {}
func (MayPublish) effect()    {}
func (SlotClosing) effect()   {}
func (SlotReopened) effect()  {}
func (SlotClosed) effect()    {}
func (EndSessions) effect()   {}
func (OwnGone) effect()       {}
func (GhostFound) effect()    {}
func (GhostGone) effect()     {}
func (Upgraded) effect()      {}
func (Refused) effect()       {}
