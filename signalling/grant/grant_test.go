package grant

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

var (
	now  = time.Unix(1_790_000_000, 0).UTC()
	key  = Key{ID: "devkey", Secret: "secret"}
	keys = Keys{"devkey": "secret", "other": "different", "hollow": ""}
)

// forge signs any header and payload, as a careless or hostile issuer might.
func forge(head, payload, secret string) string {
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(head)) + "." + enc([]byte(payload))
	return text + "." + enc(sign(text, secret))
}

const hs256 = `{"alg":"HS256"}`

// claim is a payload of ours with more after it.
func claim(more string) string {
	return fmt.Sprintf(`{"iss":"devkey","sub":"alice","exp":%d%s}`, now.Unix()+3600, more)
}

// RFC 7515 appendix A.1.
func TestPublishedVector(t *testing.T) {
	secret, err := base64.RawURLEncoding.DecodeString(
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	const token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	got, err := Verify(token, Keys{"joe": string(secret)}, time.Unix(1300819380, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := Token{Key: "joe", Expires: time.Unix(1300819380, 0).UTC()}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestRefused(t *testing.T) {
	good, err := Mint(Grant{Identity: "alice"}, key, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"good":                 {good, nil},
		"empty":                {"", ErrMalformed},
		"one part":             {"abc", ErrMalformed},
		"two parts":            {cut[0] + "." + cut[1], ErrMalformed},
		"four parts":           {good + ".x", ErrMalformed},
		"padded":               {good + "=", ErrMalformed},
		"line end":             {good + "\n", ErrMalformed},
		"space":                {" " + good, ErrMalformed},
		"too long":             {good + strings.Repeat("A", MaxToken), ErrMalformed},
		"no signature":         {cut[0] + "." + cut[1] + ".", ErrSignature},
		"header not JSON":      {forge(`{`, claim(""), "secret"), ErrMalformed},
		"payload not JSON":     {forge(hs256, `{`, "secret"), ErrMalformed},
		"payload a list":       {forge(hs256, `[]`, "secret"), ErrMalformed},
		"none":                 {forge(`{"alg":"none"}`, claim(""), "secret"), ErrAlgorithm},
		"no algorithm":         {forge(`{}`, claim(""), "secret"), ErrAlgorithm},
		"lower case":           {forge(`{"alg":"hs256"}`, claim(""), "secret"), ErrAlgorithm},
		"HS512":                {forge(`{"alg":"HS512"}`, claim(""), "secret"), ErrAlgorithm},
		"RS256":                {forge(`{"alg":"RS256"}`, claim(""), "secret"), ErrAlgorithm},
		"critical extension":   {forge(`{"alg":"HS256","crit":["x"]}`, claim(""), "secret"), ErrAlgorithm},
		"kid is ignored":       {forge(`{"alg":"HS256","kid":"other","typ":"JWT"}`, claim(""), "secret"), nil},
		"no issuer":            {forge(hs256, `{"exp":1790003600}`, "secret"), ErrUnknownKey},
		"empty issuer":         {forge(hs256, `{"iss":"","exp":1790003600}`, ""), ErrUnknownKey},
		"unknown issuer":       {forge(hs256, `{"iss":"nobody","exp":1790003600}`, "secret"), ErrUnknownKey},
		"key without secret":   {forge(hs256, `{"iss":"hollow","exp":1790003600}`, ""), ErrUnknownKey},
		"secret of another":    {forge(hs256, claim(""), "different"), ErrSignature},
		"no expiry":            {forge(hs256, `{"iss":"devkey"}`, "secret"), ErrNoExpiry},
		"expiry null":          {forge(hs256, `{"iss":"devkey","exp":null}`, "secret"), ErrNoExpiry},
		"expiry text":          {forge(hs256, `{"iss":"devkey","exp":"1790003600"}`, "secret"), ErrMalformed},
		"expiry without end":   {forge(hs256, `{"iss":"devkey","exp":1e300}`, "secret"), ErrMalformed},
		"expiry fraction":      {forge(hs256, `{"iss":"devkey","exp":1790003600.75}`, "secret"), nil},
		"expired, leeway left": {forge(hs256, `{"iss":"devkey","exp":1789999940}`, "secret"), nil},
		"expired":              {forge(hs256, `{"iss":"devkey","exp":1789999939}`, "secret"), ErrExpired},
		"early, leeway left":   {forge(hs256, claim(`,"nbf":1790000060`), "secret"), nil},
		"early":                {forge(hs256, claim(`,"nbf":1790000061`), "secret"), ErrNotYet},
		"right is text":        {forge(hs256, claim(`,"video":{"roomJoin":"true"}`), "secret"), ErrMalformed},
		"attributes of numbers": {
			forge(hs256, claim(`,"attributes":{"a":1}`), "secret"), ErrMalformed,
		},
		"room config too large": {forge(hs256, claim(`,"roomConfig":{"emptyTimeout":4294967296}`), "secret"), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(c.token, keys, now)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "eyJ") {
				t.Errorf("the error holds token: %v", err)
			}
		})
	}
}

func TestRights(t *testing.T) {
	all := session.Grant{Publish: true, Subscribe: true, PublishData: true}
	for claims, want := range map[string]Grant{
		``:                           {},
		`,"video":null`:              {},
		`,"video":{}`:                {Inside: all},
		`,"video":{"roomJoin":true}`: {Join: true, Inside: all},
		`,"video":{"canPublish":false}`: {
			Inside: session.Grant{Subscribe: true}, // no data either: nil means as canPublish
		},
		`,"video":{"canPublish":false,"canPublishData":true,"canSubscribe":false}`: {Inside: session.Grant{PublishData: true}},
		`,"video":{"canPublishData":false}`:                                        {Inside: session.Grant{Publish: true, Subscribe: true}},
		`,"video":{"canPublishSources":["camera","SCREEN_SHARE","camera"]}`: {
			Inside: session.Grant{Publish: true, Subscribe: true, PublishData: true, Sources: []sfu.Source{sfu.Camera, sfu.Screen}},
		},
		`,"video":{"canPublishSources":["hologram"]}`: {Inside: session.Grant{Subscribe: true, PublishData: true}},
		`,"video":{"canPublishSources":[]}`:           {Inside: all},
		// As lk-jwt-service mints (matrixrtc.md section 2.4).
		`,"video":{"roomJoin":true,"room":"alias","canPublish":true,"canSubscribe":true,"canUpdateOwnMetadata":true}`: {
			Session: "alias", Join: true,
			Inside: session.Grant{Publish: true, Subscribe: true, PublishData: true, UpdateOwn: true},
		},
		`,"video":{"roomCreate":true,"roomList":true,"roomAdmin":true,"room":"r","destinationRoom":"q","ingressAdmin":true}`: {
			Session: "r", Destination: "q", Create: true, List: true, Admin: true, Ingress: true, Inside: all,
		},
		`,"video":{"hidden":true,"recorder":true,"agent":true,"canSubscribeMetrics":true,"roomRecord":true}`: {
			Record: true,
			Inside: session.Grant{
				Publish: true, Subscribe: true, PublishData: true, Hidden: true, Recorder: true, Agent: true, Metrics: true,
			},
		},
		`,"kind":"agent","kindDetails":["cloud_agent"]`: {Kind: session.Agent, KindDetails: []string{"cloud_agent"}},
		`,"kind":"nonsense"`:                            {},
		`,"name":"n","metadata":"m","attributes":{"a":"b"},"roomPreset":"p","sha256":"s"`: {
			Name: "n", Metadata: "m", Attributes: map[string]string{"a": "b"}, Preset: "p", SHA256: "s",
		},
		`,"roomConfig":{"name":"c","emptyTimeout":5,"departureTimeout":"6","maxParticipants":7,"metadata":"m","egress":{}}`: {
			Config: &session.Config{EmptyTimeout: 5, DepartureTimeout: 6, MaxParticipants: 7, Metadata: "m"},
		},
		`,"roomConfig":{"empty_timeout":5,"departure_timeout":6,"max_participants":null}`: {
			Config: &session.Config{EmptyTimeout: 5, DepartureTimeout: 6},
		},
	} {
		got, err := Verify(forge(hs256, claim(claims), "secret"), keys, now)
		if err != nil {
			t.Errorf("%s: %v", claims, err)
			continue
		}
		want.Identity = "alice"
		if !reflect.DeepEqual(got.Grant, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", claims, got.Grant, want)
		}
	}
}

// The payload that Element Call reads: exactly these claims, and base64url that atob can read.
func TestMintedPayload(t *testing.T) {
	token, err := Mint(Grant{
		Identity: "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc", Session: "IMeDd+K3MIqJTI20EXBIrepKkhhORvf3q8fx3rlrhTk", Join: true,
		Inside: session.Grant{Publish: true, Subscribe: true, PublishData: true, UpdateOwn: true},
	}, key, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawStdEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"iss":"devkey","sub":"O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc","nbf":1790000000,"exp":1790003600,` +
		`"video":{"roomJoin":true,"room":"IMeDd+K3MIqJTI20EXBIrepKkhhORvf3q8fx3rlrhTk","canPublish":true,` +
		`"canSubscribe":true,"canUpdateOwnMetadata":true}}`
	if string(payload) != want {
		t.Errorf("\n got %s\nwant %s", payload, want)
	}
}

func TestPayloadIsPlain(t *testing.T) {
	for _, text := range []string{"???>>>~~~", "~?>\x7f", "ünïcode 😀 \U0010ffff", "\u2028<&>\"\\", "a?", "ab?", "abc?"} {
		g := Grant{Identity: sfu.Identity(text), Name: text, Attributes: map[string]string{text: text}}
		token, err := Mint(g, key, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Split(token, ".")[1]
		if strings.ContainsAny(body, "-_") {
			t.Errorf("%q: atob cannot read %s", text, body)
		}
		got, err := Verify(token, keys, now)
		if err != nil || !reflect.DeepEqual(got.Grant, g) {
			t.Errorf("%q came back as %+v, %v", text, got.Grant, err)
		}
	}
	doc, _ := json.Marshal("?>~\x7fé😀")
	if got := string(plain(doc)); got != `"\u003f\u003e\u007e\u007f\u00e9\ud83d\ude00"` {
		t.Error(got)
	}
}

// A seat travels whole, also through a refresh.
func TestSeat(t *testing.T) {
	for _, seat := range []*Seat{
		nil, {},
		{Room: "!r<&>:hs", Slot: "m.call#ROOM", User: "@ü:hs", Device: "D~?", Member: "m", Version: 2, Door: "get_token",
			Opens: true, MaxParticipants: 7, Made: 1790000000123},
	} {
		g := Grant{Identity: "a", Join: true, Session: "s", Seat: seat}
		text, err := Mint(g, key, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		first, err := Verify(text, keys, now)
		if err != nil || !reflect.DeepEqual(first.Seat, seat) {
			t.Fatalf("%+v came back as %+v, %v", seat, first.Seat, err)
		}
		again, _ := Refresh(first, key, now)
		if second, err := Verify(again, keys, now); err != nil || !reflect.DeepEqual(second.Seat, seat) {
			t.Errorf("%+v was refreshed to %+v, %v", seat, second.Seat, err)
		}
	}
}

func TestMintRefused(t *testing.T) {
	for _, k := range []Key{{}, {ID: "devkey"}, {Secret: "secret"}} {
		if _, err := Mint(Grant{}, k, now, time.Hour); !errors.Is(err, ErrNoSecret) {
			t.Errorf("%+v: %v", k, err)
		}
	}
	for _, g := range []Grant{
		{Identity: "\xff"}, {Metadata: "\xff"}, {Session: "\xff"}, {Attributes: map[string]string{"a": "\xff"}},
		{KindDetails: []string{"\xff"}}, {Seat: &Seat{User: "\xff"}}, {Config: &session.Config{Metadata: "\xff"}},
	} {
		if _, err := Mint(g, key, now, time.Hour); !errors.Is(err, ErrNotUTF8) {
			t.Errorf("%+v: %v", g, err)
		}
	}
}

func TestRefresh(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		time.Hour: time.Hour, 10 * time.Minute: 10 * time.Minute, 9 * time.Minute: 10 * time.Minute, -time.Second: 10 * time.Minute,
	} {
		old := Token{Grant: Grant{Identity: "a", Join: true, Session: "s"}, Key: "devkey", Expires: now.Add(left)}
		text, err := Refresh(old, key, now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Verify(text, keys, now)
		if err != nil || !got.Expires.Equal(now.Add(want)) || !reflect.DeepEqual(got.Grant, old.Grant) {
			t.Errorf("%v left: %+v %v", left, got, err)
		}
	}
}

func TestWebhookToken(t *testing.T) {
	body := []byte(`{"event":"room_started"}`)
	token, err := MintWebhook(body, key, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyWebhook(token, body, keys, now.Add(WebhookTTL)); err != nil {
		t.Error(err)
	}
	if err := VerifyWebhook(token, append(body, ' '), keys, now); !errors.Is(err, ErrDigest) {
		t.Errorf("another body: %v", err)
	}
	if err := VerifyWebhook(token, body, keys, now.Add(WebhookTTL+2*Leeway)); !errors.Is(err, ErrExpired) {
		t.Errorf("late: %v", err)
	}
	plainToken, _ := Mint(Grant{}, key, now, time.Hour)
	if err := VerifyWebhook(plainToken, body, keys, now); !errors.Is(err, ErrDigest) {
		t.Errorf("no digest: %v", err)
	}
	got, _ := Verify(token, keys, now)
	if !reflect.DeepEqual(got.Inside, session.Grant{}) {
		t.Errorf("a webhook token grants %+v", got.Inside)
	}
}

// FuzzToken: what verifies mints again to the same grant, and no single bit of a token may differ.
func FuzzToken(f *testing.F) {
	f.Add(claim(`,"video":{"roomJoin":true,"canPublishSources":["camera"]}`), "a", "m?", uint16(0), true)
	f.Add(claim(`,"attributes":{"~":"😀"},"kind":"SIP","roomConfig":{"emptyTimeout":"5"}`), "", "", uint16(65535), false)
	f.Add(`{"iss":"devkey","exp":1790003600.5,"video":{"canPublish":false,"canPublishData":true}}`, "b", "", uint16(7), false)
	f.Fuzz(func(t *testing.T, payload, identity, metadata string, flip uint16, publish bool) {
		if first, err := Verify(forge(hs256, payload, "secret"), keys, now); err == nil {
			text, err := Mint(first.Grant, key, now, time.Hour)
			if err != nil {
				t.Fatalf("what verified cannot be minted: %v", err)
			}
			second, err := Verify(text, keys, now)
			if err != nil || !reflect.DeepEqual(first.Grant, second.Grant) {
				t.Fatalf("%v:\n%+v\n%+v", err, first.Grant, second.Grant)
			}
		}
		token, err := Mint(Grant{
			Identity: sfu.Identity(identity), Metadata: metadata, Join: true, Inside: session.Grant{Publish: publish},
		}, key, now, time.Hour)
		if err != nil {
			return // not UTF-8
		}
		if strings.ContainsAny(strings.Split(token, ".")[1], "-_") {
			t.Fatalf("atob cannot read %s", token)
		}
		bent := []byte(token)
		n := int(flip) % (len(bent) * 8)
		bent[n/8] ^= 1 << (n % 8)
		if _, err := Verify(string(bent), keys, now); err == nil {
			t.Fatalf("bit %d of %s may differ", n, token)
		}
	})
}

// Every bit, of one token.
func TestEveryBitCounts(t *testing.T) {
	token, err := Mint(Grant{Identity: "alice", Join: true, Session: "s"}, key, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(token) * 8 {
		bent := []byte(token)
		bent[n/8] ^= 1 << (n % 8)
		if _, err := Verify(string(bent), keys, now); err == nil {
			t.Errorf("bit %d may differ", n)
		}
	}
}
