package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weir/sfu"
)

// A log is a room's inputs, one JSON object a line, so that what happened to a room can be played again:
//
//	{"at":ms,"event":{…}}                        an event as homeservers give it
//	{"at":ms,"batch":[{…},…]}                    several
//	{"at":ms,"state":[{…},…],"partial":true}     the whole state
//	{"at":ms,"joined":["@user:server",…]}        the joined users, by another way
//	{"at":ms,"sight":false}
//	{"at":ms,"own_server":false}
//	{"at":ms,"record":{"slot","identity","user","device","member","door"}}
//	{"at":ms,"arrived":{"slot","identity"}}      and "departed"
//	{"at":ms}                                    time passes
//
// It holds user ids and device ids: where it is kept, they are.
type logLine struct {
	At        int64             `json:"at"` // ms since 1970
	Event     json.RawMessage   `json:"event,omitempty"`
	Batch     []json.RawMessage `json:"batch,omitzero"`
	State     []json.RawMessage `json:"state,omitzero"`
	Partial   bool              `json:"partial,omitempty"`
	Joined    []string          `json:"joined,omitzero"`
	Sight     *bool             `json:"sight,omitempty"`
	OwnServer *bool             `json:"own_server,omitempty"`
	Record    *logPlace         `json:"record,omitempty"`
	Arrived   *logPlace         `json:"arrived,omitempty"`
	Departed  *logPlace         `json:"departed,omitempty"`
}

type logPlace struct {
	Slot     string       `json:"slot"`
	Identity sfu.Identity `json:"identity"`
	User     string       `json:"user,omitempty"`
	Device   string       `json:"device,omitempty"`
	Member   string       `json:"member,omitempty"`
	Door     string       `json:"door,omitempty"`
}

type logEvent struct {
	ID       string          `json:"event_id"`
	Type     string          `json:"type"`
	Sender   string          `json:"sender"`
	StateKey *string         `json:"state_key,omitempty"`
	Origin   int64           `json:"origin_server_ts"`
	Content  json.RawMessage `json:"content,omitempty"`
	Redacts  string          `json:"redacts,omitempty"`
	Sticky   *logSticky      `json:"msc4354_sticky,omitempty"`
	Unsigned logUnsigned     `json:"unsigned,omitzero"`
}

type logSticky struct {
	Duration int64 `json:"duration_ms"`
}

type logUnsigned struct {
	TTL      *int64          `json:"msc4354_sticky_duration_ttl_ms,omitempty"`
	Redacted json.RawMessage `json:"redacted_because,omitempty"`
}

// AppendLog writes an input as a line of a log. What was received at another time than now is written as received now.
func AppendLog(b []byte, now time.Time, in Input) ([]byte, error) {
	l := logLine{At: now.UnixMilli()}
	var err error
	switch in := in.(type) {
	case Event:
		l.Event, err = logged(&in)
	case Batch:
		l.Batch, err = loggedAll(in.Events)
	case State:
		l.Partial = in.Partial
		l.State, err = loggedAll(in.Events)
	case JoinedUsers:
		l.Joined = append([]string{}, in.Users...)
	case Sight:
		l.Sight = &in.Clear
	case OwnServer:
		l.OwnServer = &in.Joined
	case Record:
		l.Record = &logPlace{in.Slot, in.Identity, in.User, in.Device, in.Member, in.Door}
	case Arrived:
		l.Arrived = &logPlace{Slot: in.Slot, Identity: in.Identity}
	case Departed:
		l.Departed = &logPlace{Slot: in.Slot, Identity: in.Identity}
	}
	if err != nil {
		return b, err
	}
	line, err := json.Marshal(l)
	if err != nil {
		return b, fmt.Errorf("writing a line of a log: %w", err)
	}
	return append(append(b, line...), '\n'), nil
}

func loggedAll(events []Event) ([]json.RawMessage, error) {
	all := make([]json.RawMessage, 0, len(events))
	for i := range events {
		raw, err := logged(&events[i])
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

func logged(e *Event) (json.RawMessage, error) {
	o := logEvent{ID: e.ID, Type: e.Type, Sender: e.Sender, Origin: e.Origin, Content: e.Content, Redacts: e.Redacts}
	if e.State {
		o.StateKey = &e.StateKey
	}
	if e.Sticky != 0 {
		o.Sticky = &logSticky{e.Sticky}
	}
	if e.HasTTL {
		o.Unsigned.TTL = &e.TTL
	}
	if e.Redacted {
		o.Unsigned.Redacted = json.RawMessage("{}")
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("writing event %s to a log: %w", e.ID, err)
	}
	return raw, nil
}

// ReadLog reads a line of a log.
func ReadLog(line []byte) (time.Time, Input, error) {
	var l logLine
	if err := json.Unmarshal(line, &l); err != nil {
		return time.Time{}, nil, fmt.Errorf("reading a line of a log: %w", err)
	}
	now := time.UnixMilli(l.At)
	switch {
	case l.Event != nil:
		e, err := Decode(l.Event, now)
		return now, e, err
	case l.Batch != nil:
		events, err := decodeAll(l.Batch, now)
		return now, Batch{events}, err
	case l.State != nil:
		events, err := decodeAll(l.State, now)
		return now, State{events, l.Partial}, err
	case l.Joined != nil:
		return now, JoinedUsers{l.Joined}, nil
	case l.Sight != nil:
		return now, Sight{*l.Sight}, nil
	case l.OwnServer != nil:
		return now, OwnServer{*l.OwnServer}, nil
	case l.Record != nil:
		r := l.Record
		return now, Record{r.Slot, r.Identity, r.User, r.Device, r.Member, r.Door}, nil
	case l.Arrived != nil:
		return now, Arrived{l.Arrived.Slot, l.Arrived.Identity}, nil
	case l.Departed != nil:
		return now, Departed{l.Departed.Slot, l.Departed.Identity}, nil
	}
	return now, Tick{}, nil
}

func decodeAll(raw []json.RawMessage, now time.Time) ([]Event, error) {
	events := make([]Event, 0, len(raw))
	var bad error
	for _, b := range raw {
		e, err := Decode(b, now)
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		events = append(events, e)
	}
	return events, bad
}
