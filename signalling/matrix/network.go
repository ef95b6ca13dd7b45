package matrix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Network is how names are looked up and connections made. The zero value is the machine's own; tests put in others.
type Network struct {
	Names Names
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// Names looks names up; *net.Resolver is one.
type Names interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// errForbidden says that a target is where no stranger may send us.
var errForbidden = errors.New("address is not public and not in homeserver.allow_networks")

// special are the networks that are not the public internet (IANA special-purpose address registries; RFC 6890), as far
// as netip does not know them by name. A homeserver that names one of these wants us to knock where only we can.
var special = func() (ps []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8",       // this network, RFC 791
		"100.64.0.0/10",   // shared, RFC 6598: also where clouds and tailnets live
		"192.0.0.0/24",    // protocol assignments, RFC 6890
		"192.0.2.0/24",    // documentation, RFC 5737
		"198.18.0.0/15",   // benchmarks, RFC 2544
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"240.0.0.0/4",     // reserved, with broadcast
		"64:ff9b:1::/48",  // local NAT64, RFC 8215
		"100::/64",        // discard, RFC 6666
		"2001::/23",       // protocol assignments, with Teredo, whose inside is an IPv4 address
		"2001:db8::/32",   // documentation
		"2002::/16",       // 6to4, whose inside is an IPv4 address
		"3fff::/20",       // documentation, RFC 9637
		"fec0::/10",       // site-local, long gone
	} {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}()

// nat64 carries an IPv4 address in its last 32 bits (RFC 6052): on an IPv6-only host every IPv4 server looks like this.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// public says whether an address is on the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// guard decides to which addresses a stranger may send us.
type guard struct{ allowed []netip.Prefix }

// named says whether an address may stand in a server name: only a configured one.
func (g guard) named(a netip.Addr) bool {
	for _, p := range g.allowed {
		if p.Contains(a.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

func (g guard) permits(a netip.Addr) bool { return public(a) || g.named(a) }

// dialer makes connections only where the guard permits. It looks the name up itself and dials the addresses that it
// has checked, so a name that answers differently the second time gains nothing.
type dialer struct {
	guard guard
	names Names
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(g guard, n Network) *dialer {
	d := &dialer{guard: g, names: n.Names, dial: n.Dial}
	if d.names == nil {
		d.names = net.DefaultResolver
	}
	if d.dial == nil {
		// Control sees the address that the kernel gets: the last word, should anything above be wrong.
		nd := &net.Dialer{Timeout: 4 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !g.permits(ap.Addr()) {
				return errForbidden
			}
			return nil
		}}
		d.dial = nd.DialContext
	}
	return d
}

// attempt bounds one connection, so that a dead address leaves time for the next.
const attempt = 2 * time.Second

func (d *dialer) connect(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", address, err)
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, a := range addrs {
		if !d.guard.permits(a) {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", a, errForbidden))
			continue
		}
		one, cancel := context.WithTimeout(ctx, attempt)
		conn, err := d.dial(one, "tcp", net.JoinHostPort(a.Unmap().String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if !d.guard.named(a) {
			return nil, fmt.Errorf("%s: a server named by its address: %w", a, errForbidden)
		}
		return []netip.Addr{a}, nil
	}
	addrs, err := d.names.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("look up %s: no address", host)
	}
	return addrs[:min(len(addrs), 8)], nil // a name with hundreds of addresses does not get hundreds of tries
}

// anywhere permits every address: for the own homeserver only.
var anywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
