package socket

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

// The status table of livekit.md section 1, by validate and by the upgrade it stands for.
func TestStatus(t *testing.T) {
	long := strings.Repeat("x", 257)
	v1 := wire.JoinRequest{}
	attributes := v0()
	attributes.Attributes = map[string]string{"a": "b"}
	metadata := v1
	metadata.Metadata = "m"
	publish := v0()
	publish.PublishOnly = "screen"
	noUpdate := func(g *grant.Grant) { g.Inside.UpdateOwn = false }
	noPublish := func(g *grant.Grant) { g.Inside.Publish = false }
	withSession := func(id sfu.SessionID) func(*grant.Grant) { return func(g *grant.Grant) { g.Session = id } }

	for name, c := range map[string]struct {
		v1     bool
		query  url.Values
		header string
		cfg    Config
		status int
		body   string
	}{
		"v0":                         {query: query(t, v0(), token(t, nil)), status: 200, body: "success"},
		"v1":                         {v1: true, query: query(t, v1, token(t, nil)), status: 200, body: "success"},
		"v0 with a join request":     {query: query(t, v1, token(t, nil)), status: 200, body: "success"},
		"token in the header":        {query: query(t, v0(), ""), header: "Bearer " + token(t, nil), status: 200, body: "success"},
		"header wins":                {query: query(t, v0(), token(t, nil)), header: "Bearer x", status: 401},
		"header without Bearer":      {query: query(t, v0(), token(t, nil)), header: token(t, nil), status: 401},
		"no token":                   {query: query(t, v0(), ""), status: 401, body: "invalid authorization token"},
		"bad token":                  {query: query(t, v0(), token(t, nil)+"x"), status: 401, body: "invalid authorization token"},
		"no roomJoin":                {query: query(t, v0(), token(t, func(g *grant.Grant) { g.Join = false })), status: 401, body: "permissions denied"},
		"attributes without right":   {query: query(t, attributes, token(t, noUpdate)), status: 401},
		"attributes with right":      {query: query(t, attributes, token(t, nil)), status: 200},
		"metadata without right":     {v1: true, query: query(t, metadata, token(t, noUpdate)), status: 401},
		"publish without right":      {query: query(t, publish, token(t, noPublish)), status: 401},
		"publish":                    {query: query(t, publish, token(t, nil)), status: 200},
		"no identity":                {query: query(t, v0(), token(t, func(g *grant.Grant) { g.Identity = "" })), status: 400},
		"no room":                    {query: query(t, v0(), token(t, withSession(""))), status: 400},
		"room name of 257":           {query: query(t, v0(), token(t, withSession(sfu.SessionID(long)))), status: 400},
		"identity of 257":            {query: query(t, v0(), token(t, func(g *grant.Grant) { g.Identity = sfu.Identity(long) })), status: 400},
		"v1 without join request":    {v1: true, query: query(t, v0(), token(t, nil)), status: 400, body: "join_request is required"},
		"bad join request":           {v1: true, query: url.Values{"join_request": {"%"}, "access_token": {token(t, nil)}}, status: 400, body: "invalid join request"},
		"no session":                 {query: query(t, v0(), token(t, withSession("other"))), status: 404, body: "requested room does not exist"},
		"no session, v1":             {v1: true, query: query(t, v1, token(t, withSession("other"))), status: 404, body: "requested room does not exist"},
		"no session, roomCreate":     {query: query(t, v0(), token(t, func(g *grant.Grant) { g.Session, g.Create = "other", true })), status: 200},
		"no session, auto-create":    {query: query(t, v0(), token(t, withSession("other"))), cfg: Config{AutoCreate: true}, status: 200},
		"no session, while resuming": {query: query(t, wire.JoinRequest{Resume: true, Settings: session.Settings{Dual: true}}, token(t, withSession("other"))), status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFocus("call")
			w := newWorld(t, c.cfg, f)
			path, header := "/rtc", http.Header{"Origin": {"https://call.example"}}
			if c.v1 {
				path = "/rtc/v1"
			}
			if c.header != "" {
				header.Set("Authorization", c.header)
			}
			resp := w.do(http.MethodGet, path+"/validate", c.query, header, nil)
			body := text(t, resp)
			if resp.StatusCode != c.status || !strings.Contains(body, c.body) {
				t.Errorf("validate: %d %q, want %d %q", resp.StatusCode, body, c.status, c.body)
			}
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "*" {
				t.Errorf("validate: allows origin %q", got)
			}
			if len(f.opened) > 0 {
				t.Error("validate opened a session")
			}
			p, refused := w.connect(path, c.query, header)
			switch {
			case c.status == 200 && p == nil:
				t.Errorf("connect: refused with %d", refused.StatusCode)
			case c.status != 200 && p != nil:
				t.Error("connect: let in")
			case c.status != 200 && (refused.StatusCode != c.status || refused.Header.Get("Access-Control-Allow-Origin") != "*"):
				t.Errorf("connect: %d, origin %q", refused.StatusCode, refused.Header.Get("Access-Control-Allow-Origin"))
			}
			for _, secret := range []string{c.query.Get("access_token"), strings.TrimPrefix(c.header, "Bearer ")} {
				if len(secret) > 8 && strings.Contains(w.logged.String(), secret) {
					t.Error("a token is in the log")
				}
			}
		})
	}
}

func TestUndecodableAttributes(t *testing.T) {
	w := newWorld(t, Config{}, newFocus("call"))
	q := query(t, v0(), token(t, nil))
	q.Set("attributes", "%%%")
	if got := w.get("/rtc/validate", q).StatusCode; got != 400 {
		t.Errorf("validate: %d", got)
	}
	w.mustConnect("/rtc", q).joined() // ignored
}

func TestNotAnUpgrade(t *testing.T) {
	w := newWorld(t, Config{}, newFocus("call"))
	for _, path := range []string{"/rtc", "/rtc/v1"} {
		resp := w.get(path, query(t, v0(), token(t, nil)))
		if body := text(t, resp); resp.StatusCode != 404 || body != "" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
}

func TestPaths(t *testing.T) {
	w := newWorld(t, Config{Prefixes: []string{"/livekit/sfu", "other/"}}, newFocus("call"))
	for path, want := range map[string]int{
		"/": 200, "//": 200, "/rtc/validate": 200, "//rtc/validate": 200, "///rtc/validate": 200,
		"/livekit/sfu/rtc/validate": 200, "//livekit/sfu//rtc/validate": 200, "/livekit/sfu": 200, "/livekit/sfu/": 200,
		"/other/rtc/validate": 200, "/livekit/sfux/rtc/validate": 404, "/rtc/v2/validate": 404, "/rtc/": 404, "/favicon.ico": 404,
	} {
		resp := w.get(path, query(t, v0(), token(t, nil)))
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: no CORS", path)
		}
		// The words that mean "creation restricted" must not be in any other 404: clients fall back to v0 on those.
		if want == 404 && strings.Contains(text(t, resp), "requested room does not exist") {
			t.Errorf("%s: wrong 404", path)
		}
	}
}

func TestPreflight(t *testing.T) {
	w := newWorld(t, Config{}, newFocus())
	for _, path := range []string{"/", "/rtc/validate", "/twirp/livekit.RoomService/ListRooms", "/nowhere"} {
		resp := w.do(http.MethodOptions, path, nil, http.Header{
			"Origin": {"https://x"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,x-y"},
		}, nil)
		h := resp.Header
		if resp.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Max-Age") != "86400" ||
			h.Get("Access-Control-Allow-Headers") != "authorization,x-y" || h.Get("Access-Control-Expose-Headers") != "*" {
			t.Errorf("%s: %d %v", path, resp.StatusCode, h)
		}
		for _, m := range []string{"OPTIONS", "HEAD", "GET", "POST", "PATCH", "DELETE"} {
			if !strings.Contains(h.Get("Access-Control-Allow-Methods"), m) {
				t.Errorf("%s: %s is not allowed", path, m)
			}
		}
	}
}

func TestFormIsBounded(t *testing.T) {
	w := newWorld(t, Config{}, newFocus("call"))
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	body := query(t, v0(), token(t, nil)).Encode()
	if resp := w.do(http.MethodPost, "/rtc/validate", nil, form, strings.NewReader(body)); resp.StatusCode != 200 {
		t.Errorf("form: %d", resp.StatusCode)
	}
	big := strings.NewReader(body + "&x=" + strings.Repeat("y", maxForm+1-len(body)-len("&x=")))
	if resp := w.do(http.MethodPost, "/rtc/validate", nil, form, big); resp.StatusCode != 413 {
		t.Errorf("form over 3 MiB: %d", resp.StatusCode)
	}
}

func TestNodeLimits(t *testing.T) {
	f := newFocus("call")
	w := newWorld(t, Config{MaxConnections: 1}, f)
	q := query(t, v0(), token(t, nil))
	first := w.mustConnect("/rtc", q)
	first.joined()
	if got := w.get("/rtc/validate", q).StatusCode; got != 503 {
		t.Errorf("validate: %d", got)
	}
	if p, resp := w.connect("/rtc", q, nil); p != nil || resp.StatusCode != 503 {
		t.Error("a second connection was let in")
	}
	resume := v0()
	resume.Resume, resume.Participant = true, "PA_known"
	if p, _ := w.connect("/rtc", query(t, resume, token(t, nil)), nil); p == nil {
		t.Error("who resumes was kept out")
	}
}

func TestDraining(t *testing.T) {
	w := newWorld(t, Config{}, newFocus("call"))
	w.server.Drain()
	if got := w.get("/rtc/validate", query(t, v0(), token(t, nil))).StatusCode; got != 503 {
		t.Errorf("join: %d", got)
	}
	resume := v0()
	resume.Resume, resume.Participant = true, "PA_known"
	p := w.mustConnect("/rtc", query(t, resume, token(t, nil)))
	if _, ok := p.expect().Session.(session.Resumed); !ok {
		t.Error("who resumes was kept out")
	}
}

func TestAutoCreate(t *testing.T) {
	f := newFocus()
	w := newWorld(t, Config{AutoCreate: true, Session: session.Config{EmptyTimeout: 60, MaxParticipants: 9}}, f)
	tok := token(t, func(g *grant.Grant) { g.Config = &session.Config{MaxParticipants: 2, Metadata: "m"} })
	w.mustConnect("/rtc", query(t, v0(), tok)).joined()
	w.mustConnect("/rtc", query(t, v0(), tok)).joined()
	if len(f.opened) != 1 || fmt.Sprint(f.opened[0]) != fmt.Sprint(session.Config{EmptyTimeout: 60, MaxParticipants: 2, Metadata: "m"}) {
		t.Errorf("opened with %+v", f.opened)
	}
}

// A v1 join, gzipped, says all it said to the session, and is answered in order.
func TestJoin(t *testing.T) {
	f := newFocus("call")
	w := newWorld(t, Config{AllowPause: true, Describe: wire.Server{Region: "eu"}}, f)
	j := wire.JoinRequest{
		Settings: session.Settings{AutoSubscribe: true, AdaptiveStream: true}, Metadata: "mine",
		Attributes: map[string]string{"a": "1"}, Software: sfu.Software{SDK: "js", Version: "2.23.0", Protocol: 17},
		Publish: []session.AddTrack{{CID: "cam", Kind: sfu.Video, Source: sfu.Camera}},
		Offer:   &session.Description{SDP: "v=0", ID: 1},
	}
	tok := token(t, func(g *grant.Grant) { g.Metadata, g.Attributes = "token's", map[string]string{"a": "0", "b": "0"} })
	p, resp := w.connect("/rtc/v1", query(t, j, tok), http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"}})
	if p == nil {
		t.Fatal(resp.Status)
	}
	welcome := p.joined()
	ev := f.next(t).(session.Join)
	if welcome.Self.ID != ev.ID || !strings.HasPrefix(string(ev.ID), "PA_") {
		t.Errorf("ids: %q, %q", welcome.Self.ID, ev.ID)
	}
	if ev.Identity != "alice" || ev.Name != "Alice" || ev.Metadata != "mine" || ev.Attributes["a"] != "1" || ev.Attributes["b"] != "0" ||
		!ev.Settings.AutoSubscribe || !ev.Settings.AdaptiveStream || ev.Settings.Dual || !ev.Settings.AllowPause ||
		len(ev.Publish) != 1 || ev.Offer == nil || ev.Offer.ID != 1 || ev.Region != "eu" || ev.Software.Browser != "chrome" {
		t.Errorf("joined as %+v", ev)
	}
	p.say(wire.Request{Ping: &wire.Ping{Old: true, Timestamp: 5}}, wire.Binary)
	if r := p.expect(); r.Pong == nil || time.Since(time.UnixMilli(r.Pong.Timestamp)).Abs() > time.Minute {
		t.Errorf("ping: %+v", r)
	}
	p.say(wire.Request{Ping: &wire.Ping{Timestamp: 5}}, wire.Text)
	if r := p.expect(); r.Pong == nil || r.Pong.LastTimestamp != 5 {
		t.Errorf("ping_req: %+v", r)
	}
	ev.Sink.Tell(session.Update{})
	if _, ok := p.expect().Session.(session.Update); !ok {
		t.Error("no update")
	}
	p.say(wire.Request{Session: session.Mute{Publication: "TR_1", Muted: true}}, wire.Binary)
	if got := f.next(t).(session.FromParticipant); got.ID != ev.ID || got.Sink != ev.Sink || got.Request != (session.Mute{Publication: "TR_1", Muted: true}) {
		t.Errorf("request: %+v", got)
	}
	p.say(wire.Request{Session: session.Leave{Reason: session.ClientInitiated}}, wire.Binary)
	if got := f.next(t).(session.FromParticipant); got.Request != (session.Leave{Reason: session.ClientInitiated}) {
		t.Errorf("leave: %+v", got)
	}
	if code := p.closed(); code != websocket.CloseNormalClosure {
		t.Errorf("closed with %d", code)
	}
}

func TestPublishOnly(t *testing.T) {
	f := newFocus("call")
	w := newWorld(t, Config{}, f)
	j := v0()
	j.PublishOnly = "screen"
	w.mustConnect("/rtc", query(t, j, token(t, nil))).joined()
	ev := f.next(t).(session.Join)
	if ev.Identity != "alice#screen" || ev.Grant.Subscribe || ev.Settings.AutoSubscribe || !ev.Settings.Dual {
		t.Errorf("joined as %+v", ev)
	}
}

func TestRefusedByTheSession(t *testing.T) {
	f := newFocus("call")
	f.welcome = false
	w := newWorld(t, Config{}, f)
	p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
	f.next(t).(session.Join).Sink.Tell(session.Goodbye{Reason: session.JoinFailure})
	if r := p.expect(); r.Session != session.Message(session.Goodbye{Reason: session.JoinFailure}) {
		t.Errorf("first message %+v", r)
	}
	p.closed()
}

func TestResume(t *testing.T) {
	for name, c := range map[string]struct {
		session     sfu.SessionID
		participant sfu.ParticipantID
		want        session.Message
	}{
		"known":      {"call", "PA_known", session.Resumed{LastSeq: 7}},
		"unknown":    {"call", "PA_other", session.Goodbye{Reason: session.StateMismatch, Action: session.ActionReconnect}},
		"no session": {"other", "PA_known", session.Goodbye{Reason: session.StateMismatch, Action: session.ActionReconnect}},
	} {
		for _, dual := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dual %v", name, dual), func(t *testing.T) {
				f := newFocus("call")
				w := newWorld(t, Config{}, f)
				j := wire.JoinRequest{Resume: true, Participant: c.participant, Settings: session.Settings{Dual: dual}}
				path := "/rtc/v1"
				if dual {
					path = "/rtc"
				}
				tok := token(t, func(g *grant.Grant) { g.Session = c.session })
				p := w.mustConnect(path, query(t, j, tok))
				got := p.expect().Session
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Fatalf("first message %T %+v", got, got)
				}
				if _, resumed := got.(session.Resumed); resumed && p.expect().Token == "" {
					t.Error("no token after it")
				}
			})
		}
	}
}

func TestSessionEndsUnseen(t *testing.T) {
	f := newFocus("call")
	w := newWorld(t, Config{}, f)
	p := w.mustConnect("/rtc", query(t, v0(), token(t, nil)))
	p.joined()
	sink := f.next(t).(session.Join).Sink
	f.end("call")
	sink.Tell(session.Goodbye{Reason: session.SessionDeleted})
	p.say(wire.Request{Session: session.Mute{}}, wire.Binary)
	if r := p.expect(); r.Session != session.Message(session.Goodbye{Reason: session.SessionDeleted}) {
		t.Errorf("the session's own word was lost: %+v", r)
	}
}

// RFC 7692, without context takeover.
func TestOffersCompression(t *testing.T) {
	w := newWorld(t, Config{}, newFocus("call"))
	key := base64.StdEncoding.EncodeToString(make([]byte, 16))
	resp := w.do(http.MethodGet, "/rtc", query(t, v0(), token(t, nil)), http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {key},
		"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits"},
	}, nil)
	if resp.StatusCode != 101 || !strings.Contains(resp.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}
