package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// user agents as browsers write them.
const (
	uaChrome  = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.7339.80 Safari/537.36"
	uaEdge    = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.3485.54"
	uaFirefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
	uaSafari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15"
	uaIPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.7339.95 Mobile/15E148 Safari/604.1"
	uaAndroid = "Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0"
	uaCrOS    = "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

func TestUserAgent(t *testing.T) {
	for _, c := range []struct{ ua, browser, version, os, osVersion string }{
		{uaChrome, "chrome", "140.0.7339.80", "linux", ""},
		{uaEdge, "edge", "140.0.3485.54", "windows", "10.0"},
		{uaFirefox, "firefox", "143.0", "linux", ""},
		{uaSafari, "safari", "18.6", "macos", "10.15.7"},
		{uaIPhone, "safari", "18.4.1", "ios", "18.4.1"},
		{uaAndroid, "firefox", "143.0", "android", "15"},
		{uaCrOS, "chrome", "140.0.0.0", "chromeos", "14541.0.0"},
		{"curl/8.5.0", "", "", "", ""},
		{"", "", "", "", ""},
		{"Chrome/", "chrome", "", "", ""},
	} {
		got := sfu.Software{SDK: "js"}
		fillFromUserAgent(&got, c.ua)
		want := sfu.Software{SDK: "js", Browser: c.browser, BrowserVersion: c.version, OS: c.os, OSVersion: c.osVersion}
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.ua, got, want)
		}
	}
	native := sfu.Software{SDK: "go"}
	if fillFromUserAgent(&native, uaChrome); native != (sfu.Software{SDK: "go"}) {
		t.Errorf("a native SDK took a browser: %+v", native)
	}
	told := sfu.Software{SDK: "js", Browser: "safari", OS: "ios"}
	if fillFromUserAgent(&told, uaChrome); told.Browser != "safari" || told.OS != "ios" {
		t.Errorf("what the client said was overwritten: %+v", told)
	}
}

func TestParametersOfV0(t *testing.T) {
	q := func(pairs ...string) map[string][]string {
		out := map[string][]string{}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = []string{pairs[i+1]}
		}
		return out
	}
	dual := func(change func(*JoinRequest)) JoinRequest {
		j := JoinRequest{Settings: session.Settings{Dual: true, AutoSubscribe: true}}
		change(&j)
		return j
	}
	for name, c := range map[string]struct {
		query map[string][]string
		want  JoinRequest
	}{
		"nothing":             {q(), dual(func(*JoinRequest) {})},
		"auto_subscribe=0":    {q("auto_subscribe", "0"), dual(func(j *JoinRequest) { j.Settings.AutoSubscribe = false })},
		"auto_subscribe=true": {q("auto_subscribe", "true"), dual(func(*JoinRequest) {})},
		"auto_subscribe=yes":  {q("auto_subscribe", "yes"), dual(func(j *JoinRequest) { j.Settings.AutoSubscribe = false })},
		"pause off":           {q("subscriber_allow_pause", "0"), dual(func(j *JoinRequest) { j.AllowPauseSet = true })},
		"pause on": {q("subscriber_allow_pause", "1"), dual(func(j *JoinRequest) {
			j.AllowPauseSet, j.Settings.AllowPause = true, true
		})},
		"resume": {q("reconnect", "1", "sid", "PA_x", "reconnect_reason", "3"), dual(func(j *JoinRequest) {
			j.Resume, j.Participant, j.Reason = true, "PA_x", SubscriberFailed
		})},
		"reason beyond": {q("reconnect_reason", "5"), dual(func(*JoinRequest) {})},
		"go SDK": {
			q("sdk", "go", "version", "2.18.0", "protocol", "17", "client_protocol", "1", "capabilities", "CAP_UNUSED,CAP_PACKET_TRAILER",
				"adaptive_stream", "1", "disable_ice_lite", "true", "auto_subscribe_data_track", "1", "metadata", "m"),
			dual(func(j *JoinRequest) {
				j.Software = sfu.Software{SDK: "go", Version: "2.18.0", Protocol: 17, ClientProtocol: 1, PacketTrailer: true}
				j.Settings.AdaptiveStream, j.Settings.DisableICELite, j.Settings.AutoSubscribeData = true, true, true
				j.Metadata = "m"
			}),
		},
		"ios is swift":     {q("sdk", "ios"), dual(func(j *JoinRequest) { j.Software.SDK = "swift" })},
		"unknown sdk":      {q("sdk", "cobol", "protocol", "-1"), dual(func(*JoinRequest) {})},
		"protocol too big": {q("sdk", "go", "protocol", "99999999999"), dual(func(j *JoinRequest) { j.Software.SDK = "go" })},
		"publish only": {q("publish", "cam", "auto_subscribe", "1"), dual(func(j *JoinRequest) {
			j.PublishOnly, j.Settings.AutoSubscribe = "cam", false
		})},
		"attributes": {
			q("attributes", base64.URLEncoding.EncodeToString([]byte(`{"a":"?>","b":""}`))),
			dual(func(j *JoinRequest) { j.Attributes = map[string]string{"a": "?>"} }),
		},
		"attributes unpadded": {
			q("attributes", base64.RawURLEncoding.EncodeToString([]byte(`{"a":"1"}`))),
			dual(func(j *JoinRequest) { j.Attributes = map[string]string{"a": "1"} }),
		},
		"attributes not base64":  {q("attributes", "!"), dual(func(j *JoinRequest) { j.BadAttributes = true })},
		"attributes not strings": {q("attributes", "eyJhIjoxfQ"), dual(func(j *JoinRequest) { j.BadAttributes = true })},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseJoin(c.query, "")
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestJoinRequestOfV1(t *testing.T) {
	// As JavaScript's client writes it: gzip, padded.
	inner := &livekit.JoinRequest{
		ClientInfo:            &livekit.ClientInfo{Sdk: livekit.ClientInfo_JS, Version: "2.23.0", Protocol: 17},
		ConnectionSettings:    &livekit.ConnectionSettings{AutoSubscribe: true, AdaptiveStream: true},
		ParticipantAttributes: map[string]string{"a": "1", "b": ""},
		PublisherOffer:        &livekit.SessionDescription{Type: "offer", Sdp: "v=0\r\n", Id: 1},
	}
	want := JoinRequest{
		Settings:   session.Settings{AutoSubscribe: true, AdaptiveStream: true},
		Software:   sfu.Software{SDK: "js", Version: "2.23.0", Protocol: 17, Browser: "firefox", BrowserVersion: "143.0", OS: "linux"},
		Attributes: map[string]string{"a": "1"},
		Offer:      &session.Description{SDP: "v=0\r\n", ID: 1},
	}
	for name, compress := range map[string]bool{"plain": false, "gzip": true} {
		text, err := wrap(inner, compress)
		if err != nil {
			t.Fatal(err)
		}
		for _, spelled := range []string{text, strings.TrimRight(text, "=")} {
			got, err := ParseJoin(map[string][]string{"join_request": {spelled}}, uaFirefox)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
			}
		}
	}
	inner.ConnectionSettings.SubscriberAllowPause = proto.Bool(false)
	text, _ := wrap(inner, false)
	got, err := ParseJoin(map[string][]string{"join_request": {text}}, "")
	if err != nil || !got.AllowPauseSet || got.Settings.AllowPause {
		t.Errorf("allow pause false must differ from unset: %+v %v", got, err)
	}
}

func TestJoinRequestRefused(t *testing.T) {
	wrapped := func(c livekit.WrappedJoinRequest_Compression, inner []byte) string {
		raw, err := proto.Marshal(&livekit.WrappedJoinRequest{Compression: c, JoinRequest: inner})
		if err != nil {
			t.Fatal(err)
		}
		return base64.URLEncoding.EncodeToString(raw)
	}
	packed := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(b)
		z.Close()
		return out.Bytes()
	}
	bomb := packed(make([]byte, MaxJoinRequest+1))
	metadata := func(n int) []byte {
		raw, err := proto.Marshal(&livekit.JoinRequest{Metadata: strings.Repeat("m", n)})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	const none, zip = livekit.WrappedJoinRequest_NONE, livekit.WrappedJoinRequest_GZIP
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"not base64":         {"***", ErrMalformed},
		"not protobuf":       {base64.URLEncoding.EncodeToString([]byte{0xff}), ErrMalformed},
		"inner not protobuf": {wrapped(none, []byte{0xff}), ErrMalformed},
		"not gzip":           {wrapped(zip, []byte("plain")), ErrMalformed},
		"gzip cut short":     {wrapped(zip, packed(metadata(100))[:20]), ErrMalformed},
		"no such method":     {wrapped(7, nil), ErrUnknown},
		"raw too large":      {wrapped(none, metadata(MaxJoinRequest)), ErrTooLarge},
		"bomb":               {wrapped(zip, bomb), ErrTooLarge},
		"text too large":     {strings.Repeat("A", 2*MaxJoinRequest), ErrTooLarge},
		"at the limit":       {wrapped(none, metadata(MaxJoinRequest-4)), nil},
		"at the limit, gzip": {wrapped(zip, packed(metadata(MaxJoinRequest-4))), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseJoin(map[string][]string{"join_request": {c.text}}, "")
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// likeJoin is a join that either way of asking can carry in full.
func likeJoin(seed uint64, dual bool) JoinRequest {
	g := newGen(seed)
	j := like(g, JoinRequest{})
	j.BadAttributes, j.PublishOnly = false, ""
	j.Attributes = withoutEmpty(j.Attributes)
	j.Settings.Dual = dual
	j.Settings.AllowPause = j.Settings.AllowPause && j.AllowPauseSet
	j.Software.SDK, j.Software.Protocol, j.Software.ClientProtocol = "go", 17, 1
	if dual {
		j.Publish, j.Offer, j.Sync = nil, nil, nil
		if !j.Resume {
			j.Reason = UnknownCause
		}
	}
	return j
}

func TestJoinComesBack(t *testing.T) {
	for seed := range uint64(100) {
		checkJoin(t, seed, seed%2 == 0, seed%3 == 0)
	}
	if _, err := EncodeJoin(JoinRequest{Settings: session.Settings{Dual: true}, Offer: &session.Description{}}, false); err == nil {
		t.Error("v0 has no word for an offer with the join")
	}
}

func checkJoin(t *testing.T, seed uint64, dual, compress bool) {
	t.Helper()
	want := likeJoin(seed, dual)
	q, err := EncodeJoin(want, compress)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseJoin(q, uaChrome)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("seed %d, dual %v:\n got %+v\nwant %+v", seed, dual, got, want)
	}
}

// FuzzParseJoin: any parameters are refused with a typed error, or mean the same when written again.
func FuzzParseJoin(f *testing.F) {
	for seed := range uint64(6) {
		q, err := EncodeJoin(likeJoin(seed, false), seed%2 == 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(q["join_request"][0], "", "", uaChrome, seed)
	}
	f.Add("", "eyJhIjoiMSJ9", "firefox", uaSafari, uint64(9))
	f.Add("Q", "\xff", "\xff", "\xff iPhone OS _", uint64(9))
	f.Fuzz(func(t *testing.T, join, attributes, browser, ua string, seed uint64) {
		checkJoin(t, seed, seed%2 == 0, seed%3 == 0)
		first, err := ParseJoin(map[string][]string{
			"join_request": {join}, "attributes": {attributes}, "browser": {browser}, "sdk": {"js"}, "sid": {browser},
		}, ua)
		if err != nil {
			typed(t, err)
			return
		}
		first.BadAttributes = false
		q, err := EncodeJoin(first, false)
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		second, err := ParseJoin(q, ua)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		again, err := EncodeJoin(second, false)
		if err != nil || !reflect.DeepEqual(q, again) {
			t.Fatalf("not stable (%v):\n%+v\n%+v", err, first, second)
		}
	})
}
