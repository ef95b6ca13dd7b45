package media

import (
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/transport/v4"
)

const (
	disconnectedAfter = 10 * time.Second // without any STUN from the far side
	failedAfter       = 5 * time.Second  // later
	keepalive         = 2 * time.Second
	checkInterval     = 50 * time.Millisecond // Ta of RFC 8445 section 14.2
	dialInterval      = 10 * time.Millisecond // of a controlling agent, which nominates one interval after the first answer
	maxCandidates     = 64                    // that a far side may name
	stunQueue         = 32
)

// newAgent makes a pion agent whose only door is our mux.
func newAgent(t *Transport, c *muxConns) (*ice.Agent, error) {
	interval := checkInterval
	if t.cfg.Controlling {
		interval = dialInterval
	}
	a, err := ice.NewAgentWithOptions(
		ice.WithLocalCredentials(c.ufrag, c.pwd),
		ice.WithUDPMux(iceMux{t}),
		ice.WithNet(noNet{}),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithDisableActiveTCP(),
		ice.WithIncludeLoopback(),
		ice.WithDisconnectedTimeout(disconnectedAfter),
		ice.WithFailedTimeout(failedAfter),
		ice.WithKeepaliveInterval(keepalive),
		ice.WithCheckInterval(interval),
		// The first checks may be lost before the far side has our description.
		ice.WithMaxBindingRequests(uint16((disconnectedAfter+failedAfter)/interval)),
		ice.WithPrflxAcceptanceMinWait(0), // any working pair will do: all of ours share one port
		ice.WithLoggerFactory(t.endpoint.quiet),
	)
	if err != nil {
		return nil, fmt.Errorf("ICE agent: %w", err)
	}
	_ = a.OnCandidate(func(ice.Candidate) {}) // wanted by GatherCandidates; we write our candidates ourselves
	_ = a.OnConnectionStateChange(t.iceState)
	_ = a.OnSelectedCandidatePairChange(func(_, remote ice.Candidate) { t.selectedCandidate(remote) })
	return a, nil
}

const credentialAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// credential is n random ice-chars (RFC 8839 section 5.4 wants 4 for the ufrag and 22 for the password).
func credential(n int) string {
	out := make([]byte, 0, n)
	var b [64]byte
	for len(out) < n {
		_, _ = rand.Read(b[:]) // never fails since Go 1.24
		for _, c := range b {
			if c &= 63; int(c) < len(credentialAlphabet) && len(out) < n {
				out = append(out, credentialAlphabet[c])
			}
		}
	}
	return string(out)
}

// candidateLines are the values of a=candidate for host candidates at the announced addresses (RFC 8839 section 5.1).
func candidateLines(announce []netip.AddrPort) []string {
	lines := make([]string, len(announce))
	for i, a := range announce {
		// RFC 8445 section 5.1.2.1: type preference 126 for host; earlier addresses first.
		priority := uint32(126)<<24 | uint32(65535-i)<<8 | 255
		lines[i] = fmt.Sprintf("%d 1 udp %d %s %d typ host", crc32.ChecksumIEEE([]byte(a.Addr().String())), priority,
			a.Addr(), a.Port())
	}
	return lines
}

// remoteCandidate parses a candidate that a far side named; nil with no error if it is of a kind we do not use.
func remoteCandidate(line string) (ice.Candidate, error) {
	line = strings.TrimPrefix(strings.TrimSpace(line), "candidate:")
	if line == "" {
		return nil, nil // end of candidates (RFC 8838 section 8.2 by way of W3C)
	}
	f := strings.Fields(line)
	if len(f) < 8 || len(line) > 512 {
		return nil, fmt.Errorf("ICE candidate %.64q: too short or too long", line)
	}
	if !strings.EqualFold(f[2], "udp") || strings.HasSuffix(f[4], ".local") {
		return nil, nil
	}
	// A name would be looked up: only addresses are taken.
	if _, err := netip.ParseAddr(f[4]); err != nil {
		return nil, fmt.Errorf("ICE candidate: %w", err)
	}
	c, err := ice.UnmarshalCandidate(line)
	if err != nil {
		return nil, fmt.Errorf("ICE candidate: %w", err)
	}
	return c, nil
}

// muxConns are the doors of one ufrag, one for each address family that is announced.
type muxConns struct {
	transport  *Transport
	ufrag, pwd string
	v4, v6     *muxConn // nil: family not announced
}

func newMuxConns(t *Transport) *muxConns {
	c := &muxConns{transport: t, ufrag: credential(8), pwd: credential(24)}
	if t.lite != nil {
		return c // answers on the reader's goroutine: no door
	}
	for _, a := range t.endpoint.announce {
		door := &c.v6
		if a.Addr().Is4() {
			door = &c.v4
		}
		if *door == nil {
			*door = &muxConn{transport: t, local: a, in: newPacketQueue(stunQueue)}
		}
	}
	return c
}

func (c *muxConns) of(a netip.Addr) *muxConn {
	if a.Is4() {
		return c.v4
	}
	return c.v6
}

func (c *muxConns) push(from netip.AddrPort, b []byte) bool {
	door := c.of(from.Addr())
	return door != nil && door.in.push(from, b)
}

func (c *muxConns) close() {
	for _, door := range [...]*muxConn{c.v4, c.v6} {
		if door != nil {
			door.in.close()
		}
	}
}

// iceMux gives an agent the doors of its transport. The transport registers its ufrags before the agent asks, so that no
// early check is lost.
type iceMux struct{ t *Transport }

func (m iceMux) GetListenAddresses() []net.Addr {
	c := m.t.conns.Load()
	var out []net.Addr
	for _, door := range [...]*muxConn{c.v4, c.v6} {
		if door != nil {
			out = append(out, net.UDPAddrFromAddrPort(door.local))
		}
	}
	return out
}

func (m iceMux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	c := m.t.conns.Load()
	udp, ok := addr.(*net.UDPAddr)
	if !ok || c.ufrag != ufrag {
		return nil, fmt.Errorf("ICE mux: no door for %s", addr)
	}
	if door := c.of(udp.AddrPort().Addr().Unmap()); door != nil {
		return door, nil
	}
	return nil, fmt.Errorf("ICE mux: family of %s is not announced", addr)
}

// RemoveConnByUfrag is called on restart, failure and close; the doors are closed by their candidates.
func (m iceMux) RemoveConnByUfrag(ufrag string) { m.t.endpoint.retire(ufrag, m.t) }

func (m iceMux) Close() error { return nil }

// muxConn is one agent's view of the media port: what STUN comes for its ufrag, and what it sends.
type muxConn struct {
	transport *Transport
	local     netip.AddrPort
	in        *packetQueue
}

func (c *muxConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) { return c.in.pop(b) }

// WriteToAddrPort also makes the answer's way back.
func (c *muxConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	e := c.transport.endpoint
	e.bind(to, c.transport, e.Now())
	if err := e.write(to, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *muxConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.in.pop(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

func (c *muxConn) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("ICE mux: %T is not a UDP address", to)
	}
	return c.WriteToAddrPort(b, udp.AddrPort())
}

func (c *muxConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

func (c *muxConn) Close() error { c.in.close(); return nil }

func (c *muxConn) SetDeadline(t time.Time) error { c.in.setDeadline(t); return nil }

func (c *muxConn) SetReadDeadline(t time.Time) error { c.in.setDeadline(t); return nil }

func (c *muxConn) SetWriteDeadline(time.Time) error { return nil } // writes do not wait

// noNet is a network without interfaces: an agent that has one never touches the system.
type noNet struct{}

func (noNet) ListenPacket(string, string) (net.PacketConn, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) ListenUDP(string, *net.UDPAddr) (transport.UDPConn, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) ListenTCP(string, *net.TCPAddr) (transport.TCPListener, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) Dial(string, string) (net.Conn, error) { return nil, transport.ErrNotSupported }
func (noNet) DialUDP(string, *net.UDPAddr, *net.UDPAddr) (transport.UDPConn, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) DialTCP(string, *net.TCPAddr, *net.TCPAddr) (transport.TCPConn, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) ResolveIPAddr(string, string) (*net.IPAddr, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) ResolveUDPAddr(string, string) (*net.UDPAddr, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) ResolveTCPAddr(string, string) (*net.TCPAddr, error) {
	return nil, transport.ErrNotSupported
}
func (noNet) Interfaces() ([]*transport.Interface, error) { return nil, nil }
func (noNet) InterfaceByIndex(int) (*transport.Interface, error) {
	return nil, transport.ErrInterfaceNotFound
}
func (noNet) InterfaceByName(string) (*transport.Interface, error) {
	return nil, transport.ErrInterfaceNotFound
}
func (noNet) CreateDialer(*net.Dialer) transport.Dialer                   { return nil }
func (noNet) CreateListenConfig(*net.ListenConfig) transport.ListenConfig { return nil }

// quietLogs drops what pion says: it logs per packet, and what matters comes back as an error or an event.
type quietLogs struct{}

func (q quietLogs) NewLogger(string) logging.LeveledLogger { return q }

func (quietLogs) Trace(string)          {}
func (quietLogs) Tracef(string, ...any) {}
func (quietLogs) Debug(string)          {}
func (quietLogs) Debugf(string, ...any) {}
func (quietLogs) Info(string)           {}
func (quietLogs) Infof(string, ...any)  {}
func (quietLogs) Warn(string)           {}
func (quietLogs) Warnf(string, ...any)  {}
func (quietLogs) Error(string)          {}
func (quietLogs) Errorf(string, ...any) {}
