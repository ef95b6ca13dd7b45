package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"

	"weir/signalling/matrix"
)

// adviseCommand prints text for the configuration of others.
type adviseCommand struct {
	Target     string `arg:"" optional:"" enum:"all,transports,wellknown,element-call,synapse,caddy,nginx" default:"all" help:"One of ${enum}."`
	Config     string `short:"c" placeholder:"FILE" env:"WEIR_CONFIG" help:"Configuration to take the facts from."`
	For        string `placeholder:"NAME" help:"Which homeserver, of several, by its server name."`
	PublicURL  string `name:"public-url" placeholder:"URL" help:"Or this fact by itself."`
	Homeserver string `placeholder:"URL" help:"The homeserver's public URL, for the well-known file."`
}

// advice is what the templates know.
type advice struct {
	Service    string // public URL, byte for byte: clients compare it so
	Host       string // of the public URL
	Path       string // of the public URL, without trailing slash
	Backend    string // host:port where a proxy on this machine finds us
	Homeserver string
	File       string // the registration, as the homeserver is to name it
}

func (a *adviseCommand) Run(w *world) error {
	facts, err := a.facts(w)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if a.Target != "all" && a.Target != t.name {
			continue
		}
		text, err := t.text(facts)
		if err != nil {
			return fmt.Errorf("weir: advise %s: %w", t.name, err)
		}
		if a.Target == "all" {
			fmt.Fprintf(w.stdout, "# %s\n\n%s\n\n", t.title, strings.TrimSpace(text))
			continue
		}
		fmt.Fprintln(w.stdout, strings.TrimSpace(text))
	}
	return nil
}

func (a *adviseCommand) facts(w *world) (*advice, error) {
	c := newConfig()
	if a.Config != "" {
		var err error
		if c, err = load(source{file: a.Config, environment: w.environment, registering: true}); err != nil {
			return nil, &exit{exitConfig, err}
		}
	}
	if err := c.choose(a.For); err != nil {
		return nil, err
	}
	if a.PublicURL != "" {
		c.PublicURL = a.PublicURL
	}
	if a.Homeserver != "" {
		c.Homeserver.URL = a.Homeserver
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" {
		return nil, &exit{exitUsage, errors.New("weir: advise needs --config FILE, or --public-url URL")}
	}
	file := "weir-registration.yaml"
	if c.Homeserver.RegistrationFile != "" {
		file = c.Homeserver.RegistrationFile
	}
	return &advice{
		File: file, Service: c.PublicURL, Host: u.Hostname(), Path: strings.TrimRight(u.Path, "/"), Homeserver: c.Homeserver.URL,
		Backend: "127.0.0.1:" + strconv.Itoa(c.Port),
	}, nil
}

// target is one text.
type target struct {
	name, title string
	text        func(*advice) (string, error)
}

var targets = []target{
	{"transports", "What GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports of the homeserver must answer", transportsText},
	{"wellknown", "/.well-known/matrix/client on the server name's host, with Access-Control-Allow-Origin: *", wellKnownText},
	{"element-call", "config.json of Element Call", elementCallText},
	{"synapse", "homeserver.yaml of Synapse", fill(synapseTemplate)},
	{"caddy", "Caddyfile", fill(caddyTemplate)},
	{"nginx", "nginx, inside the http block", fill(nginxTemplate)},
}

func transportsText(a *advice) (string, error) {
	b, err := json.Marshal(map[string]any{"rtc_transports": matrix.Transports(a.Service)})
	return string(b), err
}

func wellKnownText(a *advice) (string, error) {
	b, err := matrix.WellKnown(a.Homeserver, a.Service)
	return string(b), err
}

func elementCallText(a *advice) (string, error) {
	b, err := json.MarshalIndent(map[string]any{"livekit": map[string]string{"livekit_service_url": a.Service}}, "", "  ")
	return string(b), err
}

// fill makes a text of a template. It quotes as JSON does, which YAML and nginx read too.
func fill(text string) func(*advice) (string, error) {
	t := template.Must(template.New("").Funcs(template.FuncMap{"quote": func(s string) (string, error) {
		b, err := json.Marshal(s)
		return string(b), err
	}}).Parse(text))
	return func(a *advice) (string, error) {
		var b strings.Builder
		err := t.Execute(&b, a)
		return b.String(), err
	}
}

// synapseTemplate: the values are those of matrixrtc.md section 14. The transport list must not be empty: an empty one is
// answered as {}, which hides every other way to find the focus, and clients keep that answer for a day.
const synapseTemplate = `
experimental_features:
  msc3266_enabled: true   # room summaries, for calls by link
  msc4143_enabled: true   # rtc/transports
  msc4222_enabled: true   # state_after in /sync
  msc4354_enabled: true   # sticky events; Element Call's matrix_2_0 mode needs them
  msc4502_enabled: true   # who is in a room; from Synapse 1.160. The focus lets nobody in it cannot vouch for
  msc4512_enabled: true   # requests for tokens are passed on to the focus; from Synapse 1.161
# What weir registration made; Synapse must be able to read it, nobody else.
app_service_config_files: [{{quote .File}}]
max_event_delay_duration: 24h   # delayed events: without them, who crashes stays in the call
rc_message: {per_second: 0.5, burst_count: 30}
rc_delayed_event_mgmt: {per_second: 1, burst_count: 20}
matrix_rtc:
  transports:
    - type: livekit
      livekit_service_url: {{quote .Service}}
# The focus asks this homeserver who a caller is. Where it does (homeserver.internal_url, or the federation port), the
# listener must have the resource openid or federation:
# listeners:
#   - {port: 8008, type: http, x_forwarded: true, resources: [{names: [client, openid]}]}
`

const caddyTemplate = `
{{.Host}} {
	{{if .Path}}handle_path {{.Path}}/* {
		reverse_proxy {{.Backend}}
	}{{else}}reverse_proxy {{.Backend}}{{end}}
}
# and in the focus's configuration:  proxy: {trusted: [127.0.0.1/32, "::1/128"]}
`

const nginxTemplate = `
server {
	listen 443 ssl;
	listen [::]:443 ssl;
	server_name {{.Host}};
	# ssl_certificate and ssl_certificate_key of {{.Host}}
	large_client_header_buffers 4 256k;   # a join carries its offer in the URL

	location {{.Path}}/ {
		proxy_pass http://{{.Backend}}/;
		proxy_http_version 1.1;
		proxy_set_header Host $host;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection "upgrade";
		proxy_read_timeout 120s;        # a WebSocket may be silent for longer than the default of 60 s
		proxy_buffering off;
	}
}
# and in the focus's configuration:  proxy: {trusted: [127.0.0.1/32, "::1/128"]}
`
