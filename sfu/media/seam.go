package media

import (
	"net/netip"

	"weir/sfu"
)

// Message is one or more datagrams of one remote address, back to back in Buf.
type Message struct {
	Addr    netip.AddrPort
	Buf     []byte
	Segment int // size of each datagram but the last, which may be shorter; 0: Buf is one datagram

	// Waited is how long a received message was in the kernel, in ns; 0 where nobody asked, see SocketConfig.Timed.
	Waited int64
}

// Reader takes datagrams from a socket. One goroutine reads.
type Reader interface {
	// ReadBatch waits for at least one datagram and fills ms from the front. Buf of each is the reader's own
	// memory and valid until the next call; bytes may be changed in place (decryption).
	ReadBatch(ms []Message) (n int, err error)
}

// Writer gives datagrams to a socket. Any goroutine may write.
type Writer interface {
	// WriteBatch sends all of ms, in order. Datagrams that the kernel refuses are dropped and counted, never retried;
	// the error is the socket's end (net.ErrClosed).
	WriteBatch(ms []Message) error
}

// Socket is one UDP socket of the media port.
type Socket interface {
	Reader
	Writer
	LocalAddr() netip.AddrPort
	Close() error
}

// Handler takes what a transport receives, on the goroutine of the socket that read it. now is ns on the monotonic clock.
type Handler interface {
	// HandleRTP gets one decrypted packet and its SRTP index (rollover included); b is valid until Flush returns.
	HandleRTP(now int64, b []byte, index sfu.ExtSeq)
	// HandleRTCP gets one decrypted compound packet.
	HandleRTCP(now int64, b []byte)
	// Flush is called once after each input batch in which the transport had RTP or RTCP (NACKs are answered in it);
	// out is the batch to send into.
	Flush(now int64, out *Burst)
}
