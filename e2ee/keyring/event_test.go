package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

const sample = `{"keys":{"index":0,"key":"AAECAwQFBgcICQoLDA0ODw=="},"room_id":"!r","member":{"id":"m","claimed_device_id":"DEV"},` +
	`"session":{"call_id":"","application":"m.call","scope":"m.room"},"sent_ts":5}`

func TestParseEvent(t *testing.T) {
	bits := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for _, c := range []struct {
		name, kind, content string
		want                Event
		err                 error
	}{
		{"Element Call's", EventElementCall, sample, Event{"!r", "m", "DEV", 0, bits, 5}, nil},
		{"unpadded", EventElementCall, `{"keys":{"index":255,"key":"AAECAwQFBgcICQoLDA0ODw"},"room_id":"!r","member":{"claimed_device_id":"D"}}`,
			Event{"!r", "", "D", 255, bits, 0}, nil},
		{"MSC4143's", EventMatrix, `{"room_id":"!r","member_id":"m","media_key":{"index":7,"key":"AAECAwQFBgcICQoLDA0ODw"},"format":0}`,
			Event{"!r", "m", "", 7, bits, 0}, nil},
		{"another type", "m.room_key", sample, Event{}, ErrEvent},
		{"no JSON", EventElementCall, `{`, Event{}, ErrEvent},
		{"a list", EventElementCall, `[]`, Event{}, ErrEvent},
		{"nothing in it", EventElementCall, `{}`, Event{}, ErrEvent},
		{"nothing in it, MSC", EventMatrix, `{}`, Event{}, ErrEvent},
		{"another format", EventMatrix, `{"room_id":"!r","member_id":"m","media_key":{"index":7,"key":"AAECAwQFBgcICQoLDA0ODw"},"format":1}`, Event{}, ErrEvent},
		{"no room", EventElementCall, `{"keys":{"index":0,"key":"AAECAwQFBgcICQoLDA0ODw"},"member":{"claimed_device_id":"D"}}`, Event{}, ErrEvent},
		{"no device", EventElementCall, `{"keys":{"index":0,"key":"AAECAwQFBgcICQoLDA0ODw"},"room_id":"!r","member":{}}`, Event{}, ErrEvent},
		{"no index", EventElementCall, `{"keys":{"key":"AAECAwQFBgcICQoLDA0ODw"},"room_id":"!r","member":{"claimed_device_id":"D"}}`, Event{}, ErrEvent},
		{"index 256", EventElementCall, `{"keys":{"index":256,"key":"AAECAwQFBgcICQoLDA0ODw"},"room_id":"!r","member":{"claimed_device_id":"D"}}`, Event{}, ErrEvent},
		{"index -1", EventElementCall, `{"keys":{"index":-1,"key":"AAECAwQFBgcICQoLDA0ODw"},"room_id":"!r","member":{"claimed_device_id":"D"}}`, Event{}, ErrEvent},
		{"index 0.5", EventElementCall, `{"keys":{"index":0.5,"key":"AAECAwQFBgcICQoLDA0ODw"},"room_id":"!r","member":{"claimed_device_id":"D"}}`, Event{}, ErrEvent},
		{"no base64", EventElementCall, `{"keys":{"index":0,"key":"*"},"room_id":"!r","member":{"claimed_device_id":"D"}}`, Event{}, ErrEvent},
		{"15 bytes", EventElementCall, `{"keys":{"index":0,"key":"AAECAwQFBgcICQoLDA0O"},"room_id":"!r","member":{"claimed_device_id":"D"}}`, Event{}, ErrMaterial},
		{"no key", EventElementCall, `{"keys":{"index":0},"room_id":"!r","member":{"claimed_device_id":"D"}}`, Event{}, ErrMaterial},
		{"a list of keys, as the room event had", EventElementCall, `{"keys":[{"index":0,"key":"AAECAwQFBgcICQoLDA0ODw"}],"room_id":"!r"}`, Event{}, ErrEvent},
		{"too long", EventElementCall, string(bytes.Repeat([]byte(" "), eventMost)) + sample, Event{}, ErrEvent},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseEvent(c.kind, []byte(c.content))
			if !errors.Is(err, c.err) || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
}

// What is written is read back alike, and what is read has a key of a right length.
func FuzzParseEvent(f *testing.F) {
	f.Add(true, []byte(sample))
	f.Add(false, []byte(`{"room_id":"!r","member_id":"m","media_key":{"index":7,"key":"AAECAwQFBgcICQoLDA0ODw"},"format":0}`))
	f.Fuzz(func(t *testing.T, call bool, content []byte) {
		kind := EventMatrix
		if call {
			kind = EventElementCall
		}
		e, err := ParseEvent(kind, content)
		if err != nil {
			return
		}
		if _, err := FromMaterial(e.Material); err != nil {
			t.Fatal(err)
		}
		written, err := e.Content(kind)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseEvent(kind, written)
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v was written as %s and read as %+v, %v", e, written, again, err)
		}
	})
}

// TestInbox plays scripts of key messages and rosters.
func TestInbox(t *testing.T) {
	ann := Member{"@ann", "A", "m1", "ann"}
	legacy := Member{"@bob", "B", "", "@bob:B"}
	from := Sender{"@ann", "A", true}
	ev := func(index uint8, fill byte, sentAt int64) Event {
		return Event{"!r", "m1", "A", index, bytes.Repeat([]byte{fill}, 16), sentAt}
	}
	with := func(e Event, change func(*Event)) Event { change(&e); return e }
	type step struct {
		ms      int
		members []Member // nil: a message
		from    Sender
		ev      Event
		want    string
		err     error
	}
	roster := []Member{ann, legacy}
	for name, script := range map[string][]step{
		"of a member":  {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, from, ev(0, 7, 5), "ann 0 07", nil}},
		"in clear":     {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, Sender{"@ann", "A", false}, ev(0, 7, 5), "", ErrCleartext}},
		"wrong device": {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, Sender{"@ann", "X", true}, ev(0, 7, 5), "", ErrDevice}},
		"another user with the same device id": {{0, roster, from, ev(0, 0, 0), "", nil},
			{1, nil, Sender{"@eve", "A", true}, ev(0, 7, 5), "", nil}}, // held: who that is may still join
		"another room":       {{1, nil, from, with(ev(0, 7, 5), func(e *Event) { e.Room = "!x" }), "", ErrRoom}},
		"another membership": {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, from, with(ev(0, 7, 5), func(e *Event) { e.Member = "m2" }), "", nil}},
		"MSC form without a device": {{0, roster, from, ev(0, 0, 0), "", nil},
			{1, nil, from, with(ev(0, 7, 5), func(e *Event) { e.Device = "" }), "ann 0 07", nil}},
		"state membership without an id": {{0, roster, from, ev(0, 0, 0), "", nil},
			{1, nil, Sender{"@bob", "B", true}, with(ev(3, 8, 5), func(e *Event) { e.Device, e.Member = "B", "@bob:B" }), "@bob:B 3 08", nil}},
		"before the membership": {{1, nil, from, ev(0, 7, 5), "", nil}, {2, nil, from, ev(1, 8, 6), "", nil},
			{900, roster, from, ev(0, 0, 0), "ann 0 07; ann 1 08", nil}, {901, roster, from, ev(0, 0, 0), "", nil}},
		"long before the membership":  {{0, nil, from, ev(0, 7, 5), "", nil}, {60_000, roster, from, ev(0, 0, 0), "", nil}},
		"twice":                       {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, from, ev(0, 7, 5), "ann 0 07", nil}, {2, nil, from, ev(0, 7, 5), "", ErrTwice}},
		"twice before the membership": {{1, nil, from, ev(0, 7, 5), "", nil}, {2, nil, from, ev(0, 7, 5), "", ErrTwice}},
		"out of order": {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, from, ev(0, 7, 5), "ann 0 07", nil},
			{2, nil, from, ev(0, 6, 4), "", ErrStale}, {3, nil, from, ev(0, 8, 6), "ann 0 08", nil}},
		"out of order before the membership": {{1, nil, from, ev(0, 7, 5), "", nil}, {2, nil, from, ev(0, 6, 4), "", nil},
			{3, roster, from, ev(0, 0, 0), "ann 0 07", nil}},
		"indices in any order": {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, from, ev(1, 8, 6), "ann 1 08", nil}, {2, nil, from, ev(0, 7, 5), "ann 0 07", nil}},
		"a membership that ended is forgotten": {{0, roster, from, ev(0, 0, 0), "", nil}, {1, nil, from, ev(0, 7, 5), "ann 0 07", nil},
			{2, []Member{legacy}, from, ev(0, 0, 0), "", nil}, {3, nil, from, ev(0, 7, 5), "", nil},
			{4, roster, from, ev(0, 0, 0), "ann 0 07", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			in := NewInbox("!r")
			for _, s := range script {
				now := time.UnixMilli(int64(s.ms))
				var out []Install
				var err error
				if s.members != nil {
					out = in.Members(now, s.members, nil)
				} else {
					out, err = in.Arrive(now, s.from, s.ev, nil)
				}
				got := ""
				for i, o := range out {
					if i > 0 {
						got += "; "
					}
					got += fmt.Sprintf("%s %d %02x", o.Identity, o.Index, o.Material[0])
				}
				if got != s.want || !errors.Is(err, s.err) {
					t.Fatalf("at %d ms: %q, %v; want %q, %v", s.ms, got, err, s.want, s.err)
				}
			}
		})
	}
}

func TestInboxIsBounded(t *testing.T) {
	in := NewInbox("!r")
	for i := range heldMost + 10 {
		_, err := in.Arrive(time.UnixMilli(0), Sender{"@ann", "A", true}, Event{"!r", "m", "A", uint8(i), bytes.Repeat([]byte{byte(i >> 4)}, 16), int64(i)}, nil)
		if crowded := errors.Is(err, ErrCrowded); crowded != (i >= heldMost) {
			t.Fatalf("key %d: %v", i, err)
		}
	}
	if in.Held() != heldMost {
		t.Fatalf("%d held", in.Held())
	}
}
