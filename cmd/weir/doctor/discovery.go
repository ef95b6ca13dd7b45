package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// transport is one entry of what clients are told (matrixrtc.md section 6).
type transport struct {
	Type    string  `json:"type"`
	Service *string `json:"livekit_service_url"`
}

// entry finds ours among transports. near is one that differs in a way that clients do not forgive.
func entry(all []transport, service string) (found bool, near string) {
	for _, t := range all {
		switch {
		case t.Type != "livekit":
		case t.Service == nil:
			near = "an entry without livekit_service_url, which no client of today can use"
		case *t.Service == service:
			return true, ""
		case strings.EqualFold(strings.TrimRight(*t.Service, "/"), strings.TrimRight(service, "/")):
			near = fmt.Sprintf("%q, which differs from public_url %q: clients compare byte by byte", *t.Service, service)
		default:
			near = fmt.Sprintf("%q, which is another focus", *t.Service)
		}
	}
	return false, near
}

// discTransports asks as a client does where calls are held.
func discTransports(ctx context.Context, s *Subject, p *Probe) []Row {
	if rows := unasked(s); rows != nil {
		return rows
	}
	token := s.UserToken
	if token == "" {
		token = asToken(s)
	}
	if token == "" {
		return skip("needs a user: weir doctor --user-token-file FILE, with an access token")
	}
	yaml := fmt.Sprintf("In homeserver.yaml, then restart:\nmatrix_rtc:\n  transports:\n    - type: livekit\n      livekit_service_url: %q", s.PublicURL)
	got, err := home(ctx, s, p, "GET", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", token, "")
	var list struct {
		All []transport `json:"rtc_transports"`
	}
	switch {
	case err != nil:
		return skip("the homeserver is not reached")
	case got.Status == http.StatusNotFound || errcode(got) == "M_UNRECOGNIZED":
		return bad(Fail, "clients are not told where calls are held (MISSING_MATRIX_RTC_TRANSPORT)", "rtc/transports: "+brief(got),
			yaml+"\nexperimental_features: {msc4143_enabled: true}")
	case got.Status == http.StatusUnauthorized:
		return skip("the homeserver does not take the token")
	case got.Status != http.StatusOK || json.Unmarshal(got.Body, &list) != nil:
		return bad(Fail, "clients are not told where calls are held", "rtc/transports: "+brief(got), yaml)
	case len(list.All) == 0:
		return bad(Fail, "the trap of the empty list: clients are told that there is no focus, look nowhere else, and remember it for a day", "rtc/transports: "+brief(got),
			yaml+"\n# then have clients clear their cache, or wait a day")
	}
	found, near := entry(list.All, s.PublicURL)
	switch {
	case found:
		return pass("clients are told of %s", s.PublicURL)
	case near != "":
		return bad(Fail, "clients are told of another address than public_url", "rtc/transports has "+near, yaml)
	}
	return bad(Fail, "clients are told of no LiveKit focus", "rtc/transports: "+brief(got), yaml)
}

// discWellKnown looks at the file that older clients read.
func discWellKnown(ctx context.Context, s *Subject, p *Probe) []Row {
	if s.Homeserver.ServerName == "" {
		return skip("homeserver.server_name is not set")
	}
	at := "https://" + s.Homeserver.ServerName + "/.well-known/matrix/client"
	remedy := "weir advise wellknown --config " + s.File + "   # what the file must hold; serve it with Access-Control-Allow-Origin: *"
	got, err := p.Web.Ask(ctx, Request{Method: "GET", URL: at})
	if err != nil {
		return bad(Warn, "older clients do not find the focus", fmt.Sprintf("GET %s: %v", at, plain(err)), remedy)
	}
	var file struct {
		All []transport `json:"org.matrix.msc4143.rtc_foci"`
	}
	if got.Status != http.StatusOK || json.Unmarshal(got.Body, &file) != nil {
		return bad(Warn, "older clients do not find the focus", fmt.Sprintf("GET %s: %s", at, brief(got)), remedy)
	}
	if found, near := entry(file.All, s.PublicURL); !found {
		if near == "" {
			near = "no org.matrix.msc4143.rtc_foci of type livekit"
		}
		return bad(Warn, "older clients do not find the focus", fmt.Sprintf("%s has %s", at, near), remedy)
	}
	if cors := got.Header.Values("Access-Control-Allow-Origin"); len(cors) != 1 || cors[0] != "*" {
		return bad(Warn, "browsers may not read the well-known file", fmt.Sprintf("GET %s: Access-Control-Allow-Origin %q", at, cors),
			"Where it is served (nginx): add_header Access-Control-Allow-Origin * always;")
	}
	return pass("older clients find the focus too")
}

// fedResolve finds another homeserver as for its users.
func fedResolve(ctx context.Context, s *Subject, p *Probe) []Row {
	if s.Server == "" {
		return skip("needs a name: weir doctor --server matrix.org")
	}
	return found(ctx, s, p, s.Server, "Its operator must open the federation API at the place that this trace ends at: listeners: resources: [{names: [federation]}]")
}
