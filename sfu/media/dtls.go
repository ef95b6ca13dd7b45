package media

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha256" // registers the hashes that a fingerprint may name
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
	dtlselliptic "github.com/pion/dtls/v3/pkg/crypto/elliptic"
)

// Certificate is the self-signed certificate of a process; its fingerprint in the SDP is all that vouches for it.
type Certificate struct {
	tls         tls.Certificate
	fingerprint string
}

// NewCertificate makes an ECDSA P-256 key (RFC 8827 section 6.5) and signs it for a year.
func NewCertificate() (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("certificate serial: %w", err)
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "weir"},
		NotBefore:    now.Add(-24 * time.Hour), // clocks differ
		NotAfter:     now.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	sum, err := fingerprint("sha-256", der)
	if err != nil {
		return nil, err
	}
	return &Certificate{
		tls:         tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: "sha-256 " + sum,
	}, nil
}

// Fingerprint as in SDP: "sha-256 AA:BB:…".
func (c *Certificate) Fingerprint() string { return c.fingerprint }

// fingerprint is the hash of a certificate as RFC 8122 section 5 writes it. MD5 and SHA-1 vouch for nothing any more.
func fingerprint(name string, der []byte) (string, error) {
	h, ok := map[string]crypto.Hash{"sha-256": crypto.SHA256, "sha-384": crypto.SHA384, "sha-512": crypto.SHA512}[strings.ToLower(name)]
	if !ok {
		return "", fmt.Errorf("fingerprint: hash %.16q is not taken", name)
	}
	w := h.New()
	w.Write(der)
	var s strings.Builder
	for i, b := range w.Sum(nil) {
		if i > 0 {
			s.WriteByte(':')
		}
		fmt.Fprintf(&s, "%02X", b)
	}
	return s.String(), nil
}

var errFingerprint = errors.New("certificate does not match the fingerprint of the description")

// verifyFingerprint checks the far side's certificate against its description ("sha-256 AA:…").
func verifyFingerprint(want string) func([][]byte, [][]*x509.Certificate) error {
	return func(certificates [][]byte, _ [][]*x509.Certificate) error {
		name, sum, ok := strings.Cut(want, " ")
		if !ok || len(certificates) == 0 {
			return errFingerprint
		}
		got, err := fingerprint(name, certificates[0])
		if err != nil {
			return err
		}
		if !strings.EqualFold(got, strings.TrimSpace(sum)) {
			return errFingerprint
		}
		return nil
	}
}

const (
	handshakeLimit  = time.Minute // the far side may trickle its first candidate late
	flightInterval  = 100 * time.Millisecond
	dtlsQueue       = 1024 // datagrams: what the far side may send at once is the window of SCTP, 1 MiB
	dtlsMTU         = 1200
	exporterLabel   = "EXTRACTOR-dtls_srtp" // RFC 5764 section 4.2
	handshakeNobody = "0.0.0.0:0"
)

var srtpProfiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

// handshake does DTLS in the given role and gives the connection and the SRTP keys.
func handshake(ctx context.Context, conn net.PacketConn, client bool, cert *Certificate, remote string, logs quietLogs) (*dtls.Conn, *keys, error) {
	shared := []dtls.Option{
		dtls.WithCertificates(cert.tls),
		dtls.WithSRTPProtectionProfiles(srtpProfiles...), // as a server our order rules
		dtls.WithEllipticCurves(dtlselliptic.X25519, dtlselliptic.P256, dtlselliptic.P384),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret), // RFC 8827 section 6.5 by way of RFC 7627
		dtls.WithFlightInterval(flightInterval),
		dtls.WithInsecureSkipVerify(true), // self-signed: the fingerprint is the proof
		dtls.WithVerifyPeerCertificate(verifyFingerprint(remote)),
		dtls.WithMTU(dtlsMTU),
		dtls.WithLoggerFactory(logs),
	}
	var c *dtls.Conn
	var err error
	if client {
		opts := make([]dtls.ClientOption, 0, len(shared))
		for _, o := range shared {
			opts = append(opts, o)
		}
		c, err = dtls.ClientWithOptions(conn, nowhere, opts...)
	} else {
		opts := make([]dtls.ServerOption, 0, len(shared)+2)
		for _, o := range shared {
			opts = append(opts, o)
		}
		opts = append(opts, dtls.WithClientAuth(dtls.RequireAnyClientCert),
			dtls.WithInsecureSkipVerifyHello(true)) // ICE has proved the address; a cookie costs a round trip
		c, err = dtls.ServerWithOptions(conn, nowhere, opts...)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("DTLS: %w", err)
	}
	if err := c.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, nil, fmt.Errorf("DTLS handshake: %w", err)
	}
	k, err := exportKeys(c, client)
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, k, nil
}

// keys are the four protections of one association.
type keys struct {
	outRTP, outRTCP, inRTP, inRTCP *protection
	profile                        profile
}

// exportKeys reads the keying material: client key, server key, client salt, server salt (RFC 5764 section 4.2).
func exportKeys(c *dtls.Conn, client bool) (*keys, error) {
	chosen, ok := c.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, errors.New("DTLS: no SRTP profile in common")
	}
	state, ok := c.ConnectionState()
	if !ok {
		return nil, errors.New("DTLS: no connection state")
	}
	k := &keys{profile: profile(chosen)}
	nk, ns := k.profile.keyLen(), k.profile.saltLen()
	m, err := state.ExportKeyingMaterial(exporterLabel, nil, 2*(nk+ns))
	if err != nil {
		return nil, fmt.Errorf("DTLS keying material: %w", err)
	}
	clientKey, serverKey, clientSalt, serverSalt := m[:nk], m[nk:2*nk], m[2*nk:2*nk+ns], m[2*nk+ns:]
	outKey, outSalt, inKey, inSalt := serverKey, serverSalt, clientKey, clientSalt
	if client {
		outKey, outSalt, inKey, inSalt = inKey, inSalt, outKey, outSalt
	}
	if k.outRTP, k.outRTCP, err = protections(k.profile, outKey, outSalt); err != nil {
		return nil, err
	}
	k.inRTP, k.inRTCP, err = protections(k.profile, inKey, inSalt)
	return k, err
}

// nowhere stands for the far side: where DTLS goes is ICE's matter.
var nowhere = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(handshakeNobody))

// dtlsConn is the transport as DTLS sees it.
type dtlsConn struct{ t *Transport }

func (c dtlsConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := c.t.dtlsIn.pop(b)
	return n, nowhere, err
}

// WriteTo sends over the selected pair, or before there is one to the address that last proved itself.
func (c dtlsConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	to := c.t.out.addr.Load()
	if to == nil {
		to = c.t.heard.Load()
	}
	if to == nil {
		return len(b), nil // DTLS will repeat it
	}
	if err := c.t.endpoint.write(*to, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c dtlsConn) Close() error                       { c.t.dtlsIn.close(); return nil }
func (c dtlsConn) LocalAddr() net.Addr                { return nowhere }
func (c dtlsConn) SetDeadline(t time.Time) error      { c.t.dtlsIn.setDeadline(t); return nil }
func (c dtlsConn) SetReadDeadline(t time.Time) error  { c.t.dtlsIn.setDeadline(t); return nil }
func (c dtlsConn) SetWriteDeadline(_ time.Time) error { return nil } // writes do not wait
