package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// netBind tries every address that the focus listens on. One that is running holds them all, and says so itself.
func netBind(ctx context.Context, s *Subject, p *Probe) []Row {
	running := s.running(ctx, p)
	var rows []Row
	for _, l := range s.listeners() {
		if l.at.Port() == 0 {
			continue
		}
		err := p.Net.Listen(ctx, l.network, l.at)
		if err == nil || running && errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		rows = append(rows, bad(Fail, l.key+" cannot be listened on", err.Error(), bindRemedy(l, err))...)
	}
	switch {
	case rows != nil:
		return rows
	case running:
		return pass("the focus is running and listens")
	}
	return pass("every port is free")
}

func bindRemedy(l listener, err error) string {
	port := strconv.Itoa(int(l.at.Port()))
	flag := map[string]string{"tcp": "-lptn", "udp": "-lpun"}[l.network]
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("ss %s 'sport = :%s'   # shows who has it; stop that, or set another %s", flag, port, l.key)
	case errors.Is(err, syscall.EACCES):
		return "In the unit: [Service] AmbientCapabilities=CAP_NET_BIND_SERVICE   # or: setcap cap_net_bind_service=+ep $(command -v weir)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("ip -br addr   # no interface has %s; bind_addresses: ['::'] listens on all", l.at.Addr())
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "bind_addresses: [0.0.0.0]   # this machine has no IPv6"
	}
	return "Look at " + l.key + " and bind_addresses."
}

// running says whether a focus answers on the public port of this machine.
func (s *Subject) running(ctx context.Context, p *Probe) bool {
	if s.Port == 0 || len(s.Bind) == 0 {
		return false
	}
	a := s.Bind[0]
	if a.IsUnspecified() {
		a = netip.MustParseAddr("127.0.0.1")
	}
	scheme := "http"
	if s.TLS {
		scheme = "https"
	}
	got, err := p.Web.Ask(ctx, Request{Method: "GET", URL: scheme + "://" + netip.AddrPortFrom(a, uint16(s.Port)).String() + "/livez"})
	return err == nil && got.Status == 200 || s.TLS && err != nil && strings.Contains(err.Error(), "certificate")
}

// publicAddresses are those of the name that clients are given.
func (s *Subject) publicAddresses(ctx context.Context, p *Probe) (host string, all []netip.Addr, err error) {
	u, err := url.Parse(s.PublicURL)
	if err != nil {
		return "", nil, err
	}
	host = u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		return host, []netip.Addr{a}, nil
	}
	all, err = p.Net.Lookup(ctx, host)
	return host, all, err
}

// netAddress compares what is offered with what this machine has, and what the world sees of it.
func netAddress(ctx context.Context, s *Subject, p *Probe) []Row {
	host, public, err := s.publicAddresses(ctx, p)
	if err != nil || len(public) == 0 {
		return bad(Fail, "the name in public_url has no address", fmt.Sprintf("%s: %v", host, err),
			fmt.Sprintf("In the zone of %s:\n%s. IN A 203.0.113.7   ; the address of this machine or its proxy", host, host))
	}
	offered, err := s.offered(p)
	if err != nil {
		return skip("the addresses of this machine cannot be seen: %v", err)
	}
	here, err := p.Net.Addresses()
	if err != nil {
		return skip("the addresses of this machine cannot be seen: %v", err)
	}
	var seen []netip.AddrPort
	if len(s.STUN) > 0 {
		seen, _ = p.Mirror.Reflect(ctx, s.STUN)
	}
	var rows []Row
	for _, a := range offered {
		mine := slices.ContainsFunc(here, func(h netip.Addr) bool { return h.Unmap().WithZone("") == a.Unmap() })
		mirrored := slices.ContainsFunc(seen, func(m netip.AddrPort) bool { return m.Addr().Unmap() == a.Unmap() })
		switch {
		case mine, mirrored:
		case len(seen) > 0:
			rows = append(rows, bad(Fail, "an address is offered for media that is not this network's", fmt.Sprintf("%s is offered, the world sees %s", a, list(seen)),
				fmt.Sprintf("rtc: {advertise: [%s]}", seen[0].Addr().Unmap()))...)
		default:
			rows = append(rows, bad(Warn, "an address is offered for media that no interface of this machine has", a.String()+" is offered, here are "+list(here),
				fmt.Sprintf("If it is a router's: forward UDP port %d to this machine, and let `weir doctor --stun ADDRESS:3478` compare. Else correct rtc.advertise.", s.UDPPort))...)
		}
	}
	if rows == nil {
		return pass("%s is at %s; media is offered at %s", host, list(public), list(offered))
	}
	return rows
}

// netNAT tells a router that keeps the port from one that makes a new one for each destination.
func netNAT(ctx context.Context, s *Subject, p *Probe) []Row {
	if len(s.STUN) < 2 {
		return skip("needs two reflectors: weir doctor --stun ADDRESS:3478 --stun ADDRESS:3478")
	}
	seen, err := p.Mirror.Reflect(ctx, s.STUN)
	switch {
	case err != nil || len(seen) < 2:
		return bad(Warn, "the reflectors were not reached: UDP to the internet may be blocked", fmt.Sprint(err), fmt.Sprintf("Open UDP in both directions for port %d in the firewall.", s.UDPPort))
	case seen[0] != seen[1]:
		return bad(Fail, "the router makes a new port for each destination (symmetric NAT): clients cannot find the media port", list(seen),
			fmt.Sprintf("Forward UDP port %d on the router to this machine, same port outside and inside, and set rtc: {advertise: [%s]}", s.UDPPort, seen[0].Addr().Unmap()))
	}
	return pass("seen from two places as %s", seen[0])
}

func netV6(ctx context.Context, s *Subject, p *Probe) []Row {
	offered, err := s.offered(p)
	if err != nil {
		return skip("the addresses of this machine cannot be seen: %v", err)
	}
	for _, a := range s.Advertise {
		if a.Is6() && (a.IsPrivate() || a.IsLinkLocalUnicast()) {
			return bad(Fail, "an IPv6 address is offered that only this network reaches: clients lose seconds trying it", a.String(),
				"Take it out of rtc.advertise; put the global one there: ip -6 -br addr show scope global")
		}
	}
	_, public, err := s.publicAddresses(ctx, p)
	is6 := func(a netip.Addr) bool { return a.Unmap().Is6() }
	if err == nil && slices.ContainsFunc(public, is6) && !slices.ContainsFunc(offered, is6) {
		return bad(Warn, "the name has an AAAA record, but no IPv6 address is offered for media: clients with IPv6 only hear nothing", list(public),
			"rtc: {advertise: [203.0.113.7, '2001:db8::7']}   # both addresses; or take the AAAA record away")
	}
	return pass("IPv6 is offered as the name says")
}

// hostPort is where a URL's server is, with its port.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
