package sfutest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Listener takes stream connections; it implements net.Listener.
type Listener struct {
	network *Network
	addr    netip.AddrPort
	waiting chan net.Conn
	done    chan struct{}
	once    sync.Once
}

// ListenStream opens a listener at an address ("10.0.0.1:7880").
func (n *Network) ListenStream(addr string) (*Listener, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.streams[addr] != nil {
		return nil, fmt.Errorf("listen: %s is in use", addr)
	}
	l := &Listener{network: n, addr: a, waiting: make(chan net.Conn, 64), done: make(chan struct{})}
	n.streams[addr] = l
	return l, nil
}

// DialStream connects to a listener; its shape fits http.Transport.DialContext and websocket.Dialer.NetDialContext.
func (n *Network) DialStream(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.streams[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	}
	near, far := pipe(netip.MustParseAddrPort("10.255.0.1:49152"), l.addr)
	select {
	case l.waiting <- far:
		return near, nil
	case <-l.done:
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
	}
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close refuses what comes later.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.streams, l.addr.String())
		l.network.mu.Unlock()
		close(l.done)
	})
	return nil
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// pipeMost is how much one direction of a stream holds before writes wait, as a socket's buffers would.
const pipeMost = 256 << 10

// half is one direction of a stream.
type half struct {
	mu              sync.Mutex
	change          sync.Cond
	buf             []byte
	ended, shut     bool // writer is done; reader is gone
	readBy, writeBy deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newHalf() *half {
	h := new(half)
	h.change.L = &h.mu
	return h
}

func (h *half) set(d *deadline, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.change.Broadcast()
		})
	}
	h.change.Broadcast()
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.shut:
			return 0, net.ErrClosed
		case h.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(b, h.buf)
			h.buf = append(h.buf[:0], h.buf[n:]...)
			h.change.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		h.change.Wait()
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for {
		switch {
		case h.shut || h.ended:
			return n, io.ErrClosedPipe
		case h.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		case len(h.buf) < pipeMost:
			m := min(len(b), pipeMost-len(h.buf))
			h.buf = append(h.buf, b[:m]...)
			b, n = b[m:], n+m
			h.change.Broadcast()
			continue
		}
		h.change.Wait()
	}
}

func (h *half) end(reader bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reader {
		h.shut = true
	} else {
		h.ended = true
	}
	for _, d := range [...]*deadline{&h.readBy, &h.writeBy} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	h.change.Broadcast()
}

// stream is one end of a connection.
type stream struct {
	in, out      *half
	near, remote netip.AddrPort
}

func pipe(a, b netip.AddrPort) (net.Conn, net.Conn) {
	ab, ba := newHalf(), newHalf()
	return &stream{in: ba, out: ab, near: a, remote: b}, &stream{in: ab, out: ba, near: b, remote: a}
}

func (s *stream) Read(b []byte) (int, error)  { return s.in.read(b) }
func (s *stream) Write(b []byte) (int, error) { return s.out.write(b) }
func (s *stream) Close() error                { s.in.end(true); s.out.end(false); return nil }
func (s *stream) LocalAddr() net.Addr         { return net.TCPAddrFromAddrPort(s.near) }
func (s *stream) RemoteAddr() net.Addr        { return net.TCPAddrFromAddrPort(s.remote) }
func (s *stream) SetDeadline(t time.Time) error {
	s.in.set(&s.in.readBy, t)
	s.out.set(&s.out.writeBy, t)
	return nil
}
func (s *stream) SetReadDeadline(t time.Time) error  { s.in.set(&s.in.readBy, t); return nil }
func (s *stream) SetWriteDeadline(t time.Time) error { s.out.set(&s.out.writeBy, t); return nil }
