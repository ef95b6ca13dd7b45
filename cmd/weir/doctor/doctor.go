// Package doctor looks at a focus from its operator's chair: is the configuration right, can clients reach it, does the
// homeserver know it? Each check ends in words that can be pasted. What it sees of the world comes through a Probe, so
// that every fault it knows has a test.
package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"weir/signalling/matrix"
)

// Status of a Row.
type Status string

const (
	Pass Status = "pass"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip" // it could not be looked at; nothing is known to be wrong
)

// Row is one finding.
type Row struct {
	ID       string `json:"id"`   // section and name, as in operators.md section 4
	From     string `json:"from"` // where it was seen from
	Status   Status `json:"status"`
	Summary  string `json:"summary"`
	Evidence string `json:"evidence,omitempty"` // what was seen
	Remedy   string `json:"remedy,omitempty"`   // what to do, to be pasted
}

// Subject is the focus that is looked at: what its configuration says.
type Subject struct {
	File       string   // the configuration
	Faults     []string // what is wrong with it; then only what is right is here
	PublicURL  string
	Bind       []netip.Addr
	Port       int // TCP
	UDPPort    int
	Metrics    netip.AddrPort // zero: none
	Advertise  []netip.Addr   // as configured
	TLS        bool           // the focus itself, with CertFile
	CertFile   string
	Trusted    []netip.Prefix // proxies whose word on the caller's address counts
	Secrets    []string       // files that only the focus may read
	PublishAny bool
	Homeserver matrix.Config
	Others     []string // server names of further homeservers that this look leaves out, though nobody chose one

	Offline   bool
	UserToken string           // of an own user, to see what clients see
	Server    string           // another homeserver, to find as for its users
	STUN      []netip.AddrPort // reflectors on the internet
}

// Probe is what the checks see of the world.
type Probe struct {
	Web    Web
	Host   Host
	Net    Network
	Mirror Mirror
	Find   Finder
	Files  Files
	Roots  *x509.CertPool // trusted certificates; nil: the system's
	Now    func() time.Time
}

// Web asks HTTP servers.
type Web interface {
	Ask(ctx context.Context, r Request) (Answer, error)
	// Chain is what a TLS server shows, trusted or not.
	Chain(ctx context.Context, address, name string) ([]*x509.Certificate, error)
}

// Request is one request. Own means that the homeserver's own certificates are trusted.
type Request struct {
	Method, URL, Body string
	Header            map[string]string
	Own               bool
}

// Answer is one answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // its first 64 KiB
}

// Host is the machine.
type Host interface {
	// OpenFiles is how many this process may have.
	OpenFiles() (uint64, error)
	// ReceiveBuffer asks for a socket buffer of that many bytes and says what the kernel gave.
	ReceiveBuffer(want int) (int, error)
	// Kernel names the features that the media port uses and this kernel lacks.
	Kernel() (missing []string)
}

// Network is the machine's network.
type Network interface {
	Lookup(ctx context.Context, host string) ([]netip.Addr, error)
	Addresses() ([]netip.Addr, error)
	// Listen listens on an address and stops at once; network is tcp or udp.
	Listen(ctx context.Context, network string, at netip.AddrPort) error
}

// Mirror says how one local port looks from reflectors (STUN, RFC 8489), in their order.
type Mirror interface {
	Reflect(ctx context.Context, servers []netip.AddrPort) ([]netip.AddrPort, error)
}

// Finder finds homeservers as for their users; *matrix.Verifier is one.
type Finder interface {
	// Inspect asks a server whose a token is that nobody has; status 0: it was not reached.
	Inspect(ctx context.Context, server string) (status int, steps []string, err error)
}

// Files looks at files.
type Files interface {
	Stat(name string) (fs.FileInfo, error)
}

// check is one look at one thing.
type check struct {
	id      string
	offline bool // needs the configuration and this machine only
	run     func(ctx context.Context, s *Subject, p *Probe) []Row
}

// checks are all, in the order in which a fault explains what comes after it.
var checks = []check{
	{"conf.parse", true, confParse}, {"conf.secrets", true, confSecrets}, {"conf.urls", true, confURLs}, {"conf.ports", true, confPorts},
	{"conf.policy", true, confPolicy}, {"conf.advertise", true, confAdvertise}, {"conf.homeservers", true, confHomeservers},
	{"host.udpbuf", false, hostBuffer}, {"host.limits", false, hostLimits}, {"host.kernel", false, hostKernel},
	{"net.bind", false, netBind}, {"net.address", false, netAddress}, {"net.nat", false, netNAT}, {"net.v6", false, netV6},
	{"tls.cert", false, tlsCert}, {"proxy.paths", false, proxyPaths}, {"proxy.ws", false, proxyWebSocket},
	{"hs.reach", false, hsReach}, {"host.clock", false, hostClock}, {"hs.versions", false, hsVersions}, {"hs.openid", false, hsOpenID}, {"hs.as", false, hsAppservice},
	{"disc.transports", false, discTransports}, {"disc.wellknown", false, discWellKnown}, {"fed.resolve", false, fedResolve},
}

// each bounds one check: a server that never answers must not keep the rest from being looked at.
const each = 15 * time.Second

// Run makes all checks, one after the other.
func Run(ctx context.Context, s Subject, p Probe) []Row {
	var rows []Row
	for _, c := range checks {
		if s.Offline && !c.offline || c.id != "conf.parse" && s.PublicURL == "" {
			continue
		}
		one, cancel := context.WithTimeout(ctx, each)
		for _, r := range c.run(one, &s, &p) {
			if r.ID == "" {
				r.ID = c.id
			}
			r.From = "here"
			rows = append(rows, r)
		}
		cancel()
	}
	return rows
}

// Failed says whether the rows make the command fail; strict counts warnings too.
func Failed(rows []Row, strict bool) bool {
	return slices.ContainsFunc(rows, func(r Row) bool { return r.Status == Fail || strict && r.Status == Warn })
}

// Count is how many rows have a status.
func Count(rows []Row, s Status) (n int) {
	for _, r := range rows {
		if r.Status == s {
			n++
		}
	}
	return n
}

func pass(format string, args ...any) []Row {
	return []Row{{Status: Pass, Summary: fmt.Sprintf(format, args...)}}
}

func skip(format string, args ...any) []Row {
	return []Row{{Status: Skip, Summary: fmt.Sprintf(format, args...)}}
}

// bad is a row that says what was seen and what to do.
func bad(s Status, summary, evidence, remedy string) []Row {
	return []Row{{Status: s, Summary: summary, Evidence: evidence, Remedy: remedy}}
}
