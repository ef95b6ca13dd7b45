package matrix

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"maunium.net/go/mautrix/federation"
	"maunium.net/go/mautrix/id"
)

// verifyTimeout bounds one verification with all its look-ups (matrixrtc.md section 4).
const verifyTimeout = 5 * time.Second

// userinfo is where a homeserver tells whose OpenID token it is (Matrix server-server API).
const userinfo = "/_matrix/federation/v1/openid/userinfo"

// Verifier asks homeservers whose OpenID tokens they are. It remembers where servers are, never what they answered.
type Verifier struct {
	own      string
	internal *url.URL     // nil: the own homeserver is found as every other
	trusted  *http.Client // for the own homeserver: configured, so it may be anywhere
	public   *http.Client // for all others
	strangers,
	ours *resolver
}

// NewVerifier makes a verifier.
func NewVerifier(c Config, n Network) (*Verifier, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	v := &Verifier{own: c.ServerName}
	if c.InternalURL != "" {
		if v.internal, err = url.Parse(strings.TrimSuffix(c.InternalURL, "/")); err != nil {
			return nil, &Fault{"internal_url", err.Error()}
		}
	}
	v.public, v.strangers = newClient(guard{c.AllowNetworks}, n, tlsConfig)
	// The operator wrote the own server's name, and its files are his: they may point to his own networks.
	v.trusted, v.ours = newClient(guard{anywhere}, n, tlsConfig)
	return v, nil
}

// newClient makes a client that knocks only where the guard permits, and a resolver with a client of its own: were the
// connections shared, one to the web server of a name could be taken for one to its homeserver.
func newClient(g guard, n Network, t *tls.Config) (*http.Client, *resolver) {
	d := newDialer(g, n)
	r := &resolver{guard: g, names: d.names, cache: map[string]target{}}
	r.client = &http.Client{Transport: newTransport(d.connect, t), CheckRedirect: func(req *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxHops:
			return errors.New("too many redirects")
		case req.URL.Scheme != "https":
			return errors.New("a redirect away from https")
		}
		return nil
	}}
	// Whoever is asked about a token answers by itself: a redirect would carry the token elsewhere.
	asked := &http.Client{Transport: newTransport(d.resolved, t), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return asked, r
}

// newTransport uses no proxy from the environment: it would connect where we may not look.
func newTransport(dial func(ctx context.Context, network, address string) (net.Conn, error), t *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext: dial, TLSClientConfig: t.Clone(), TLSHandshakeTimeout: verifyTimeout, IdleConnTimeout: 30 * time.Second,
		MaxIdleConns: 64, MaxIdleConnsPerHost: 4, MaxConnsPerHost: 32, MaxResponseHeaderBytes: 16 << 10,
	}
}

// dialKey carries the addresses of a resolved server to the dialer.
type dialKey struct{}

// resolved connects to where the server was found, or to address if it needed no finding.
func (d *dialer) resolved(ctx context.Context, network, address string) (net.Conn, error) {
	to, ok := ctx.Value(dialKey{}).([]string)
	if !ok {
		return d.connect(ctx, network, address)
	}
	var failed error
	for _, a := range to {
		conn, err := d.connect(ctx, network, a)
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// Subject asks server whose token it is. The error is for the log: it tells what was tried, and never the token.
func (v *Verifier) Subject(ctx context.Context, server, token string) (user string, err error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	var tr trace
	sub, err := v.ask(ctx, server, token, &tr)
	if err != nil {
		return "", fmt.Errorf("openid at %q: %w (%s)", server, redact(err, token), tr)
	}
	if err := checkSubject(sub, server); err != nil {
		return "", fmt.Errorf("openid at %q: %w (%s)", server, err, tr)
	}
	return sub, nil
}

// Verifiers are those of several homeservers of one operator: each is asked about its own users' tokens as its section
// says, all others as the first says.
type Verifiers []*Verifier

// Subject implements Identifier.
func (vs Verifiers) Subject(ctx context.Context, server, token string) (string, error) {
	for _, v := range vs {
		if v.own == server {
			return v.Subject(ctx, server, token)
		}
	}
	return vs[0].Subject(ctx, server, token)
}

func (v *Verifier) ask(ctx context.Context, server, token string, tr *trace) (string, error) {
	query := url.Values{"access_token": {token}}.Encode()
	if server == v.own && v.internal != nil {
		u := *v.internal
		u.Path += userinfo
		u.RawQuery = query
		tr.add("internal_url")
		return v.get(ctx, v.trusted, &u, u.Host)
	}
	client, resolver := v.public, v.strangers
	if server == v.own && server != "" {
		client, resolver = v.trusted, v.ours
	}
	t, err := resolver.resolve(ctx, server, tr)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "https", Host: t.host, Path: userinfo, RawQuery: query}
	sub, err := v.get(context.WithValue(ctx, dialKey{}, t.dial), client, &u, t.host)
	if _, answered := errors.AsType[statusError](err); err != nil && !answered {
		resolver.forget(server)
	}
	return sub, err
}

// statusError is an answer that is not 200: the server was reached.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("userinfo answered status %d", int(s)) }

func (v *Verifier) get(ctx context.Context, client *http.Client, u *url.URL, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", statusError(resp.StatusCode)
	}
	var answer struct {
		Sub string `json:"sub"`
	}
	if err := decodeAnswer(resp.Body, &answer); err != nil {
		return "", err
	}
	return answer.Sub, nil
}

// redact takes the token out of what the HTTP client says: its errors quote the URL.
func redact(err error, token string) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	if text := err.Error(); token != "" && strings.Contains(text, token) {
		return errors.New(strings.ReplaceAll(text, token, "…"))
	}
	return err
}

// maxID bounds every Matrix identifier (Matrix specification, appendix "Common identifier format").
const maxID = 255

// checkSubject makes sure that a server speaks of its own users only: without this, any server could vouch for anybody.
func checkSubject(sub, server string) error {
	if len(sub) > maxID {
		return errors.New("sub is too long")
	}
	localpart, at, err := id.UserID(sub).ParseAndValidateRelaxed()
	if err != nil || localpart == "" || !utf8.ValidString(sub) || strings.ContainsFunc(sub, hidden) {
		return fmt.Errorf("sub %.300q is no user id", sub)
	}
	if _, _, ok := federation.ParseServerName(at); !ok {
		return fmt.Errorf("sub %.300q is no user id", sub)
	}
	if at != server {
		return fmt.Errorf("sub is of another server, %q", at)
	}
	return nil
}

// hidden are characters that would make two ids look alike, or a log lie.
func hidden(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == 0xfeff }
