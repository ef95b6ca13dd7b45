package media

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
)

// Transport is one ICE/DTLS association with its SRTP keys and data channels.
type Transport struct {
	endpoint *Endpoint
	cfg      TransportConfig
	handler  Handler
	agent    *ice.Agent      // nil: lite
	lite     *liteAgent      // nil: full
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	closed   atomic.Bool

	out    Outbound
	conns  atomic.Pointer[muxConns]       // of the newest ICE generation
	heard  atomic.Pointer[netip.AddrPort] // last address that proved itself by STUN
	dtlsIn *packetQueue
	rtt    atomic.Int64 // ns, from RTCP; 0: unknown
	data   channels
	events sync.Mutex // held while the owner is told

	addrs []netip.AddrPort // routes; guarded by endpoint.mu

	rx    sync.Mutex // held while the handler runs: two sockets may carry one transport for a moment when it roams
	in    *inbound   // nil: no keys yet
	early early
	dirty uint64 // readers that owe a Flush

	mu         sync.Mutex // guards what follows; a leaf
	started    bool
	candidates int // that the far side named
	connecting ice.ConnectionState
	keyed      bool // DTLS is done
	broken     bool // DTLS will never be
	state      State
	dtls       *dtls.Conn
	client     bool // our DTLS role
	wantData   bool
	maxMessage uint32
	profile    profile
	pair       chan struct{} // closed when ICE has a pair
	paired     bool
}

var (
	errNoKeys  = errors.New("no keys yet")
	errClosed  = errors.New("transport is closed")
	errStarted = errors.New("transport was started before")
)

// NewTransport makes a transport that is not started; h takes its media, nil: nobody does.
func (e *Endpoint) NewTransport(cfg TransportConfig, h Handler) (*Transport, error) {
	t := &Transport{endpoint: e, cfg: cfg, handler: h, dtlsIn: newPacketQueue(dtlsQueue), pair: make(chan struct{})}
	if h == nil {
		t.handler = deaf{}
	}
	t.data.t = t
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if cfg.Lite {
		t.lite = newLiteAgent(t)
	}
	c := newMuxConns(t)
	t.conns.Store(c)
	if cfg.Lite {
		if err := e.enrol(c); err != nil {
			t.cancel()
			return nil, err
		}
		return t, nil
	}
	var err error
	if t.agent, err = newAgent(t, c); err != nil {
		t.cancel()
		return nil, err
	}
	if err := e.enrol(c); err != nil {
		t.cancel()
		_ = t.agent.Close()
		return nil, err
	}
	if err := t.agent.GatherCandidates(); err != nil {
		t.Close()
		return nil, fmt.Errorf("ICE gathering: %w", err)
	}
	return t, nil
}

// enrol makes a ufrag known, and its transport if it is new.
func (e *Endpoint) enrol(c *muxConns) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || c.transport.closed.Load() {
		return errClosed
	}
	if _, ok := e.transports[c.transport]; !ok {
		e.transports[c.transport] = struct{}{}
		e.idle.Add(1)
	}
	e.ufrags[c.ufrag] = c
	return nil
}

// retire forgets a ufrag of t.
func (e *Endpoint) retire(ufrag string, t *Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.ufrags[ufrag]; c != nil && c.transport == t {
		delete(e.ufrags, ufrag)
	}
}

// Local is our side as the SDP needs it.
func (t *Transport) Local() LocalDescription {
	c := t.conns.Load()
	return LocalDescription{
		Ufrag: c.ufrag, Pwd: c.pwd, Fingerprint: t.endpoint.certificate.fingerprint,
		Candidates: candidateLines(t.endpoint.announce), Lite: t.cfg.Lite,
	}
}

// Start begins ICE and DTLS towards remote.
func (t *Transport) Start(remote RemoteDescription) error {
	client := t.cfg.DTLSClient
	switch remote.Setup {
	case SetupActive:
		client = false
	case SetupPassive:
		client = true
	}
	t.mu.Lock()
	switch {
	case t.closed.Load() || t.state == Closed: // teardown waits for tasks from then on
		t.mu.Unlock()
		return errClosed
	case t.started:
		t.mu.Unlock()
		return errStarted
	}
	t.started, t.client = true, client
	t.wantData, t.maxMessage = remote.Data, remote.MaxMessageSize
	t.tasks.Add(1)
	t.mu.Unlock()

	var err error
	switch {
	case t.lite != nil:
		t.lite.start(remote.Ufrag, remote.Pwd)
	case t.cfg.Controlling:
		_, err = t.agent.StartDial(remote.Ufrag, remote.Pwd)
	default:
		_, err = t.agent.StartAccept(remote.Ufrag, remote.Pwd)
	}
	if err != nil {
		t.tasks.Done()
		return fmt.Errorf("ICE start: %w", err)
	}
	go t.run(client, remote.Fingerprint)
	return t.addCandidates(remote.Candidates)
}

// Started reports whether Start was called.
func (t *Transport) Started() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.started
}

// run does DTLS and then serves the data channels.
func (t *Transport) run(client bool, fingerprint string) {
	defer t.tasks.Done()
	ctx, cancel := context.WithTimeout(t.ctx, handshakeLimit)
	defer cancel()
	if client {
		select {
		case <-t.pair:
		case <-ctx.Done():
			t.setBroken()
			return
		}
	}
	conn, k, err := handshake(ctx, dtlsConn{t}, client, t.endpoint.certificate, fingerprint, t.endpoint.quiet)
	if err != nil {
		if t.ctx.Err() == nil {
			t.endpoint.log.Debug("DTLS failed", "error", err)
		}
		t.setBroken()
		return
	}
	t.out.install(k.outRTP, k.outRTCP)
	t.unlock(newInbound(k.inRTP, k.inRTCP))
	t.mu.Lock()
	t.dtls, t.keyed, t.profile = conn, true, k.profile
	serve := t.wantData
	maxMessage := t.maxMessage
	t.mu.Unlock()
	t.changed()
	if serve {
		t.data.run(conn, client, maxMessage)
	}
}

func (t *Transport) setBroken() {
	t.mu.Lock()
	t.broken = true
	t.mu.Unlock()
	t.changed()
}

// AddRemoteCandidate takes the value of an a=candidate attribute; it may come before Start.
func (t *Transport) AddRemoteCandidate(candidate string) error {
	c, err := remoteCandidate(candidate)
	if err != nil || c == nil || t.cfg.Lite { // a lite agent only answers (RFC 8445 section 2.5)
		return err
	}
	t.mu.Lock()
	t.candidates++
	over := t.candidates > maxCandidates
	t.mu.Unlock()
	if over {
		return fmt.Errorf("ICE candidate: more than %d", maxCandidates)
	}
	if err := t.agent.AddRemoteCandidate(c); err != nil {
		return fmt.Errorf("ICE candidate: %w", err)
	}
	return nil
}

// addCandidates takes all that can be used; the error tells of the others.
func (t *Transport) addCandidates(lines []string) error {
	var errs []error
	for _, line := range lines {
		errs = append(errs, t.AddRemoteCandidate(line))
	}
	return errors.Join(errs...)
}

// Restart begins an ICE restart: new credentials; DTLS and SRTP go on, over the old pair until there is a new one.
func (t *Transport) Restart() (LocalDescription, error) {
	if t.closed.Load() {
		return LocalDescription{}, errClosed
	}
	c := newMuxConns(t)
	if t.lite != nil {
		t.endpoint.retire(t.conns.Swap(c).ufrag, t)
		if err := t.endpoint.enrol(c); err != nil {
			return LocalDescription{}, err
		}
		return t.Local(), nil
	}
	if err := t.agent.Restart(c.ufrag, c.pwd); err != nil {
		return LocalDescription{}, fmt.Errorf("ICE restart: %w", err)
	}
	t.conns.Store(c)
	t.mu.Lock()
	t.candidates = 0
	t.mu.Unlock()
	if err := t.endpoint.enrol(c); err != nil {
		return LocalDescription{}, err
	}
	if err := t.agent.GatherCandidates(); err != nil {
		return LocalDescription{}, fmt.Errorf("ICE gathering: %w", err)
	}
	return t.Local(), nil
}

// Restarted completes it with the far side's new credentials.
func (t *Transport) Restarted(remote RemoteDescription) error {
	if t.lite != nil {
		t.lite.start(remote.Ufrag, remote.Pwd)
		return t.addCandidates(remote.Candidates)
	}
	if err := t.agent.SetRemoteCredentials(remote.Ufrag, remote.Pwd); err != nil {
		return fmt.Errorf("ICE restart: %w", err)
	}
	return t.addCandidates(remote.Candidates)
}

// StartData starts SCTP when a later description brings the data section.
func (t *Transport) StartData(maxMessageSize uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wantData || t.closed.Load() || t.state == Closed {
		return
	}
	t.wantData, t.maxMessage = true, maxMessageSize
	if !t.keyed {
		return
	}
	conn := t.dtls
	t.tasks.Go(func() { t.data.run(conn, t.client, maxMessageSize) })
}

// Outbound is the sender of the transport's RTP and RTCP; never nil.
func (t *Transport) Outbound() *Outbound { return &t.out }

// ObserveRTT takes a round trip measured from RTCP; it goes before what ICE and SCTP measure.
func (t *Transport) ObserveRTT(d time.Duration) { t.rtt.Store(int64(d)) }

// RTT is the latest round trip; 0 if unknown.
func (t *Transport) RTT() time.Duration {
	if d := t.rtt.Load(); d > 0 {
		return time.Duration(d)
	}
	if !t.cfg.Lite {
		if s, ok := t.agent.GetSelectedCandidatePairStats(); ok && s.CurrentRoundTripTime > 0 {
			return time.Duration(s.CurrentRoundTripTime * float64(time.Second))
		}
	}
	return t.data.rtt()
}

// Close ends the transport without waiting. No event follows; the handler may finish what it is at.
func (t *Transport) Close() {
	if !t.closed.CompareAndSwap(false, true) {
		return
	}
	t.cancel()
	go t.teardown()
}

func (t *Transport) teardown() {
	defer t.endpoint.idle.Done()
	t.endpoint.forget(t)
	t.rx.Lock()
	t.in, t.early = nil, early{}
	t.rx.Unlock()
	t.mu.Lock()
	conn := t.dtls
	t.state = Closed
	t.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // says goodbye; also ends SCTP
	}
	t.dtlsIn.close()
	t.data.close()
	if t.lite != nil {
		t.lite.stop()
	} else {
		_ = t.agent.GracefulClose()
	}
	t.conns.Load().close()
	t.tasks.Wait()
	t.out.ready.Store(false)
}

// TransportSnapshot is for /debug and test failures.
type TransportSnapshot struct {
	State      State
	Remote     netip.AddrPort
	Profile    string
	RTT        time.Duration
	Sources    int // SSRCs heard
	Candidates int
	Data       DataSnapshot
}

// Snapshot reads the transport.
func (t *Transport) Snapshot() TransportSnapshot {
	s := TransportSnapshot{RTT: t.RTT(), Data: t.data.snapshot()}
	s.Remote, _ = t.out.Addr()
	t.rx.Lock()
	if t.in != nil {
		s.Sources = len(t.in.sources)
	}
	t.rx.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	s.State, s.Candidates = t.state, t.candidates
	if t.keyed {
		s.Profile = t.profile.String()
	}
	return s
}
