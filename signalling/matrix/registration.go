package matrix

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"text/template"
)

// Registration is what a homeserver and this focus know of each other: an appservice registration file with the keys of
// MSC4502 (who is in a room) and MSC4512 (requests that the homeserver passes on). mautrix's lacks those keys.
type Registration struct {
	ID          string     `yaml:"id"`
	URL         *string    `yaml:"url"` // where events are pushed to; nil: nowhere
	ASToken     string     `yaml:"as_token"`
	HSToken     string     `yaml:"hs_token"`
	Sender      string     `yaml:"sender_localpart"`
	RateLimited *bool      `yaml:"rate_limited"`
	Namespaces  Namespaces `yaml:"namespaces"`
	Scopes      []string   `yaml:"io.element.msc4502.scopes"`
	ProxyPrefix string     `yaml:"io.element.msc4512.proxy_prefix"`
	ProxyURL    string     `yaml:"io.element.msc4512.proxy_url"`
}

// Namespaces are the ids that an appservice has a say over.
type Namespaces struct {
	Users   []Namespace `yaml:"users"`
	Aliases []Namespace `yaml:"aliases"`
	Rooms   []Namespace `yaml:"rooms"`
}

// Namespace is one pattern of them.
type Namespace struct {
	Exclusive bool   `yaml:"exclusive"`
	Regex     string `yaml:"regex"`
}

const (
	// proxyPrefix is the part of the homeserver's paths that it passes on to us (MSC4195).
	proxyPrefix = "rtc/livekit"
	// scopeJoined is the permission to ask who is in a room, as Synapse knows it: one under another name stops it at start.
	scopeJoined = "urn:matrix:client:io.element.msc4502:rooms:is_joined"
	// scopeJoinedStable is the same, once MSC4502 is part of the specification.
	scopeJoinedStable = "urn:matrix:client:rooms:is_joined"
)

// Reach is how much of a homeserver a registration opens to the focus (matrixrtc.md section 10). Each has its price in
// privacy.
type Reach string

const (
	// Ask lets the focus ask who is in a room, and nothing more.
	Ask Reach = "ask"
	// Assert lets it also read active rooms in the name of a user of this homeserver who is in them.
	Assert Reach = "assert"
	// Push has the homeserver send it every event of every room with a local user.
	Push Reach = "push"
)

// Prices are the reaches with what each costs the users, least first.
var Prices = []struct {
	Reach Reach
	Price []string
}{
	{Ask, []string{
		"The focus can ask whether somebody is in a room, and takes the requests that this homeserver passes on.",
		"It reads no event. Who leaves or is banned is noticed by asking again, some seconds later; ghosts stay.",
	}},
	{Assert, []string{
		"Also: the focus can act as any user of this homeserver. It does so to read the memberships of rooms in which",
		"a call is running, to end the membership of one who dropped out, and for nothing else; each use is in its log.",
		"Whoever steals as_token can read and write as any local user: keep this file to the two services (mode 0600).",
	}},
	{Push, []string{
		"Also: this homeserver sends the focus every event of every room that a local user is in, call or not:",
		"who writes when to whom, and all text of unencrypted rooms. Only for homeservers where `assert` is too slow.",
	}},
}

// NewRegistration makes one with new tokens. proxyURL is where the homeserver reaches the focus.
func NewRegistration(reach Reach, server, proxyURL string) (Registration, error) {
	if _, err := url.Parse(proxyURL); err != nil || server == "" || proxyURL == "" {
		return Registration{}, fmt.Errorf("a registration needs a server name and a proxy URL, not %q and %q", server, proxyURL)
	}
	limited := false
	r := Registration{
		ID: "weir", ASToken: rand.Text() + rand.Text(), HSToken: rand.Text() + rand.Text(), Sender: "_weir", RateLimited: &limited,
		Scopes: []string{scopeJoined}, ProxyPrefix: proxyPrefix, ProxyURL: strings.TrimSuffix(proxyURL, "/"),
	}
	if reach != Ask {
		r.Namespaces.Users = []Namespace{{Regex: "@.*:" + regexp.QuoteMeta(server)}}
	}
	if reach == Push {
		r.URL = &r.ProxyURL
	}
	return r, nil
}

// Reach is how much the registration opens.
func (r Registration) Reach() Reach {
	switch {
	case r.URL != nil && *r.URL != "":
		return Push
	case len(r.Namespaces.Users) > 0:
		return Assert
	}
	return Ask
}

// minToken keeps tokens from being guessed.
const minToken = 32

// Check says what is wrong with one that was read, in words for who wrote it.
func (r Registration) Check() error {
	if r.ID == "" || r.Sender == "" {
		return errors.New("is no appservice registration: id or sender_localpart is missing")
	}
	for _, t := range []struct{ key, value string }{{"as_token", r.ASToken}, {"hs_token", r.HSToken}} {
		if len(t.value) < minToken {
			return fmt.Errorf("%s has %d characters: %d at least; `weir registration` makes good ones", t.key, len(t.value), minToken)
		}
		// They travel in a header: RFC 6750 section 2.1 says what a bearer token is made of.
		if strings.ContainsFunc(t.value, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			return fmt.Errorf("%s holds a character that no header can carry", t.key)
		}
	}
	if r.ASToken == r.HSToken {
		return errors.New("as_token and hs_token are the same: each side could pass for the other")
	}
	return nil
}

// Text is the registration as a file that a homeserver loads, with the price of each reach above it.
func (r Registration) Text() (string, error) {
	var b bytes.Buffer
	err := registrationText.Execute(&b, struct {
		Registration
		Reach                     Reach
		Prices                    any
		ScopeJoined, ScopeJoined1 string
	}{r, r.Reach(), Prices, scopeJoined, scopeJoinedStable})
	if err != nil {
		return "", fmt.Errorf("write the registration: %w", err)
	}
	return b.String(), nil
}

// quote writes a text as JSON does, which YAML reads as the same.
func quote(s string) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n"), err
}

var registrationText = template.Must(template.New("").Funcs(template.FuncMap{"quote": quote}).Parse(
	`# What the homeserver and the focus know of each other. Both read this file; nobody else may: mode 0600.
# In Synapse: list it under app_service_config_files in homeserver.yaml, and restart. This one is: {{.Reach}}
#{{range .Prices}}
# {{.Reach}}{{range .Price}}
#   {{.}}{{end}}{{end}}
id: {{quote .ID}}
url: {{if .URL}}{{quote .URL}}{{else}}null{{end}}
as_token: {{quote .ASToken}}
hs_token: {{quote .HSToken}}
sender_localpart: {{quote .Sender}}
rate_limited: false
namespaces:
  users: [{{range $i, $n := .Namespaces.Users}}{{if $i}}, {{end}}{exclusive: {{$n.Exclusive}}, regex: {{quote $n.Regex}}}{{end}}]
  aliases: []
  rooms: []
# The focus may ask whether somebody is in a room (MSC4502). Synapse reads the first spelling, and no other scope there.
io.element.msc4502.scopes: [{{quote .ScopeJoined}}]
scopes: [{{quote .ScopeJoined1}}]
# The homeserver passes requests for tokens on to the focus (MSC4512). Synapse reads the first spellings.
io.element.msc4512.proxy_prefix: {{quote .ProxyPrefix}}
io.element.msc4512.proxy_url: {{quote .ProxyURL}}
proxy_prefix: {{quote .ProxyPrefix}}
proxy_url: {{quote .ProxyURL}}
`))
