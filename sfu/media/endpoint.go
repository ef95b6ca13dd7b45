package media

import (
	"log/slog"
	"net/netip"
)

// EndpointConfig of one media port.
type EndpointConfig struct {
	Announce    []netip.AddrPort // host candidates; empty: the address of the first socket
	Certificate *Certificate     // nil: a new one
}

// Endpoint owns the UDP sockets of one media port and gives every datagram to its transport.
type Endpoint struct{}

// NewEndpoint takes over sockets, which share one port, and reads them.
func NewEndpoint(cfg EndpointConfig, sockets []Socket, log *slog.Logger) (*Endpoint, error) {
	return nil, nil
}

// NewTransport makes a transport that is not started; h takes its media.
func (e *Endpoint) NewTransport(cfg TransportConfig, h Handler) (*Transport, error) { return nil, nil }

// NewBurst is for one goroutine that sends outside of Flush (tickers, control).
func (e *Endpoint) NewBurst() *Burst { return nil }

// Now is the clock of HandleRTP: ns since the endpoint began.
func (e *Endpoint) Now() int64 { return 0 }

// Close ends all transports and sockets and waits for every goroutine.
func (e *Endpoint) Close() error { return nil }

// Certificate is the self-signed certificate of a process.
type Certificate struct{}
