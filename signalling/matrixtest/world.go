package matrixtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
)

// World is a small internet: names, service records, and who answers at which address. Nothing in it leaves loopback.
type World struct {
	mu      sync.Mutex // guards the rest
	names   map[string][]netip.Addr
	records map[string][]*net.SRV
	routes  map[string]string
	dialled []string
}

// NewWorld makes an empty one: no name is known, nobody answers.
func NewWorld() *World {
	return &World{names: map[string][]netip.Addr{}, records: map[string][]*net.SRV{}, routes: map[string]string{}}
}

// Name gives a host addresses.
func (w *World) Name(host string, addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range addrs {
		w.names[host] = append(w.names[host], netip.MustParseAddr(a))
	}
}

// Service gives a host a service record: service "matrix-fed" or "matrix", target "host:port".
func (w *World) Service(service, host, target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, port, _ := net.SplitHostPort(target)
	n, _ := strconv.ParseUint(port, 10, 16)
	w.records[service+" "+host] = append(w.records[service+" "+host], &net.SRV{Target: name + ".", Port: uint16(n)})
}

// Route makes a homeserver answer at an address of the world, "ip:port".
func (w *World) Route(address string, h *Homeserver) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[address] = h.Address()
}

// Dialled are the addresses that were connected to, in order.
func (w *World) Dialled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialled...)
}

// LookupNetIP answers from the names.
func (w *World) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.names[host]; len(a) > 0 {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// LookupSRV answers from the service records.
func (w *World) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.records[service+" "+name]; len(r) > 0 {
		return name, r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// Dial connects along the routes.
func (w *World) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	to, ok := w.routes[address]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}
