package main

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"weir/signalling/matrix"
	"weir/signalling/socket"
)

// router is the front of the public port: it cleans the path, finds out who is calling, and picks the component.
type router struct {
	prefixes []string // without trailing slash, longest first
	trusted  []netip.Prefix

	doors      http.Handler // nil: no homeserver
	back       http.Handler // what the homeserver passes on; nil: not on this port
	wellKnown  http.Handler // nil: not served
	signalling http.Handler // all else
}

// newRouter serves everything at the root, under the paths that guides for the stock services use, under the path of
// the public URL, and under what is configured.
func newRouter(c *Config) *router {
	r := &router{trusted: c.Proxy.Trusted}
	all := append([]string{"/livekit/jwt", "/livekit/sfu"}, c.Prefixes...)
	if u, err := url.Parse(c.PublicURL); err == nil {
		all = append(all, u.Path)
	}
	for _, p := range all {
		if p = strings.TrimRight(collapse(p), "/"); p != "" && !slices.Contains(r.prefixes, p) {
			r.prefixes = append(r.prefixes, p)
		}
	}
	slices.SortFunc(r.prefixes, func(a, b string) int { return len(b) - len(a) })
	return r
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = rt.path(r.URL.Path), ""
	r.RemoteAddr = socket.ClientAddress(r, rt.trusted)
	if rt.back != nil && (matrix.ServesProxied(r.URL.Path) || matrix.ServesPushed(r.URL.Path)) {
		rt.back.ServeHTTP(w, r) // it takes the headers of those only who prove to be the homeserver
		return
	}
	for name := range r.Header {
		// The homeserver alone says who its users are, and not on this port (matrixrtc.md section 2.2).
		if strings.HasPrefix(name, "X-Matrix-") {
			delete(r.Header, name)
		}
	}
	switch {
	case rt.doors != nil && matrix.Serves(r.URL.Path):
		rt.doors.ServeHTTP(w, r)
	case rt.wellKnown != nil && r.URL.Path == "/.well-known/matrix/client":
		rt.wellKnown.ServeHTTP(w, r)
	default:
		rt.signalling.ServeHTTP(w, r)
	}
}

// path is the path with doubled slashes as one and without prefix: clients concatenate, and proxies do or do not strip.
func (rt *router) path(p string) string {
	p = collapse(p)
	for _, prefix := range rt.prefixes {
		if rest, ok := strings.CutPrefix(p, prefix); ok && (rest == "" || rest[0] == '/') {
			return collapse(rest)
		}
	}
	return p
}

// collapse makes one slash of several, and begins with one.
func collapse(p string) string {
	var b strings.Builder
	b.WriteByte('/')
	slash := true
	for i := range len(p) {
		if p[i] != '/' || !slash {
			b.WriteByte(p[i])
		}
		slash = p[i] == '/'
	}
	return b.String()
}
