// Package matrix is where the focus speaks Matrix: it asks homeservers who a caller is, and hands out tokens at the
// doors of matrixrtc.md section 2. It is a shell: what somebody may do is decided by package policy, what things are
// called by package derive.
package matrix

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"maunium.net/go/mautrix/federation"
)

// Config is the section homeserver.
type Config struct {
	// ServerName is the own homeserver's name, the part of user ids after the colon. Empty: no server is own.
	ServerName string `yaml:"server_name"`
	// URL is the own homeserver's public client URL, for the well-known file and for advice.
	URL string `yaml:"url"`
	// InternalURL is where this focus reaches the own homeserver (a listener with the resource openid or federation).
	// Empty: the own homeserver is found as every other.
	InternalURL string `yaml:"internal_url"`
	// CAFile holds certificates that are trusted besides the system's, PEM.
	CAFile string `yaml:"ca_file"`
	// AllowNetworks are the networks in which other homeservers may be although they are named by address, or private,
	// loopback or link-local. Empty: none; only the public internet is asked.
	AllowNetworks []netip.Prefix `yaml:"allow_networks"`
	// ServeWellKnown answers /.well-known/matrix/client here, for a proxy that passes it on from the server name's host.
	ServeWellKnown bool `yaml:"serve_well_known"`
	// RegistrationFile is the appservice registration that the homeserver has loaded (`weir registration` makes it).
	// Without it this focus knows nobody's membership.
	RegistrationFile string `yaml:"registration_file"`
	// BotTokenFile holds the access token of an account of the own homeserver that was invited to the rooms, for a
	// homeserver that takes no registration. It sees those rooms only, and everybody there sees it.
	BotTokenFile string `yaml:"bot_token_file"`
	// ProxyListen is where the homeserver passes requests on to: host:port, or unix: and a path. Empty: the public port,
	// where only hs_token tells the homeserver from others.
	ProxyListen string `yaml:"proxy_listen"`
	// ProxyAuth is how the homeserver is told from others: hs_token, or header_only for a homeserver that sends none,
	// where whoever reaches ProxyListen can pass for anybody.
	ProxyAuth string `yaml:"proxy_auth"`
	// AssertIdentity lets the focus act as users of the own homeserver, as far as the registration does.
	AssertIdentity bool `yaml:"assert_identity"`

	// Registration is what RegistrationFile holds; nil: there is none.
	Registration *Registration `yaml:"-"`
	// BotToken is what BotTokenFile holds.
	BotToken string `yaml:"-"`
}

// Fault is a value that makes no sense; Key is its path below the section.
type Fault struct{ Key, Reason string }

func (f *Fault) Error() string { return f.Key + ": " + f.Reason }

// Check reports the first fault.
func (c Config) Check() error {
	if c.ServerName != "" {
		if _, _, ok := federation.ParseServerName(c.ServerName); !ok {
			return &Fault{"server_name", fmt.Sprintf("%q is no Matrix server name", c.ServerName)}
		}
	}
	if c.InternalURL != "" && c.ServerName == "" {
		return &Fault{"internal_url", "needs server_name beside it"}
	}
	for _, u := range []struct{ key, value string }{{"url", c.URL}, {"internal_url", c.InternalURL}} {
		if u.value == "" {
			continue
		}
		p, err := url.Parse(u.value)
		if err != nil || p.Host == "" || (p.Scheme != "http" && p.Scheme != "https") || p.RawQuery != "" || p.Fragment != "" {
			return &Fault{u.key, fmt.Sprintf("%q is no http or https URL", u.value)}
		}
	}
	if c.ServeWellKnown && c.URL == "" {
		return &Fault{"serve_well_known", "needs url beside it: the file names the homeserver"}
	}
	if _, err := c.roots(); err != nil {
		return &Fault{"ca_file", err.Error()}
	}
	return c.checkAppservice()
}

// checkAppservice checks what belongs to the registration.
func (c Config) checkAppservice() error {
	switch {
	case c.RegistrationFile != "" && c.ServerName == "":
		return &Fault{"registration_file", "needs server_name beside it"}
	case c.RegistrationFile != "" && c.ClientURL() == "":
		return &Fault{"registration_file", "needs internal_url or url beside it: where the homeserver is asked"}
	case c.BotTokenFile != "" && (c.ServerName == "" || c.ClientURL() == ""):
		return &Fault{"bot_token_file", "needs server_name, and internal_url or url beside it"}
	case c.BotTokenFile != "" && c.RegistrationFile != "":
		return &Fault{"bot_token_file", "registration_file is set too, which sees all that a bot sees: leave one out"}
	case c.ProxyListen != "" && c.RegistrationFile == "":
		return &Fault{"proxy_listen", "needs registration_file beside it"}
	}
	switch c.ProxyAuth {
	case "", "hs_token":
	case "header_only":
		if !c.privateProxy() {
			return &Fault{"proxy_auth", "header_only takes anybody's word: proxy_listen must be a loopback address or a unix socket"}
		}
	default:
		return &Fault{"proxy_auth", fmt.Sprintf("%q is neither hs_token nor header_only", c.ProxyAuth)}
	}
	if path, unix := strings.CutPrefix(c.ProxyListen, "unix:"); c.ProxyListen != "" && !unix {
		if _, port, err := net.SplitHostPort(c.ProxyListen); err != nil || port == "" {
			return &Fault{"proxy_listen", fmt.Sprintf("%q is neither host:port nor unix: and a path", c.ProxyListen)}
		}
	} else if unix && !strings.HasPrefix(path, "/") {
		return &Fault{"proxy_listen", fmt.Sprintf("%q: the path of a unix socket begins with a slash", c.ProxyListen)}
	}
	return nil
}

// privateProxy says whether only this machine reaches the proxy listener.
func (c Config) privateProxy() bool {
	if strings.HasPrefix(c.ProxyListen, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(c.ProxyListen)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// ClientURL is where the own homeserver's client API is asked, without trailing slash.
func (c Config) ClientURL() string {
	if c.InternalURL != "" {
		return strings.TrimSuffix(c.InternalURL, "/")
	}
	return strings.TrimSuffix(c.URL, "/")
}

// Own are the server names whose users are ours.
func (c Config) Own() []string {
	if c.ServerName == "" {
		return nil
	}
	return []string{c.ServerName}
}

// Roots are the certificates that homeservers are trusted by; nil: the system's.
func (c Config) Roots() (*x509.CertPool, error) { return c.roots() }

// roots are the trusted certificates; nil: the system's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.CAFile)
	}
	return pool, nil
}
