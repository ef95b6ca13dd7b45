package media

import (
	"bytes"
	"errors"
	"net/netip"
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
		wantLocal, wantRemote, _ := bytes.Cut([]byte(user), []byte(":"))
		if local, remote := m.ufrags(); !bytes.Equal(local, wantLocal) || !bytes.Equal(remote, wantRemote) {
			t.Errorf("ufrags %q and %q, want %q and %q", local, remote, wantLocal, wantRemote)
		}
		if !m.authentic("password") || m.authentic("passwore") || m.authentic("") {
			t.Errorf("%s: integrity", user)
		}
	}
	m, ok := parseSTUN(stunRequestOf(t, "nocolon", "p"))
	if local, remote := m.ufrags(); !ok || local != nil || remote != nil {
		t.Errorf("a user name without colon has ufrags %q and %q", local, remote)
	}
	bare, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok = parseSTUN(bare.Raw); !ok || m.authentic("") {
		t.Error("a message without integrity is authentic")
	}
}

// TestAnswersAreReadByOthers: RFC 8489 as pion/stun understands it.
func TestAnswersAreReadByOthers(t *testing.T) {
	for _, from := range []string{"192.0.2.1:32853", "10.0.0.1:65535", "[2001:db8:1234:5678:11:2233:4455:6677]:1"} {
		m, ok := parseSTUN(stunRequestOf(t, "a:b", "password"))
		if !ok {
			t.Fatal("not parsed")
		}
		a := netip.MustParseAddrPort(from)
		got := &stun.Message{Raw: appendSuccess([]byte("x"), &m, a, "password")[1:]}
		var mapped stun.XORMappedAddress
		if err := errors.Join(got.Decode(), got.Parse(&mapped), stun.NewShortTermIntegrity("password").Check(got), stun.Fingerprint.Check(got)); err != nil {
			t.Fatal(err)
		}
		if got.Type != stun.BindingSuccess || mapped.String() != from || !bytes.Equal(got.TransactionID[:], m.raw[8:20]) {
			t.Errorf("got %s with %s, want %s", got, mapped, from)
		}
		got = &stun.Message{Raw: appendRoleConflict(nil, &m, "password")}
		var code stun.ErrorCodeAttribute
		if err := errors.Join(got.Decode(), got.Parse(&code), stun.NewShortTermIntegrity("password").Check(got), stun.Fingerprint.Check(got)); err != nil {
			t.Fatal(err)
		}
		if got.Type != stun.BindingError || code.Code != stun.CodeRoleConflict {
			t.Errorf("got %s with %d", got, code.Code)
		}
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
			m.ufrags()
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
