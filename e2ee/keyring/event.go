package keyring

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Types of the to-device messages that carry keys.
const (
	EventElementCall = "io.element.call.encryption_keys" // what clients send
	EventMatrix      = "m.rtc.encryption_key"            // MSC4143; no client sends it yet
)

// ErrEvent says that a message carries no key in a form that is known.
var ErrEvent = errors.New("keyring: not a key event")

// eventMost bounds the content of a key event; a real one has some 300 bytes.
const eventMost = 4096

// Event is a to-device message with a key. What it says of its sender is only a claim: the Olm session that it came
// through tells the truth.
type Event struct {
	Room     string
	Member   string // id of the sender's membership; "": not told
	Device   string // claimed by the sender; "": the form has no such field
	Index    uint8
	Material []byte
	SentAt   int64 // ms, by the sender's clock; 0: not told
}

type elementCallContent struct {
	Keys struct {
		Index *int   `json:"index"`
		Key   string `json:"key"`
	} `json:"keys"`
	Room   string `json:"room_id"`
	Member struct {
		ID     string `json:"id,omitempty"`
		Device string `json:"claimed_device_id"`
	} `json:"member"`
	Session struct {
		Call        string `json:"call_id"`
		Application string `json:"application"`
		Scope       string `json:"scope"`
	} `json:"session"`
	SentAt int64 `json:"sent_ts,omitempty"`
}

type matrixContent struct {
	Room   string `json:"room_id"`
	Member string `json:"member_id"`
	Key    struct {
		Index *int   `json:"index"`
		Key   string `json:"key"`
	} `json:"media_key"`
	Format int `json:"format"`
}

// ParseEvent reads the decrypted content of a to-device message.
func ParseEvent(kind string, content []byte) (Event, error) {
	if len(content) > eventMost {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrEvent, len(content))
	}
	var e Event
	var index *int
	var key string
	switch kind {
	case EventElementCall:
		var c elementCallContent
		if err := json.Unmarshal(content, &c); err != nil {
			return Event{}, fmt.Errorf("%w: %w", ErrEvent, err)
		}
		if c.Member.Device == "" {
			return Event{}, fmt.Errorf("%w: no claimed_device_id", ErrEvent)
		}
		index, key = c.Keys.Index, c.Keys.Key
		e = Event{Room: c.Room, Member: c.Member.ID, Device: c.Member.Device, SentAt: c.SentAt}
	case EventMatrix:
		var c matrixContent
		if err := json.Unmarshal(content, &c); err != nil {
			return Event{}, fmt.Errorf("%w: %w", ErrEvent, err)
		}
		if c.Member == "" || c.Format != 0 {
			return Event{}, fmt.Errorf("%w: member %q, format %d", ErrEvent, c.Member, c.Format)
		}
		index, key = c.Key.Index, c.Key.Key
		e = Event{Room: c.Room, Member: c.Member}
	default:
		return Event{}, fmt.Errorf("%w: type %q", ErrEvent, kind)
	}
	if e.Room == "" || index == nil || *index < 0 || *index > 255 {
		return Event{}, fmt.Errorf("%w: room %q, index out of range", ErrEvent, e.Room)
	}
	e.Index = uint8(*index)
	var err error
	// js-sdk writes padded base64, Matrix wants it unpadded.
	if e.Material, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(key, "=")); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if n := len(e.Material); n != keyLen && n != ratchetLen {
		return Event{}, fmt.Errorf("%w: %d", ErrMaterial, n)
	}
	return e, nil
}

// Content writes the message of a type, to be encrypted for each device.
func (e Event) Content(kind string) (json.RawMessage, error) {
	index := int(e.Index)
	switch kind {
	case EventElementCall:
		var c elementCallContent
		c.Keys.Index, c.Keys.Key = &index, base64.StdEncoding.EncodeToString(e.Material)
		c.Room, c.Member.ID, c.Member.Device, c.SentAt = e.Room, e.Member, e.Device, e.SentAt
		c.Session.Application, c.Session.Scope = "m.call", "m.room"
		return json.Marshal(c)
	case EventMatrix:
		var c matrixContent
		c.Room, c.Member = e.Room, e.Member
		c.Key.Index, c.Key.Key = &index, base64.RawStdEncoding.EncodeToString(e.Material)
		return json.Marshal(c)
	}
	return nil, fmt.Errorf("%w: type %q", ErrEvent, kind)
}
