package media

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
)

// socketBuffer is what is asked of the kernel for each direction: a keyframe of every participant at once.
const socketBuffer = 16 << 20

// SocketConfig of a media port. The zero value takes the best path of the system.
type SocketConfig struct {
	Plain bool // one datagram for each system call, on one socket
	Count int  // sockets that share the port (SO_REUSEPORT); 0: one for each core
	Batch int  // messages of one read, 64 KiB of address space each; 0: 32
	Timed bool // fill in Message.Waited, where the batched path is taken
	Lone  bool // one socket that nobody shares and that mostly receives, of many in the process: a bot's
}

// socketCounters counts what the kernel did not take as it was given.
type socketCounters struct {
	full    atomic.Uint64 // ENOBUFS and the like: dropped
	tooLong atomic.Uint64 // EMSGSIZE: dropped
	other   atomic.Uint64 // unreachable and the rest: dropped
	split   atomic.Uint64 // merged messages that had to go one by one; nothing is lost
	waits   atomic.Uint64 // writes that waited for room in the send buffer; nothing is lost
}

// counted is a socket that counts.
type counted interface{ counters() *socketCounters }

// plainSocket is the path for every system: one datagram for each call.
type plainSocket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	in    []byte
	count socketCounters
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
				countLost(&s.count, err)
			}
			rest = rest[n:]
		}
	}
	return nil
}

func (s *plainSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *plainSocket) Close() error { return s.conn.Close() }

func (s *plainSocket) counters() *socketCounters { return &s.count }
