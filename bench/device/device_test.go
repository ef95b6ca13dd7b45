package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

// homeserver is what of keys the homeserver would hand out.
type homeserver struct {
	keys    map[string]json.RawMessage
	oneTime map[string][]json.RawMessage
}

func (h *homeserver) take(t *testing.T, d *Device, left int) {
	t.Helper()
	body, err := d.Upload(left)
	if err != nil {
		t.Fatal(err)
	}
	// As it comes back: through JSON, with what the homeserver adds.
	keys := body["device_keys"].(map[string]any)
	keys["unsigned"] = map[string]any{"device_display_name": "bot <1> & co", "n": 1}
	h.keys[d.ID], _ = json.Marshal(keys)
	for _, k := range body["one_time_keys"].(map[string]any) {
		raw, _ := json.Marshal(k)
		h.oneTime[d.ID] = append(h.oneTime[d.ID], raw)
	}
	d.Uploaded()
}

func (h *homeserver) claim(d *Device) json.RawMessage {
	all := h.oneTime[d.ID]
	h.oneTime[d.ID] = all[1:]
	return all[0]
}

func pair(t *testing.T, have int) (h *homeserver, ann, ben *Device) {
	t.Helper()
	h = &homeserver{keys: map[string]json.RawMessage{}, oneTime: map[string][]json.RawMessage{}}
	var err error
	if ann, err = New("@ann:hs", "ANN"); err != nil {
		t.Fatal(err)
	}
	if ben, err = New("@ben:hs", "BEN"); err != nil {
		t.Fatal(err)
	}
	h.take(t, ann, have)
	h.take(t, ben, have)
	return h, ann, ben
}

func (h *homeserver) meet(t *testing.T, d, other *Device) Peer {
	t.Helper()
	p, err := d.Meet(other.User, other.ID, h.keys[other.ID])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func send(t *testing.T, from *Device, to Peer, content string) json.RawMessage {
	t.Helper()
	sealed, err := from.Encrypt(to, "kind", json.RawMessage(content))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestConversation(t *testing.T) {
	h, ann, ben := pair(t, 0)
	toBen, toAnn := h.meet(t, ann, ben), h.meet(t, ben, ann)
	if len(h.oneTime["BEN"]) != oneTimeKeys || ann.HasSession(toBen) {
		t.Fatal(len(h.oneTime["BEN"]), ann.HasSession(toBen))
	}
	if _, err := ann.Encrypt(toBen, "kind", json.RawMessage("{}")); !errors.Is(err, ErrNoSession) {
		t.Fatal(err)
	}
	// Both begin at once, and go on crosswise, with a message lost and one late.
	if err := errors.Join(ann.Begin(toBen, h.claim(ben)), ben.Begin(toAnn, h.claim(ann))); err != nil {
		t.Fatal(err)
	}
	var late json.RawMessage
	for i := range 8 {
		one, two := send(t, ann, toBen, fmt.Sprintf(`{"n":%d}`, i)), send(t, ben, toAnn, fmt.Sprintf(`{"m":%d}`, i))
		if bytes.Contains(one, []byte(`"n"`)) {
			t.Fatalf("in clear: %s", one)
		}
		if i == 3 {
			late = one
		} else if m, err := ben.Decrypt("@ann:hs", one); err != nil || string(m.Content) != fmt.Sprintf(`{"n":%d}`, i) || !m.From(toAnn) || m.Type != "kind" {
			t.Fatal(m, err)
		}
		if i == 4 {
			continue
		}
		if m, err := ann.Decrypt("@ben:hs", two); err != nil || !m.From(toBen) || m.From(toAnn) {
			t.Fatal(m, err)
		}
	}
	if m, err := ben.Decrypt("@ann:hs", late); err != nil || string(m.Content) != `{"n":3}` {
		t.Fatal(m, err)
	}
	if _, err := ben.Decrypt("@ann:hs", late); err == nil {
		t.Fatal("taken twice")
	}
	// The homeserver says that it has 48 left: two more are made, beside the one that was not claimed here.
	h.take(t, ben, 48)
	if n := len(h.oneTime["BEN"]); n != oneTimeKeys-1+2 {
		t.Fatal(n)
	}
}

// What a homeserver or another device might try.
func TestForgeries(t *testing.T) {
	h, ann, ben := pair(t, 0)
	toBen := h.meet(t, ann, ben)
	eve, _ := New("@eve:hs", "EVE")
	h.take(t, eve, 0)

	forged := map[string]json.RawMessage{
		"another device's keys": h.keys["EVE"],
		"not signed":            []byte(`{"user_id":"@ben:hs","device_id":"BEN","keys":{"curve25519:BEN":"x","ed25519:BEN":"y"}}`),
		"a changed key":         bytes.Replace(h.keys["BEN"], []byte(toBen.Curve[:8]), []byte("AAAAAAAA"), 1),
		"no JSON":               []byte(`{`), "null": []byte(`null`), "wrong types": []byte(`{"user_id":7}`),
	}
	for name, raw := range forged {
		if p, err := ann.Meet("@ben:hs", "BEN", raw); !errors.Is(err, ErrPeer) {
			t.Errorf("%s: %v %v", name, p, err)
		}
	}
	again, _ := New("@ben:hs", "BEN")
	fake := &homeserver{keys: map[string]json.RawMessage{}, oneTime: map[string][]json.RawMessage{}}
	fake.take(t, again, 0)
	if _, err := ann.Meet("@ben:hs", "BEN", fake.keys["BEN"]); !errors.Is(err, ErrChanged) {
		t.Errorf("other keys of a known device: %v", err)
	}
	for name, raw := range map[string]json.RawMessage{
		"of another": h.claim(eve), "of a device with the name": fake.claim(again), "empty": []byte(`{}`), "no JSON": []byte(`x`),
	} {
		if err := ann.Begin(toBen, raw); !errors.Is(err, ErrPeer) {
			t.Errorf("one-time key %s: %v", name, err)
		}
	}

	if err := ann.Begin(toBen, h.claim(ben)); err != nil {
		t.Fatal(err)
	}
	good := send(t, ann, toBen, `{}`)
	for name, bad := range map[string]struct {
		sender  string
		content json.RawMessage
	}{
		"passed off as eve's": {"@eve:hs", good},
		"no JSON":             {"@ann:hs", []byte(`{`)},
		"another algorithm":   {"@ann:hs", bytes.Replace(good, []byte("m.olm.v1"), []byte("m.olm.v9"), 1)},
		"for another device":  {"@ann:hs", bytes.ReplaceAll(good, []byte(toBen.Curve), []byte("AAAA"))},
		"no type":             {"@ann:hs", bytes.Replace(good, []byte(`"type":0`), []byte(`"type":null`), 1)},
		"a type that is none": {"@ann:hs", bytes.Replace(good, []byte(`"type":0`), []byte(`"type":1`), 1)},
		"cut":                 {"@ann:hs", bytes.Replace(good, []byte(`"body":"A`), []byte(`"body":"`), 1)},
	} {
		if bytes.Equal(bad.content, good) && bad.sender == "@ann:hs" {
			t.Fatalf("%s: nothing changed", name)
		}
		if m, err := ben.Decrypt(bad.sender, bad.content); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// A message to ben that ben passes on to eve says that it was not for her.
func TestPassedOn(t *testing.T) {
	h, ann, ben := pair(t, 0)
	eve, _ := New("@eve:hs", "EVE")
	h.take(t, eve, 0)
	toEve := h.meet(t, ann, eve)
	if err := ann.Begin(toEve, h.claim(eve)); err != nil {
		t.Fatal(err)
	}
	// ann is made to encrypt for ben's name with eve's Curve25519 key.
	wrong := Peer{User: ben.User, ID: ben.ID, Curve: toEve.Curve, Ed: string(ben.ed)}
	if m, err := eve.Decrypt("@ann:hs", send(t, ann, wrong, `{}`)); !errors.Is(err, ErrMessage) {
		t.Fatal(m, err)
	}
}

// FuzzDecrypt: no message but a peer's own is taken, and none does harm to the session.
func FuzzDecrypt(f *testing.F) {
	f.Add([]byte(`{"algorithm":"m.olm.v1.curve25519-aes-sha2","sender_key":"x","ciphertext":{}}`), 0, byte(1))
	f.Add([]byte(`{}`), 40, byte(0x80))
	f.Fuzz(func(t *testing.T, raw []byte, at int, flip byte) {
		h, ann, ben := pair(t, oneTimeKeys-1)
		toBen := h.meet(t, ann, ben)
		if err := ann.Begin(toBen, h.claim(ben)); err != nil {
			t.Fatal(err)
		}
		if m, err := ben.Decrypt("@ann:hs", raw); err == nil {
			t.Fatalf("%+v", m)
		}
		var e envelope
		_ = json.Unmarshal(send(t, ann, toBen, `{"n":1}`), &e)
		c := e.Ciphertext[toBen.Curve]
		body := []byte(c.Body)
		if flip != 0 && len(body) > 0 {
			body[max(at, -at-1)%len(body)] ^= flip
		}
		changed := string(body) != c.Body
		c.Body = string(body)
		e.Ciphertext[toBen.Curve] = c
		text, _ := json.Marshal(e)
		if m, err := ben.Decrypt("@ann:hs", text); err == nil && changed && string(m.Content) != `{"n":1}` {
			t.Fatalf("%+v", m)
		}
		if m, err := ben.Decrypt("@ann:hs", send(t, ann, toBen, `{"n":2}`)); err != nil || string(m.Content) != `{"n":2}` {
			t.Fatal(m, err)
		}
	})
}
