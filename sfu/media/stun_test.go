package media

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v3"
)

func stunRequestOf(t testing.TB, user, password string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(user), stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{1, 2, 3, 4}},
		stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func TestSTUNIsReadAsOthersWriteIt(t *testing.T) {
	for _, user := range []string{"abcd:efgh", "a:b", "ufrag123:", ":x"} {
		b := stunRequestOf(t, user, "password")
		m, ok := parseSTUN(b)
		if !ok || m.kind != stunRequest {
			t.Fatalf("%s: not parsed", user)
		}
		want, _, _ := bytes.Cut([]byte(user), []byte(":"))
		if !bytes.Equal(m.localUfrag(), want) {
			t.Errorf("ufrag %q, want %q", m.localUfrag(), want)
		}
		if !m.authentic("password") || m.authentic("passwore") || m.authentic("") {
			t.Errorf("%s: integrity", user)
		}
	}
	m, ok := parseSTUN(stunRequestOf(t, "nocolon", "p"))
	if !ok || m.localUfrag() != nil {
		t.Errorf("a user name without colon has ufrag %q", m.localUfrag())
	}
	bare, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok = parseSTUN(bare.Raw); !ok || m.authentic("") {
		t.Error("a message without integrity is authentic")
	}
}

// FuzzSTUN: no byte that is protected can change unseen; nothing panics; what is found lies inside the message.
func FuzzSTUN(f *testing.F) {
	good := stunRequestOf(f, "abcd:efgh", "password")
	f.Add(good, uint16(3), byte(1))
	f.Add(good[:20], uint16(0), byte(0))
	f.Add(good, uint16(1000), byte(0))
	f.Add([]byte{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 8, 0, 20, 0, 0, 0, 0}, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		if m, ok := parseSTUN(b); ok {
			m.localUfrag()
			_ = m.authentic("password")
		}
		changed := bytes.Clone(good)
		i := int(at) % len(changed)
		changed[i] ^= flip
		m, ok := parseSTUN(changed)
		// The type's first bits and all attributes up to the integrity are protected; FINGERPRINT behind it is not.
		if protected := len(changed) - 8; flip != 0 && i < protected && ok && m.authentic("password") {
			t.Fatalf("byte %d changed by %x unseen", i, flip)
		}
		if flip == 0 && (!ok || !m.authentic("password")) {
			t.Fatal("the good message was refused")
		}
	})
}
