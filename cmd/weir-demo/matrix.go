package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// user is one account of the demo, logged in.
type user struct {
	server string // client API, http://host:port
	ID     string `json:"user_id"`
	Token  string `json:"access_token"`
	Device string `json:"device_id"`
}

// register makes an account by the shared registration secret (Synapse's admin register API, which Dendrite serves too).
func register(ctx context.Context, server, secret, name, password string) (*user, error) {
	const path = "/_synapse/admin/v1/register"
	var nonce struct{ Nonce string }
	if err := call(ctx, http.MethodGet, server+path, "", nil, &nonce); err != nil {
		return nil, fmt.Errorf("register %s: %w", name, err)
	}
	mac := hmac.New(sha1.New, []byte(secret))
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00notadmin", nonce.Nonce, name, password)
	body := map[string]any{"nonce": nonce.Nonce, "username": name, "password": password, "admin": false, "mac": hex.EncodeToString(mac.Sum(nil))}
	u := &user{server: server}
	if err := call(ctx, http.MethodPost, server+path, "", body, u); err != nil {
		return nil, fmt.Errorf("register %s: %w", name, err)
	}
	return u, nil
}

func (u *user) setName(ctx context.Context, name string) error {
	return u.do(ctx, http.MethodPut, "/_matrix/client/v3/profile/"+url.PathEscape(u.ID)+"/displayname", map[string]any{"displayname": name}, nil)
}

const membershipType = "org.matrix.msc3401.call.member"

// createRoom makes the public room of the call, in which every member may send a membership (MSC3401).
func (u *user) createRoom(ctx context.Context, name, alias string) (string, error) {
	var room struct {
		ID string `json:"room_id"`
	}
	err := u.do(ctx, http.MethodPost, "/_matrix/client/v3/createRoom", map[string]any{
		"name": name, "room_alias_name": alias, "preset": "public_chat",
		"power_level_content_override": map[string]any{"events": map[string]int{membershipType: 0}},
	}, &room)
	if err != nil {
		return "", fmt.Errorf("create the room: %w", err)
	}
	return room.ID, nil
}

func (u *user) join(ctx context.Context, room string) error {
	return u.do(ctx, http.MethodPost, "/_matrix/client/v3/join/"+url.PathEscape(room), map[string]any{}, nil)
}

// sendMembership tells the room that the user takes part in its call on the focus at service (matrixrtc.md section 7).
func (u *user) sendMembership(ctx context.Context, room, service string) error {
	key := "_" + u.ID + "_" + u.Device + "_m.call"
	return u.do(ctx, http.MethodPut, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/state/"+membershipType+"/"+url.PathEscape(key), map[string]any{
		"application": "m.call", "call_id": "", "scope": "m.room", "device_id": u.Device, "membershipID": u.ID + ":" + u.Device,
		"expires": 14_400_000, "m.call.intent": "video",
		"focus_active":   map[string]string{"type": "livekit", "focus_selection": "multi_sfu"},
		"foci_preferred": []map[string]string{{"type": "livekit", "livekit_service_url": service, "livekit_alias": room}},
	}, nil)
}

// ticket is a token door's answer.
type ticket struct {
	URL string `json:"url"`
	JWT string `json:"jwt"`
}

// callToken asks the focus's token door for a call token, as a client does.
func (u *user) callToken(ctx context.Context, service, room string) (ticket, error) {
	var openID json.RawMessage
	var t ticket
	if err := u.do(ctx, http.MethodPost, "/_matrix/client/v3/user/"+url.PathEscape(u.ID)+"/openid/request_token", map[string]any{}, &openID); err != nil {
		return t, fmt.Errorf("OpenID token of %s: %w", u.ID, err)
	}
	err := call(ctx, http.MethodPost, service+"/sfu/get", "", map[string]any{"room": room, "device_id": u.Device, "openid_token": openID}, &t)
	if err != nil {
		return t, fmt.Errorf("call token of %s: %w", u.ID, err)
	}
	return t, nil
}

func (u *user) do(ctx context.Context, method, path string, body, into any) error {
	return call(ctx, method, u.server+path, u.Token, body, into)
}

// call sends JSON and reads JSON; any status but 200 is an error with the start of the body in it.
func call(ctx context.Context, method, target, token string, body, into any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.200s", method, req.URL.Path, resp.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
