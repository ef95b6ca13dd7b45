package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/signalling/matrix"
	"weir/signalling/matrixtest"
)

// clinic is a focus in good health, with a homeserver and a small internet around it: every check passes.
type clinic struct {
	s     Subject
	p     Probe
	world *matrixtest.World
	home  *matrixtest.Homeserver // the homeserver's client API
	front *matrixtest.Homeserver // what answers at public_url
	site  *matrixtest.Homeserver // the web server of the server name, and the federation API
	host  *fakeHost
	net   *fakeNet
	files fakeFiles
}

const (
	service    = "https://rtc.example.org"
	versions   = "/_matrix/client/versions"
	transports = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
	wellKnown  = "/.well-known/matrix/client"
	userinfo   = "/_matrix/federation/v1/openid/userinfo"
	whoami     = "/_matrix/client/v3/account/whoami"
	isJoined   = "/_matrix/client/unstable/io.element.msc4502/rooms/!weir-doctor:example.org/is_joined"
	passedOn   = "/_matrix/client/v1/rtc/livekit/get_token"
	fedProxy   = "/_matrix/client/unstable/io.element.msc4512/appservice/fed_proxy"

	unrecognised = `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`
	badJSON      = `{"errcode":"M_BAD_JSON","error":"missing"}`
)

func healthy(t *testing.T) *clinic {
	t.Helper()
	w := matrixtest.NewWorld()
	c := &clinic{world: w, home: matrixtest.New(t, "hs.example.org"), front: matrixtest.New(t, "rtc.example.org"), site: matrixtest.New(t, "example.org"), files: fakeFiles{}}
	for name, at := range map[string]struct {
		addr string
		hs   *matrixtest.Homeserver
	}{"hs.example.org": {"203.0.113.3", c.home}, "rtc.example.org": {"203.0.113.7", c.front}, "example.org": {"203.0.113.1", c.site}, "far.example": {"203.0.113.9", nil}} {
		w.Name(name, at.addr)
		if at.hs != nil {
			w.Route(at.addr+":443", at.hs)
		}
	}
	ok := func(h *matrixtest.Homeserver, path, body string) { h.Always(path, matrixtest.Answer(200, body)) }
	ok(c.home, versions, `{"versions":["v1.11"],"unstable_features":{"org.matrix.msc4140":true,"org.matrix.msc4143":true,"org.matrix.msc4354":true}}`)
	ok(c.home, transports, `{"rtc_transports":[{"type":"other"},{"type":"livekit","livekit_service_url":"`+service+`"}]}`)
	ok(c.home, whoami, `{"user_id":"@_weir:example.org"}`)
	ok(c.home, isJoined, `{"joined":false}`)
	c.home.Always(passedOn, matrixtest.Answer(400, badJSON))
	c.home.Always(fedProxy, matrixtest.Answer(400, `{"errcode":"M_MISSING_PARAM","error":"Missing or invalid destination"}`))
	for _, door := range []string{"/sfu/get", "/get_token"} {
		c.front.Always(door, with(400, badJSON, "Access-Control-Allow-Origin", "*"))
	}
	c.front.Always("/rtc/v1", matrixtest.Answer(401, "invalid authorization token"))
	c.site.Always(wellKnown, with(200, `{"org.matrix.msc4143.rtc_foci":[{"type":"livekit","livekit_service_url":"`+service+`"}]}`, "Access-Control-Allow-Origin", "*"))

	reg, err := matrix.NewRegistration(matrix.Assert, "example.org", "http://127.0.0.1:7883")
	if err != nil {
		t.Fatal(err)
	}
	hs := matrix.Config{
		ServerName: "example.org", URL: "https://hs.example.org", InternalURL: "https://hs.example.org", CAFile: matrixtest.Certificates(t, c.home, c.front, c.site),
		RegistrationFile: "/etc/weir/registration.yaml", ProxyListen: "127.0.0.1:7883", Registration: &reg,
	}
	roots, err := hs.Roots()
	if err != nil {
		t.Fatal(err)
	}
	network := matrix.Network{Names: w, Dial: w.Dial}
	find, err := matrix.NewVerifier(hs, network)
	if err != nil {
		t.Fatal(err)
	}
	public := netip.MustParseAddr("203.0.113.7")
	c.s = Subject{
		File: "/etc/weir/weir.yaml", PublicURL: service, Bind: []netip.Addr{netip.IPv6Unspecified()}, Port: 7880, UDPPort: 7882,
		Metrics: netip.MustParseAddrPort("127.0.0.1:6789"), Secrets: []string{"/etc/weir/registration.yaml", "/nowhere"}, Homeserver: hs,
	}
	c.host = &fakeHost{files: 1 << 20, buffer: 16 << 20}
	c.net = &fakeNet{world: w, here: []netip.Addr{netip.MustParseAddr("127.0.0.1"), public}, taken: map[string]error{}}
	c.files["/etc/weir/registration.yaml"] = 0o600
	c.p = Here(find, roots, network)
	c.p.Host, c.p.Net, c.p.Files, c.p.Roots = c.host, c.net, c.files, roots
	return c
}

func with(status int, body string, header ...string) matrixtest.Step {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		matrixtest.Answer(status, body)(w, r)
	}
}

type fakeHost struct {
	files   uint64
	buffer  int
	missing []string
}

func (h *fakeHost) OpenFiles() (uint64, error)          { return h.files, nil }
func (h *fakeHost) ReceiveBuffer(want int) (int, error) { return min(h.buffer, want), nil }
func (h *fakeHost) Kernel() []string                    { return h.missing }

type fakeNet struct {
	world *matrixtest.World
	here  []netip.Addr
	taken map[string]error // by network and port
}

func (n *fakeNet) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return n.world.LookupNetIP(ctx, "ip", host)
}
func (n *fakeNet) Addresses() ([]netip.Addr, error) { return n.here, nil }
func (n *fakeNet) Listen(_ context.Context, network string, at netip.AddrPort) error {
	if err := n.taken[fmt.Sprintf("%s %d", network, at.Port())]; err != nil {
		return &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return nil
}

type fakeMirror []netip.AddrPort

func (m fakeMirror) Reflect(context.Context, []netip.AddrPort) ([]netip.AddrPort, error) {
	if m == nil {
		return nil, errors.New("no answer")
	}
	return m, nil
}

// fakeFiles are modes by name.
type fakeFiles map[string]fs.FileMode

func (f fakeFiles) Stat(name string) (fs.FileInfo, error) {
	mode, ok := f[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return fileMode(mode), nil
}

type fileMode fs.FileMode

func (m fileMode) Mode() fs.FileMode { return fs.FileMode(m) }
func (fileMode) Name() string        { return "" }
func (fileMode) Size() int64         { return 0 }
func (fileMode) ModTime() time.Time  { return time.Time{} }
func (fileMode) IsDir() bool         { return false }
func (fileMode) Sys() any            { return nil }

// certified shows other certificates than the server has.
type certified struct {
	Web
	chain []*x509.Certificate
}

func (c certified) Chain(context.Context, string, string) ([]*x509.Certificate, error) {
	return c.chain, nil
}

// issue makes an authority, one below it, and a certificate signed by that.
func issue(t *testing.T, name string, from, until time.Time) (leaf, middle, root *x509.Certificate) {
	t.Helper()
	sign := func(n int64, name string, ca bool, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until, IsCA: ca, BasicConstraintsValid: ca,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		if ca {
			c.KeyUsage = x509.KeyUsageCertSign
		} else {
			c.DNSNames = []string{name}
		}
		if parent == nil {
			parent, by = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made, key
	}
	root, rootKey := sign(1, "root", true, nil, nil)
	middle, middleKey := sign(2, "middle", true, root, rootKey)
	leaf, _ = sign(3, name, false, middle, middleKey)
	return leaf, middle, root
}

// certify makes the front show a certificate for name that lives from..until days from now; whole: with its chain.
func (c *clinic) certify(t *testing.T, name string, from, until int, whole bool) {
	now := time.Now()
	leaf, middle, root := issue(t, name, now.AddDate(0, 0, from), now.AddDate(0, 0, until).Add(time.Minute))
	chain := []*x509.Certificate{leaf}
	if whole {
		chain = append(chain, middle)
	}
	c.p.Roots = x509.NewCertPool()
	c.p.Roots.AddCert(root)
	c.p.Web = certified{c.p.Web, chain}
}

func show(rows []Row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s %s: %s [%s] {%s}\n", r.Status, r.ID, r.Summary, r.Evidence, r.Remedy)
	}
	return b.String()
}

func TestHealthy(t *testing.T) {
	c := healthy(t)
	c.certify(t, "rtc.example.org", -1, 60, true)
	c.s.STUN = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:3478"), netip.MustParseAddrPort("192.0.2.2:3478")}
	at := netip.MustParseAddrPort("203.0.113.7:7882")
	c.p.Mirror = fakeMirror{at, at}
	rows := Run(t.Context(), c.s, c.p)
	for _, r := range rows {
		if r.Status != Pass && r.ID != "fed.resolve" {
			t.Errorf("%+v", r)
		}
	}
	if len(rows) != len(checks) || Failed(rows, true) {
		t.Errorf("%d rows of %d checks\n%s", len(rows), len(checks), show(rows))
	}
}

// fault is one thing that is wrong, and what must be said of it.
type fault struct {
	name   string
	seed   func(t *testing.T, c *clinic)
	id     string
	status Status
	says   string // in summary or evidence
	remedy string
}

func faults() []fault {
	answer := matrixtest.Answer
	set := func(change func(c *clinic)) func(*testing.T, *clinic) {
		return func(_ *testing.T, c *clinic) { change(c) }
	}
	addr := netip.MustParseAddr
	return []fault{
		{"unknown key", set(func(c *clinic) { c.s.Faults = []string{"weir.yaml:1:1: prot: unknown key; did you mean port?"} }), "conf.parse", Fail, "did you mean port?", "weir config check /etc/weir/weir.yaml"},
		{"secret open to all", set(func(c *clinic) { c.files["/etc/weir/registration.yaml"] = 0o644 }), "conf.secrets", Fail, "mode 0644", "chmod 0600 /etc/weir/registration.yaml"},
		{"no https", set(func(c *clinic) { c.s.PublicURL = "http://rtc.example.org" }), "conf.urls", Fail, "browsers", "public_url: https://rtc.example.org"},
		{"two listeners on one port", set(func(c *clinic) { c.s.Homeserver.ProxyListen = "127.0.0.1:7880" }), "conf.ports", Fail, "7880", "Give homeserver.proxy_listen another port."},
		{"anybody publishes", set(func(c *clinic) { c.s.PublishAny = true }), "conf.policy", Warn, "every homeserver", "policy: {publish: own}"},
		{"a second homeserver", set(func(c *clinic) { c.s.Others = []string{"two.example"} }), "conf.homeservers", Warn, "not looked at: two.example", "--for two.example"},
		{"no registration", set(func(c *clinic) { c.s.Homeserver.Registration = nil }), "conf.policy", Warn, "nobody's membership is known", "weir registration --config /etc/weir/weir.yaml --write"},
		{"private addresses only", set(func(c *clinic) { c.net.here = []netip.Addr{addr("10.0.0.5")} }), "conf.advertise", Warn, "10.0.0.5", "forward UDP port 7882"},
		{"small buffers", set(func(c *clinic) { c.host.buffer = 425984 }), "host.udpbuf", Warn, "425984", "net.core.rmem_max = 16777216"},
		{"few files", set(func(c *clinic) { c.host.files = 1024 }), "host.limits", Warn, "1024", "LimitNOFILE=1048576"},
		{"no offload", set(func(c *clinic) { c.host.missing = []string{"UDP_SEGMENT (GSO)"} }), "host.kernel", Warn, "UDP_SEGMENT", "--network host"},
		{"port taken", set(func(c *clinic) { c.net.taken["tcp 7880"] = syscall.EADDRINUSE }), "net.bind", Fail, "address already in use", "ss -lptn 'sport = :7880'"},
		{"media port taken", set(func(c *clinic) { c.net.taken["udp 7882"] = syscall.EADDRINUSE }), "net.bind", Fail, "rtc.udp_port", "ss -lpun 'sport = :7882'"},
		{"low port", set(func(c *clinic) { c.s.Port, c.net.taken["tcp 443"] = 443, syscall.EACCES }), "net.bind", Fail, "permission denied", "CAP_NET_BIND_SERVICE"},
		{"no such address here", set(func(c *clinic) { c.net.taken["tcp 7883"] = syscall.EADDRNOTAVAIL }), "net.bind", Fail, "proxy_listen", "ip -br addr"},
		{"no DNS", set(func(c *clinic) { c.s.PublicURL = "https://rtc2.example.org" }), "net.address", Fail, "no such host", "rtc2.example.org. IN A"},
		{"stale address", set(func(c *clinic) {
			c.s.Advertise, c.s.STUN = []netip.Addr{addr("198.51.100.1")}, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:3478")}
			c.p.Mirror = fakeMirror{netip.MustParseAddrPort("203.0.113.7:7882")}
		}), "net.address", Fail, "198.51.100.1 is offered", "advertise: [203.0.113.7]"},
		{"address of nobody", set(func(c *clinic) { c.s.Advertise = []netip.Addr{addr("198.51.100.1")} }), "net.address", Warn, "198.51.100.1", "--stun"},
		{"symmetric NAT", set(func(c *clinic) {
			c.s.STUN = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:3478"), netip.MustParseAddrPort("192.0.2.2:3478")}
			c.p.Mirror = fakeMirror{netip.MustParseAddrPort("203.0.113.7:1024"), netip.MustParseAddrPort("203.0.113.7:1025")}
		}), "net.nat", Fail, "symmetric", "Forward UDP port 7882"},
		{"UDP blocked", set(func(c *clinic) {
			c.s.STUN = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:3478"), netip.MustParseAddrPort("192.0.2.2:3478")}
			c.p.Mirror = fakeMirror(nil)
		}), "net.nat", Warn, "no answer", "Open UDP"},
		{"local IPv6", set(func(c *clinic) {
			c.s.Advertise = []netip.Addr{addr("203.0.113.7"), addr("fd00::7")}
			c.net.here = append(c.net.here, addr("fd00::7"))
		}), "net.v6", Fail, "fd00::7", "ip -6 -br addr show scope global"},
		{"AAAA without IPv6", set(func(c *clinic) { c.world.Name("rtc.example.org", "2001:db8::7") }), "net.v6", Warn, "AAAA", "advertise"},
		{"no TLS", func(_ *testing.T, c *clinic) { c.s.PublicURL = "https://far.example" }, "tls.cert", Fail, "far.example:443", "curl -v https://far.example/healthz"},
		{"certificate expired", func(t *testing.T, c *clinic) { c.certify(t, "rtc.example.org", -90, -1, true) }, "tls.cert", Fail, "expired", "certbot renew"},
		{"certificate to come", func(t *testing.T, c *clinic) { c.certify(t, "rtc.example.org", 1, 90, true) }, "tls.cert", Fail, "not good yet", "timedatectl"},
		{"certificate of another", func(t *testing.T, c *clinic) { c.certify(t, "www.example.org", -1, 60, true) }, "tls.cert", Fail, "www.example.org", "certbot certonly -d rtc.example.org"},
		{"half a chain", func(t *testing.T, c *clinic) { c.certify(t, "rtc.example.org", -1, 60, false) }, "tls.cert", Fail, "signed it", "fullchain.pem"},
		{"unknown authority", func(t *testing.T, c *clinic) {
			c.certify(t, "rtc.example.org", -1, 60, true)
			c.p.Roots = x509.NewCertPool()
		}, "tls.cert", Fail, "nobody that clients know", "certbot certonly"},
		{"certificate ends in days", func(t *testing.T, c *clinic) { c.certify(t, "rtc.example.org", -80, 5, true) }, "tls.cert", Fail, "5 days", "certbot renew"},
		{"certificate ends in weeks", func(t *testing.T, c *clinic) { c.certify(t, "rtc.example.org", -80, 15, true) }, "tls.cert", Warn, "15 days", "certbot renew"},
		{"proxy leads elsewhere", set(func(c *clinic) { c.front.Always("/sfu/get", answer(404, "<html>nginx</html>")) }), "proxy.paths", Fail, "<html>nginx</html>", "weir advise nginx"},
		{"a door is left out", set(func(c *clinic) { c.front.Always("/get_token", answer(502, "Bad Gateway")) }), "proxy.paths", Fail, "/get_token", "weir advise nginx"},
		{"two CORS headers", set(func(c *clinic) {
			c.front.Always("/sfu/get", with(400, badJSON, "Access-Control-Allow-Origin", "*", "Access-Control-Allow-Origin", "*"))
		}), "proxy.paths", Fail, "two Access-Control-Allow-Origin", "add_header Access-Control-Allow-Origin"},
		{"no CORS header", set(func(c *clinic) { c.front.Always("/sfu/get", answer(400, badJSON)) }), "proxy.paths", Fail, "drops", "proxy_hide_header"},
		{"no WebSocket", set(func(c *clinic) { c.front.Always("/rtc/v1", answer(400, "Bad Request")) }), "proxy.ws", Fail, "Bad Request", "Upgrade"},
		{"homeserver down", set(func(c *clinic) { c.s.Homeserver.InternalURL = "https://hs.example.org:8009" }), "hs.reach", Fail, "connection refused", "ss -ltn"},
		{"homeserver unknown", set(func(c *clinic) { c.s.Homeserver.InternalURL = "https://nowhere.example" }), "hs.reach", Fail, "no such host", "getent hosts nowhere.example"},
		{"private authority", set(func(c *clinic) {
			c.s.Homeserver.CAFile = ""
			c.p.Web = web{own: x509.NewCertPool(), net: matrix.Network{Names: c.world, Dial: c.world.Dial}}
		}), "hs.reach", Fail, "unknown authority", "ca_file: /etc/weir/ca.pem"},
		{"certificate of another homeserver", set(func(c *clinic) {
			c.world.Name("hs2.example.org", "203.0.113.3")
			c.s.Homeserver.InternalURL = "https://hs2.example.org"
		}), "hs.reach", Fail, "hs2.example.org", "subjectAltName"},
		{"TLS where there is none", set(func(c *clinic) { c.p.Web = plainHTTP{c.p.Web} }), "hs.reach", Fail, "HTTP response", "internal_url: http://hs.example.org:443"},
		{"no homeserver there", set(func(c *clinic) { c.home.Always(versions, answer(200, "<html>It works!</html>")) }), "hs.reach", Fail, "It works!", "internal_url"},
		{"clock ahead", set(func(c *clinic) { c.p.Now = func() time.Time { return time.Now().Add(time.Hour) } }), "host.clock", Fail, "this one is 1h0m", "timedatectl set-ntp true"},
		{"no delayed events", set(func(c *clinic) {
			c.home.Always(versions, answer(200, `{"unstable_features":{"org.matrix.msc4143":true,"org.matrix.msc4354":true,"org.matrix.msc4140":false}}`))
		}), "hs.versions", Fail, "MSC4140", "max_event_delay_duration: 24h"},
		{"no sticky events", set(func(c *clinic) {
			c.home.Always(versions, answer(200, `{"unstable_features":{"org.matrix.msc4140":true,"org.matrix.msc4143.stable":true}}`))
		}), "hs.versions", Warn, "matrix_2_0", "msc4354_enabled: true"},
		{"no transports", set(func(c *clinic) {
			c.home.Always(versions, answer(200, `{"unstable_features":{"org.matrix.msc4140":true,"org.matrix.msc4354":true}}`))
		}), "hs.versions", Fail, "MSC4143", "msc4143_enabled: true"},
		{"no OpenID", set(func(c *clinic) { c.home.Always(userinfo, answer(404, unrecognised)) }), "hs.openid", Fail, "every join fails", "names: [client, openid]"},
		{"a password before OpenID", set(func(c *clinic) { c.home.Always(userinfo, answer(401, "<html>password</html>")) }), "hs.openid", Fail, "password", "internal_url: http://127.0.0.1:8008"},
		{"no OpenID over federation", set(func(c *clinic) {
			c.s.Homeserver.InternalURL = ""
			c.p.Find = finder{404, []string{"port 8448 of example.org"}}
		}), "hs.openid", Fail, "port 8448 of example.org", "names: [client, openid]"},
		{"federation port closed", set(func(c *clinic) {
			c.s.Homeserver.InternalURL = ""
			c.p.Find = finder{0, []string{"no well-known: there is none", "port 8448 of example.org"}}
		}), "hs.openid", Fail, "no well-known", "internal_url: http://127.0.0.1:8008"},
		{"registration not loaded", set(func(c *clinic) { c.home.Always(whoami, answer(401, `{"errcode":"M_UNKNOWN_TOKEN","error":"?"}`)) }), "hs.as", Fail, "M_UNKNOWN_TOKEN", "app_service_config_files: [/etc/weir/registration.yaml]"},
		{"registration of another server", set(func(c *clinic) { c.home.Always(whoami, answer(200, `{"user_id":"@_weir:example.net"}`)) }), "hs.as", Fail, "@_weir:example.net", "server_name"},
		{"no scope", set(func(c *clinic) {
			c.home.Always(isJoined, answer(403, `{"errcode":"M_FORBIDDEN","error":"Missing scope"}`))
		}), "hs.as", Fail, "Missing scope", "io.element.msc4502.scopes"},
		{"no is_joined", set(func(c *clinic) { c.home.Always(isJoined, answer(404, unrecognised)) }), "hs.as", Fail, "MSC4502", "msc4502_enabled: true"},
		{"not passed on", set(func(c *clinic) { c.home.Always(passedOn, answer(404, unrecognised)) }), "hs.as", Warn, "does not pass requests on", "msc4512_enabled: true"},
		{"passed on into the void", set(func(c *clinic) {
			c.home.Always(passedOn, answer(502, `{"errcode":"M_UNKNOWN","error":"connection refused"}`))
		}), "hs.as", Fail, "connection refused", "curl -i http://127.0.0.1:7883/livez"},
		{"passed on without the token", set(func(c *clinic) { c.home.Always(passedOn, answer(401, `{"errcode":"M_MISSING_TOKEN","error":"x"}`)) }), "hs.as", Fail, "without its token", "proxy_auth: header_only"},
		{"passed on with another token", set(func(c *clinic) { c.home.Always(passedOn, answer(401, `{"errcode":"M_UNKNOWN_TOKEN","error":"x"}`)) }), "hs.as", Fail, "hs_token differs", "Copy /etc/weir/registration.yaml"},
		{"a forged header is believed", set(func(c *clinic) { c.front.Always(passedOn, answer(400, badJSON)) }), "hs.as", Fail, "pass for any user", "proxy_auth: hs_token"},
		{"no fed_proxy", set(func(c *clinic) { c.home.Always(fedProxy, answer(404, unrecognised)) }), "hs.as", Warn, "fed_proxy", "msc4512_enabled: true"},
		{"the empty list", set(func(c *clinic) { c.home.Always(transports, answer(200, `{}`)) }), "disc.transports", Fail, "trap", `livekit_service_url: "https://rtc.example.org"`},
		{"transports off", set(func(c *clinic) { c.home.Always(transports, answer(404, unrecognised)) }), "disc.transports", Fail, "MISSING_MATRIX_RTC_TRANSPORT", "msc4143_enabled: true"},
		{"a slash too many", set(func(c *clinic) {
			c.home.Always(transports, answer(200, `{"rtc_transports":[{"type":"livekit","livekit_service_url":"https://rtc.example.org/"}]}`))
		}), "disc.transports", Fail, "byte by byte", `livekit_service_url: "https://rtc.example.org"`},
		{"another focus", set(func(c *clinic) {
			c.home.Always(transports, answer(200, `{"rtc_transports":[{"type":"livekit","livekit_service_url":"https://old.example.org"}]}`))
		}), "disc.transports", Fail, "another focus", "matrix_rtc:"},
		{"the form of the MSC only", set(func(c *clinic) { c.home.Always(transports, answer(200, `{"rtc_transports":[{"type":"livekit"}]}`)) }), "disc.transports", Fail, "no client of today", "livekit_service_url"},
		{"no well-known", set(func(c *clinic) { c.site.Always(wellKnown, nil) }), "disc.wellknown", Warn, "status 404", "weir advise wellknown"},
		{"well-known of another focus", set(func(c *clinic) { c.site.Always(wellKnown, answer(200, `{"m.homeserver":{}}`)) }), "disc.wellknown", Warn, "no org.matrix.msc4143.rtc_foci", "weir advise wellknown"},
		{"well-known without CORS", set(func(c *clinic) {
			c.site.Always(wellKnown, answer(200, `{"org.matrix.msc4143.rtc_foci":[{"type":"livekit","livekit_service_url":"https://rtc.example.org"}]}`))
		}), "disc.wellknown", Warn, "may not read", "add_header Access-Control-Allow-Origin *"},
		{"a remote server without federation", set(func(c *clinic) { c.s.Server = "far.example" }), "fed.resolve", Fail, "far.example is not reached", "/.well-known/matrix/server"},
	}
}

// plainHTTP is what a client with TLS hears from a server without.
type plainHTTP struct{ Web }

func (p plainHTTP) Ask(ctx context.Context, r Request) (Answer, error) {
	if strings.HasPrefix(r.URL, "https://hs.example.org") {
		return Answer{}, errors.New("http: server gave HTTP response to HTTPS client")
	}
	return p.Web.Ask(ctx, r)
}

type finder struct {
	status int
	steps  []string
}

func (f finder) Inspect(context.Context, string) (int, []string, error) {
	if f.status == 0 {
		return 0, f.steps, errors.New("connection refused")
	}
	return f.status, f.steps, nil
}

// Each fault is found by the check that is meant for it, and its remedy names the fix.
func TestFaults(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			c := healthy(t)
			c.p.Web = certified{c.p.Web, nil} // unless the fault is about it, the certificate is no matter
			if f.id != "tls.cert" || f.name == "no TLS" {
				c.p.Web = c.p.Web.(certified).Web
			}
			f.seed(t, c)
			rows := Run(t.Context(), c.s, c.p)
			i := slices.IndexFunc(rows, func(r Row) bool { return r.ID == f.id && r.Status == f.status })
			if i < 0 {
				t.Fatalf("not found:\n%s", show(rows))
			}
			if r := rows[i]; !strings.Contains(r.Summary+" "+r.Evidence, f.says) || !strings.Contains(r.Remedy, f.remedy) || r.From == "" {
				t.Errorf("%+v", r)
			}
			if !Failed(rows, true) {
				t.Error("a fault, and the exit status is good")
			}
			for _, r := range rows {
				if (r.Status == Warn || r.Status == Fail) && (r.Remedy == "" || r.Evidence == "") {
					t.Errorf("%+v: what to do?", r)
				}
				if reg := c.s.Homeserver.Registration; reg != nil && strings.Contains(fmt.Sprint(r), reg.ASToken) {
					t.Errorf("%s shows a token", r.ID)
				}
			}
		})
	}
	if n := len(faults()); n < 20 {
		t.Errorf("%d faults", n)
	}
}

// Every check has a fault that it finds.
func TestEveryCheckHasAFault(t *testing.T) {
	for _, c := range checks {
		if !slices.ContainsFunc(faults(), func(f fault) bool { return f.id == c.id }) {
			t.Errorf("%s", c.id)
		}
	}
}

func TestOfflineAsksNobody(t *testing.T) {
	c := healthy(t)
	c.s.Offline = true
	c.p.Web, c.p.Find, c.p.Mirror, c.p.Host = nil, nil, nil, nil
	rows := Run(t.Context(), c.s, c.p)
	if len(rows) != 7 || Failed(rows, true) || len(c.world.Dialled()) > 0 {
		t.Errorf("%s", show(rows))
	}
}

// A configuration that cannot be read is all there is to say.
func TestUnreadable(t *testing.T) {
	rows := Run(t.Context(), Subject{File: "w.yaml", Faults: []string{"a", "b"}}, Probe{})
	if len(rows) != 2 || Count(rows, Fail) != 2 {
		t.Errorf("%s", show(rows))
	}
}

// A focus that runs holds its ports by right.
func TestRunningFocusHoldsItsPorts(t *testing.T) {
	c := healthy(t)
	c.net.taken["tcp 7880"], c.net.taken["udp 7882"] = syscall.EADDRINUSE, syscall.EADDRINUSE
	c.world.Route("127.0.0.1:7880", c.front)
	c.s.TLS = true
	c.front.Always("/livez", matrixtest.Answer(200, "ok"))
	if rows := netBind(t.Context(), &c.s, &c.p); len(rows) != 1 || rows[0].Status != Pass {
		t.Errorf("%s", show(rows))
	}
}
