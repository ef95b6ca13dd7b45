package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// EndpointConfig of one media port.
type EndpointConfig struct {
	Announce    []netip.AddrPort // host candidates; empty: the address of the first socket
	Certificate *Certificate     // nil: a new one
}

// Endpoint owns the UDP sockets of one media port and gives every datagram to its transport.
type Endpoint struct {
	announce    []netip.AddrPort
	certificate *Certificate
	log         *slog.Logger
	begin       time.Time
	sockets     []Socket
	quiet       quietLogs
	steering    *steering // nil: input goes as the kernel likes
	crew        crew

	drops [dropReasons]atomic.Uint64
	got   struct{ packets, bytes, batches atomic.Uint64 }
	sent  sentCounters

	readers sync.WaitGroup

	mu         sync.RWMutex // guards what follows; taken before a transport's locks
	routes     map[netip.AddrPort]*route
	ufrags     map[string]*muxConns
	transports map[*Transport]struct{}
	closed     bool
	idle       sync.WaitGroup // one for each transport whose goroutines live
}

// route is the owner of one far address. Readers keep routes in maps of their own, so that a packet takes no lock.
type route struct {
	owner atomic.Pointer[Transport] // nil: the address has no owner any more
	seen  atomic.Int64              // when the far side last proved itself, by the endpoint's clock
}

// routeHold is how long an address stays with a silent owner when another claims it: ICE consent is renewed every 5 s
// (RFC 7675 section 5.1), so that a participant with a forged source address cannot take a living neighbour's packets.
const routeHold = 6 * time.Second

// maxRoutes bounds the addresses of one transport; more and the oldest goes.
const maxRoutes = 16

// DropReason says why a datagram was not handled.
type DropReason uint8

const (
	DropUnknown       DropReason = iota // first byte is of no protocol (RFC 7983)
	DropSTUNMalformed                   //
	DropSTUNUfrag                       // no transport has the user name
	DropSTUNIntegrity                   // wrong password
	DropNoTransport                     // DTLS, RTP or STUN answer from an address that proved nothing
	DropQueueFull                       // the transport does not keep up with STUN or DTLS
	DropNoKeys                          // RTP before DTLS was done
	DropMalformed                       // not RTP or RTCP after all
	DropForged                          // does not authenticate
	DropSources                         // more SSRCs than a transport may have
	DropRoute                           // address claimed that belongs to another transport
	dropReasons
)

var dropNames = [dropReasons]string{"unknown", "stun_malformed", "stun_ufrag", "stun_integrity", "no_transport",
	"queue_full", "no_keys", "malformed", "forged", "sources", "route"}

func (r DropReason) String() string { return dropNames[r] }

// NewEndpoint takes over sockets, which share one port, and reads them.
func NewEndpoint(cfg EndpointConfig, sockets []Socket, log *slog.Logger) (*Endpoint, error) {
	if len(sockets) == 0 || len(sockets) > 64 {
		return nil, fmt.Errorf("media endpoint: %d sockets, want 1 to 64", len(sockets))
	}
	e := &Endpoint{
		announce: slices.Clone(cfg.Announce), certificate: cfg.Certificate, log: log, begin: time.Now(), sockets: sockets,
		routes: make(map[netip.AddrPort]*route), ufrags: make(map[string]*muxConns), transports: make(map[*Transport]struct{}),
	}
	if e.certificate == nil {
		var err error
		if e.certificate, err = NewCertificate(); err != nil {
			return nil, fmt.Errorf("media endpoint: %w", err)
		}
	}
	if len(e.announce) == 0 {
		e.announce = []netip.AddrPort{sockets[0].LocalAddr()}
	}
	for i, a := range e.announce {
		if !a.IsValid() || a.Addr().IsUnspecified() {
			return nil, fmt.Errorf("media endpoint: %s cannot be announced", a)
		}
		e.announce[i] = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	e.steering = newSteering(sockets)
	for _, s := range sockets[1:] { // a reader works too
		e.crew.add(s, &e.sent)
	}
	for i, s := range sockets {
		r := &reader{endpoint: e, socket: s, index: i, bit: 1 << i, known: make(map[netip.AddrPort]*route), out: newBurst(s, &e.sent)}
		r.out.crew = &e.crew
		if a, ok := s.(alarmed); ok {
			r.out.alarm = a.alarm()
		}
		e.readers.Go(r.run)
	}
	return e, nil
}

// NewBurst is for one goroutine that sends outside of Flush (tickers, control).
func (e *Endpoint) NewBurst() *Burst { return newBurst(e.sockets[0], &e.sent) }

// Now is the clock of HandleRTP: ns since the endpoint began.
func (e *Endpoint) Now() int64 { return int64(time.Since(e.begin)) }

// Fingerprint of the endpoint's certificate as in SDP: "sha-256 AA:BB:…".
func (e *Endpoint) Fingerprint() string { return e.certificate.fingerprint }

// Close ends all transports and sockets and waits for every goroutine.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	living := make([]*Transport, 0, len(e.transports))
	for t := range e.transports {
		living = append(living, t)
	}
	e.mu.Unlock()
	for _, t := range living {
		t.Close()
	}
	e.idle.Wait()
	var errs []error
	for _, s := range e.sockets {
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	e.readers.Wait()
	e.crew.close()
	return errors.Join(errs...)
}

func (e *Endpoint) drop(r DropReason) { e.drops[r].Add(1) }

// write sends one datagram that is not media.
func (e *Endpoint) write(to netip.AddrPort, b []byte) error {
	one := [1]Message{{Addr: to, Buf: b}}
	e.sent.packets.Add(1)
	e.sent.bytes.Add(uint64(len(b)))
	return e.sockets[0].WriteBatch(one[:])
}

// bind gives an address to a transport. A living owner keeps it.
func (e *Endpoint) bind(a netip.AddrPort, t *Transport, now int64) bool {
	e.mu.RLock()
	r := e.routes[a]
	e.mu.RUnlock()
	if r != nil && r.owner.Load() == t {
		r.seen.Store(now)
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, living := e.transports[t]; !living {
		return false
	}
	if r = e.routes[a]; r != nil {
		if owner := r.owner.Load(); owner == t {
			r.seen.Store(now)
			return true
		} else if owner != nil && now-r.seen.Load() < int64(routeHold) {
			e.drop(DropRoute)
			return false
		} else if owner != nil {
			owner.addrs = slices.DeleteFunc(owner.addrs, func(b netip.AddrPort) bool { return a == b })
		}
	} else {
		r = new(route)
		e.routes[a] = r
	}
	r.owner.Store(t)
	r.seen.Store(now)
	if t.addrs = append(t.addrs, a); len(t.addrs) > maxRoutes {
		e.unbind(t, t.addrs[0])
		t.addrs = slices.Delete(t.addrs, 0, 1)
	}
	return true
}

// unbind is called with mu held.
func (e *Endpoint) unbind(t *Transport, a netip.AddrPort) {
	if r := e.routes[a]; r != nil && r.owner.CompareAndSwap(t, nil) {
		delete(e.routes, a)
	}
}

// forget removes every trace of a closed transport.
func (e *Endpoint) forget(t *Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range t.addrs {
		e.unbind(t, a)
	}
	t.addrs = nil
	for u, c := range e.ufrags {
		if c.transport == t {
			delete(e.ufrags, u)
		}
	}
	delete(e.transports, t)
}

// EndpointSnapshot is for metrics and /debug.
type EndpointSnapshot struct {
	Transports, Addresses                     int
	PacketsIn, BytesIn, BatchesIn             uint64
	PacketsOut, BytesOut, MessagesOut, Bursts uint64
	Refused                                   uint64 // packets that no transport could send: no keys, no address, too long
	Drops                                     map[string]uint64

	// Of the sockets: what the kernel refused for want of room, for length, for another reason; merged messages that went
	// one by one; writes that waited.
	KernelFull, KernelTooLong, KernelOther, Split, Waits uint64
}

// Snapshot reads the counters.
func (e *Endpoint) Snapshot() EndpointSnapshot {
	s := EndpointSnapshot{
		PacketsIn: e.got.packets.Load(), BytesIn: e.got.bytes.Load(), BatchesIn: e.got.batches.Load(),
		PacketsOut: e.sent.packets.Load(), BytesOut: e.sent.bytes.Load(), MessagesOut: e.sent.messages.Load(),
		Bursts: e.sent.batches.Load(), Refused: e.sent.refused.Load(), Drops: make(map[string]uint64, dropReasons),
	}
	for r := range dropReasons {
		s.Drops[r.String()] = e.drops[r].Load()
	}
	for _, socket := range e.sockets {
		if k, ok := socket.(counted); ok {
			c := k.counters()
			s.KernelFull += c.full.Load()
			s.KernelTooLong += c.tooLong.Load()
			s.KernelOther += c.other.Load()
			s.Split += c.split.Load()
			s.Waits += c.waits.Load()
		}
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	s.Transports, s.Addresses = len(e.transports), len(e.routes)
	return s
}
