package derive

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// The published vectors of MSC4195, and those measured against shipped clients (matrixrtc.md section 3).
func TestVectors(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"alias, MSC4195", string(Alias("!roomid:example.com", "slot1234", "")), "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"},
		{"salted alias, MSC4195", string(Alias("!roomid:example.com", "slot123", "random123")), "IMeDd+K3MIqJTI20EXBIrepKkhhORvf3q8fx3rlrhTk"},
		{"identity, MSC4195", string(Identity(Hash3, Claim{"@alice:example.com", "DEVICE123", "memberABC"})), "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
		{"alias with < > &", string(Alias("!a<b>&c:example.com", Slot, "")), "SGxMm3ZXFKFIWdJM1qhVwHk+7QLWeWCAtF8LbPTlAj0"},
		{"legacy identity", string(Identity(Legacy, Claim{"@alice:example.com", "DEVICE123", "ignored"})), "@alice:example.com:DEVICE123"},
		{"legacy identity without device", string(Identity(Legacy, Claim{User: "@alice:example.com"})), "@alice:example.com:"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestCanonicalString(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", `""`},
		{"<b>&\u2028\u2029", "\"<b>&\u2028\u2029\""}, // the default encoder of Go escapes all of these
		{"\"\\/", `"\"\\/"`},
		{"\b\f\n\r\t\x00\x1f\x7f", `"\b\f\n\r\t\u0000\u001f` + "\x7f" + `"`},
		{"ü🎥", `"ü🎥"`},
		{"\xff", "\"\ufffd\""},
	}
	for _, tt := range tests {
		if got := string(appendString(nil, tt.in)); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

// Two different arrays never meet in one text: no separator can be smuggled in.
func TestNoConfusion(t *testing.T) {
	a := Identity(Hash3, Claim{"@a:x", `D","M`, ""})
	b := Identity(Hash3, Claim{"@a:x", "D", `M",""`})
	if a == b || Identity(Hash2, Claim{User: "@a:x", Member: "M"}) == Identity(Hash3, Claim{User: "@a:x", Member: "M"}) {
		t.Error("different claims, one identity")
	}
}

func TestUnknownVersionPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Identity(0, Claim{})
}

// FuzzCanonicalString: what is written reads back as the same string, and is the shortest such JSON text.
func FuzzCanonicalString(f *testing.F) {
	for _, s := range []string{"", "!a<b>&c:example.com", "\x00\x1f\"\\", "é\u2028", "\xc3\x28"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := appendString(nil, s)
		var back string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q came back as %q", s, back)
		}
		var std strings.Builder
		e := json.NewEncoder(&std)
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
		if len(b) > len(strings.TrimSuffix(std.String(), "\n")) {
			t.Fatalf("%s is longer than %s", b, std.String())
		}
	})
}
