// Package device is the end-to-end identity of one Matrix device of a bot: its keys, and Olm sessions with other devices.
// It makes and reads what goes to and comes from the homeserver, and carries nothing itself.
//
// What is trusted: a device is who its own signature says, and stays who it was when it was first seen; a message is from
// the device whose keys it names, if the homeserver lists those keys for its sender. Nobody verifies bots, and bots verify
// nobody: cross-signing is not looked at. That is what Element Call does with unverified devices of a room.
//
// Olm is mautrix's own, in Go. A focus links none of it.
package device

import (
	"encoding/json"
	"errors"
	"fmt"

	"maunium.net/go/mautrix/crypto/goolm/account"
	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/id"
)

// Algorithms that a device speaks (Matrix v1.16, 11.12.4). Bots read no room's messages, but a device without Megolm
// is odd to clients.
const (
	algorithmOlm    = "m.olm.v1.curve25519-aes-sha2"
	algorithmMegolm = "m.megolm.v1.aes-sha2"
	signedCurve     = "signed_curve25519"
)

// Errors, wrapped with what was found.
var (
	ErrPeer      = errors.New("device: keys that do not prove themselves")
	ErrChanged   = errors.New("device: another identity than before")
	ErrNoSession = errors.New("device: no Olm session")
	ErrMessage   = errors.New("device: not a message for this device")
)

const (
	oneTimeKeys = 50 // at the homeserver: each new correspondent takes one
	sessionMost = 4  // per peer: both sides may begin at once, and clients lose theirs
	peersMost   = 1024
)

// Device is one device. One goroutine owns it.
type Device struct {
	User, ID string
	account  *account.Account
	ed       id.Ed25519
	curve    id.Curve25519
	sessions map[string][]olm.Session // by the peer's Curve25519 key; the one that was last heard of first
	seen     map[[2]string]Peer       // by user and device: whom we met
}

// Peer is another device, whose keys have proved to be its own.
type Peer struct {
	User, ID  string
	Curve, Ed string // public keys, unpadded base64
}

// New makes the keys of a new device.
func New(user, device string) (*Device, error) {
	a, err := account.NewAccount()
	if err != nil {
		return nil, fmt.Errorf("device keys: %w", err)
	}
	ed, curve, err := a.IdentityKeys()
	if err != nil {
		return nil, fmt.Errorf("device keys: %w", err)
	}
	return &Device{User: user, ID: device, account: a, ed: ed, curve: curve, sessions: map[string][]olm.Session{}, seen: map[[2]string]Peer{}}, nil
}

// Upload is the body of a keys/upload request: the device's keys, and as many one-time keys as the homeserver lacks.
// Uploaded is to be called when it was taken.
func (d *Device) Upload(left int) (map[string]any, error) {
	keys := map[string]any{
		"user_id": d.User, "device_id": d.ID, "algorithms": []string{algorithmOlm, algorithmMegolm},
		"keys": map[string]string{"curve25519:" + d.ID: string(d.curve), "ed25519:" + d.ID: string(d.ed)},
	}
	if err := d.sign(keys); err != nil {
		return nil, err
	}
	if want := oneTimeKeys - left; want > 0 {
		if err := d.account.GenOneTimeKeys(uint(want)); err != nil {
			return nil, fmt.Errorf("one-time keys: %w", err)
		}
	}
	fresh, err := d.account.OneTimeKeys()
	if err != nil {
		return nil, fmt.Errorf("one-time keys: %w", err)
	}
	signed := map[string]any{}
	for name, key := range fresh {
		k := map[string]any{"key": string(key)}
		if err := d.sign(k); err != nil {
			return nil, err
		}
		signed[signedCurve+":"+name] = k
	}
	return map[string]any{"device_keys": keys, "one_time_keys": signed}, nil
}

// Uploaded notes that the homeserver has the keys of the last Upload.
func (d *Device) Uploaded() { d.account.MarkKeysAsPublished() }

// sign adds the device's signature to an object (Matrix v1.16 appendix 3.2).
func (d *Device) sign(object map[string]any) error {
	text, err := canonical(object)
	if err != nil {
		return err
	}
	signature, err := d.account.Sign(text)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	object["signatures"] = map[string]any{d.User: map[string]any{"ed25519:" + d.ID: string(signature)}}
	return nil
}

// Meet reads the keys of another device, as keys/query gives them.
func (d *Device) Meet(user, device string, raw json.RawMessage) (Peer, error) {
	var k struct {
		User   string            `json:"user_id"`
		Device string            `json:"device_id"`
		Keys   map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(raw, &k); err != nil {
		return Peer{}, fmt.Errorf("%w: %s %s: %w", ErrPeer, user, device, err)
	}
	p := Peer{User: user, ID: device, Curve: k.Keys["curve25519:"+device], Ed: k.Keys["ed25519:"+device]}
	if k.User != user || k.Device != device || p.Curve == "" || p.Ed == "" {
		return Peer{}, fmt.Errorf("%w: %s %s says it is %s %s", ErrPeer, user, device, k.User, k.Device)
	}
	if err := verify(raw, p); err != nil {
		return Peer{}, err
	}
	at := [2]string{user, device}
	if before, known := d.seen[at]; known && before != p {
		return Peer{}, fmt.Errorf("%w: %s %s", ErrChanged, user, device)
	}
	if len(d.seen) < peersMost {
		d.seen[at] = p
	}
	return p, nil
}

// HasSession says whether a message to a peer can be encrypted.
func (d *Device) HasSession(p Peer) bool { return len(d.sessions[p.Curve]) > 0 }

// Begin starts a session with a one-time key of the peer, as keys/claim gives it.
func (d *Device) Begin(p Peer, raw json.RawMessage) error {
	var k struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(raw, &k); err != nil || k.Key == "" {
		return fmt.Errorf("%w: one-time key of %s %s", ErrPeer, p.User, p.ID)
	}
	if err := verify(raw, p); err != nil {
		return err
	}
	s, err := d.account.NewOutboundSession(id.Curve25519(p.Curve), id.Curve25519(k.Key))
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", ErrPeer, p.User, p.ID, err)
	}
	d.prefer(p.Curve, s)
	return nil
}

// prefer makes a session the one that is used with a peer.
func (d *Device) prefer(curve string, s olm.Session) {
	all := []olm.Session{s}
	for _, other := range d.sessions[curve] {
		if other.ID() != s.ID() && len(all) < sessionMost {
			all = append(all, other)
		}
	}
	d.sessions[curve] = all
}
