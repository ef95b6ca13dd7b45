package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"weir/sfu/session"
)

var encodings = map[string]Encoding{"binary": Binary, "text": Text}

func checkRequest(t *testing.T, want Request, enc Encoding) {
	t.Helper()
	frame, err := EncodeRequest(want, enc)
	if err != nil {
		t.Fatalf("encoding %+v: %v", want, err)
	}
	got, err := DecodeRequest(frame, enc)
	if err != nil {
		t.Fatalf("decoding %q: %v", frame, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("came back otherwise:\n got %#v\nwant %#v", got.Session, want.Session)
	}
}

func checkMessage(t *testing.T, want session.Message, enc Encoding) {
	t.Helper()
	frames, err := Dialect{}.Encode(want, enc)
	if err != nil {
		t.Fatalf("encoding %+v: %v", want, err)
	}
	if len(frames) != 1 {
		t.Fatalf("%T: %d frames, want 1", want, len(frames))
	}
	got, err := DecodeResponse(frames[0], enc)
	if err != nil {
		t.Fatalf("decoding %q: %v", frames[0], err)
	}
	if !reflect.DeepEqual(got.Session, want) {
		t.Fatalf("came back otherwise:\n got %#v\nwant %#v", got.Session, want)
	}
}

func TestEveryRequestComesBack(t *testing.T) {
	for name, enc := range encodings {
		for _, sample := range requests {
			t.Run(fmt.Sprintf("%s/%T", name, sample), func(t *testing.T) {
				for seed := range uint64(60) {
					checkRequest(t, Request{Session: like(newGen(seed), sample)}, enc)
				}
			})
		}
		for _, p := range []Ping{{Old: true, Timestamp: 1_790_000_000_123}, {Timestamp: 1, RTT: 65535}, {}} {
			checkRequest(t, Request{Ping: &p}, enc)
		}
	}
}

func TestEveryMessageComesBack(t *testing.T) {
	for name, enc := range encodings {
		for _, sample := range messages {
			t.Run(fmt.Sprintf("%s/%T", name, sample), func(t *testing.T) {
				for seed := range uint64(60) {
					checkMessage(t, like(newGen(seed), sample), enc)
				}
			})
		}
	}
}

func TestEveryCallComesBack(t *testing.T) {
	for name, enc := range encodings {
		for _, sample := range calls {
			t.Run(fmt.Sprintf("%s/%T", name, sample), func(t *testing.T) {
				for seed := range uint64(60) {
					checkCall(t, settled(like(newGen(seed), sample)), enc)
				}
			})
		}
	}
}

// settled cuts a call to what its body can say.
func settled(c Call) Call {
	switch c := c.(type) {
	case CreateRoom:
		c.Config.Encoding, c.Config.RemoteUnmute = nil, false
		return c
	case RemoveParticipant:
		c.RevokeBefore = c.RevokeBefore.Truncate(time.Second)
		if c.RevokeBefore.Unix() <= 0 {
			c.RevokeBefore = time.Time{}
		}
		return c
	case UpdateParticipant:
		if p := c.Event.Name; p != nil && *p == "" {
			c.Event.Name = nil
		}
		if p := c.Event.Metadata; p != nil && *p == "" {
			c.Event.Metadata = nil
		}
		return c
	case SendData:
		c.Event.Nonce = []string{"", "0123456789abcdef"}[len(c.Event.Nonce)%2]
		c.Event.RequestID = ""
		c.Event.Packet = UserPacket(c.Event.Packet, c.Event.Topic, []byte(c.Event.Nonce))
		return c
	case PerformRPC:
		c.Timeout = time.Duration(uint32(c.Timeout)) * time.Millisecond
		return c
	}
	return c
}

func checkCall(t *testing.T, want Call, enc Encoding) {
	t.Helper()
	method, body, err := EncodeCall(want, enc)
	if err != nil {
		t.Fatalf("encoding %+v: %v", want, err)
	}
	got, err := DecodeCall(method, body, enc)
	if err != nil {
		t.Fatalf("decoding %s %q: %v", method, body, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("came back otherwise:\n got %#v\nwant %#v", got, want)
	}
}

// FuzzValues: whatever a request, message or call says comes back from either encoding.
func FuzzValues(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(seed*5))
	}
	f.Fuzz(func(t *testing.T, seed uint64, pick uint8) {
		enc := Encoding(pick & 1)
		n := int(pick >> 1)
		checkRequest(t, Request{Session: like(newGen(seed), requests[n%len(requests)])}, enc)
		checkMessage(t, like(newGen(seed), messages[n%len(messages)]), enc)
		checkCall(t, settled(like(newGen(seed), calls[n%len(calls)])), enc)
	})
}

// FuzzDecodeRequest: arbitrary bytes are refused with a typed error, or mean what they mean when written again.
func FuzzDecodeRequest(f *testing.F) {
	for i, sample := range requests {
		for _, enc := range encodings {
			frame, err := EncodeRequest(Request{Session: like(newGen(uint64(i)), sample)}, enc)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(frame, enc == Text)
		}
	}
	f.Add([]byte(`{"ping":"1790000000123"}`), true)
	f.Add([]byte("\x1a\x05\n\x010\x18\x01"), false) // trickle, undecodable, final
	f.Add([]byte(`{"trickle":{"candidateInit":"{\"candidate\":\"candidate:candidate:1\"}"}}`), true)
	f.Fuzz(func(t *testing.T, frame []byte, text bool) {
		enc := Binary
		if text {
			enc = Text
		}
		first, err := DecodeRequest(frame, enc)
		if err != nil {
			typed(t, err)
			return
		}
		one, err := EncodeRequest(first, Binary)
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		second, err := DecodeRequest(one, Binary)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		two, err := EncodeRequest(second, Binary)
		if err != nil || !bytes.Equal(one, two) {
			t.Fatalf("not stable (%v):\n%#v\n%#v", err, first.Session, second.Session)
		}
	})
}

// FuzzDecodeResponse is the same for clients.
func FuzzDecodeResponse(f *testing.F) {
	for i, sample := range messages {
		for _, enc := range encodings {
			frames, err := Dialect{}.Encode(like(newGen(uint64(i)), sample), enc)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(frames[0], enc == Text)
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte, text bool) {
		enc := Binary
		if text {
			enc = Text
		}
		first, err := DecodeResponse(frame, enc)
		if err != nil {
			typed(t, err)
			return
		}
		if first.Session == nil {
			return
		}
		one, err := Dialect{}.Encode(first.Session, Binary)
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		for _, frame := range one {
			if _, err := DecodeResponse(frame, Binary); err != nil {
				t.Fatalf("cannot read what was written: %v", err)
			}
		}
		if len(one) > 1 { // a large update in parts
			return
		}
		second, _ := DecodeResponse(one[0], Binary)
		two, err := Dialect{}.Encode(second.Session, Binary)
		if err != nil || !reflect.DeepEqual(one, two) {
			t.Fatalf("not stable (%v):\n%#v\n%#v", err, first.Session, second.Session)
		}
	})
}

func typed(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnknown) {
		t.Fatalf("error without a type: %v", err)
	}
}
