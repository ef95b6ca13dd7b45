package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func confParse(_ context.Context, s *Subject, _ *Probe) []Row {
	if len(s.Faults) == 0 {
		return pass("the configuration reads well")
	}
	var rows []Row
	for _, f := range s.Faults {
		rows = append(rows, bad(Fail, "the configuration is wrong", f,
			fmt.Sprintf("Correct what is named, then: weir config check %s", s.File))...)
	}
	return rows
}

func confSecrets(_ context.Context, s *Subject, p *Probe) []Row {
	var rows []Row
	for _, name := range s.Secrets {
		st, err := p.Files.Stat(name)
		switch {
		case err != nil: // it is made at the first start, or conf.parse has named it
		case st.Mode().Perm()&0o007 != 0:
			rows = append(rows, bad(Fail, "a secret can be read by everybody", fmt.Sprintf("%s has mode %04o", name, st.Mode().Perm()), "chmod 0600 "+name)...)
		}
	}
	if rows == nil {
		return pass("secrets are private")
	}
	return rows
}

// confHomeservers tells of the homeservers that this look leaves out, unless one was chosen.
func confHomeservers(_ context.Context, s *Subject, _ *Probe) []Row {
	if len(s.Others) == 0 {
		return pass("no homeserver is left out")
	}
	var again []string
	for _, name := range s.Others {
		again = append(again, fmt.Sprintf("weir doctor --config %s --for %s", s.File, name))
	}
	return bad(Warn, fmt.Sprintf("this looks at %s only, one of %d homeservers", s.Homeserver.ServerName, 1+len(s.Others)),
		"not looked at: "+strings.Join(s.Others, ", "), strings.Join(again, "\n"))
}

func confURLs(_ context.Context, s *Subject, _ *Probe) []Row {
	u, err := url.Parse(s.PublicURL)
	if err != nil {
		return bad(Fail, "public_url is no URL", err.Error(), "public_url: https://rtc.example.org")
	}
	if u.Scheme != "https" && !local(u.Hostname()) {
		return bad(Fail, "public_url is not https: browsers open no camera, and no socket from an https page", s.PublicURL,
			"public_url: https://"+u.Host+u.Path+"\n# and a certificate: tls: {mode: files, cert_file: …, key_file: …}, or a proxy: weir advise caddy --config "+s.File)
	}
	return pass("%s, and ws%s for media", s.PublicURL, strings.TrimPrefix(s.PublicURL, "http"))
}

// local says whether a host is this machine by name.
func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func confPorts(_ context.Context, s *Subject, _ *Probe) []Row {
	used := map[int]string{}
	var rows []Row
	for _, l := range s.listeners() {
		if l.network != "tcp" || l.at.Port() == 0 {
			continue
		}
		if other := used[int(l.at.Port())]; other != "" && other != l.key {
			rows = append(rows, bad(Fail, "two listeners want one port", fmt.Sprintf("%s and %s both are %d", other, l.key, l.at.Port()),
				fmt.Sprintf("Give %s another port.", l.key))...)
		}
		used[int(l.at.Port())] = l.key
	}
	if rows == nil {
		return pass("the ports are all different")
	}
	return rows
}

// listener is one address that the focus listens on.
type listener struct {
	key     string // of the configuration
	network string
	at      netip.AddrPort
}

func (s *Subject) listeners() (all []listener) {
	for _, a := range s.Bind {
		all = append(all, listener{"port", "tcp", netip.AddrPortFrom(a, uint16(s.Port))})
	}
	for _, a := range s.Bind {
		all = append(all, listener{"rtc.udp_port", "udp", netip.AddrPortFrom(a, uint16(s.UDPPort))})
	}
	if s.Metrics.IsValid() {
		all = append(all, listener{"prometheus.port", "tcp", s.Metrics})
	}
	if host, port, err := net.SplitHostPort(s.Homeserver.ProxyListen); err == nil {
		a, err := netip.ParseAddr(host)
		if n, bad := strconv.ParseUint(port, 10, 16); bad == nil && (err == nil || host == "") {
			if host == "" {
				a = netip.IPv6Unspecified()
			}
			all = append(all, listener{"homeserver.proxy_listen", "tcp", netip.AddrPortFrom(a, uint16(n))})
		}
	}
	return all
}

func confPolicy(_ context.Context, s *Subject, _ *Probe) []Row {
	if s.PublishAny {
		return bad(Warn, "users of every homeserver may open sessions and send media here", "policy.publish: any",
			"policy: {publish: own}   # others still receive; lend_publish: true lets them send in calls of your users")
	}
	if s.Homeserver.ServerName != "" && s.Homeserver.Registration == nil {
		return bad(Warn, "nobody's membership is known: whoever has an account gets a token, and keeps it when banned", "homeserver.registration_file is not set",
			"homeserver:\n  registration_file: /etc/weir/registration.yaml\n# then: weir registration --config "+s.File+" --write && weir advise synapse --config "+s.File)
	}
	return pass("own users open sessions; others as the rules say")
}

func confAdvertise(_ context.Context, s *Subject, p *Probe) []Row {
	offered, err := s.offered(p)
	if err != nil || len(offered) == 0 {
		return bad(Fail, "there is no address to offer for media", fmt.Sprint(err), "rtc: {advertise: [203.0.113.7]}   # the address at which clients reach this machine")
	}
	u, _ := url.Parse(s.PublicURL)
	if slices.ContainsFunc(offered, reachable) || u == nil || local(u.Hostname()) {
		return pass("media is offered at %s, UDP port %d", list(offered), s.UDPPort)
	}
	return bad(Warn, "only addresses of a local network are offered for media: clients elsewhere wait for media in vain", list(offered),
		"rtc: {advertise: [203.0.113.7]}   # the public address of this network, and forward UDP port "+strconv.Itoa(s.UDPPort)+" to this machine")
}

// offered are the addresses that clients are told, by the rules of serve.
func (s *Subject) offered(p *Probe) ([]netip.Addr, error) {
	if len(s.Advertise) > 0 {
		return s.Advertise, nil
	}
	if len(s.Bind) == 1 && !s.Bind[0].IsUnspecified() {
		return s.Bind, nil
	}
	all, err := p.Net.Addresses()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); !a.IsLoopback() && a.IsGlobalUnicast() && !(a.Is6() && a.IsPrivate()) {
			out = append(out, a)
		}
	}
	return out, nil
}

// reachable says whether an address can be reached from anywhere.
func reachable(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !netip.MustParsePrefix("100.64.0.0/10").Contains(a)
}

func list[T fmt.Stringer](all []T) string {
	var b []string
	for _, a := range all {
		b = append(b, a.String())
	}
	return strings.Join(b, ", ")
}
