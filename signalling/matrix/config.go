// Package matrix is where the focus speaks Matrix: it asks homeservers who a caller is, and hands out tokens at the
// doors of matrixrtc.md section 2. It is a shell: what somebody may do is decided by package policy, what things are
// called by package derive.
package matrix

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"

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
	return nil
}

// Own are the server names whose users are ours.
func (c Config) Own() []string {
	if c.ServerName == "" {
		return nil
	}
	return []string{c.ServerName}
}

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
