package socket

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// FuzzClientAddress: whatever a header says, the answer is an address; and from a peer that is no proxy of ours, it is
// the peer's own.
func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:5", "203.0.113.9, 10.0.0.2")
	f.Add("192.0.2.1:5", "203.0.113.9")
	f.Add("[::1]:65535", "[2001:db8::1]:0,,")
	f.Add("[fe80::1%eth0]:1", "fe80::1%x")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		peer, err := netip.ParseAddrPort(remote)
		if err != nil {
			return
		}
		got := clientAddress(&http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}, trusted)
		a, err := netip.ParseAddr(got)
		if err != nil {
			t.Fatalf("%q is no address", got)
		}
		if own := peer.Addr().Unmap(); !contains(trusted, own) && a != own {
			t.Fatalf("%s passed as %s", own, a)
		}
	})
}

// FuzzPath: what is left of a path begins with exactly one slash, and without a prefix on it nothing changes any more.
func FuzzPath(f *testing.F) {
	f.Add("//rtc")
	f.Add("/livekit/sfu/rtc/v1/validate")
	f.Add("/livekit/sfu/livekit/sfu")
	f.Add("")
	s := &Server{cfg: Config{Prefixes: []string{"livekit/sfu"}}}
	f.Fuzz(func(t *testing.T, path string) {
		got := s.path(path)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") {
			t.Fatalf("%q became %q", path, got)
		}
		if !strings.HasPrefix(got, "/livekit/sfu") && s.path(got) != got {
			t.Fatalf("%q became %q, then %q", path, got, s.path(got))
		}
	})
}
