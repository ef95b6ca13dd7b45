package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/sfu"
)

// Why a key is not taken; wrapped with whose it was.
var (
	ErrCleartext = errors.New("keyring: the key came unencrypted")
	ErrDevice    = errors.New("keyring: the key came from another device than it says")
	ErrRoom      = errors.New("keyring: the key is for another room")
	ErrStale     = errors.New("keyring: a younger key has this index")
	ErrTwice     = errors.New("keyring: the key was here before")
	ErrCrowded   = errors.New("keyring: too many keys of nobody in the call")
)

// Member is a device in the call, by the roster.
type Member struct {
	User, Device string
	ID           string       // of its membership; "": not told
	Identity     sfu.Identity // under which its media come
}

// Sender is where a message came from, as the Olm session proves it.
type Sender struct {
	User, Device string
	Encrypted    bool // false: the message came in clear, and everybody could have sent it
}

// Install puts a key into a participant's ring.
type Install struct {
	Identity sfu.Identity
	Index    uint8
	Material []byte
}

// Bounds of what is held for devices that are not in the call yet.
const (
	heldMost = 256
	heldFor  = time.Minute // a membership takes seconds; this outlasts a slow homeserver
)

// Inbox decides which keys of others are taken, and holds those that precede a membership. One goroutine owns it.
//
// The rules: a key must come encrypted, from the device that it names, for this room, from a device in the call (user
// and device id; the membership's id too where the message names one and the roster knows it). A key that has an index
// already is replaced by one sent later, never by one sent earlier.
type Inbox struct {
	room    string
	members []Member
	held    []held
	keys    []taken // of members
}

type held struct {
	from Sender
	ev   Event
	at   time.Time
}

type taken struct {
	user, device, member string
	index                uint8
	material             []byte
	sentAt               int64
}

// NewInbox makes an Inbox for a room.
func NewInbox(room string) *Inbox { return &Inbox{room: room} }

// Arrive takes a message, and appends what to install to out. Without an error and without an Install the key is held.
func (in *Inbox) Arrive(now time.Time, from Sender, ev Event, out []Install) ([]Install, error) {
	switch {
	case !from.Encrypted:
		return out, fmt.Errorf("%w: %s %s", ErrCleartext, from.User, from.Device)
	case ev.Device != "" && ev.Device != from.Device:
		return out, fmt.Errorf("%w: %s %s says %s", ErrDevice, from.User, from.Device, ev.Device)
	case ev.Room != in.room:
		return out, fmt.Errorf("%w: %s", ErrRoom, ev.Room)
	}
	if m, ok := in.member(from, ev); ok {
		return in.take(m, ev, out)
	}
	in.expire(now)
	for _, h := range in.held {
		if h.from == from && h.ev.Index == ev.Index && h.ev.Member == ev.Member && bytes.Equal(h.ev.Material, ev.Material) {
			return out, fmt.Errorf("%w: %s %s index %d", ErrTwice, from.User, from.Device, ev.Index)
		}
	}
	if len(in.held) == heldMost {
		return out, fmt.Errorf("%w: %s %s", ErrCrowded, from.User, from.Device)
	}
	in.held = append(in.held, held{from, ev, now})
	return out, nil
}

// Members takes the roster, and appends the keys that were held for it.
func (in *Inbox) Members(now time.Time, members []Member, out []Install) []Install {
	in.members = append(in.members[:0], members...)
	in.keys = slices.DeleteFunc(in.keys, func(k taken) bool {
		return !slices.ContainsFunc(in.members, func(m Member) bool { return m.User == k.user && m.Device == k.device && m.ID == k.member })
	})
	in.expire(now)
	in.held = slices.DeleteFunc(in.held, func(h held) bool {
		m, ok := in.member(h.from, h.ev)
		if ok {
			out, _ = in.take(m, h.ev, out) // twice or stale: nothing to install
		}
		return ok
	})
	return out
}

// Held counts the keys that wait for a membership.
func (in *Inbox) Held() int { return len(in.held) }

func (in *Inbox) expire(now time.Time) {
	in.held = slices.DeleteFunc(in.held, func(h held) bool { return now.Sub(h.at) >= heldFor })
}

func (in *Inbox) member(from Sender, ev Event) (Member, bool) {
	for _, m := range in.members {
		if m.User == from.User && m.Device == from.Device && (m.ID == ev.Member || m.ID == "" || ev.Member == "") {
			return m, true
		}
	}
	return Member{}, false
}

func (in *Inbox) take(m Member, ev Event, out []Install) ([]Install, error) {
	k := taken{user: m.User, device: m.Device, member: m.ID, index: ev.Index, material: ev.Material, sentAt: ev.SentAt}
	for i := range in.keys {
		old := &in.keys[i]
		if old.user != k.user || old.device != k.device || old.member != k.member || old.index != k.index {
			continue
		}
		switch {
		case bytes.Equal(old.material, k.material):
			return out, fmt.Errorf("%w: %s %s index %d", ErrTwice, m.User, m.Device, ev.Index)
		case k.sentAt != 0 && k.sentAt < old.sentAt:
			return out, fmt.Errorf("%w: %s %s index %d", ErrStale, m.User, m.Device, ev.Index)
		}
		*old = k
		return append(out, Install{m.Identity, ev.Index, ev.Material}), nil
	}
	in.keys = append(in.keys, k)
	return append(out, Install{m.Identity, ev.Index, ev.Material}), nil
}
