package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix/federation"
)

const (
	// maxAnswer bounds what a homeserver may say (matrixrtc.md section 4).
	maxAnswer = 50 << 10
	// maxHops bounds the redirects of a well-known file.
	maxHops = 5
	// maxNames bounds the cache; a stranger chooses the names in it.
	maxNames = 4096
)

// target is where a homeserver is.
type target struct {
	host    string   // for the Host header and, without its port, for the certificate
	dial    []string // host:port, in the order to be tried
	expires time.Time
}

// resolver finds homeservers by their names (Matrix server-server API, "Resolving server names").
type resolver struct {
	guard  guard
	names  Names
	client *http.Client // for well-known files
	mu     sync.Mutex   // guards cache
	cache  map[string]target
}

// trace is what was tried, in order, for the log and for people who look for a fault.
type trace []string

func (t *trace) add(format string, args ...any) { *t = append(*t, fmt.Sprintf(format, args...)) }

func (t trace) String() string { return strings.Join(t, "; ") }

// resolve finds a server. Only what was found is remembered, never that something was not.
func (r *resolver) resolve(ctx context.Context, name string, tr *trace) (target, error) {
	host, port, ok := federation.ParseServerName(name)
	if !ok {
		return target{}, fmt.Errorf("%q is no server name", name)
	}
	if t, ok := r.load(name, time.Now()); ok {
		tr.add("remembered %s", strings.Join(t.dial, ", "))
		return t, nil
	}
	t, err := r.find(ctx, name, host, port, tr)
	if err == nil && time.Until(t.expires) > 0 {
		r.store(name, t)
	}
	return t, err
}

func (r *resolver) find(ctx context.Context, name, host string, port uint16, tr *trace) (target, error) {
	// Steps 1 and 2: an address, or a name with a port, stands for itself.
	if t, done, err := r.literal(name, host, port, tr); done || err != nil {
		return t, err
	}
	// Step 3: the well-known file delegates.
	var expires time.Time
	delegated, life, err := r.wellKnown(ctx, host)
	switch {
	case errors.Is(err, errForbidden):
		return target{}, fmt.Errorf("well-known of %s: %w", host, err)
	case err != nil:
		tr.add("no well-known: %v", err)
		expires = time.Now() // it may be a passing fault
		if errors.Is(err, errNoWellKnown) {
			expires = time.Now().Add(time.Hour)
		}
	default:
		tr.add("well-known names %s", delegated)
		h, p, ok := federation.ParseServerName(delegated)
		if !ok {
			return target{}, fmt.Errorf("well-known of %s: %q is no server name", host, delegated)
		}
		name, host, port, expires = delegated, h, p, time.Now().Add(life)
		if t, done, err := r.literal(name, host, port, tr); done || err != nil {
			t.expires = expires
			return t, err
		}
	}
	// Steps 3.3, 3.4, 4: service records, the new name before the old.
	if dial := r.service(ctx, host, tr); len(dial) > 0 {
		return target{host: name, dial: dial, expires: expires}, nil
	}
	// Steps 3.5 and 5.
	tr.add("port 8448 of %s", host)
	return target{host: name, dial: []string{net.JoinHostPort(host, "8448")}, expires: expires}, nil
}

// literal is a server that needs no discovery.
func (r *resolver) literal(name, host string, port uint16, tr *trace) (target, bool, error) {
	addr, err := netip.ParseAddr(host)
	if err == nil && !r.guard.named(addr) {
		return target{}, true, fmt.Errorf("%s: a server named by its address: %w", name, errForbidden)
	}
	if err != nil && port == 0 {
		return target{}, false, nil
	}
	if port == 0 {
		port = 8448
	}
	dial := net.JoinHostPort(host, strconv.Itoa(int(port)))
	tr.add("%s as named", dial)
	return target{host: name, dial: []string{dial}, expires: time.Now().Add(time.Hour)}, true, nil
}

// errNoWellKnown says for certain that there is none.
var errNoWellKnown = errors.New("there is none")

func (r *resolver) wellKnown(ctx context.Context, host string) (name string, life time.Duration, err error) {
	u := url.URL{Scheme: "https", Host: host, Path: "/.well-known/matrix/server"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return "", 0, errNoWellKnown
	}
	if resp.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	var file struct {
		Server string `json:"m.server"`
	}
	if err := decodeAnswer(resp.Body, &file); err != nil {
		return "", 0, err
	}
	if file.Server == "" {
		return "", 0, errors.New("it has no m.server")
	}
	return file.Server, lifetime(resp.Header.Get("Cache-Control")), nil
}

// decodeAnswer reads one JSON value of bounded size.
func decodeAnswer(r io.Reader, into any) error {
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("the answer is over %d bytes", maxAnswer)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("the answer is no JSON of the expected form")
	}
	return nil
}

// lifetime is how long a well-known file is good for: an hour to two days, a day if it says nothing (Matrix server-server
// API recommends these bounds).
func lifetime(cacheControl string) time.Duration {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		key, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch key {
		case "no-store", "no-cache":
			return time.Hour
		case "max-age":
			if s, err := strconv.Atoi(value); err == nil {
				return min(max(time.Duration(min(s, 1<<20))*time.Second, time.Hour), 48*time.Hour)
			}
		}
	}
	return 24 * time.Hour
}

// service looks for service records of a host.
func (r *resolver) service(ctx context.Context, host string, tr *trace) (dial []string) {
	for _, service := range []string{"matrix-fed", "matrix"} {
		_, records, err := r.names.LookupSRV(ctx, service, "tcp", host)
		if err != nil && len(records) == 0 {
			var dns *net.DNSError
			if !errors.As(err, &dns) || !dns.IsNotFound {
				tr.add("no service record _%s: %v", service, err)
			}
			continue
		}
		for _, s := range records[:min(len(records), 8)] {
			if s.Target != "." { // RFC 2782: the service is decidedly not available
				dial = append(dial, net.JoinHostPort(strings.TrimSuffix(s.Target, "."), strconv.Itoa(int(s.Port))))
			}
		}
		if len(dial) > 0 {
			tr.add("service record _%s names %s", service, strings.Join(dial, ", "))
			return dial
		}
	}
	return nil
}

func (r *resolver) load(name string, now time.Time) (target, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.cache[name]
	return t, ok && now.Before(t.expires)
}

func (r *resolver) store(name string, t target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cache) >= maxNames {
		for k := range r.cache { // any one: it is found again when it is asked for again
			delete(r.cache, k)
			break
		}
	}
	r.cache[name] = t
}

// forget drops what did not work, so that a moved server is found at the next try.
func (r *resolver) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.cache, name)
}
