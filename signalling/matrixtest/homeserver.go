// Package matrixtest is a scriptable fake homeserver with a fake internet around it, for injecting the faults that real
// ones have: slow, wrong, huge and misdirecting answers. It is a test kit and never part of the product.
package matrixtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Userinfo is the path at which homeservers tell whose OpenID token it is.
const Userinfo = "/_matrix/federation/v1/openid/userinfo"

// WellKnown is the path of the file that delegates a server name.
const WellKnown = "/.well-known/matrix/server"

// Homeserver answers as the script says, and else as a homeserver would.
type Homeserver struct {
	server *httptest.Server
	ca     []byte // PEM

	mu     sync.Mutex // guards the rest
	tokens map[string]string
	script map[string][]Step
	always map[string]Step
	calls  map[string]int
	hosts  []string
}

// Step answers one request.
type Step func(w http.ResponseWriter, r *http.Request)

// New starts a homeserver with TLS on loopback, whose certificate is good for 127.0.0.1 and the given names.
func New(t testing.TB, names ...string) *Homeserver {
	t.Helper()
	h := &Homeserver{tokens: map[string]string{}, script: map[string][]Step{}, always: map[string]Step{}, calls: map[string]int{}}
	cert, ca := certificate(t, names)
	h.ca = ca
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what some tests are about
	h.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	h.server.StartTLS()
	t.Cleanup(h.server.Close)
	return h
}

func certificate(t testing.TB, names []string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "matrixtest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Address is where it listens, host:port.
func (h *Homeserver) Address() string { return h.server.Listener.Addr().String() }

// URL is its base URL.
func (h *Homeserver) URL() string { return h.server.URL }

// Certificates writes the certificates of homeservers into one file, for ca_file.
func Certificates(t testing.TB, hs ...*Homeserver) string {
	t.Helper()
	var all []byte
	for _, h := range hs {
		all = append(all, h.ca...)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Token makes the homeserver vouch for a user.
func (h *Homeserver) Token(token, user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[token] = user
}

// Script makes the next requests to path be answered by these steps, one each.
func (h *Homeserver) Script(path string, steps ...Step) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script[path] = append(h.script[path], steps...)
}

// Always makes every request to path be answered by this step, when its script is at its end; nil: as without.
func (h *Homeserver) Always(path string, step Step) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.always[path] = step
}

// Calls is how often path was asked for.
func (h *Homeserver) Calls(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[path]
}

// Hosts are the Host headers of all requests so far.
func (h *Homeserver) Hosts() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.hosts...)
}

func (h *Homeserver) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.calls[r.URL.Path]++
	h.hosts = append(h.hosts, r.Host)
	var step Step
	if steps := h.script[r.URL.Path]; len(steps) > 0 {
		step, h.script[r.URL.Path] = steps[0], steps[1:]
	} else {
		step = h.always[r.URL.Path]
	}
	user := h.tokens[r.URL.Query().Get("access_token")]
	h.mu.Unlock()
	switch {
	case step != nil:
		step(w, r)
	case r.URL.Path != Userinfo:
		Answer(http.StatusNotFound, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`)(w, r)
	case user == "":
		Answer(http.StatusUnauthorized, `{"errcode":"M_UNKNOWN_TOKEN","error":"Access Token unknown or expired"}`)(w, r)
	default:
		body, _ := json.Marshal(map[string]string{"sub": user})
		Answer(http.StatusOK, string(body))(w, r)
	}
}

// Answer answers with a status and a body.
func Answer(status int, body string) Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Redirect sends the caller elsewhere.
func Redirect(to string) Step {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// Huge answers with a JSON text of size bytes that would be right, were it shorter.
func Huge(size int, field, value string) Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"`+field+`":"`+value+`","padding":"`)
		block := make([]byte, 1024)
		for i := range block {
			block[i] = 'x'
		}
		for ; size > 0; size -= len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, `"}`)
	}
}

// Silent takes the request and never answers; it ends when the caller gives up, or with the test.
func Silent() Step {
	return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
}

// Hangup closes the connection without an answer.
func Hangup() Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}
