package device

import (
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/id"
)

// Message is what came for this device, decrypted. Its sender's keys are proved; which device they are of is told by Meet.
type Message struct {
	User      string
	Curve, Ed string
	Type      string
	Content   json.RawMessage
}

// From says whether a message is from a device.
func (m *Message) From(p Peer) bool { return m.User == p.User && m.Curve == p.Curve && m.Ed == p.Ed }

// Whose is the device that a message is from, if it was met.
func (d *Device) Whose(m *Message) (Peer, bool) {
	for _, p := range d.seen {
		if m.From(p) {
			return p, true
		}
	}
	return Peer{}, false
}

// payload is what is encrypted (Matrix v1.16, 11.12.4.2.1).
type payload struct {
	Type          string            `json:"type"`
	Content       json.RawMessage   `json:"content"`
	Sender        string            `json:"sender"`
	SenderDevice  string            `json:"sender_device,omitempty"` // of older clients; says nothing that is proved
	Recipient     string            `json:"recipient"`
	RecipientKeys map[string]string `json:"recipient_keys"`
	Keys          map[string]string `json:"keys"`
}

// envelope is the content of m.room.encrypted.
type envelope struct {
	Algorithm  string            `json:"algorithm"`
	SenderKey  string            `json:"sender_key"`
	Ciphertext map[string]sealed `json:"ciphertext"`
}

type sealed struct {
	Type *int   `json:"type"` // 0: it begins a session
	Body string `json:"body"`
}

// Encrypt makes the content of an m.room.encrypted message to a peer.
func (d *Device) Encrypt(p Peer, kind string, content json.RawMessage) (json.RawMessage, error) {
	sessions := d.sessions[p.Curve]
	if len(sessions) == 0 {
		return nil, fmt.Errorf("%w with %s %s", ErrNoSession, p.User, p.ID)
	}
	text, err := json.Marshal(payload{
		Type: kind, Content: content, Sender: d.User, SenderDevice: d.ID, Recipient: p.User,
		RecipientKeys: map[string]string{"ed25519": p.Ed}, Keys: map[string]string{"ed25519": string(d.ed)},
	})
	if err != nil {
		return nil, err
	}
	which, body, err := sessions[0].Encrypt(text)
	if err != nil {
		return nil, fmt.Errorf("encrypting for %s %s: %w", p.User, p.ID, err)
	}
	n := int(which)
	return json.Marshal(envelope{Algorithm: algorithmOlm, SenderKey: string(d.curve), Ciphertext: map[string]sealed{p.Curve: {&n, string(body)}}})
}

// Decrypt reads the content of an m.room.encrypted message that a user's device sent.
func (d *Device) Decrypt(sender string, content json.RawMessage) (*Message, error) {
	var e envelope
	if err := json.Unmarshal(content, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	c, ours := e.Ciphertext[string(d.curve)]
	if e.Algorithm != algorithmOlm || !ours || c.Type == nil || e.SenderKey == "" {
		return nil, fmt.Errorf("%w: algorithm %q from %s", ErrMessage, e.Algorithm, sender)
	}
	text, err := d.open(e.SenderKey, id.OlmMsgType(*c.Type), c.Body)
	if err != nil {
		return nil, fmt.Errorf("decrypting from %s: %w", sender, err)
	}
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	// Or a message to somebody else could be passed on to us, and one of somebody else's passed off as the sender's.
	if p.Sender != sender || p.Recipient != d.User || p.RecipientKeys["ed25519"] != string(d.ed) || p.Keys["ed25519"] == "" {
		return nil, fmt.Errorf("%w: it is from %s to %s, and came from %s", ErrMessage, p.Sender, p.Recipient, sender)
	}
	return &Message{User: sender, Curve: e.SenderKey, Ed: p.Keys["ed25519"], Type: p.Type, Content: p.Content}, nil
}

// open finds the session of a message, or begins it.
func (d *Device) open(curve string, which id.OlmMsgType, body string) ([]byte, error) {
	for _, s := range d.sessions[curve] {
		if which == id.OlmMsgTypePreKey {
			if same, err := s.MatchesInboundSessionFrom(curve, body); err != nil || !same {
				continue
			}
		}
		if text, err := s.Decrypt(body, which); err == nil {
			d.prefer(curve, s)
			return text, nil
		} else if which == id.OlmMsgTypePreKey {
			return nil, err // it is this session's, and no other can be made of it
		}
	}
	if which != id.OlmMsgTypePreKey {
		return nil, ErrNoSession
	}
	theirs := id.Curve25519(curve)
	s, err := d.account.NewInboundSessionFrom(&theirs, body)
	if err != nil {
		return nil, err
	}
	return d.first(curve, s, which, body)
}

// first reads the message that began a session. The one-time key in it is spent only when it proved good.
func (d *Device) first(curve string, s olm.Session, which id.OlmMsgType, body string) ([]byte, error) {
	text, err := s.Decrypt(body, which)
	if err != nil {
		return nil, err
	}
	if err := d.account.RemoveOneTimeKeys(s); err != nil {
		return nil, err
	}
	if len(d.sessions) >= peersMost && d.sessions[curve] == nil {
		return text, nil // too many correspondents: this one begins anew each time
	}
	d.prefer(curve, s)
	return text, nil
}
