//go:build linux && (amd64 || arm64)

package media

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2) on 64-bit systems.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   uint32
}

const (
	// controlLen holds one control message with a u16 (UDP_SEGMENT): CMSG_SPACE(2) is 24.
	controlLen = 24
	// receivedLen holds one with an int (UDP_GRO), and one with a struct timespec (SCM_TIMESTAMPNS): CMSG_SPACE(16) is 32.
	receivedLen = 24 + 32
)

// The calls below never wait, so the scheduler is not told of them: after each idle moment that would start its monitor
// thread, which then looks around every 20 µs and costs a quarter of what forwarding costs.

func recvmmsg(fd uintptr, ms []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), uintptr(len(ms)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func sendmmsg(fd uintptr, ms []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(ms))), uintptr(len(ms)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func timerfdSettime(fd uintptr, at *unix.ItimerSpec) {
	_, _, _ = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(at)), 0, 0, 0)
}

// expired takes the expiry of a timer, if there was one.
func expired(fd uintptr) bool {
	var count [8]byte
	n, _, _ := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count[0])), uintptr(len(count)))
	return int(n) == len(count)
}

// receiver is the memory of recvmmsg.
type receiver struct {
	fd      uintptr
	timer   uintptr
	alarm   bool // the timer runs
	hdrs    []mmsghdr
	iovs    []unix.Iovec
	names   []unix.RawSockaddrInet6
	control [][receivedLen]byte
	timed   bool // the kernel notes when messages came
	buf     []byte
	call    func(uintptr) bool // made once: a closure for each read would be garbage
	n       int
	errno   unix.Errno
}

// groMost is the longest merged datagram.
const groMost = 65_536

func (r *receiver) init(fd, timer, batch int) {
	r.fd, r.timer = uintptr(fd), uintptr(timer)
	r.hdrs, r.iovs = make([]mmsghdr, batch), make([]unix.Iovec, batch)
	r.names, r.control = make([]unix.RawSockaddrInet6, batch), make([][receivedLen]byte, batch)
	// The kernel touches only what it fills, so that most of this is address space.
	r.buf = make([]byte, batch*groMost)
	for i := range r.hdrs {
		r.iovs[i].Base = &r.buf[i*groMost]
		r.iovs[i].SetLen(groMost)
		h := &r.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.control[i][0]
	}
	r.call = r.receive
}

// receive is called with the socket ready or perhaps ready; false waits.
func (r *receiver) receive(uintptr) bool {
	for i := range r.hdrs {
		h := &r.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(receivedLen)
	}
	for {
		r.n, r.errno = recvmmsg(r.fd, r.hdrs)
		switch r.errno {
		case unix.EINTR:
		case unix.EAGAIN:
			if r.alarm && expired(r.timer) {
				r.alarm, r.n, r.errno = false, 0, 0
				return true
			}
			return false
		default:
			return true
		}
	}
}

// take gives what was received; ms is at least as long as a batch or the rest is lost, so that batches are never longer.
func (r *receiver) take(ms []Message) int {
	n := min(r.n, len(ms))
	var now int64
	if r.timed {
		now = time.Now().UnixNano() // the kernel's notes are of this clock
	}
	for i := range n {
		h := &r.hdrs[i]
		b := r.buf[i*groMost : i*groMost+int(h.n)]
		segment, came := readControl(r.control[i][:h.hdr.Controllen])
		ms[i] = Message{Addr: sockaddr(&r.names[i]), Buf: b, Segment: segment}
		if came != 0 && now-came < int64(time.Second) { // else the clock was set
			ms[i].Waited = max(now-came, 0)
		}
		if ms[i].Segment >= len(b) {
			ms[i].Segment = 0
		}
	}
	return n
}

// readControl reads the size of the datagrams that were merged (0: they were not), and when they came (ns since 1970; 0: it
// was not noted).
func readControl(control []byte) (segment int, came int64) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(control)))
		if h.Len < unix.SizeofCmsghdr || h.Len > uint64(len(control)) {
			break
		}
		data := control[unix.SizeofCmsghdr:h.Len]
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(int32(binary.NativeEndian.Uint32(data)))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(data) >= 16:
			came = int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
		}
		control = control[min(unix.CmsgSpace(len(data)), len(control)):]
	}
	return segment, came
}

func sockaddr(n *unix.RawSockaddrInet6) netip.AddrPort {
	// Ports are big-endian in both structures, at the same place.
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&n.Port))[:])
	if n.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(n)).Addr), port)
	}
	a := netip.AddrFrom16(n.Addr)
	if n.Scope_id != 0 && a.IsLinkLocalUnicast() {
		a = a.WithZone(strconv.Itoa(int(n.Scope_id)))
	}
	return netip.AddrPortFrom(a, port)
}

// sender is the memory of sendmmsg.
type sender struct {
	socket  *batchedSocket
	hdrs    [burstMessages]mmsghdr
	iovs    [burstMessages]unix.Iovec
	names   [burstMessages]unix.RawSockaddrInet6
	control [burstMessages][controlLen]byte
	send    func(fd uintptr, ms []mmsghdr) (int, unix.Errno) // sendmmsg, or a test's

	one     mmsghdr // a datagram of a message that has to be split
	oneIov  unix.Iovec
	ms      []Message
	next    int // message to send
	rest    []byte
	segment int // > 0: rest of message next goes one by one
}

func (o *sender) init(s *batchedSocket) {
	o.socket, o.send = s, sendmmsg
	for i := range o.hdrs {
		h := &o.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&o.names[i]))
		h.Iov = &o.iovs[i]
		h.SetIovlen(1)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&o.control[i][0]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	o.one.hdr.Iov = &o.oneIov
	o.one.hdr.SetIovlen(1)
}

// load prepares the headers of at most burstMessages messages.
func (o *sender) load(ms []Message) {
	o.ms, o.next, o.segment, o.rest = ms, 0, 0, nil
	for i := range ms {
		m := &ms[i]
		h := &o.hdrs[i].hdr
		h.Namelen = o.name(&o.names[i], m.Addr)
		o.iovs[i].Base = unsafe.SliceData(m.Buf)
		o.iovs[i].SetLen(len(m.Buf))
		h.Control = nil
		h.SetControllen(0)
		if merged(m) {
			binary.NativeEndian.PutUint16(o.control[i][unix.SizeofCmsghdr:], uint16(m.Segment))
			h.Control = &o.control[i][0]
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
}

// clear lets go of the caller's memory.
func (o *sender) clear(n int) {
	for i := range n {
		o.iovs[i].Base = nil
	}
	o.oneIov.Base = nil
	o.ms, o.rest = nil, nil
}

func merged(m *Message) bool { return m.Segment > 0 && m.Segment < len(m.Buf) }

func (o *sender) name(n *unix.RawSockaddrInet6, a netip.AddrPort) uint32 {
	*n = unix.RawSockaddrInet6{}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&n.Port))[:], a.Port())
	if !o.socket.v6 {
		n.Family = unix.AF_INET
		if ip := a.Addr().Unmap(); ip.Is4() {
			(*unix.RawSockaddrInet4)(unsafe.Pointer(n)).Addr = ip.As4()
		}
		return unix.SizeofSockaddrInet4
	}
	n.Family = unix.AF_INET6
	n.Addr = a.Addr().As16()
	if zone := a.Addr().Zone(); zone != "" {
		scope, _ := strconv.Atoi(zone)
		n.Scope_id = uint32(scope)
	}
	return unix.SizeofSockaddrInet6
}

// transmit sends from next on until all is sent; false waits for room in the send buffer.
func (o *sender) transmit(fd uintptr) bool {
	for o.next < len(o.ms) {
		if o.segment == 0 && merged(&o.ms[o.next]) && !o.socket.gso.Load() {
			o.split()
		}
		var errno unix.Errno
		if o.segment > 0 {
			errno = o.sendOne(fd)
		} else {
			errno = o.sendMany(fd)
		}
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN:
			o.socket.count.waits.Add(1)
			return false
		default:
			o.refused(errno)
		}
	}
	return true
}

// sendMany gives the kernel all messages up to one that has to be split.
func (o *sender) sendMany(fd uintptr) unix.Errno {
	end := len(o.ms)
	if !o.socket.gso.Load() {
		for end = o.next + 1; end < len(o.ms) && !merged(&o.ms[end]); end++ {
		}
	}
	n, errno := o.send(fd, o.hdrs[o.next:end])
	if errno == 0 {
		o.next += n
	}
	return errno
}

// split makes the next message go one by one.
func (o *sender) split() {
	m := &o.ms[o.next]
	o.rest, o.segment = m.Buf, m.Segment
	o.one.hdr.Name, o.one.hdr.Namelen = o.hdrs[o.next].hdr.Name, o.hdrs[o.next].hdr.Namelen
	o.socket.count.split.Add(1)
}

func (o *sender) sendOne(fd uintptr) unix.Errno {
	n := min(o.segment, len(o.rest))
	o.oneIov.Base = unsafe.SliceData(o.rest)
	o.oneIov.SetLen(n)
	_, errno := o.send(fd, unsafe.Slice(&o.one, 1))
	if errno == 0 {
		o.advance(n)
	}
	return errno
}

func (o *sender) advance(n int) {
	if o.rest = o.rest[n:]; len(o.rest) == 0 {
		o.next++
		o.segment = 0
	}
}

// refused decides about the first message of a failed call (sendmmsg(2) reports the error of the first only).
func (o *sender) refused(errno unix.Errno) {
	if o.segment > 0 {
		countLost(&o.socket.count, errno)
		o.advance(min(o.segment, len(o.rest)))
		return
	}
	if m := &o.ms[o.next]; merged(m) {
		switch errno {
		case unix.EIO, unix.EOPNOTSUPP, unix.ENOPROTOOPT:
			// The device cannot make checksums, or the route has IPsec: it will not do better next time.
			if o.socket.gso.Swap(false) {
				o.socket.log.Info("the kernel refuses merged datagrams: they go one by one from now on", "error", errno)
			}
			o.split()
			return
		case unix.EINVAL, unix.EMSGSIZE:
			o.split() // this path has a smaller MTU
			return
		}
	}
	countLost(&o.socket.count, errno)
	o.next++
}
