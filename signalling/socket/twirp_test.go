package socket

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

func admin(g *grant.Grant) { g.Join, g.Admin = false, true }

// callBytes posts a body to the server API.
func (w *world) callBytes(path, kind, bearer string, body []byte) (*http.Response, string) {
	w.t.Helper()
	header := http.Header{"Content-Type": {kind}}
	if bearer != "" {
		header.Set("Authorization", "Bearer "+bearer)
	}
	resp := w.do(http.MethodPost, path, nil, header, bytes.NewReader(body))
	return resp, text(w.t, resp)
}

func (w *world) call(c wire.Call, enc wire.Encoding, bearer string) (*http.Response, string) {
	w.t.Helper()
	method, body, err := wire.EncodeCall(c, enc)
	if err != nil {
		w.t.Fatal(err)
	}
	kind := "application/protobuf"
	if enc == wire.Text {
		kind = "application/json; charset=utf-8"
	}
	return w.callBytes("/twirp/livekit.RoomService/"+method, kind, bearer, body)
}

func callFocus() *focus {
	f := newFocus("call")
	f.sessions["call"].participants = []session.ParticipantView{{ID: "PA_bob", Identity: "bob", Publications: []session.PublicationView{
		{ID: "TR_1", Kind: sfu.Audio}}}}
	return f
}

// Each method: who may call it, what the session is asked, what comes back.
func TestRoomService(t *testing.T) {
	name := "Bobby"
	mute := session.MutePublication{Identity: "bob", Publication: "TR_1", Muted: true}
	update := session.UpdateParticipant{Identity: "bob", Name: &name, Attributes: map[string]string{"k": "v"}}
	to := session.UpdateSubscriptions{Identity: "bob", Subscribe: session.Subscribe{Publications: []sfu.PublicationID{"TR_1"}, On: true}}
	send := session.Send{Packet: wire.UserPacket([]byte("hi"), nil, nil), Reliable: true, To: []sfu.Identity{"bob"}}
	unmute := mute
	unmute.Muted = false
	create := func(g *grant.Grant) { g.Create = true }
	forward := func(g *grant.Grant) { admin(g); g.Destination = "next" }

	for title, c := range map[string]struct {
		call   wire.Call
		right  func(*grant.Grant)
		status int
		want   string // part of the JSON
		asked  bool   // the session got an event
	}{
		"CreateRoom":                   {wire.CreateRoom{Session: "new", Config: session.Config{MaxParticipants: 5}}, create, 200, `"max_participants":5`, false},
		"CreateRoom without a name":    {wire.CreateRoom{}, create, 400, `"invalid_argument"`, false},
		"CreateRoom with a long name":  {wire.CreateRoom{Session: sfu.SessionID(strings.Repeat("x", 257))}, create, 400, `"invalid_argument"`, false},
		"ListRooms":                    {wire.ListRooms{}, func(g *grant.Grant) { g.List = true }, 200, `"name":"call"`, false},
		"ListRooms of others":          {wire.ListRooms{Names: []sfu.SessionID{"x"}}, func(g *grant.Grant) { g.List = true }, 200, `"rooms":[]`, false},
		"DeleteRoom":                   {wire.DeleteRoom{Session: "call"}, create, 200, `{}`, true},
		"DeleteRoom absent":            {wire.DeleteRoom{Session: "x"}, create, 404, `"not_found"`, false},
		"ListParticipants":             {wire.ListParticipants{Session: "call"}, admin, 200, `"identity":"bob"`, false},
		"GetParticipant":               {wire.GetParticipant{Session: "call", Identity: "bob"}, admin, 200, `"sid":"PA_bob"`, false},
		"GetParticipant absent":        {wire.GetParticipant{Session: "call", Identity: "eve"}, admin, 404, `"not_found"`, false},
		"RemoveParticipant":            {wire.RemoveParticipant{Session: "call", Identity: "bob"}, admin, 200, `{}`, true},
		"RemoveParticipant nobody":     {wire.RemoveParticipant{Session: "call"}, admin, 400, `"invalid_argument"`, false},
		"MutePublishedTrack":           {wire.MutePublishedTrack{Session: "call", Event: mute}, admin, 200, `"sid":"TR_1"`, true},
		"MutePublishedTrack, unmute":   {wire.MutePublishedTrack{Session: "call", Event: unmute}, admin, 412, `"failed_precondition"`, false},
		"UpdateParticipant":            {wire.UpdateParticipant{Session: "call", Event: update}, admin, 200, `"identity":"bob"`, true},
		"UpdateParticipant nobody":     {wire.UpdateParticipant{Session: "call"}, admin, 400, `"invalid_argument"`, false},
		"UpdateSubscriptions":          {wire.UpdateSubscriptions{Session: "call", Event: to}, admin, 200, `{}`, true},
		"SendData":                     {wire.SendData{Session: "call", Event: send}, admin, 200, `{}`, true},
		"UpdateRoomMetadata":           {wire.UpdateRoomMetadata{Session: "call", Event: session.SetMetadata{Metadata: "m"}}, admin, 200, `"name":"call"`, true},
		"ForwardParticipant":           {wire.ForwardParticipant{Session: "call", Identity: "bob", Destination: "next"}, forward, 501, `"unimplemented"`, false},
		"MoveParticipant":              {wire.MoveParticipant{Session: "call", Identity: "bob", Destination: "next"}, forward, 501, `"unimplemented"`, false},
		"MoveParticipant, other right": {wire.MoveParticipant{Session: "call", Identity: "bob", Destination: "next"}, admin, 401, `"unauthenticated"`, false},
		"PerformRpc nobody":            {wire.PerformRPC{Session: "call"}, admin, 400, `"invalid_argument"`, false},
		"PerformRpc too much":          {wire.PerformRPC{Session: "call", Identity: "bob", Payload: strings.Repeat("x", 15361)}, admin, 400, `"invalid_argument"`, false},
		"the admin of another room":    {wire.ListParticipants{Session: "other"}, admin, 401, `"unauthenticated"`, false},
	} {
		t.Run(title, func(t *testing.T) {
			f := callFocus()
			w := newWorld(t, Config{}, f)
			resp, body := w.call(c.call, wire.Text, token(t, c.right))
			if resp.StatusCode != c.status || !strings.Contains(squeeze(t, body), c.want) {
				t.Errorf("%d %s, want %d with %s", resp.StatusCode, body, c.status, c.want)
			}
			if resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("headers %v", resp.Header)
			}
			if got := len(f.posted) > 0; got != c.asked {
				t.Errorf("asked the session: %v", got)
			}
			if resp, body := w.call(c.call, wire.Text, token(t, nil)); resp.StatusCode != 401 || !strings.Contains(body, `"unauthenticated"`) {
				t.Errorf("without the right: %d %s", resp.StatusCode, body)
			}
			if resp, _ := w.call(c.call, wire.Binary, ""); resp.StatusCode != 401 {
				t.Errorf("without a token: %d", resp.StatusCode)
			}
			resp, body = w.call(c.call, wire.Binary, token(t, c.right))
			if resp.StatusCode != c.status {
				t.Errorf("protobuf: %d %s", resp.StatusCode, body)
			}
			if kind := resp.Header.Get("Content-Type"); (c.status == 200) != (kind == "application/protobuf") {
				t.Errorf("protobuf: answered in %s", kind)
			}
		})
	}
}

// squeeze takes the spaces out of JSON, which protojson puts in at random.
func squeeze(t *testing.T, body string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(body)); err != nil {
		t.Fatalf("not JSON: %q", body)
	}
	return b.String()
}

func TestSessionErrors(t *testing.T) {
	for err, want := range map[error]int{
		session.ErrNoSession: 404, session.ErrNoParticipant: 404, session.ErrNoPublication: 404,
		session.ErrNotAllowed: 403, session.ErrTooLarge: 400, session.ErrBadPacket: 400, errors.New("secret reason"): 500,
	} {
		f := callFocus()
		f.onCall = func(session.Event) error { return err }
		w := newWorld(t, Config{}, f)
		resp, body := w.call(wire.RemoveParticipant{Session: "call", Identity: "bob"}, wire.Text, token(t, admin))
		if resp.StatusCode != want || strings.Contains(body, "secret") {
			t.Errorf("%v: %d %s", err, resp.StatusCode, body)
		}
	}
}

func TestRemoteUnmute(t *testing.T) {
	w := newWorld(t, Config{RemoteUnmute: true}, callFocus())
	call := wire.MutePublishedTrack{Session: "call", Event: session.MutePublication{Identity: "bob", Publication: "TR_1"}}
	if resp, body := w.call(call, wire.Text, token(t, admin)); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// An open session keeps what CreateRoom leaves out.
func TestCreateRoomAgain(t *testing.T) {
	f := callFocus()
	f.sessions["call"].view.Metadata, f.sessions["call"].view.EmptyTimeout = "kept", 77
	w := newWorld(t, Config{Session: session.Config{EmptyTimeout: 5, DepartureTimeout: 6}}, f)
	create := func(g *grant.Grant) { g.Create = true }
	w.call(wire.CreateRoom{Session: "call", Config: session.Config{MaxParticipants: 3}}, wire.Binary, token(t, create))
	w.call(wire.CreateRoom{Session: "new", Config: session.Config{MaxParticipants: 3}}, wire.Binary, token(t, create))
	if len(f.opened) != 2 || f.opened[0].Metadata != "kept" || f.opened[0].EmptyTimeout != 77 || f.opened[0].MaxParticipants != 3 ||
		f.opened[1].EmptyTimeout != 5 || f.opened[1].DepartureTimeout != 6 {
		t.Errorf("opened with %+v", f.opened)
	}
}

func TestTwirpRoutes(t *testing.T) {
	w := newWorld(t, Config{}, callFocus())
	tok := token(t, admin)
	for name, c := range map[string]struct {
		method, path, kind, token string
		body                      string
		status                    int
		code                      string
	}{
		"unknown service":    {"POST", "/twirp/livekit.Nothing/Do", "application/json", tok, "{}", 404, "bad_route"},
		"unknown method":     {"POST", "/twirp/livekit.RoomService/Do", "application/json", tok, "{}", 404, "bad_route"},
		"unknown, no token":  {"POST", "/twirp/livekit.RoomService/Do", "application/json", "", "{}", 404, "bad_route"},
		"no method":          {"POST", "/twirp/livekit.RoomService/", "application/json", tok, "{}", 404, "bad_route"},
		"GET":                {"GET", "/twirp/livekit.RoomService/ListRooms", "application/json", tok, "", 404, "bad_route"},
		"other content":      {"POST", "/twirp/livekit.RoomService/ListRooms", "text/plain", tok, "{}", 404, "bad_route"},
		"agents":             {"POST", "/twirp/livekit.AgentDispatchService/ListDispatch", "application/json", tok, "{}", 501, "unimplemented"},
		"egress":             {"POST", "/twirp/livekit.Egress/ListEgress", "application/json", tok, "{}", 501, "unimplemented"},
		"ingress":            {"POST", "/twirp/livekit.Ingress/ListIngress", "application/protobuf", tok, "", 501, "unimplemented"},
		"sip":                {"POST", "/twirp/livekit.SIP/ListSIPTrunk", "application/json", tok, "{}", 501, "unimplemented"},
		"sip, no token":      {"POST", "/twirp/livekit.SIP/ListSIPTrunk", "application/json", "", "{}", 401, "unauthenticated"},
		"malformed JSON":     {"POST", "/twirp/livekit.RoomService/GetParticipant", "application/json", tok, "{", 400, "malformed"},
		"malformed protobuf": {"POST", "/twirp/livekit.RoomService/GetParticipant", "application/protobuf", tok, "\xff", 400, "malformed"},
		"bad token":          {"POST", "/twirp/livekit.RoomService/ListRooms", "application/json", tok + "x", "{}", 401, "unauthenticated"},
		"camel case":         {"POST", "/twirp/livekit.RoomService/PerformRpc", "application/json", tok, `{"room":"call","destinationIdentity":""}`, 400, "invalid_argument"},
		"prefix":             {"POST", "//twirp/livekit.RoomService/ListParticipants", "application/json", tok, `{"room":"x"}`, 401, "unauthenticated"},
		"over 10 MiB":        {"POST", "/twirp/livekit.RoomService/SendData", "application/json", tok, strings.Repeat(" ", wire.MaxBody+1), 413, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Content-Type": {c.kind}}
			if c.token != "" {
				header.Set("Authorization", "Bearer "+c.token)
			}
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			resp := w.do(c.method, c.path, nil, header, body)
			var got struct{ Code, Msg string }
			if err := json.Unmarshal([]byte(text(t, resp)), &got); err != nil || resp.StatusCode != c.status || got.Code != c.code || got.Msg == "" {
				t.Errorf("%d %+v %v", resp.StatusCode, got, err)
			}
		})
	}
}

// PerformRpc in fake time: the ack within 7 s, the response within the timeout, from nobody but the callee.
func TestPerformRPC(t *testing.T) {
	type reply struct {
		after  time.Duration
		from   sfu.Identity
		packet func(id string) []byte
	}
	ack := func(string) []byte { return wire.UserPacket(nil, nil, nil) } // anything but a response
	ok := func(id string) []byte { return wire.EncodeRPCReply(wire.RPCReply{RequestID: id, Payload: "pong"}) }
	fails := func(id string) []byte {
		return wire.EncodeRPCReply(wire.RPCReply{RequestID: id, Err: &wire.RPCError{Code: 1500, Message: "broke"}})
	}
	for name, c := range map[string]struct {
		replies []reply
		status  int
		want    string
		took    time.Duration
	}{
		"answered":               {[]reply{{1 * time.Second, "bob", ack}, {9 * time.Second, "bob", ok}}, 200, `"payload":"pong"`, 9 * time.Second},
		"answered without ack":   {[]reply{{1 * time.Second, "bob", ok}}, 200, `"payload":"pong"`, time.Second},
		"failed":                 {[]reply{{1 * time.Second, "bob", fails}}, 412, `rpc error 1500: broke`, time.Second},
		"no ack":                 {nil, 503, `"unavailable"`, 7 * time.Second},
		"no response":            {[]reply{{1 * time.Second, "bob", ack}}, 408, `"deadline_exceeded"`, 10 * time.Second},
		"answered by a impostor": {[]reply{{1 * time.Second, "eve", ok}}, 503, `"unavailable"`, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := callFocus()
				w := newWorld(t, Config{}, f)
				began := time.Now()
				go func() {
					send := f.next(t).(session.Send)
					for _, r := range c.replies {
						<-time.After(r.after - time.Since(began)) // the bubble's time
						w.server.Replied("call", session.RPCReplied{RequestID: send.RequestID, From: r.from, Packet: r.packet(send.RequestID)})
					}
				}()
				resp, body := w.call(wire.PerformRPC{Session: "call", Identity: "bob", Method: "ping", Timeout: 10 * time.Second}, wire.Text, token(t, admin))
				if resp.StatusCode != c.status || !strings.Contains(squeeze(t, body), c.want) || time.Since(began) != c.took {
					t.Errorf("%d %s after %v", resp.StatusCode, body, time.Since(began))
				}
				if n := w.server.Snapshot().Calls; n != 0 {
					t.Errorf("%d calls still wait", n)
				}
			})
		})
	}
}
