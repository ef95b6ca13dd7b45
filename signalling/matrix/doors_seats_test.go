package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/derive"
	"weir/signalling/grant"
	"weir/signalling/member"
	"weir/signalling/policy"
)

// seats knows one standing, and writes down who was seated.
type seats struct {
	st   Standing
	took map[sfu.Identity]grant.Seat
}

func (s *seats) Standing(context.Context, string, string, string) (Standing, bool) { return s.st, true }

func (s *seats) Seated(_ sfu.SessionID, id sfu.Identity, seat grant.Seat, _ session.Grant) {
	s.took[id] = seat
}

func (h *house) token(t *testing.T, door, b string) grant.Token {
	t.Helper()
	w := h.do("POST", door, b)
	var got answer
	if w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &got) != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	tok, err := grant.Verify(got.JWT, grant.Keys{testKey.ID: testKey.Secret}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// While the homeserver is silent own users get in, and the log says why.
func TestBlindDoor(t *testing.T) {
	h := build(t, policy.Config{})
	h.doors.rooms, h.inErr = h, errors.New("gone")
	h.token(t, "/sfu/get", body("/sfu/get", "alice", "own.example"))
	wantLine(t, h, "code=blind")
}

func wantLine(t *testing.T, h *house, text string) {
	t.Helper()
	if !strings.Contains(h.log.String(), text) {
		t.Errorf("no line with %s in:\n%s", text, h.log.String())
	}
}

// A token carries its seat, and who may open sessions is seated at once.
func TestSeatOfDoor(t *testing.T) {
	h := build(t, policy.Config{})
	s := &seats{took: map[sfu.Identity]grant.Seat{}}
	h.doors.seats = s
	tok := h.token(t, "/get_token", body("/get_token", "alice", "own.example"))
	want := grant.Seat{Room: room, Slot: derive.Slot, User: "@alice:own.example", Device: "DEV", Member: "m1", Version: int(derive.Hash3),
		Door: "get_token", Opens: true, Made: tok.Seat.Made}
	want.Slot, want.Member = tok.Seat.Slot, tok.Seat.Member
	if *tok.Seat != want || s.took[tok.Identity] != want || time.Since(time.UnixMilli(want.Made)) > time.Minute {
		t.Errorf("%+v, seated %+v", *tok.Seat, s.took)
	}
	tok = h.token(t, "/get_token", body("/get_token", "bob", "far.example"))
	if tok.Seat.Opens || len(s.took) != 1 {
		t.Errorf("%+v, seated %+v", *tok.Seat, s.took)
	}
}

// Without the power to say that one is there, one receives only.
func TestPowerlessSubscribe(t *testing.T) {
	for _, tt := range []struct {
		st      member.Standing
		publish bool
	}{
		{member.Standing{}, true},
		{member.Standing{Known: true}, false},
		{member.Standing{Known: true, MayState: true}, true},
		{member.Standing{Known: true, MaySticky: true}, true},
	} {
		h := build(t, policy.Config{})
		h.doors.seats = &seats{st: Standing{Standing: tt.st}, took: map[sfu.Identity]grant.Seat{}}
		if tok := h.token(t, "/sfu/get", body("/sfu/get", "alice", "own.example")); tok.Inside.Publish != tt.publish || tok.Inside.PublishData != tt.publish {
			t.Errorf("%+v: %+v", tt.st, tok.Inside)
		}
	}
}
