package doctor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/signalling/matrix"
)

// home asks the own homeserver's client API.
func home(ctx context.Context, s *Subject, p *Probe, method, path, token, body string) (Answer, error) {
	r := Request{Method: method, URL: s.Homeserver.ClientURL() + path, Body: body, Own: true, Header: map[string]string{}}
	if token != "" {
		r.Header["Authorization"] = "Bearer " + token
	}
	if body != "" {
		r.Header["Content-Type"] = "application/json"
	}
	return p.Web.Ask(ctx, r)
}

// unasked is why the homeserver is not asked; nil: it is.
func unasked(s *Subject) []Row {
	switch {
	case s.Homeserver.ServerName == "":
		return skip("homeserver.server_name is not set")
	case s.Homeserver.ClientURL() == "":
		return skip("neither homeserver.internal_url nor homeserver.url is set")
	}
	return nil
}

// hsReach asks by every route that the focus or its clients take.
func hsReach(ctx context.Context, s *Subject, p *Probe) []Row {
	if rows := unasked(s); rows != nil {
		return rows
	}
	var rows []Row
	for _, route := range []struct{ key, at string }{{"homeserver.internal_url", s.Homeserver.InternalURL}, {"homeserver.url", s.Homeserver.URL}} {
		if route.at == "" {
			continue
		}
		at := strings.TrimSuffix(route.at, "/") + "/_matrix/client/versions"
		got, err := p.Web.Ask(ctx, Request{Method: "GET", URL: at, Own: true})
		switch {
		case err != nil:
			rows = append(rows, bad(Fail, "the homeserver is not reached at "+route.key, fmt.Sprintf("GET %s: %v", at, plain(err)), reachRemedy(s, route.key, route.at, err))...)
		case got.Status != http.StatusOK || !json.Valid(got.Body):
			rows = append(rows, bad(Fail, "at "+route.key+" answers something that is no homeserver", fmt.Sprintf("GET %s: %s", at, brief(got)),
				fmt.Sprintf("%s: the URL under which %s answers; its listener needs the resource client", strings.TrimPrefix(route.key, "homeserver."), at))...)
		}
	}
	if rows == nil {
		return pass("the homeserver answers")
	}
	return rows
}

// reachRemedy tells a name from a port from a certificate.
func reachRemedy(s *Subject, key, at string, err error) string {
	host := at
	if u, e := url.Parse(at); e == nil {
		host = hostPort(u)
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	text := err.Error()
	switch {
	case unknown && s.Homeserver.CAFile == "":
		return "homeserver: {ca_file: /etc/weir/ca.pem}   # the certificate that signed the homeserver's"
	case unknown:
		return s.Homeserver.CAFile + " must hold the certificate that signed the homeserver's: openssl s_client -showcerts -connect " + host
	case name:
		return strings.TrimPrefix(key, "homeserver.") + ": a name that the homeserver's certificate has: openssl s_client -connect " + host + " | openssl x509 -noout -ext subjectAltName"
	case strings.Contains(text, "no such host"):
		return "getent hosts " + strings.Split(host, ":")[0] + "   # the name is unknown on this machine: correct " + key + ", or /etc/hosts"
	case strings.Contains(text, "server gave HTTP response"):
		return strings.TrimPrefix(key, "homeserver.") + ": http://" + host + "   # it speaks no TLS there"
	}
	return "ss -ltn   # on the homeserver's machine: does it listen at " + host + ", and on an address that is reached from here? Correct " + key + " or its listener."
}

// hostClock compares the clocks: tokens and delayed events carry times.
func hostClock(ctx context.Context, s *Subject, p *Probe) []Row {
	if rows := unasked(s); rows != nil {
		return rows
	}
	got, err := home(ctx, s, p, "GET", "/_matrix/client/versions", "", "")
	if err != nil {
		return skip("the homeserver is not reached")
	}
	there, err := http.ParseTime(got.Header.Get("Date"))
	if err != nil {
		return skip("the homeserver says no time")
	}
	if off := p.Now().Sub(there).Round(time.Second); off.Abs() > goodClock {
		return bad(Fail, "the clocks differ", fmt.Sprintf("this one is %s off the homeserver's", off), "timedatectl set-ntp true && timedatectl timesync-status   # on both machines")
	}
	return pass("the clocks agree")
}

// feature is what calls need of a homeserver.
type feature struct {
	msc, flag  string // of unstable_features
	yaml, cost string
	status     Status // if it is missing
}

var features = []feature{
	{"MSC4140", "org.matrix.msc4140", "max_event_delay_duration: 24h", "who crashes stays in the call for hours", Fail},
	{"MSC4143", "org.matrix.msc4143", "experimental_features: {msc4143_enabled: true}", "clients do not find the focus", Fail},
	{"MSC4354", "org.matrix.msc4354", "experimental_features: {msc4354_enabled: true}", "Element Call's matrix_2_0 mode does not work", Warn},
}

// hsVersions asks which features are on. What /versions does not name is tried.
func hsVersions(ctx context.Context, s *Subject, p *Probe) []Row {
	if rows := unasked(s); rows != nil {
		return rows
	}
	got, err := home(ctx, s, p, "GET", "/_matrix/client/versions", asToken(s), "")
	var v struct {
		Features map[string]bool `json:"unstable_features"`
	}
	if err != nil || got.Status != http.StatusOK || json.Unmarshal(got.Body, &v) != nil {
		return skip("the homeserver does not say its versions")
	}
	var rows []Row
	for _, f := range features {
		if !v.Features[f.flag] && !v.Features[f.flag+".stable"] {
			rows = append(rows, bad(f.status, f.msc+" is off: "+f.cost, f.flag+" is not in unstable_features of /versions", "In homeserver.yaml, then restart:\n"+f.yaml)...)
		}
	}
	if rows == nil {
		return pass("the homeserver has what calls need")
	}
	return rows
}

func asToken(s *Subject) string {
	if r := s.Homeserver.Registration; r != nil {
		return r.ASToken
	}
	return ""
}

// hsOpenID has the homeserver look at a token that nobody has. A 401 in JSON is how it says no; a 404 means that nobody
// is asked at all, and every join fails.
func hsOpenID(ctx context.Context, s *Subject, p *Probe) []Row {
	if s.Homeserver.ServerName == "" {
		return skip("homeserver.server_name is not set")
	}
	const resource = "In homeserver.yaml, then restart:\nlisteners:\n  - {port: 8008, type: http, x_forwarded: true, resources: [{names: [client, openid]}]}   # or client, federation"
	if s.Homeserver.InternalURL != "" {
		at := strings.TrimSuffix(s.Homeserver.InternalURL, "/") + "/_matrix/federation/v1/openid/userinfo"
		got, err := p.Web.Ask(ctx, Request{Method: "GET", URL: at + "?access_token=" + matrix.NobodysToken, Own: true})
		switch {
		case err != nil:
			return bad(Fail, "the homeserver cannot be asked who a caller is", fmt.Sprintf("GET %s: %v", at, plain(err)), reachRemedy(s, "homeserver.internal_url", s.Homeserver.InternalURL, err))
		case got.Status == http.StatusUnauthorized && json.Valid(got.Body):
			return pass("the homeserver says no to a bogus token, as it should")
		case got.Status == http.StatusNotFound:
			return bad(Fail, "the homeserver does not say who a caller is: every join fails", fmt.Sprintf("GET %s: %s", at, brief(got)), resource)
		}
		return bad(Fail, "something else answers where the homeserver should say who a caller is", fmt.Sprintf("GET %s: %s", at, brief(got)),
			"homeserver: {internal_url: http://127.0.0.1:8008}   # the homeserver itself, not a proxy that asks for a password")
	}
	return found(ctx, s, p, s.Homeserver.ServerName, resource+"\n# or let the focus ask it directly: homeserver: {internal_url: http://127.0.0.1:8008}")
}

// found looks for a homeserver as for its users.
func found(ctx context.Context, s *Subject, p *Probe, server, resource string) []Row {
	if p.Find == nil {
		return skip("the section homeserver is wrong")
	}
	status, steps, err := p.Find.Inspect(ctx, server)
	trace := strings.Join(steps, "; ")
	switch {
	case status == http.StatusUnauthorized:
		return pass("%s says no to a bogus token, as it should (%s)", server, trace)
	case status == http.StatusNotFound:
		return bad(Fail, server+" does not say who a caller is: its users cannot join", trace+": status 404", resource)
	case status != 0:
		return bad(Fail, "something else answers where "+server+" should say who a caller is", fmt.Sprintf("%s: status %d", trace, status), resource)
	}
	return bad(Fail, server+" is not reached as other homeservers reach it", fmt.Sprintf("%s: %v", trace, err),
		fmt.Sprintf("curl https://%s/.well-known/matrix/server   # {\"m.server\": \"matrix.%s:443\"}, or open port 8448; for the own homeserver:\nhomeserver: {internal_url: http://127.0.0.1:8008}", server, server))
}

// hsAppservice sees the registration with the homeserver's eyes.
func hsAppservice(ctx context.Context, s *Subject, p *Probe) []Row {
	reg := s.Homeserver.Registration
	if reg == nil {
		return skip("homeserver.registration_file is not set")
	}
	if rows := unasked(s); rows != nil {
		return rows
	}
	load := fmt.Sprintf("In homeserver.yaml, then restart:\napp_service_config_files: [%s]   # a copy that the homeserver can read", s.Homeserver.RegistrationFile)
	got, err := home(ctx, s, p, "GET", "/_matrix/client/v3/account/whoami", reg.ASToken, "")
	if err != nil {
		return skip("the homeserver is not reached")
	}
	var who struct {
		User string `json:"user_id"`
	}
	me := "@" + reg.Sender + ":" + s.Homeserver.ServerName
	switch _ = json.Unmarshal(got.Body, &who); {
	case got.Status != http.StatusOK:
		return bad(Fail, "the homeserver does not know the registration", "whoami: "+brief(got), load)
	case who.User != me:
		return bad(Fail, "the homeserver knows the focus as somebody else", fmt.Sprintf("whoami says %s, the registration %s", who.User, me),
			"homeserver.server_name must be the homeserver's; if it is, let it load this registration anew. "+load)
	}
	rows := slices.Concat(hsJoined(ctx, s, p, me), hsDoor(ctx, s, p), hsForged(ctx, s, p), hsRelay(ctx, s, p))
	rows = slices.DeleteFunc(rows, func(r Row) bool { return r.Status == Pass })
	if len(rows) == 0 {
		return pass("the homeserver knows the focus as %s, tells it who is in a room, and passes requests on", me)
	}
	return rows
}

// hsJoined asks who is in a room that does not exist.
func hsJoined(ctx context.Context, s *Subject, p *Probe, me string) []Row {
	path := "/_matrix/client/unstable/io.element.msc4502/rooms/" + url.PathEscape("!weir-doctor:"+s.Homeserver.ServerName) + "/is_joined?mxid=" + url.QueryEscape(me)
	got, err := home(ctx, s, p, "GET", path, asToken(s), "")
	switch {
	case err != nil:
		return skip("the homeserver is not reached")
	case got.Status == http.StatusOK:
		return pass("is_joined")
	case got.Status == http.StatusForbidden:
		return bad(Fail, "the focus may not ask who is in a room", "is_joined: "+brief(got),
			"In the registration, as `weir registration` writes it; then restart the homeserver:\nio.element.msc4502.scopes: [\"urn:matrix:client:io.element.msc4502:rooms:is_joined\"]")
	}
	return bad(Fail, "MSC4502 is off: the focus cannot ask who is in a room", "is_joined: "+brief(got),
		"In homeserver.yaml (Synapse 1.160 or later), then restart:\nexperimental_features: {msc4502_enabled: true}")
}

// hsDoor sends a request through the homeserver to ourselves.
func hsDoor(ctx context.Context, s *Subject, p *Probe) []Row {
	got, err := home(ctx, s, p, "POST", "/_matrix/client/v1/rtc/livekit/get_token", asToken(s), "{}")
	switch {
	case err != nil:
		return skip("the homeserver is not reached")
	case got.Status == http.StatusBadRequest && errcode(got) == "M_BAD_JSON":
		return pass("passed on")
	case errcode(got) == "M_UNRECOGNIZED":
		return bad(Warn, "the homeserver does not pass requests on to the focus: clients to come cannot use it", "POST …/rtc/livekit/get_token: "+brief(got),
			"In homeserver.yaml (Synapse 1.161 or later), then restart:\nexperimental_features: {msc4512_enabled: true}\n# and in the registration io.element.msc4512.proxy_prefix and .proxy_url, under these names: weir registration --config "+s.File)
	case errcode(got) == "M_MISSING_TOKEN":
		return bad(Fail, "the homeserver passes requests on without its token", "POST …/rtc/livekit/get_token: "+brief(got),
			"Use Synapse 1.162 or later; or, on a listener that only the homeserver reaches:\nhomeserver: {proxy_listen: '127.0.0.1:7883', proxy_auth: header_only}")
	case errcode(got) == "M_UNKNOWN_TOKEN":
		return bad(Fail, "the homeserver has loaded another registration than the focus: hs_token differs", "POST …/rtc/livekit/get_token: "+brief(got),
			"Copy "+s.Homeserver.RegistrationFile+" to where the homeserver reads it, and restart it.")
	}
	return bad(Fail, "the homeserver does not reach the focus", "POST …/rtc/livekit/get_token: "+brief(got),
		fmt.Sprintf("Start the focus first. Else %s must be reached from the homeserver's machine: curl -i %s/livez there; correct homeserver.proxy_listen, then: weir registration --config %s --write",
			s.Homeserver.Registration.ProxyURL, s.Homeserver.Registration.ProxyURL, s.File))
}

// hsForged knocks at public_url as if it were the homeserver.
func hsForged(ctx context.Context, s *Subject, p *Probe) []Row {
	at := strings.TrimRight(s.PublicURL, "/") + "/_matrix/client/v1/rtc/livekit/get_token"
	got, err := p.Web.Ask(ctx, Request{Method: "POST", URL: at, Body: "{}", Header: map[string]string{
		"Content-Type": "application/json", "X-Matrix-User-Identifier": "@" + s.Homeserver.Registration.Sender + ":" + s.Homeserver.ServerName,
	}})
	switch {
	case err != nil:
		return skip("public_url is not reached")
	case got.Status == http.StatusUnauthorized || got.Status == http.StatusNotFound || got.Status == http.StatusForbidden:
		return pass("forged header refused")
	case got.Status < 400 || errcode(got) == "M_BAD_JSON":
		return bad(Fail, "whoever reaches public_url can pass for any user: a forged X-Matrix-User-Identifier is believed", fmt.Sprintf("POST %s: %s", at, brief(got)),
			"homeserver: {proxy_auth: hs_token}   # and no proxy may lead from the internet to homeserver.proxy_listen")
	}
	return pass("forged header refused")
}

// hsRelay asks for nothing, to see whether the focus could ask others through the homeserver.
func hsRelay(ctx context.Context, s *Subject, p *Probe) []Row {
	got, err := home(ctx, s, p, "POST", "/_matrix/client/unstable/io.element.msc4512/appservice/fed_proxy", asToken(s), "{}")
	if err == nil && errcode(got) == "M_UNRECOGNIZED" {
		return bad(Warn, "the focus cannot ask the foci of other servers: their users' calls are reached by the older way only", "fed_proxy: "+brief(got),
			"In homeserver.yaml (Synapse 1.161 or later), then restart:\nexperimental_features: {msc4512_enabled: true}")
	}
	return pass("fed_proxy")
}
