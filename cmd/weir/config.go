package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/cmd/weir/settings"
	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/signalling/matrix"
	"weir/signalling/policy"
)

// Config is the whole configuration. Sections that belong to a package are that package's Config.
type Config struct {
	PublicURL     string                     `yaml:"public_url"` // as clients reach us; the WebSocket URL derives from it
	BindAddresses []netip.Addr               `yaml:"bind_addresses"`
	Port          int                        `yaml:"port"`     // TCP; 0: any free one
	Prefixes      []string                   `yaml:"prefixes"` // paths under which all routes are served again
	TLS           tlsSection                 `yaml:"tls"`
	Proxy         proxySection               `yaml:"proxy"`
	RTC           rtcSection                 `yaml:"rtc"`
	Homeserver    matrix.Config              `yaml:"homeserver"`
	Homeservers   []homeserverItem           `yaml:"homeservers"` // further ones of ours
	Policy        policy.Config              `yaml:"policy"`
	Keys          map[string]settings.Secret `yaml:"keys"`     // API keys and secrets, for users of the server API
	KeyFile       string                     `yaml:"key_file"` // more of them, one "key: secret" a line
	Room          roomSection                `yaml:"room"`
	Webhook       webhookSection             `yaml:"webhook"`
	Web           webSection                 `yaml:"web"`
	Drain         drainSection               `yaml:"drain"`
	Prometheus    prometheusSection          `yaml:"prometheus"`
	Logging       loggingSection             `yaml:"logging"`
	Storage       storageSection             `yaml:"storage"`

	fileKeys     map[string]string // what KeyFile holds
	table        *policy.Table     // what Policy says
	homes        []matrix.Config   // Homeserver and Homeservers; none: nobody comes from Matrix
	unregistered bool              // the registration is being made: its file need not be there
}

type tlsSection struct {
	Mode     string `yaml:"mode"` // none or files
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

type proxySection struct {
	Trusted []netip.Prefix `yaml:"trusted"` // whose X-Forwarded-For counts
}

type rtcSection struct {
	UDPPort   int          `yaml:"udp_port"`  // 0: any free one
	Advertise []netip.Addr `yaml:"advertise"` // addresses that clients reach us at; empty: this machine's own
	NodeIP    string       `yaml:"node_ip"`   // LiveKit's key: one more of them
	// UseExternalIP is LiveKit's key; true would ask strangers for our address, which this version cannot.
	UseExternalIP bool `yaml:"use_external_ip"`
	// IO is how datagrams pass between us and the kernel: "auto", the best way of the system, or "plain", one for each call.
	IO string `yaml:"io"`
	// AudioWait is how long an audio packet may wait for others to the same listeners, in calls of 50 or more; in calls of nine
	// or more it is 5 ms at most, in smaller ones nothing. Less is dearer.
	AudioWait time.Duration `yaml:"audio_wait"`
}

// roomSection keeps LiveKit's name and keys: here a room is a session.
type roomSection struct {
	AutoCreate         bool        `yaml:"auto_create"`
	EmptyTimeout       int         `yaml:"empty_timeout"`     // s
	DepartureTimeout   int         `yaml:"departure_timeout"` // s
	MaxParticipants    int         `yaml:"max_participants"`  // 0: no limit
	EnabledCodecs      []codecItem `yaml:"enabled_codecs"`
	EnableRemoteUnmute bool        `yaml:"enable_remote_unmute"`
}

type codecItem struct {
	Mime string `yaml:"mime"`
}

type webhookSection struct {
	APIKey string   `yaml:"api_key"`
	URLs   []string `yaml:"urls"`
}

type webSection struct {
	Call bool `yaml:"call"` // the reference call page under /call
}

type drainSection struct {
	Timeout time.Duration `yaml:"timeout"`
}

type prometheusSection struct {
	Port     int             `yaml:"port"` // 0: no metrics
	Bind     netip.Addr      `yaml:"bind"`
	Username string          `yaml:"username"`
	Password settings.Secret `yaml:"password"`
}

type loggingSection struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // auto, text, logfmt or json
	Redact string `yaml:"redact"` // none, mxid or all
}

type storageSection struct {
	Dir string `yaml:"dir"`
}

// newConfig is the default of every key.
func newConfig() *Config {
	return &Config{
		BindAddresses: []netip.Addr{netip.IPv6Unspecified()}, Port: 7880,
		TLS: tlsSection{Mode: "none"}, RTC: rtcSection{UDPPort: 7882, IO: "auto", AudioWait: media.DefaultAudioWait},
		Homeserver: matrix.Config{ProxyAuth: "hs_token", AssertIdentity: true},
		Policy:     policy.Config{Publish: "own"},
		Room:       roomSection{EmptyTimeout: 300, DepartureTimeout: 20},
		Drain:      drainSection{Timeout: 30 * time.Second},
		Prometheus: prometheusSection{Port: 6789, Bind: netip.MustParseAddr("127.0.0.1")},
		Logging:    loggingSection{Level: "info", Format: "auto", Redact: "mxid"},
		Storage:    storageSection{Dir: "/var/lib/weir"},
	}
}

// The key of `serve --dev`, as LiveKit's. It is no secret.
const devKey, devSecret = "devkey", "secret"

// devConfig is a focus for developers: loopback only, no homeserver, whoever has the key gets in.
func devConfig() *Config {
	c := newConfig()
	c.BindAddresses = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	c.RTC.Advertise = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	c.Keys = map[string]settings.Secret{devKey: {Value: devSecret}}
	c.Room.AutoCreate = true
	c.Prometheus.Port = 0
	c.Drain.Timeout = time.Second
	c.Storage.Dir = ""
	return c
}

// source is where a configuration comes from.
type source struct {
	file        string // "": none, as with --dev
	dev         bool
	environment []string
	port        *int // flags
	udpPort     *int
	registering bool // the registration file need not be there yet
}

// load reads and checks a configuration. The error holds every fault, one a line.
func load(s source) (*Config, error) {
	c, r := newConfig(), newReader(s.environment)
	if s.dev {
		c = devConfig()
	}
	var files []string
	if s.file != "" {
		files = append([]string{s.file}, settings.Beside(s.file, "conf.d")...)
	}
	if err := r.Read(c, files...); err != nil {
		return nil, err
	}
	return c, finish(c, r, s)
}

func newReader(environment []string) *settings.Reader {
	return &settings.Reader{Refused: refused, Environment: environment, Prefix: "WEIR_", Ignored: ignoredVariables}
}

// finish applies flags and checks what the keys mean.
func finish(c *Config, r *settings.Reader, s source) error {
	if s.port != nil {
		c.Port = *s.port
	}
	if s.udpPort != nil {
		c.RTC.UDPPort = *s.udpPort
	}
	c.unregistered = s.registering
	c.check(r, s.dev)
	return r.Err()
}

// check rejects what cannot be, and derives what depends on several keys.
func (c *Config) check(r *settings.Reader, dev bool) {
	c.checkListeners(r)
	c.checkTLS(r)
	c.checkKeys(r, dev)
	c.checkRoom(r)
	oneOf(r, "logging.level", c.Logging.Level, "debug", "info", "warn", "error")
	oneOf(r, "logging.format", c.Logging.Format, "auto", "text", "logfmt", "json")
	oneOf(r, "logging.redact", c.Logging.Redact, "none", "mxid", "all")
	if c.Drain.Timeout < 0 || c.Drain.Timeout > 24*time.Hour {
		r.Reject("drain.timeout", "outside 0 to 24h")
	}
	c.checkHomeservers(r)
	table, err := policy.New(c.Policy, c.own())
	section(r, "policy", err)
	c.table = table
	c.checkURL(r, dev)
}

// checkHomeserver checks one section, and reads the files that it names.
func (c *Config) checkHomeserver(r *settings.Reader, at string, h *matrix.Config) {
	err := h.Check()
	section(r, at, err)
	if name := h.BotTokenFile; err == nil && name != "" {
		token, err := settings.ReadSecret(name)
		if err != nil {
			r.Reject(at+".bot_token_file", err.Error())
		}
		h.BotToken = token
	}
	if err != nil || h.RegistrationFile == "" || c.unregistered {
		return
	}
	reg, err := readRegistration(h.RegistrationFile)
	if err != nil {
		r.Reject(at+".registration_file", err.Error())
	}
	h.Registration = reg
}

// section names a package's fault by its place in the whole.
func section(r *settings.Reader, name string, err error) {
	var m *matrix.Fault
	var p *policy.Fault
	switch {
	case errors.As(err, &m):
		r.Reject(name+"."+m.Key, m.Reason)
	case errors.As(err, &p):
		r.Reject(name+"."+p.Key, p.Reason)
	case err != nil:
		r.Reject(name, err.Error())
	}
}

func oneOf(r *settings.Reader, key, value string, words ...string) {
	if !slices.Contains(words, value) {
		r.Reject(key, fmt.Sprintf("%q is none of %s", value, strings.Join(words, ", ")))
	}
}

func (c *Config) checkListeners(r *settings.Reader) {
	for _, p := range []struct {
		key  string
		port int
	}{{"port", c.Port}, {"rtc.udp_port", c.RTC.UDPPort}, {"prometheus.port", c.Prometheus.Port}} {
		if p.port < 0 || p.port > 65535 {
			r.Reject(p.key, fmt.Sprintf("%d is no port: 1 to 65535, or 0", p.port))
		}
	}
	if c.Port != 0 && c.Port == c.Prometheus.Port {
		r.Reject("prometheus.port", fmt.Sprintf("%d is the same as port", c.Port))
	}
	if len(c.BindAddresses) == 0 {
		r.Reject("bind_addresses", "empty: nothing would listen")
	}
	for i, a := range c.BindAddresses {
		if !a.IsValid() {
			r.Reject(fmt.Sprintf("bind_addresses[%d]", i), "empty")
		}
	}
	if !c.Prometheus.Bind.IsValid() {
		r.Reject("prometheus.bind", "empty")
	}
	if (c.Prometheus.Username == "") != (c.Prometheus.Password.Value == "") {
		r.Reject("prometheus.username", "username and password go together")
	}
	for i, a := range c.RTC.Advertise {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			r.Reject(fmt.Sprintf("rtc.advertise[%d]", i), "no address that a client could reach")
		}
	}
	if c.RTC.NodeIP != "" {
		if a, err := netip.ParseAddr(c.RTC.NodeIP); err != nil || a.IsUnspecified() || a.IsMulticast() {
			r.Reject("rtc.node_ip", fmt.Sprintf("%q is no address that a client could reach", c.RTC.NodeIP))
		}
	}
	oneOf(r, "rtc.io", c.RTC.IO, "auto", "plain")
	if c.RTC.AudioWait < 0 || c.RTC.AudioWait > 20*time.Millisecond {
		r.Reject("rtc.audio_wait", "outside 0 to 20ms")
	}
	if c.RTC.UseExternalIP {
		r.Reject("rtc.use_external_ip", "not available yet: write the external address into rtc.advertise")
	}
	for i, p := range c.Prefixes {
		if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?#% ") {
			r.Reject(fmt.Sprintf("prefixes[%d]", i), fmt.Sprintf("%q is no path: it begins with a slash", p))
		}
	}
}

func (c *Config) checkTLS(r *settings.Reader) {
	oneOf(r, "tls.mode", c.TLS.Mode, "none", "files")
	for _, f := range []struct{ key, name string }{{"tls.cert_file", c.TLS.CertFile}, {"tls.key_file", c.TLS.KeyFile}} {
		switch {
		case c.TLS.Mode == "files" && f.name == "":
			r.Reject(f.key, "missing: tls.mode is files")
		case c.TLS.Mode == "none" && f.name != "":
			r.Reject(f.key, "set, though tls.mode is none")
		}
	}
	if c.TLS.Mode == "files" && c.TLS.CertFile != "" && c.TLS.KeyFile != "" {
		if _, err := newCertificates(c.TLS.CertFile, c.TLS.KeyFile); err != nil {
			r.Reject("tls.cert_file", err.Error())
		}
	}
}

func (c *Config) checkKeys(r *settings.Reader, dev bool) {
	if c.KeyFile != "" {
		text, err := settings.ReadSecret(c.KeyFile)
		if err == nil {
			c.fileKeys, err = parseKeys(text)
		}
		if err != nil {
			r.Reject("key_file", err.Error())
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Keys)) {
		secret := c.Keys[id].Value
		switch {
		case id == "" || secret == "":
			r.Reject("keys", fmt.Sprintf("%q: a key needs a name and a secret", id))
		case len(secret) < minSecret && !(dev && id == devKey && secret == devSecret):
			r.Reject("keys."+id, fmt.Sprintf("the secret has %d characters: %d at least", len(secret), minSecret))
		case c.fileKeys[id] != "":
			r.Reject("keys."+id, "in key_file too: only one of them may be")
		}
	}
	if c.Webhook.APIKey != "" && c.secret(c.Webhook.APIKey) == "" {
		r.Reject("webhook.api_key", fmt.Sprintf("%q is none of keys", c.Webhook.APIKey))
	}
	if len(c.Webhook.URLs) > 0 && c.Webhook.APIKey == "" {
		r.Reject("webhook.api_key", "missing: it signs what is sent to webhook.urls")
	}
	for i, u := range c.Webhook.URLs {
		if p, err := url.Parse(u); err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" {
			r.Reject(fmt.Sprintf("webhook.urls[%d]", i), fmt.Sprintf("%q is no http or https URL", u))
		}
	}
}

// secret is that of an API key; "" if there is none.
func (c *Config) secret(id string) string {
	if s := c.Keys[id].Value; s != "" {
		return s
	}
	return c.fileKeys[id]
}

func (c *Config) checkRoom(r *settings.Reader) {
	for _, n := range []struct {
		key string
		n   int
	}{{"room.empty_timeout", c.Room.EmptyTimeout}, {"room.departure_timeout", c.Room.DepartureTimeout}, {"room.max_participants", c.Room.MaxParticipants}} {
		if n.n < 0 || n.n > 1<<31-1 {
			r.Reject(n.key, "below zero or too large")
		}
	}
	for i, e := range c.Room.EnabledCodecs {
		if sfu.ParseCodec(e.Mime) == sfu.NoCodec {
			r.Reject(fmt.Sprintf("room.enabled_codecs[%d].mime", i), fmt.Sprintf("%q is no codec known here", e.Mime))
		}
	}
}

// session is what sessions are opened with.
func (c *Config) session() session.Config {
	cfg := session.Config{EmptyTimeout: c.Room.EmptyTimeout, DepartureTimeout: c.Room.DepartureTimeout, MaxParticipants: c.Room.MaxParticipants}
	for _, e := range c.Room.EnabledCodecs {
		cfg.Encoding = append(cfg.Encoding, sfu.ParseCodec(e.Mime))
	}
	return cfg
}

func (c *Config) checkURL(r *settings.Reader, dev bool) {
	if c.PublicURL == "" {
		if !dev {
			r.Reject("public_url", "missing: the URL at which clients reach this focus, as https://rtc.example.org")
		}
		return
	}
	u, err := url.Parse(c.PublicURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.Reject("public_url", fmt.Sprintf("%q is no https URL", c.PublicURL))
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		r.Reject("public_url", "more than scheme, host and path")
	case c.Homeserver.ServerName == "" && len(c.Keys)+len(c.fileKeys) == 0:
		r.Reject("homeserver.server_name", "missing, and there are no keys either: nobody could get in")
	}
}

// webSocketURL is what clients connect to: public_url with its scheme exchanged, else verbatim.
func webSocketURL(public string) string { return "ws" + strings.TrimPrefix(public, "http") }
