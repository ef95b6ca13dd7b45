package matrix

import (
	"context"
	"errors"
	"strings"
	"time"

	"weir/signalling/delayed"
	"weir/signalling/member"
	"weir/signalling/policy"
)

// handed are the leaves that doors 1 and 2 took over.
type handed struct {
	all  []delayed.Leave
	fail error
}

func (h *handed) Accept(l delayed.Leave) error {
	if h.fail == nil {
		h.all = append(h.all, l)
	}
	return h.fail
}

// Find is for door 3.
func (h *handed) Find(context.Context, string, string) (string, time.Duration, error) {
	return "", 0, ErrUnknownLeave
}

// delegateRefusals are the rows of the table of errors, matrixrtc.md section 2.1, at the door that takes a leave over
// without giving a token, and those that a leave adds at the others.
func delegateRefusals() (rows []refusalRow) {
	const door = "/delegate_delayed_leave"
	with := func(token, server string, changes ...any) string {
		return body("/get_token", token, server, append([]any{"delay_id", "d", "delay_timeout", 18000}, changes...)...)
	}
	own := with("alice", "own.example")
	add := func(name, body string, status int, errcode, code string, asks int, arrange func(*house)) {
		rows = append(rows, refusalRow{name: name, door: door, body: body, arrange: arrange, status: status, errcode: errcode, asks: asks, code: code})
	}
	limits := func(name string, p policy.Config, status int, errcode, code string, asks int, arrange func(*house)) {
		rows = append(rows, refusalRow{name: name, door: door, body: own, policy: p, arrange: arrange, status: status, errcode: errcode, asks: asks, code: code})
	}
	for name, text := range map[string]string{
		"empty": "", "not JSON": "room=x", "an array": "[]", "cut off": own[:40], "something after it": own + "{}",
		"unknown key": with("alice", "own.example", "colour", "red"), "a text for a number": with("alice", "own.example", "delay_timeout", "5"),
		"over 16 KiB": with("alice", "own.example", "delay_id", strings.Repeat("x", 17<<10)), "not UTF-8": strings.Replace(own, "DEV", "D\xff", 1),
	} {
		add(name, text, 400, "M_NOT_JSON", "unreadable", 0, nil)
	}
	for _, key := range []string{"room_id", "slot_id", "member", "member.id", "member.claimed_user_id", "member.claimed_device_id",
		"openid_token.access_token", "openid_token.matrix_server_name", "openid_token", "delay_id", "delay_timeout"} {
		add("missing "+key, with("alice", "own.example", key, nil), 400, "M_BAD_JSON", "form", 0, nil)
	}
	add("neither delay_id nor delay_timeout", body("/get_token", "alice", "own.example"), 400, "M_BAD_JSON", "form", 0, nil)
	add("delay_timeout of zero", with("alice", "own.example", "delay_timeout", 0), 400, "M_BAD_JSON", "form", 0, nil)
	add("delay_timeout below zero", with("alice", "own.example", "delay_timeout", -1), 400, "M_BAD_JSON", "form", 0, nil)
	add("empty delay_id", with("alice", "own.example", "delay_id", ""), 400, "M_BAD_JSON", "form", 0, nil)
	add("256 bytes of delay_id", with("alice", "own.example", "delay_id", strings.Repeat("x", 256)), 400, "M_BAD_JSON", "form", 0, nil)
	add("a delay_id that climbs", with("alice", "own.example", "delay_id", ".."), 400, "M_BAD_JSON", "form", 0, nil)

	add("OpenID failure", with("stolen", "own.example"), 401, "M_UNAUTHORIZED", "openid", 1, nil)
	add("claimed user is another", with("alice", "own.example", "member.claimed_user_id", "@eve:own.example"), 401, "M_UNAUTHORIZED", "claimed_user", 1, nil)
	add("a foreign user", with("bob", "far.example"), 403, "M_FORBIDDEN", "foreign_delegation", 0, nil)
	limits("server denied", policy.Config{Rules: []policy.Rule{{Servers: []string{"own.example"}, Action: policy.Deny}}}, 403, "M_FORBIDDEN", "policy", 0, nil)
	limits("user denied", policy.Config{Rules: []policy.Rule{{Users: []string{"@alice:.*"}, Action: policy.Deny}}}, 403, "M_FORBIDDEN", "policy", 1, nil)
	add("not joined", own, 403, "M_FORBIDDEN", "not_joined", 1, func(h *house) { h.doors.rooms = h })
	add("server denied by the room", own, 403, "M_FORBIDDEN", "server_acl", 1, func(h *house) {
		h.doors.seats = &seats{st: Standing{Standing: member.Standing{Known: true, Denied: true}}}
	})
	add("slot closed", own, 403, "M_FORBIDDEN", "slot_closed", 1, func(h *house) { h.doors.seats = &seats{st: Standing{Closing: true}} })
	limits("homeserver cannot say, and no one is trusted", policy.Config{WhenBlind: "none"}, 503, "M_UNKNOWN", "lookup", 1,
		func(h *house) { h.doors.rooms, h.inErr = h, errors.New("gone") })
	again := func(h *house) { h.do("POST", door, own); h.asked = nil; h.doors.leaves.(*handed).all = nil }
	limits("too many from one address", policy.Config{Rate: policy.Rate{IPBurst: 1}}, 429, "M_LIMIT_EXCEEDED", "ip_rate", 0, again)
	limits("too many by one user", policy.Config{Rate: policy.Rate{UserBurst: 1}}, 429, "M_LIMIT_EXCEEDED", "user_rate", 1, again)
	add("too many at once", own, 429, "M_LIMIT_EXCEEDED", "busy", 0, func(h *house) {
		for range maxAsking {
			h.doors.asking <- struct{}{}
		}
	})
	full := func(h *house) { h.doors.leaves.(*handed).fail = errors.New("full") }
	add("it cannot be kept", own, 500, "M_UNKNOWN", "internal", 1, full)
	add("draining", own, 503, "M_UNKNOWN", "draining", 0, func(h *house) { h.doors.Drain() })
	return rows
}
