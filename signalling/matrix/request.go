package matrix

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"weir/signalling/derive"
)

// maxBody bounds a request (matrixrtc.md section 2).
const maxBody = 16 << 10

// request is what doors 1 and 2 are asked, in one form.
type request struct {
	room, slot string
	claim      derive.Claim // User is verified only after the homeserver was asked
	version    derive.Version
	server     string // whose user the caller is
	token      string // OpenID: a secret
	delay      delay
	leaveOnly  bool // no token is asked for
}

// delay is a leave that the caller scheduled with its homeserver and would have us keep alive.
type delay struct {
	id      string
	timeout time.Duration
}

type openIDToken struct {
	AccessToken string          `json:"access_token"`
	TokenType   json.RawMessage `json:"token_type"` // neither says anything that counts
	Server      string          `json:"matrix_server_name"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
}

type delayFields struct {
	ID      string          `json:"delay_id"`
	Timeout int64           `json:"delay_timeout"`    // ms
	URL     json.RawMessage `json:"delay_cs_api_url"` // ignored: we know where our homeserver is
}

// sfuGet is the body of door 1.
type sfuGet struct {
	Room   string      `json:"room"`
	Token  openIDToken `json:"openid_token"`
	Device string      `json:"device_id"`
	delayFields
}

// getToken is the body of door 2.
type getToken struct {
	Room   string      `json:"room_id"`
	Slot   string      `json:"slot_id"`
	Token  openIDToken `json:"openid_token"`
	Member struct {
		ID     string `json:"id"`
		User   string `json:"claimed_user_id"`
		Device string `json:"claimed_device_id"`
	} `json:"member"`
	delayFields
}

// decode reads one JSON object without unknown keys and nothing after it.
func decode(w http.ResponseWriter, r *http.Request, into any) *refusal {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || !utf8.Valid(body) {
		return unreadable
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // as the stock service does; clients rely on it to tell what it knows
	if d.Decode(into) != nil {
		return unreadable
	}
	if _, err := d.Token(); err != io.EOF {
		return unreadable
	}
	return nil
}

// field is a text that must be there, and is no longer than an identifier may be.
type field struct {
	name, value string
	optional    bool
}

func checkFields(fs ...field) *refusal {
	for _, f := range fs {
		if f.value == "" && !f.optional {
			return badJSON("The request body is missing `%s`", f.name)
		}
		if len(f.value) > maxID || strings.ContainsRune(f.value, 0) {
			return badJSON("`%s` is no identifier", f.name)
		}
	}
	return nil
}

func (t openIDToken) check() *refusal {
	if t.AccessToken == "" {
		return badJSON("The request body is missing `openid_token.access_token`")
	}
	return checkFields(field{"openid_token.matrix_server_name", t.Server, false})
}

func (f delayFields) check() (delay, *refusal) {
	switch {
	case f.ID == "" && f.Timeout == 0:
		return delay{}, nil
	case f.ID == "":
		return delay{}, badJSON("The request body has `delay_timeout` but is missing `delay_id`")
	case f.Timeout <= 0:
		return delay{}, badJSON("The request body has `delay_id` but `delay_timeout` is missing or not above zero")
	}
	if bad := checkDelayID(f.ID); bad != nil {
		return delay{}, bad
	}
	const day = 24 * time.Hour // no homeserver delays for longer
	return delay{id: f.ID, timeout: time.Duration(min(f.Timeout, day.Milliseconds())) * time.Millisecond}, nil
}

// checkDelayID also refuses what a path would take for a step up.
func checkDelayID(id string) *refusal {
	if id != "" && strings.Trim(id, ".") == "" {
		return badJSON("`delay_id` is no identifier")
	}
	return checkFields(field{"delay_id", id, false})
}

// readSFUGet reads door 1, whose slot is the room's own.
func readSFUGet(w http.ResponseWriter, r *http.Request) (*request, *refusal) {
	var b sfuGet
	if bad := decode(w, r, &b); bad != nil {
		return nil, bad
	}
	if bad := checkFields(field{"room", b.Room, false}, field{"device_id", b.Device, true}); bad != nil {
		return nil, bad
	}
	if bad := b.Token.check(); bad != nil {
		return nil, bad
	}
	d, bad := b.delayFields.check()
	if bad != nil {
		return nil, bad
	}
	return &request{
		room: b.Room, slot: derive.Slot, claim: derive.Claim{Device: b.Device}, version: derive.Legacy,
		server: b.Token.Server, token: b.Token.AccessToken, delay: d,
	}, nil
}

// readGetToken reads door 2.
func readGetToken(w http.ResponseWriter, r *http.Request) (*request, *refusal) {
	var b getToken
	if bad := decode(w, r, &b); bad != nil {
		return nil, bad
	}
	bad := checkFields(
		field{"room_id", b.Room, false}, field{"slot_id", b.Slot, false}, field{"member.id", b.Member.ID, false},
		field{"member.claimed_user_id", b.Member.User, false}, field{"member.claimed_device_id", b.Member.Device, false},
	)
	if bad != nil {
		return nil, bad
	}
	if bad := b.Token.check(); bad != nil {
		return nil, bad
	}
	d, bad := b.delayFields.check()
	if bad != nil {
		return nil, bad
	}
	return &request{
		room: b.Room, slot: b.Slot, claim: derive.Claim{User: b.Member.User, Device: b.Member.Device, Member: b.Member.ID},
		version: derive.Hash3, server: b.Token.Server, token: b.Token.AccessToken, delay: d,
	}, nil
}

// readDelegate reads the request to take over a leave: as door 2, with the leave.
func readDelegate(w http.ResponseWriter, r *http.Request) (*request, *refusal) {
	q, bad := readGetToken(w, r)
	if bad == nil && q.delay.id == "" {
		bad = badJSON("The request body is missing `delay_id` and `delay_timeout`")
	}
	if bad != nil {
		return nil, bad
	}
	q.leaveOnly = true
	return q, nil
}
