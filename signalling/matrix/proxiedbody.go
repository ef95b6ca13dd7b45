package matrix

import (
	"encoding/json"
	"io"
	"net/http"
	"unicode/utf8"

	"weir/signalling/derive"
)

// proxiedBody is what doors 3 and 4 are asked, in any of the forms of matrixrtc.md section 2.2: that of MSC4195, that of
// matrix-js-sdk 43 with url beside it, and that of Element Call's next version with member_id for member. Keys that are
// not known are ignored: these forms are still growing.
type proxiedBody struct {
	Server   *string       `json:"server_name,omitempty"` // door 3: whose focus is meant
	User     string        `json:"user_id"`               // door 4
	URL      *string       `json:"url,omitempty"`         // the WebSocket URL of the focus meant
	Room     string        `json:"room_id"`
	Slot     string        `json:"slot_id"`
	Member   *memberFields `json:"member,omitempty"`
	MemberID *string       `json:"member_id,omitempty"`
	DelayID  string        `json:"delay_id,omitempty"`
}

type memberFields struct {
	ID     string `json:"id"`
	Device string `json:"claimed_device_id"`
}

// readProxied reads and checks a body.
func readProxied(w http.ResponseWriter, r *http.Request) (*proxiedBody, *refusal) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || !utf8.Valid(text) {
		return nil, unreadable
	}
	var b proxiedBody
	if json.Unmarshal(text, &b) != nil {
		return nil, unreadable
	}
	fields := []field{{"room_id", b.Room, false}, {"slot_id", b.Slot, false}}
	switch {
	case b.Member != nil:
		fields = append(fields, field{"member.id", b.Member.ID, false}, field{"member.claimed_device_id", b.Member.Device, false})
	case b.MemberID != nil:
		fields = append(fields, field{"member_id", *b.MemberID, false})
	default:
		fields = append(fields, field{"member", "", false})
	}
	if bad := checkFields(fields...); bad != nil {
		return nil, bad
	}
	if b.URL != nil && *b.URL == "" {
		return nil, badJSON("`url` is empty")
	}
	return &b, nil
}

// foreign says whether another server's focus is meant.
func (b *proxiedBody) foreign(own string) bool {
	return b.Server != nil && *b.Server != "" && *b.Server != own
}

// request is the body in the form of all doors, of a user whom the homeserver vouched for.
func (b *proxiedBody) request(user, server string) *request {
	q := &request{room: b.Room, slot: b.Slot, claim: derive.Claim{User: user}, server: server, version: derive.Hash2}
	if b.Member != nil {
		q.claim.Member, q.claim.Device, q.version = b.Member.ID, b.Member.Device, derive.Hash3
	} else {
		q.claim.Member = *b.MemberID
	}
	return q
}
