//go:build linux && (amd64 || arm64)

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// batchedSocket moves many datagrams with one system call: recvmmsg with UDP_GRO in, sendmmsg with UDP_SEGMENT out. What
// the kernel refuses to merge goes one by one. It allocates nothing after it is made.
type batchedSocket struct {
	fd     int             // closed by Close only, when nobody reads or writes any more
	timer  int             // likewise; lone sockets have none
	input  io.Closer       // what the runtime's poller watches
	ready  syscall.RawConn // of input
	lone   bool            // the poller watches the socket itself; there is no timer
	closed atomic.Bool
	local  netip.AddrPort
	v6     bool // AF_INET6, IPv4 in mapped addresses
	count  socketCounters
	in     receiver // of the one reader

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
	if cfg.Lone {
		count = 1
	}
	var sockets []Socket
	for range count {
		s, err := listenBatched(addr, cfg, log)
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
	receive, send := buffers(first.fd)
	log.Info("media sockets open", "address", addr, "path", "batched", "sockets", count, "segments", first.gso.Load(),
		"receive_buffer", receive, "send_buffer", send)
	warnSmallBuffer(receive, log)
	return sockets, nil
}

// warnSmallBuffer tells the operator what to set when the kernel gave less than was asked.
func warnSmallBuffer(receive int, log *slog.Logger) {
	if receive < socketBuffer {
		log.Warn("the kernel gives a smaller receive buffer than asked: bursts may be lost", "asked", socketBuffer, "given", receive,
			"advice", fmt.Sprintf("sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d", socketBuffer, socketBuffer))
	}
}

func listenPlainLogged(addr netip.AddrPort, log *slog.Logger, why string) ([]Socket, error) {
	s, err := ListenPlain(addr)
	if err != nil {
		return nil, err
	}
	receive, send := 0, 0
	raw, err := s.(*plainSocket).conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			forceBuffers(int(fd))
			receive, send = buffers(int(fd))
		})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	log.Info("media socket open", "address", s.LocalAddr(), "path", "plain", "reason", why, "receive_buffer", receive, "send_buffer", send)
	warnSmallBuffer(receive, log)
	return []Socket{s}, nil
}

// errNoBatches says that the kernel lacks recvmmsg.
var errNoBatches = errors.New("no batched socket calls")

func listenBatched(addr netip.AddrPort, cfg SocketConfig, log *slog.Logger) (*batchedSocket, error) {
	batch := cfg.Batch
	if batch <= 0 {
		batch = defaultBatch
	}
	s := &batchedSocket{log: log, lone: cfg.Lone}
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
	s.local = pc.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := s.adopt(pc.(*net.UDPConn)); err != nil {
		return nil, fmt.Errorf("media socket: %w", err)
	}
	s.in.init(s.fd, s.timer, batch)
	if cfg.Timed {
		s.in.timed = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) == nil
	}
	s.out.init(s)
	if _, errno := recvmmsg(uintptr(s.fd), nil); errno == unix.ENOSYS || errno == unix.EPERM { // the kernel, or what filters its calls
		_ = s.Close()
		return nil, errNoBatches
	}
	return s, nil
}

// adopt takes the socket away from Go's poller, which would wake up whenever a datagram leaves the send buffer: on
// loopback for each one that a receiver takes. It watches an epoll instance instead, which looks at input only. To whoever
// sends to a lone socket that instance is one more thing to wake up: it stays with the poller.
func (s *batchedSocket) adopt(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err == nil {
		err = s.duplicate(raw)
	}
	if err == nil && s.lone {
		s.input, s.ready = c, raw
		return nil
	}
	_ = c.Close()
	if err != nil {
		return err
	}
	if s.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		_ = unix.Close(s.fd)
		return os.NewSyscallError("timerfd_create", err)
	}
	watch, err := watchInput(s.fd, s.timer)
	if err != nil {
		return errors.Join(err, s.release())
	}
	file := os.NewFile(uintptr(watch), "media socket")
	s.input = file
	if s.ready, err = file.SyscallConn(); err != nil {
		_ = s.Close()
	}
	return err
}

// duplicate makes fd, which nobody watches.
func (s *batchedSocket) duplicate(raw syscall.RawConn) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) { s.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return cerr
	}
	return os.NewSyscallError("fcntl", err)
}

// watchInput makes an epoll instance that is readable when one of fds is.
func watchInput(fds ...int) (int, error) {
	watch, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("epoll_create1", err)
	}
	for _, fd := range fds {
		if err == nil {
			err = unix.EpollCtl(watch, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
		}
	}
	if err == nil {
		err = unix.SetNonblock(watch, true) // or os.NewFile would not have it watched
	}
	if err != nil {
		_ = unix.Close(watch)
		return 0, fmt.Errorf("watching input: %w", err)
	}
	return watch, nil
}

// release gives the descriptors back.
func (s *batchedSocket) release() error {
	if s.lone {
		return os.NewSyscallError("close", unix.Close(s.fd))
	}
	return errors.Join(os.NewSyscallError("close", unix.Close(s.fd)), os.NewSyscallError("close", unix.Close(s.timer)))
}

// steer implements steered: a filter that names the first socket that was bound, or the kernel's hash of the addresses.
func (s *batchedSocket) steer(spread bool) error {
	if spread {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0))
	}
	first := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: 1, Filter: &first}))
}

// alarm implements alarmed.
func (s *batchedSocket) alarm() func(time.Duration) {
	if s.lone {
		return nil
	}
	return s.setAlarm
}

// setAlarm lets the reader be woken. A timer of the runtime would wake a second thread each time.
func (s *batchedSocket) setAlarm(d time.Duration) {
	s.in.alarm = d > 0
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	timerfdSettime(uintptr(s.timer), &at)
}

// configure sets the options that have to stand before bind.
func (s *batchedSocket) configure(fd int) error {
	if !s.lone {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("SO_REUSEPORT: %w", err)
		}
	}
	forceBuffers(fd)
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

// forceBuffers asks for large buffers: for what is wanted with CAP_NET_ADMIN, else for what everybody may have of it.
func forceBuffers(fd int) {
	for _, o := range [...][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], socketBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], socketBuffer)
		}
	}
}

// buffers are the sizes that the kernel gave; it tells the double, for its own overhead.
func buffers(fd int) (receive, send int) {
	receive, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	send, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	return receive / 2, send / 2
}

func (s *batchedSocket) ReadBatch(ms []Message) (int, error) {
	for {
		if err := s.ready.Read(s.in.call); err != nil {
			return 0, s.ended(err)
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
	for len(ms) > 0 && !s.closed.Load() {
		n := min(len(ms), burstMessages)
		s.out.load(ms[:n])
		for !s.out.transmit(uintptr(s.fd)) && !s.closed.Load() {
			s.awaitRoom()
		}
		s.out.clear(n)
		ms = ms[n:]
	}
	if s.closed.Load() {
		return s.ended(net.ErrClosed)
	}
	return nil
}

// roomPatience is how long a writer waits for room before it looks whether the socket was closed, in ms.
const roomPatience = 50

// awaitRoom waits until the send buffer has room.
func (s *batchedSocket) awaitRoom() {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, roomPatience)
}

func (s *batchedSocket) ended(err error) error {
	if s.closed.Load() {
		err = net.ErrClosed
	}
	return fmt.Errorf("media socket: %w", err)
}

func (s *batchedSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *batchedSocket) Close() error {
	if s.closed.Swap(true) {
		return s.ended(net.ErrClosed)
	}
	err := s.input.Close() // returns when no reader is inside
	s.sending.Lock()
	defer s.sending.Unlock()
	return errors.Join(err, s.release())
}

func (s *batchedSocket) counters() *socketCounters { return &s.count }
