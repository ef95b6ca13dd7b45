package socket

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddress is who sent r, as far as it can be believed: the nearest address that no trusted proxy vouches for.
// X-Forwarded-For is read from the right, because only the entries that our own proxies appended are true.
func clientAddress(r *http.Request, trusted []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // a test's pipe, or a unix socket
	}
	addr := peer.Addr().Unmap()
	if !contains(trusted, addr) {
		return addr.String()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := parseHop(hops[i])
		if err != nil {
			break // whatever is left of a broken entry is a stranger's word
		}
		addr = hop
		if !contains(trusted, hop) {
			break
		}
	}
	return addr.String()
}

// parseHop reads one entry; some proxies append the port.
func parseHop(s string) (netip.Addr, error) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// ClientAddress is who sent r, as far as it can be believed, for handlers beside this package's.
func ClientAddress(r *http.Request, trusted []netip.Prefix) string { return clientAddress(r, trusted) }
