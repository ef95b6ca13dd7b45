package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/signalling/socket"
)

// listenAll listens on every address, on one port. IPv6 may be missing on a machine where another address works.
func listenAll(ctx context.Context, addrs []netip.Addr, port int) (all []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				l.Close()
			}
		}
	}()
	var missing error
	for _, a := range addrs {
		l, err := listen(ctx, a, port)
		if err != nil && a == netip.IPv6Unspecified() {
			if l4, err4 := listen(ctx, netip.IPv4Unspecified(), port); err4 == nil {
				l, err = l4, nil
			}
		}
		if err != nil && a.Is6() && a.IsLoopback() && len(addrs) > 1 {
			missing = err
			continue
		}
		if err != nil {
			return all, fmt.Errorf("port: %w", err)
		}
		all = append(all, l)
		port = cmp.Or(port, l.Addr().(*net.TCPAddr).Port) // 0 was any free one: now it is this one
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("port: %w", missing)
	}
	return all, nil
}

func listen(ctx context.Context, a netip.Addr, port int) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return socket.Quiet(l), nil
}

// announced are the addresses that clients are told: what is configured, else this machine's own.
func announced(c *Config, bind netip.Addr, port uint16) ([]netip.AddrPort, error) {
	addrs := slices.Clone(c.RTC.Advertise)
	if a, err := netip.ParseAddr(c.RTC.NodeIP); err == nil {
		addrs = append(addrs, a)
	}
	if len(addrs) == 0 && !bind.IsUnspecified() {
		addrs = append(addrs, bind)
	}
	if len(addrs) == 0 {
		all, err := net.InterfaceAddrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of this machine: %w", err)
		}
		addrs = reachable(all)
	}
	if len(addrs) == 0 {
		return nil, errors.New("rtc.advertise is empty and this machine has no address that a client could reach")
	}
	var out []netip.AddrPort
	for _, a := range addrs {
		if ap := netip.AddrPortFrom(a.Unmap().WithZone(""), port); !slices.Contains(out, ap) {
			out = append(out, ap)
		}
	}
	return out, nil
}

// reachable keeps what a client might reach: no link-local or local-only IPv6 address goes out, unless there is nothing
// else, and loopback only if the machine has no network at all.
func reachable(all []net.Addr) []netip.Addr {
	var good, local, loop []netip.Addr
	for _, n := range all {
		p, err := netip.ParsePrefix(n.String())
		if err != nil {
			continue
		}
		switch a := p.Addr().Unmap(); {
		case a.IsLoopback():
			loop = append(loop, a)
		case a.IsLinkLocalUnicast() || !a.IsGlobalUnicast():
		case a.Is6() && a.IsPrivate():
			local = append(local, a)
		default:
			good = append(good, a)
		}
	}
	for _, set := range [][]netip.Addr{good, local, loop} {
		if len(set) > 0 {
			return set
		}
	}
	return nil
}

// metricsHandler serves /metrics, behind a password if there is one.
func metricsHandler(reg *prometheus.Registry, c prometheusSection) http.Handler {
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if c.Username != "" && (!same(user, c.Username) || !same(password, c.Password.Value)) {
			w.Header().Set("WWW-Authenticate", `Basic realm="metrics"`)
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		metrics.ServeHTTP(w, r)
	})
	return mux
}

// same compares in a time that tells neither the text nor its length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
