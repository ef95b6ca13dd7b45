package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Relay has the own homeserver ask another one in its own name; *Homeserver is one.
type Relay interface {
	// FedProxy posts body to a path of the other's federation API, and returns what that answered. An error of the own
	// homeserver is a *Refused.
	FedProxy(ctx context.Context, destination, path string, body any) (status int, content json.RawMessage, err error)
}

const (
	// relayTimeout bounds one relayed request (matrixrtc.md section 2.2).
	relayTimeout = 5 * time.Second
	// remoteDoor is door 4 of another server's focus.
	remoteDoor = "/_matrix/federation/unstable/io.element.msc4195/" + proxyPrefix + "/get_token"
	// The own homeserver's errors when it asks for us (MSC4512).
	errDestination = "IO.ELEMENT.MSC4512.M_FEDPROXY_DESTINATION_DENIED"
	errConnection  = "IO.ELEMENT.MSC4512.M_FEDPROXY_CONNECTION_FAILED"
)

// FedProxy implements Relay (MSC4512).
func (h *Homeserver) FedProxy(ctx context.Context, destination, path string, body any) (int, json.RawMessage, error) {
	var got struct {
		Status  int             `json:"status"`
		Content json.RawMessage `json:"content"`
	}
	err := h.do(ctx, call{
		method: http.MethodPost, path: "/_matrix/client/unstable/io.element.msc4512/appservice/fed_proxy", into: &got,
		in: map[string]any{"destination": destination, "method": http.MethodPost, "path": path, "body": body},
	})
	return got.Status, got.Content, err
}

// pass asks another server's focus for the token, by way of both homeservers, and passes its answer on.
func (p *Proxied) pass(w http.ResponseWriter, r *http.Request, door string, b *proxiedBody, q *request) {
	destination := *b.Server
	body := *b
	body.User, body.Server, body.DelayID = q.claim.User, nil, ""
	var status int
	var content json.RawMessage
	bad := p.mayLeave(r.Context(), q)
	if bad == nil {
		status, content, bad = p.ask(r.Context(), destination, body)
	}
	if bad != nil {
		p.doors.requests.WithLabelValues(door, bad.code).Inc()
		p.doors.refused(r, door, q, bad)
		bad.write(w)
		return
	}
	p.doors.requests.WithLabelValues(door, "relayed").Inc()
	p.doors.log.Info("relayed", "door", door, "code", "relayed", "user", q.claim.User, "room_id", q.room, "slot", q.slot, "member", q.claim.Member,
		"server", destination, "status", status)
	writeJSON(w, status, content)
}

// mayLeave takes the steps that hold for a user wherever it goes.
func (p *Proxied) mayLeave(ctx context.Context, q *request) *refusal {
	if p.doors.rooms == nil {
		return lookupFailed.because(errors.New("membership is not known"))
	}
	_, bad := p.doors.allowed(ctx, q)
	return bad
}

// ask makes the request, and a table's row of whatever comes of it.
func (p *Proxied) ask(ctx context.Context, destination string, body proxiedBody) (int, json.RawMessage, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	status, content, err := p.relay.FedProxy(ctx, destination, remoteDoor, body)
	if err != nil {
		return 0, nil, relayFailed(err)
	}
	var object map[string]any
	readable := json.Unmarshal(content, &object) == nil && object != nil
	jwt, _ := object["jwt"].(string)
	switch {
	case status == http.StatusOK && jwt != "", status >= 400 && status < 600 && readable:
		return status, content, nil
	case status >= 400 && status < 600:
		// It answered a page; its status still says something, as 404 of a server without this door.
		return status, json.RawMessage(`{"errcode":"M_UNKNOWN","error":"The other server answered no JSON."}`), nil
	}
	return 0, nil, noToken
}

// relayFailed says what an error of the own homeserver means to the caller.
func relayFailed(err error) *refusal {
	r, ok := errors.AsType[*Refused](err)
	switch {
	case ok && r.Code == errDestination:
		return (&refusal{status: http.StatusForbidden, errcode: errDestination, text: "The homeserver does not talk to that server.", code: "relay_denied"}).because(err)
	case ok && r.Code == errConnection:
		return (&refusal{status: http.StatusBadGateway, errcode: errConnection, text: "The other server could not be reached.", code: "relay_connection"}).because(err)
	case ok && r.Status == http.StatusTooManyRequests:
		return limited(max(r.After, time.Second), "relay_rate").because(err)
	case ok && r.Status < 500:
		// PATH_NOT_ALLOWED, M_MISSING_PARAM, M_INVALID_PARAM, M_UNRECOGNIZED: the registration or the homeserver's flags are
		// not as they should be, which the caller can do nothing about.
		return internal.because(err)
	}
	return lookupFailed.because(err)
}

// ServerJoined implements Servers (MSC4502).
func (h *Homeserver) ServerJoined(ctx context.Context, room, server string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var got struct {
		Joined *bool `json:"joined"`
	}
	err := h.do(ctx, call{
		method: http.MethodGet, path: "/_matrix/client/unstable/io.element.msc4502/rooms/" + escape(room) + "/is_joined",
		query: url.Values{"server_name": {server}}, into: &got,
	})
	if err == nil && got.Joined == nil {
		err = errBlind
	}
	return err == nil && *got.Joined, err
}
