package member

import (
	"errors"
	"fmt"
	"time"
)

// Event is a Matrix event as the homeserver gave it. Only its content is read further.
type Event struct {
	ID       string
	Type     string
	Sender   string
	StateKey string
	State    bool  // has a state key, which may be empty
	Origin   int64 // origin_server_ts, ms: its server's word
	Content  []byte
	Sticky   int64 // msc4354_sticky.duration_ms; 0: not sticky
	TTL      int64 // unsigned.msc4354_sticky_duration_ttl_ms, ms left at Received
	HasTTL   bool
	Redacts  string    // of a redaction: the event it removes
	Redacted bool      // came without its content, because it was redacted
	Received time.Time // when the homeserver's answer came; zero: when it is applied
}

// Reasons to refuse an event.
var (
	errJSON  = errors.New("no JSON object, or too large")
	errID    = errors.New("an identifier is missing or too long")
	errState = errors.New("a state holds state events only")
	errMany  = errors.New("too many memberships, slots or places")
)

// Decode reads an event as homeservers give it to clients and application services, in any room version.
func Decode(raw []byte, received time.Time) (Event, error) {
	e := Event{Received: received}
	if len(raw) > 2*maxContent { // the limit is on the canonical form; unsigned comes on top
		return e, fmt.Errorf("decoding an event of %d bytes: %w", len(raw), errJSON)
	}
	v, ok := parse(raw)
	if !ok || !v.is('{') {
		return e, fmt.Errorf("decoding an event: %w", errJSON)
	}
	var unstable, stable value
	for key, field := range v.fields() {
		switch string(key) {
		case "event_id":
			e.ID, _ = field.text(maxID)
		case "type":
			e.Type, _ = field.text(maxID)
		case "sender":
			e.Sender, _ = field.text(maxID)
		case "state_key":
			e.StateKey, e.State = field.text(maxID)
		case "origin_server_ts":
			e.Origin, _ = field.integer()
		case "content":
			e.Content = field
		case "redacts":
			e.Redacts, _ = field.text(maxID)
		case "msc4354_sticky":
			unstable = field
		case "sticky":
			stable = field
		case "unsigned":
			e.readUnsigned(field)
		}
	}
	if stable.isNull() {
		stable = unstable
	}
	e.Sticky, _ = stable.get("duration_ms").integer()
	if e.ID == "" || e.Type == "" || e.Sender == "" {
		return e, fmt.Errorf("decoding an event: %w", errID)
	}
	if e.Type == typeRedaction && e.Redacts == "" { // room version 11 moved it
		e.Redacts, _ = value(e.Content).get("redacts").text(maxID)
	}
	return e, nil
}

func (e *Event) readUnsigned(v value) {
	for key, field := range v.fields() {
		switch string(key) {
		case "msc4354_sticky_duration_ttl_ms", "sticky_duration_ttl_ms":
			e.TTL, e.HasTTL = field.integer()
		case "redacted_because":
			e.Redacted = !field.isNull()
		}
	}
}

// check refuses what no homeserver gives: memory is bounded by it.
func (e *Event) check() error {
	for _, id := range [...]string{e.ID, e.Type, e.Sender} {
		if id == "" || len(id) > maxID {
			return errID
		}
	}
	if len(e.StateKey) > maxID || len(e.Redacts) > maxID {
		return errID
	}
	if len(e.Content) > maxContent {
		return errJSON
	}
	return nil
}
