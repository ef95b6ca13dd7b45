package keyring

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Peer is a device that takes part in the call beside our own. A device that leaves and joins again is another Peer:
// it lost its keys.
type Peer struct {
	User, Device string
	Joined       int64 // when its membership began, ms; tells two memberships of a device apart
}

// RotationOptions are when keys change; the zero value is Element Call's.
type RotationOptions struct {
	UseDelay time.Duration // from the delivery of a new key until it is used; 0: 1 s (MSC4143: 5 s)
	Fresh    time.Duration // a key younger than this is given to who joins instead of a new one; 0: 10 s
	Limit    int           // as many participants, ourselves among them, stop the rotation; 0: none
	Retry    time.Duration // until a key is sent again to whom it did not reach; 0: 5 s
	KeyLen   int           // bytes of material; 0: 16 (MSC4143: 32)
}

// Step is what the owner of a Rotation has to do: Send or Use.
type Step interface{ step() }

// Send gives a key to devices. The owner tells Sent when it is done.
type Send struct {
	Index    uint8
	Material []byte
	To       []Peer
}

// Use makes a key the one that frames are sealed with.
type Use struct {
	Index    uint8
	Material []byte
}

func (Send) step() {}
func (Use) step()  {}

type phase uint8

const (
	idle    phase = iota
	sending       // until Sent
	waiting       // until the new key is used
	retrying
)

// Rotation decides when our own key changes and who gets it, as Element Call does: index 0 is used at once; when
// somebody has left, all others get a new key; who joins gets the current one if it is young, else all get a new one;
// what changes while a key is rolled out is dealt with in one go after it. One goroutine owns it.
type Rotation struct {
	opt      RotationOptions
	random   io.Reader
	phase    phase
	again    bool // the roster changed during the roll-out
	deadline time.Time
	roster   []Peer
	shared   []Peer // have the key
	missed   []Peer // should have it, but could not be reached
	to       []Peer // are being sent the key
	index    uint8
	material []byte // nil: there is no key yet
	created  time.Time
	changed  bool // the key that is rolled out is a new one
}

// NewRotation makes a Rotation that takes key material from random.
func NewRotation(opt RotationOptions, random io.Reader) *Rotation {
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{{&opt.UseDelay, time.Second}, {&opt.Fresh, 10 * time.Second}, {&opt.Retry, 5 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.unset
		}
	}
	if opt.KeyLen == 0 {
		opt.KeyLen = keyLen
	}
	return &Rotation{opt: opt, random: random}
}

// Members tells who takes part beside us, and appends what to do to out.
func (r *Rotation) Members(now time.Time, peers []Peer, out []Step) ([]Step, error) {
	r.roster = append(r.roster[:0], peers...)
	if r.material == nil {
		if err := r.fresh(now, 0); err != nil {
			return out, err
		}
		out = append(out, Use{Index: 0, Material: r.material})
	}
	if r.phase == sending || r.phase == waiting {
		r.again = true
		return out, nil
	}
	return r.rollOut(now, out)
}

// Sent tells that the last Send is done, and whom it did not reach. A new key is used all the same: whoever left must
// not read on.
func (r *Rotation) Sent(now time.Time, missed []Peer, out []Step) ([]Step, error) {
	if r.phase != sending {
		return out, nil
	}
	r.missed = r.missed[:0]
	for _, p := range r.to {
		if slices.Contains(missed, p) {
			r.missed = append(r.missed, p)
		} else {
			r.shared = append(r.shared, p)
		}
	}
	r.to = nil
	if r.changed {
		r.phase, r.deadline = waiting, now.Add(r.opt.UseDelay)
		return out, nil
	}
	return r.done(now, out)
}

// Tick does what is due at Deadline.
func (r *Rotation) Tick(now time.Time, out []Step) ([]Step, error) {
	if r.deadline.IsZero() || now.Before(r.deadline) {
		return out, nil
	}
	switch r.phase {
	case waiting:
		out = append(out, Use{Index: r.index, Material: r.material})
		return r.done(now, out)
	case retrying:
		return r.rollOut(now, out)
	}
	return out, nil
}

// Deadline is when Tick has something to do; zero: never.
func (r *Rotation) Deadline() time.Time { return r.deadline }

// done ends a roll-out, and begins the next one if it is due.
func (r *Rotation) done(now time.Time, out []Step) ([]Step, error) {
	r.phase, r.deadline, r.changed = idle, time.Time{}, false
	if r.again {
		r.again = false
		return r.rollOut(now, out)
	}
	if len(r.missed) > 0 {
		r.phase, r.deadline = retrying, now.Add(r.opt.Retry)
	}
	return out, nil
}

// rollOut compares who has the key with who should.
func (r *Rotation) rollOut(now time.Time, out []Step) ([]Step, error) {
	r.phase, r.deadline, r.again = idle, time.Time{}, false
	var lack []Peer
	joined := false // somebody lacks the key who was not sent it yet: one who was is no reason for a new key
	for _, p := range r.roster {
		if !slices.Contains(r.shared, p) {
			lack = append(lack, p)
			joined = joined || !slices.Contains(r.missed, p)
		}
	}
	back := func(p Peer) bool { // the same device with another membership has joined anew, and nobody left
		return slices.ContainsFunc(r.roster, func(o Peer) bool { return o.User == p.User && o.Device == p.Device })
	}
	left := slices.ContainsFunc(r.shared, func(p Peer) bool { return !back(p) })
	suppressed := r.opt.Limit > 0 && len(r.roster)+1 >= r.opt.Limit
	switch {
	case suppressed || !left && (!joined || now.Sub(r.created) < r.opt.Fresh):
		r.to = lack
	default:
		if err := r.fresh(now, r.index+1); err != nil { // 255 is followed by 0
			return out, err
		}
		r.shared, r.missed, r.changed = nil, nil, true
		r.to = slices.Clone(r.roster)
	}
	r.shared = slices.DeleteFunc(r.shared, func(p Peer) bool { return !slices.Contains(r.roster, p) && (back(p) || !suppressed) })
	if len(r.to) == 0 {
		if !r.changed {
			return out, nil
		}
		// Nobody to send it to: it is used after the same delay.
		r.phase, r.deadline = waiting, now.Add(r.opt.UseDelay)
		return out, nil
	}
	r.phase = sending
	return append(out, Send{Index: r.index, Material: r.material, To: slices.Clone(r.to)}), nil
}

// fresh makes a new key the current one.
func (r *Rotation) fresh(now time.Time, index uint8) error {
	m := make([]byte, r.opt.KeyLen)
	if _, err := io.ReadFull(r.random, m); err != nil {
		return fmt.Errorf("keyring: no random bytes for a key: %w", err)
	}
	r.index, r.material, r.created = index, m, now
	return nil
}
