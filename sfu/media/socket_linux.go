//go:build linux && (amd64 || arm64)

package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// batchedSocket moves many datagrams with one system call: recvmmsg with UDP_GRO in, sendmmsg with UDP_SEGMENT out. What
// the kernel refuses to merge goes one by one. It allocates nothing after it is made.
type batchedSocket struct {
	conn  *net.UDPConn
	raw   syscall.RawConn
	local netip.AddrPort
	v6    bool // AF_INET6, IPv4 in mapped addresses
	count socketCounters
	in    receiver // of the one reader

	sending sync.Mutex
	out     sender // guarded by sending

	gso atomic.Bool // merged messages are taken; off for good when the device cannot
	log *slog.Logger
}

const defaultBatch = 32

// ListenUDP opens the sockets of a media port, as many as cores, on the batched path; on the plain one if cfg or the kernel
// wants it. It says once which, and what the operator may do about small buffers.
func ListenUDP(addr netip.AddrPort, cfg SocketConfig, log *slog.Logger) ([]Socket, error) {
	if cfg.Plain {
		return listenPlainLogged(addr, log, "asked for")
	}
	// Sockets that share a port would also share it with a stranger: ask first without sharing.
	probe, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("media socket: %w", err)
	}
	addr = probe.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("media socket: %w", err)
	}
	count := cfg.Count
	if count <= 0 {
		count = min(runtime.GOMAXPROCS(0), 64)
	}
	var sockets []Socket
	for range count {
		s, err := listenBatched(addr, cfg.Batch, log)
		if err != nil {
			for _, open := range sockets {
				_ = open.Close()
			}
			if errors.Is(err, errNoBatches) {
				return listenPlainLogged(addr, log, err.Error())
			}
			return nil, err
		}
		sockets = append(sockets, s)
	}
	first := sockets[0].(*batchedSocket)
	receive, send := first.buffers()
	log.Info("media sockets open", "address", addr, "path", "batched", "sockets", count, "segments", first.gso.Load(),
		"receive_buffer", receive, "send_buffer", send)
	if receive < socketBuffer {
		log.Warn("the kernel gives a smaller receive buffer than asked: bursts may be lost", "asked", socketBuffer, "given", receive,
			"advice", fmt.Sprintf("sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d", socketBuffer, socketBuffer))
	}
	return sockets, nil
}

func listenPlainLogged(addr netip.AddrPort, log *slog.Logger, why string) ([]Socket, error) {
	s, err := ListenPlain(addr)
	if err != nil {
		return nil, err
	}
	log.Info("media socket open", "address", s.LocalAddr(), "path", "plain", "reason", why)
	return []Socket{s}, nil
}

// errNoBatches says that the kernel lacks recvmmsg.
var errNoBatches = errors.New("no batched socket calls")

func listenBatched(addr netip.AddrPort, batch int, log *slog.Logger) (*batchedSocket, error) {
	if batch <= 0 {
		batch = defaultBatch
	}
	s := &batchedSocket{log: log}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = s.configure(int(fd)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), "udp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("media socket: %w", err)
	}
	s.conn = pc.(*net.UDPConn)
	s.local = s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		_ = s.conn.Close()
		return nil, fmt.Errorf("media socket: %w", err)
	}
	s.in.init(batch)
	s.out.init(s)
	if err := s.probe(); err != nil {
		_ = s.conn.Close()
		return nil, err
	}
	return s, nil
}

// configure sets the options that have to stand before bind.
func (s *batchedSocket) configure(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("SO_REUSEPORT: %w", err)
	}
	for _, o := range [...][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], socketBuffer) != nil { // wants CAP_NET_ADMIN
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], socketBuffer)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) // without it datagrams come one by one
	_, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	s.gso.Store(err == nil)
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("SO_DOMAIN: %w", err)
	}
	s.v6 = domain == unix.AF_INET6
	return nil
}

// probe finds out whether the kernel, or what filters its calls, knows recvmmsg.
func (s *batchedSocket) probe() error {
	var errno unix.Errno
	if err := s.raw.Control(func(fd uintptr) { _, errno = recvmmsg(fd, nil) }); err != nil {
		return fmt.Errorf("media socket: %w", err)
	}
	if errno == unix.ENOSYS || errno == unix.EPERM {
		return errNoBatches
	}
	return nil
}

// buffers are the sizes that the kernel gave; it tells the double, for its own overhead.
func (s *batchedSocket) buffers() (receive, send int) {
	_ = s.raw.Control(func(fd uintptr) {
		receive, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		send, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	return receive / 2, send / 2
}

func (s *batchedSocket) ReadBatch(ms []Message) (int, error) {
	for {
		if err := s.raw.Read(s.in.call); err != nil {
			return 0, fmt.Errorf("media socket: %w", err)
		}
		if s.in.errno == 0 {
			return s.in.take(ms), nil
		}
		// What comes back from a far side that went (ECONNREFUSED) is no end of the socket.
	}
}

func (s *batchedSocket) WriteBatch(ms []Message) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	for len(ms) > 0 {
		n := min(len(ms), burstMessages)
		s.out.load(ms[:n])
		if err := s.raw.Write(s.out.call); err != nil {
			s.out.clear(n)
			return fmt.Errorf("media socket: %w", err)
		}
		s.out.clear(n)
		ms = ms[n:]
	}
	return nil
}

func (s *batchedSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *batchedSocket) Close() error { return s.conn.Close() }

func (s *batchedSocket) counters() *socketCounters { return &s.count }
