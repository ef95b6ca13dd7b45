package doctor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// Days of a certificate's life at which to worry.
const (
	soon   = 21 * 24 * time.Hour
	urgent = 7 * 24 * time.Hour
)

// tlsCert looks at the certificate as clients see it.
func tlsCert(ctx context.Context, s *Subject, p *Probe) []Row {
	u, err := url.Parse(s.PublicURL)
	if err != nil || u.Scheme != "https" {
		return skip("public_url is not https")
	}
	chain, err := p.Web.Chain(ctx, hostPort(u), u.Hostname())
	if err != nil || len(chain) == 0 {
		return bad(Fail, "no TLS server answers at public_url", fmt.Sprintf("%s: %v", hostPort(u), err),
			fmt.Sprintf("curl -v %s/healthz   # from elsewhere; then the firewall, and the proxy (weir advise caddy --config %s)", s.PublicURL, s.File))
	}
	leaf, now := chain[0], p.Now()
	left := leaf.NotAfter.Sub(now)
	renew := "Renew it: certbot renew --force-renewal   # or look at the log of what should have"
	middle := x509.NewCertPool()
	for _, c := range chain[1:] {
		middle.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: p.Roots, Intermediates: middle, CurrentTime: now})
	switch {
	case now.After(leaf.NotAfter):
		return bad(Fail, "the certificate has expired", fmt.Sprintf("it was good until %s", leaf.NotAfter.Format(time.DateTime)), renew)
	case now.Before(leaf.NotBefore):
		return bad(Fail, "the certificate is not good yet", fmt.Sprintf("from %s", leaf.NotBefore.Format(time.DateTime)), "Set the clock: timedatectl set-ntp true")
	case leaf.VerifyHostname(u.Hostname()) != nil:
		return bad(Fail, "the certificate is for another name", "it names "+strings.Join(leaf.DNSNames, ", "),
			"certbot certonly -d "+u.Hostname()+"   # then tls.cert_file, or the proxy's server_name "+u.Hostname())
	case err != nil && len(chain) == 1:
		return bad(Fail, "the certificate comes without the one that signed it: some clients refuse it", err.Error(),
			"Serve the whole chain: fullchain.pem, not cert.pem, in tls.cert_file or the proxy's ssl_certificate")
	case err != nil:
		return bad(Fail, "the certificate is signed by nobody that clients know", err.Error(), "certbot certonly -d "+u.Hostname())
	case left < urgent:
		return bad(Fail, "the certificate ends within a week", fmt.Sprintf("%d days are left", int(left.Hours()/24)), renew)
	case left < soon:
		return bad(Warn, "the certificate ends soon", fmt.Sprintf("%d days are left", int(left.Hours()/24)), renew)
	case s.TLS && stale(s.CertFile, leaf):
		return bad(Warn, "another certificate is served than the file holds", s.CertFile, "systemctl reload weir   # and look whether something else answers at "+hostPort(u))
	}
	return pass("the certificate is good for %d days", int(left.Hours()/24))
}

// stale says whether a file holds another certificate than is served.
func stale(file string, served *x509.Certificate) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(text)
	return block != nil && string(block.Bytes) != string(served.Raw)
}

// matrixError is the body of a Matrix error.
type matrixError struct {
	Code string `json:"errcode"`
	Text string `json:"error"`
}

func errcode(a Answer) string {
	var e matrixError
	_ = json.Unmarshal(a.Body, &e)
	return e.Code
}

// brief is an answer in one line.
func brief(a Answer) string {
	text := strings.Join(strings.Fields(string(a.Body)), " ")
	if len(text) > 160 {
		text = text[:160] + "…"
	}
	return fmt.Sprintf("status %d %s", a.Status, text)
}

// proxyPaths sees whether the doors are reached through public_url, and whether the headers that browsers need come once.
func proxyPaths(ctx context.Context, s *Subject, p *Probe) []Row {
	advise := "weir advise nginx --config " + s.File + "   # or caddy: the whole of public_url goes to the focus, path and all"
	for _, path := range []string{"/sfu/get", "/get_token"} {
		at := strings.TrimRight(s.PublicURL, "/") + path
		got, err := p.Web.Ask(ctx, Request{Method: "POST", URL: at, Body: "{}", Header: map[string]string{"Content-Type": "application/json", "Origin": "https://call.example.org"}})
		if err != nil {
			return bad(Fail, "the doors are not reached through public_url", fmt.Sprintf("POST %s: %v", at, plain(err)), advise)
		}
		if got.Status != 400 || errcode(got) != "M_BAD_JSON" {
			return bad(Fail, "something else answers at public_url", fmt.Sprintf("POST %s: %s", at, brief(got)), advise)
		}
		switch origins := got.Header.Values("Access-Control-Allow-Origin"); {
		case len(origins) > 1 || len(origins) == 1 && strings.Contains(origins[0], ","):
			return bad(Fail, "two Access-Control-Allow-Origin headers: browsers refuse the answer", fmt.Sprintf("POST %s: %q", at, origins),
				"Take the header out of the proxy (nginx: add_header Access-Control-Allow-Origin; Caddy: header): the focus sends it.")
		case len(origins) == 0:
			return bad(Fail, "the proxy drops Access-Control-Allow-Origin: browsers refuse the answer", "POST "+at,
				"Take out of the proxy what removes it (nginx: proxy_hide_header Access-Control-Allow-Origin).")
		}
	}
	return pass("the doors are reached through %s", s.PublicURL)
}

// proxyWebSocket asks as a client connects. Without a token the focus says 401; anything else is not the focus.
func proxyWebSocket(ctx context.Context, s *Subject, p *Probe) []Row {
	at := strings.TrimRight(s.PublicURL, "/") + "/rtc/v1"
	got, err := p.Web.Ask(ctx, Request{Method: "GET", URL: at, Header: map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "d2VpciBkb2N0b3Igd2Vpcg==",
	}})
	switch {
	case err != nil:
		return bad(Fail, "the signalling socket is not reached through public_url", fmt.Sprintf("GET %s: %v", at, plain(err)), "weir advise nginx --config "+s.File)
	case got.Status != 401:
		return bad(Fail, "something else answers where clients connect", fmt.Sprintf("GET %s: %s", at, brief(got)),
			"weir advise nginx --config "+s.File+"   # /rtc/v1 goes to the focus too, with the headers Upgrade and Connection")
	}
	return pass("the signalling socket is reached through %s", s.PublicURL)
}

// plain is an error without the URL that the HTTP client puts around it.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
