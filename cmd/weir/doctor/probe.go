package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"weir/signalling/matrix"
)

// Here is the world as it is from this machine. n, where it is set, stands in for names and connections.
func Here(find Finder, own *x509.CertPool, n matrix.Network) Probe {
	return Probe{
		Web: web{own: own, net: n}, Host: machine{}, Net: network{n}, Mirror: stun{}, Find: find, Files: disk{}, Now: time.Now,
	}
}

type disk struct{}

func (disk) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// web is an HTTP client that follows no redirect and keeps no connection.
type web struct {
	own *x509.CertPool // what the homeserver's certificates are signed by, besides the system's; nil: nothing
	net matrix.Network
}

// maxBody bounds what is read of an answer.
const maxBody = 64 << 10

func (w web) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.net.Dial == nil {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = w.net.Names.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	var failed error
	for _, a := range addrs {
		conn, err := w.net.Dial(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// Ask implements Web.
func (w web) Ask(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	t := &http.Transport{DialContext: w.dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if r.Own || w.net.Dial != nil {
		t.TLSClientConfig.RootCAs = w.own
	}
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return Answer{}, err
	}
	for k, v := range r.Header {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
}

// Chain implements Web.
func (w web) Chain(ctx context.Context, address, name string) ([]*x509.Certificate, error) {
	conn, err := w.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// Nothing is sent or believed on this connection: it is there to see the certificate, whatever it is.
	t := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return t.ConnectionState().PeerCertificates, nil
}

// network is this machine's.
type network struct{ n matrix.Network }

// Lookup implements Network.
func (n network) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if n.n.Names != nil {
		return n.n.Names.LookupNetIP(ctx, "ip", host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Addresses implements Network.
func (network) Addresses() (out []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out, err
}

// Listen implements Network.
func (network) Listen(ctx context.Context, kind string, at netip.AddrPort) error {
	var lc net.ListenConfig
	var c io.Closer
	var err error
	if kind == "udp" {
		c, err = lc.ListenPacket(ctx, "udp", at.String())
	} else {
		c, err = lc.Listen(ctx, "tcp", at.String())
	}
	if err != nil {
		return err
	}
	return c.Close()
}

// stun asks reflectors from one port (RFC 8489).
type stun struct{}

// The numbers of RFC 8489: a binding request, its answer, the cookie, and the attribute XOR-MAPPED-ADDRESS.
const (
	stunRequest = 0x0001
	stunAnswer  = 0x0101
	stunCookie  = 0x2112a442
	stunMapped  = 0x0020
)

// Reflect implements Mirror. Each reflector is asked three times, half a second apart: datagrams get lost.
func (stun) Reflect(ctx context.Context, servers []netip.AddrPort) (seen []netip.AddrPort, err error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, server := range servers {
		at, err := reflect(ctx, conn, server)
		if err != nil {
			return seen, fmt.Errorf("%s: %w", server, err)
		}
		seen = append(seen, at)
	}
	return seen, nil
}

func reflect(ctx context.Context, conn *net.UDPConn, server netip.AddrPort) (netip.AddrPort, error) {
	request := make([]byte, 20)
	binary.BigEndian.PutUint16(request, stunRequest)
	binary.BigEndian.PutUint32(request[4:], stunCookie)
	_, _ = rand.Read(request[8:])
	buffer := make([]byte, 1500)
	for range 3 {
		if _, err := conn.WriteToUDPAddrPort(request, server); err != nil {
			return netip.AddrPort{}, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return netip.AddrPort{}, err
		}
		for ctx.Err() == nil {
			n, _, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				break // the next try
			}
			if at, ok := mapped(buffer[:n], [12]byte(request[8:20])); ok {
				return at, nil
			}
		}
	}
	return netip.AddrPort{}, errors.New("no answer")
}

// mapped reads the address from the answer to a binding request (RFC 8489 sections 5 and 14.2).
func mapped(b []byte, transaction [12]byte) (netip.AddrPort, bool) {
	if len(b) < 20 || binary.BigEndian.Uint16(b) != stunAnswer || binary.BigEndian.Uint32(b[4:]) != stunCookie || [12]byte(b[8:20]) != transaction {
		return netip.AddrPort{}, false
	}
	key := b[4:20] // the cookie, and behind it the transaction: what the address is masked with
	for a := b[20:]; len(a) >= 4; {
		kind, size := binary.BigEndian.Uint16(a), int(binary.BigEndian.Uint16(a[2:]))
		if len(a) < 4+size {
			break
		}
		if v := a[4 : 4+size]; kind == stunMapped && (size == 8 && v[1] == 1 || size == 20 && v[1] == 2) {
			raw := make([]byte, size-4)
			for i := range raw {
				raw[i] = v[4+i] ^ key[i]
			}
			ip, _ := netip.AddrFromSlice(raw)
			return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(v[2:])^(stunCookie>>16)), true
		}
		a = a[min(len(a), 4+(size+3)&^3):]
	}
	return netip.AddrPort{}, false
}
