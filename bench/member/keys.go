package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/bench/device"
	"weir/e2ee/keyring"
)

// replenish gives the homeserver the device's keys, and the one-time keys that it lacks.
func (c *Call) replenish(ctx context.Context) error { return c.uploadKeys(ctx, 0) }

func (c *Call) uploadKeys(ctx context.Context, left int) error {
	body, err := c.device.Upload(left)
	if err != nil {
		return err
	}
	if err := c.client.try(ctx, http.MethodPost, "/_matrix/client/v3/keys/upload", nil, body, nil); err != nil {
		return err
	}
	c.device.Uploaded()
	return nil
}

// oneTimeFew is when new one-time keys are made.
const oneTimeFew = 25

// receive takes what other devices sent.
func (c *Call) receive(ctx context.Context, a *answer) {
	for _, m := range a.ToDevice.Events {
		if err := c.take(ctx, m); err != nil {
			c.log.Warn("a message of another device is not taken", "type", m.Type, "sender", m.Sender, "err", err)
		}
	}
	if n, told := a.OneTime["signed_curve25519"]; told && n < oneTimeFew {
		if err := c.uploadKeys(ctx, n); err != nil {
			c.log.Warn("no new one-time keys", "err", err)
		}
	}
}

func (c *Call) take(ctx context.Context, m toDevice) error {
	switch m.Type {
	case "m.room.encrypted":
	case keyring.EventElementCall, keyring.EventMatrix:
		ev, err := keyring.ParseEvent(m.Type, m.Content)
		if err == nil {
			_, err = c.inbox.Arrive(time.Now(), keyring.Sender{User: m.Sender, Device: ev.Device}, ev, nil)
		}
		return err
	default:
		return nil
	}
	message, err := c.device.Decrypt(m.Sender, m.Content)
	if err != nil || message.Type != keyring.EventElementCall && message.Type != keyring.EventMatrix {
		return err
	}
	from, known := c.device.Whose(message)
	if !known {
		if err := c.meet(ctx, map[string][]string{m.Sender: {}}); err != nil {
			return err
		}
		if from, known = c.device.Whose(message); !known {
			return fmt.Errorf("%w: no device of %s has these keys", device.ErrPeer, m.Sender)
		}
	}
	ev, err := keyring.ParseEvent(message.Type, message.Content)
	if err != nil {
		return err
	}
	got, err := c.inbox.Arrive(time.Now(), keyring.Sender{User: from.User, Device: from.ID, Encrypted: true}, ev, nil)
	if errors.Is(err, keyring.ErrTwice) {
		return nil // clients send again to be sure
	}
	c.install(got)
	return err
}

// install puts keys of others into the keychain.
func (c *Call) install(all []keyring.Install) {
	for _, i := range all {
		key, err := keyring.FromMaterial(i.Material)
		if err != nil {
			c.log.Warn("a key is not taken", "identity", string(i.Identity), "err", err)
			continue
		}
		c.cfg.Keys.Set(i.Identity, i.Index, key)
		c.log.Info("key of another", "identity", string(i.Identity), "index", i.Index)
	}
}

// follow does what the rotation wants.
func (c *Call) follow(ctx context.Context, steps []keyring.Step, err error) {
	for len(steps) > 0 && err == nil {
		var next []keyring.Step
		for _, s := range steps {
			switch s := s.(type) {
			case keyring.Use:
				key, bad := keyring.FromMaterial(s.Material)
				if bad != nil {
					err = bad
					break
				}
				c.cfg.Keys.SetOwn(s.Index, key)
				c.cfg.Keys.UseOwn(s.Index)
				c.log.Info("own key in use", "index", s.Index)
			case keyring.Send:
				missed := c.share(ctx, s)
				next, err = c.rotation.Sent(time.Now(), missed, next)
			}
		}
		steps = next
	}
	if err != nil {
		c.log.Error("own key", "err", err)
	}
}

// share sends a key to devices; it returns those that it did not reach.
func (c *Call) share(ctx context.Context, s keyring.Send) (missed []keyring.Peer) {
	content, err := keyring.Event{
		Room: c.cfg.Room, Member: string(c.Identity), Device: c.device.ID, Index: s.Index, Material: s.Material, SentAt: time.Now().UnixMilli(),
	}.Content(keyring.EventElementCall)
	if err != nil {
		c.log.Error("own key", "err", err)
		return s.To
	}
	found := c.reach(ctx, s.To)
	messages := map[string]map[string]json.RawMessage{}
	for _, to := range s.To {
		p, ok := found[[2]string{to.User, to.Device}]
		var sealed json.RawMessage
		err := device.ErrNoSession
		if ok {
			sealed, err = c.device.Encrypt(p, keyring.EventElementCall, content)
		}
		if err != nil {
			c.log.Warn("own key does not reach a device", "user", to.User, "device", to.Device, "err", err)
			missed = append(missed, to)
			continue
		}
		if messages[to.User] == nil {
			messages[to.User] = map[string]json.RawMessage{}
		}
		messages[to.User][to.Device] = sealed
	}
	if len(messages) == 0 {
		return missed
	}
	c.sent++
	path := fmt.Sprintf("/_matrix/client/v3/sendToDevice/m.room.encrypted/weir-%d-%d", c.entered.UnixNano(), c.sent)
	if err := c.client.try(ctx, http.MethodPut, path, nil, map[string]any{"messages": messages}, nil); err != nil {
		c.log.Warn("own key is not sent", "err", err)
		return s.To
	}
	c.log.Info("own key sent", "index", s.Index, "devices", len(s.To)-len(missed))
	return missed
}

// reach gets sessions with devices, as far as they can be had.
func (c *Call) reach(ctx context.Context, to []keyring.Peer) map[[2]string]device.Peer {
	wanted := map[string][]string{}
	for _, p := range to {
		wanted[p.User] = append(wanted[p.User], p.Device)
	}
	found := map[[2]string]device.Peer{}
	if err := c.meetInto(ctx, wanted, found); err != nil {
		c.log.Warn("keys of other devices", "err", err)
	}
	claim := map[string]map[string]string{}
	for _, p := range found {
		if c.device.HasSession(p) {
			continue
		}
		if claim[p.User] == nil {
			claim[p.User] = map[string]string{}
		}
		claim[p.User][p.ID] = "signed_curve25519"
	}
	if len(claim) == 0 {
		return found
	}
	var got struct {
		Keys map[string]map[string]map[string]json.RawMessage `json:"one_time_keys"`
	}
	if err := c.client.try(ctx, http.MethodPost, "/_matrix/client/v3/keys/claim", nil, map[string]any{"one_time_keys": claim}, &got); err != nil {
		c.log.Warn("one-time keys of other devices", "err", err)
		return found
	}
	for _, p := range found {
		for _, raw := range got.Keys[p.User][p.ID] {
			if err := c.device.Begin(p, raw); err != nil {
				c.log.Warn("one-time key of another device", "err", err)
			}
		}
	}
	return found
}

// meet reads the keys of users' devices; no device means all of them.
func (c *Call) meet(ctx context.Context, users map[string][]string) error {
	return c.meetInto(ctx, users, map[[2]string]device.Peer{})
}

func (c *Call) meetInto(ctx context.Context, users map[string][]string, found map[[2]string]device.Peer) error {
	var got struct {
		Keys map[string]map[string]json.RawMessage `json:"device_keys"`
	}
	if err := c.client.try(ctx, http.MethodPost, "/_matrix/client/v3/keys/query", nil, map[string]any{"device_keys": users}, &got); err != nil {
		return err
	}
	for user := range users {
		for id, raw := range got.Keys[user] {
			p, err := c.device.Meet(user, id, raw)
			if err != nil {
				c.log.Warn("keys of another device", "err", err)
				continue
			}
			found[[2]string{user, id}] = p
		}
	}
	return nil
}
