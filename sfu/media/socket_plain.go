package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
)

// socketBuffer is what is asked of the kernel for each direction: a keyframe of every participant at once.
const socketBuffer = 16 << 20

// SocketCounters counts what the kernel did not send.
type SocketCounters struct {
	Full    atomic.Uint64 // ENOBUFS and the like: dropped
	TooLong atomic.Uint64 // EMSGSIZE: dropped
	Other   atomic.Uint64 // unreachable and the rest: dropped
}

// plainSocket is the path for every system: one datagram for each call.
type plainSocket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	in    []byte
	lost  SocketCounters
}

// ListenPlain opens one socket that reads and writes one datagram at a time.
func ListenPlain(addr netip.AddrPort) (Socket, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("media socket: %w", err)
	}
	// The kernel may give less: it is no reason not to start.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	return &plainSocket{conn: conn, local: conn.LocalAddr().(*net.UDPAddr).AddrPort(), in: make([]byte, maxDatagram)}, nil
}

// ListenUDP opens the sockets of a media port, as many as the system's best path wants.
func ListenUDP(addr netip.AddrPort, log *slog.Logger) ([]Socket, error) {
	s, err := ListenPlain(addr)
	if err != nil {
		return nil, err
	}
	log.Info("media socket open", "address", s.LocalAddr(), "path", "plain")
	return []Socket{s}, nil
}

func (s *plainSocket) ReadBatch(ms []Message) (int, error) {
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(s.in)
		if err == nil {
			ms[0] = Message{Addr: from, Buf: s.in[:n]}
			return 1, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return 0, err
		}
		// What comes back from a far side that went (ECONNREFUSED) is no end of the socket.
	}
}

func (s *plainSocket) WriteBatch(ms []Message) error {
	for i := range ms {
		m := &ms[i]
		size := m.Segment
		if size == 0 {
			size = len(m.Buf)
		}
		for rest := m.Buf; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := s.conn.WriteToUDPAddrPort(rest[:n], m.Addr); err != nil {
				if errors.Is(err, net.ErrClosed) {
					return err
				}
				countLost(&s.lost, err)
			}
			rest = rest[n:]
		}
	}
	return nil
}

func (s *plainSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *plainSocket) Close() error { return s.conn.Close() }

func (s *plainSocket) Lost() *SocketCounters { return &s.lost }
