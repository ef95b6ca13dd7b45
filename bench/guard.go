package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// ErrRemote says that a destination is off the machine, and that nobody allowed that.
var ErrRemote = errors.New("bench: the destination is off this machine")

// Guard keeps load on the machine: it knows the addresses that are the machine's own.
type Guard struct {
	own map[netip.Addr]bool
	all bool
}

// NewGuard reads the machine's addresses; allowRemote makes it let everything pass.
func NewGuard(allowRemote bool) (*Guard, error) {
	g := &Guard{own: map[netip.Addr]bool{}, all: allowRemote}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("reading the machine's addresses: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			g.own[p.Addr().Unmap()] = true
		}
	}
	return g, nil
}

// Allows reports whether load may go to an address.
func (g *Guard) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return g.all || a.IsLoopback() || g.own[a]
}

// Candidate is Allows for bots.
func (g *Guard) Candidate(a netip.AddrPort) bool { return g.Allows(a.Addr()) }

// Dial connects to an address that is allowed. What a name resolves to is checked where it is used, so that it cannot
// change in between.
func (g *Guard) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	var last error
	for _, a := range found {
		if !g.Allows(a) {
			return nil, fmt.Errorf("%w: %s is %s; --allow-remote lets it be", ErrRemote, host, a.Unmap())
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, last
}

// LocalAddr is the address from which the machine reaches a server: bots' sockets are bound to it.
func (g *Guard) LocalAddr(ctx context.Context, server string) (netip.Addr, error) {
	u, err := url.Parse(server)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("server address: %w", err)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("server address: %w", err)
	}
	for _, a := range found {
		if !g.Allows(a) {
			return netip.Addr{}, fmt.Errorf("%w: %s is %s; --allow-remote lets it be", ErrRemote, u.Hostname(), a.Unmap())
		}
	}
	// Connecting a UDP socket sends nothing; it asks the kernel for the route.
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(found[0].Unmap(), 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("server address: %w", err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
