package media

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// reader takes the datagrams of one socket apart on one goroutine (RFC 7983): STUN and DTLS go to queues, RTP and RTCP are
// decrypted where they lie and handed on at once.
type reader struct {
	endpoint *Endpoint
	socket   Socket
	index    int
	bit      uint64 // this reader in Transport.dirty
	known    map[netip.AddrPort]*route
	dirty    []*Transport // had media in this batch
	out      *Burst

	scratch [128]byte // a STUN message of ours

	lastAddr  netip.AddrPort
	lastRoute *route

	busy, since int64 // ns of work since then
}

// alarmed is a socket whose reader can be woken.
type alarmed interface {
	// alarm gives what makes ReadBatch return after d, with nothing if nothing came; 0: not any more. The reader calls it.
	// nil: the reader cannot be woken.
	alarm() func(d time.Duration)
}

// readBatch is how many messages one read takes.
const readBatch = 64

// promptMessages are sent before the next publisher's packets are looked at: when many publishers are in one batch, the first
// should not wait for the last.
const promptMessages = 6

func (r *reader) run() {
	ms := make([]Message, readBatch)
	for {
		n, err := r.socket.ReadBatch(ms)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				r.endpoint.log.Error("media socket ended", "error", err)
			}
			return
		}
		begin := r.endpoint.Now()
		if n > 0 {
			r.batch(begin, ms[:n])
		}
		if r.out.due != 0 {
			r.out.ring(r.endpoint.Now())
		}
		if r.endpoint.steering != nil {
			r.account(begin, r.endpoint.Now())
		}
	}
}

// account measures the reader's load.
func (r *reader) account(begin, end int64) {
	r.busy += end - begin
	if d := end - r.since; d >= int64(steerWindow) {
		r.endpoint.steering.loaded(r.index, float64(r.busy)/float64(d), end)
		r.busy, r.since = 0, end
	}
}

func (r *reader) batch(now int64, ms []Message) {
	var packets, bytes uint64
	for i := range ms {
		m := &ms[i]
		addr := netip.AddrPortFrom(m.Addr.Addr().Unmap(), m.Addr.Port())
		bytes += uint64(len(m.Buf))
		if m.Segment == 0 || m.Segment >= len(m.Buf) {
			packets++
			r.datagram(now-m.Waited, addr, m.Buf)
			continue
		}
		for rest := m.Buf; len(rest) > 0; {
			n := min(m.Segment, len(rest))
			packets++
			r.datagram(now-m.Waited, addr, rest[:n:n])
			rest = rest[n:]
		}
	}
	got := &r.endpoint.got
	got.packets.Add(packets)
	got.bytes.Add(bytes)
	got.batches.Add(1)
	for i, t := range r.dirty {
		t.flush(now, r)
		r.dirty[i] = nil
		if len(r.out.ms) >= promptMessages {
			r.out.Flush()
		}
	}
	r.dirty = r.dirty[:0]
	r.out.Flush()
}

// datagram goes by its first byte (RFC 7983 section 7).
func (r *reader) datagram(now int64, from netip.AddrPort, b []byte) {
	e := r.endpoint
	if len(b) == 0 {
		e.drop(DropUnknown)
		return
	}
	switch c := b[0]; {
	case c >= 128 && c <= 191:
		ro := r.route(from)
		if ro == nil {
			e.drop(DropNoTransport)
			return
		}
		r.media(now, ro, b)
	case c <= 3:
		r.stun(now, from, b)
	case c >= 20 && c <= 63:
		ro := r.route(from)
		if ro == nil {
			e.drop(DropNoTransport)
		} else if t := ro.owner.Load(); t == nil {
			e.drop(DropNoTransport)
		} else if !t.dtlsIn.push(from, b) {
			e.drop(DropQueueFull)
		}
	default:
		e.drop(DropUnknown)
	}
}

// media decrypts and hands on.
func (r *reader) media(now int64, ro *route, b []byte) {
	t := ro.owner.Load()
	if t == nil {
		r.endpoint.drop(DropNoTransport)
		return
	}
	if len(b) < 2 {
		r.endpoint.drop(DropMalformed)
		return
	}
	var err error
	if isRTCP(b) {
		err = t.takeRTCP(now, b, r)
	} else {
		err = t.takeRTP(now, b, r)
	}
	switch {
	case err == nil:
		ro.seen.Store(now)
	case errors.Is(err, errForged):
		r.endpoint.drop(DropForged)
	case errors.Is(err, errNoKeys):
		r.endpoint.drop(DropNoKeys)
	case errors.Is(err, errSources):
		r.endpoint.drop(DropSources)
	default:
		r.endpoint.drop(DropMalformed)
	}
}

// stun routes a request by its user name and, when it is true, gives the address to the transport; answers and
// indications follow the address.
func (r *reader) stun(now int64, from netip.AddrPort, b []byte) {
	e := r.endpoint
	m, ok := parseSTUN(b)
	if !ok {
		e.drop(DropSTUNMalformed)
		return
	}
	if m.kind != stunRequest {
		if ro := r.route(from); ro == nil {
			e.drop(DropNoTransport)
		} else if t := ro.owner.Load(); t == nil {
			e.drop(DropNoTransport)
		} else if t.lite != nil {
			if m.kind == stunSuccess && !t.lite.answered(now, from, &m) {
				e.drop(DropSTUNIntegrity)
			}
		} else if !t.conns.Load().push(from, b) {
			e.drop(DropQueueFull)
		}
		return
	}
	local, remote := m.ufrags()
	e.mu.RLock()
	c := e.ufrags[string(local)]
	e.mu.RUnlock()
	if c == nil {
		e.drop(DropSTUNUfrag)
		return
	}
	if !m.authentic(c.pwd) {
		e.drop(DropSTUNIntegrity)
		return
	}
	if !e.bind(from, c.transport, now) {
		return
	}
	c.transport.heard.Store(&from)
	if l := c.transport.lite; l != nil {
		r.answer(now, from, &m, remote, c, l)
		return
	}
	if !c.push(from, b) {
		e.drop(DropQueueFull)
	}
}

// answer replies for a lite agent, from the socket that was asked.
func (r *reader) answer(now int64, from netip.AddrPort, m *stunMessage, remote []byte, c *muxConns, l *liteAgent) {
	switch {
	case m.obeys:
		r.reply(from, appendRoleConflict(r.scratch[:0], m, c.pwd))
	case !l.takes(remote):
		r.endpoint.drop(DropSTUNUfrag)
	default:
		r.reply(from, appendSuccess(r.scratch[:0], m, from, c.pwd))
		if l.checked(now, from, m.nominates) {
			r.reply(from, l.appendCheck(r.scratch[:0], now, from))
		}
	}
}

func (r *reader) reply(to netip.AddrPort, b []byte) {
	one := [1]Message{{Addr: to, Buf: b}}
	r.endpoint.sent.packets.Add(1)
	r.endpoint.sent.bytes.Add(uint64(len(b)))
	_ = r.socket.WriteBatch(one[:]) // the only error is the socket's end
}

// route finds the owner of an address: the packet before, then this reader's map, then the shared one.
func (r *reader) route(from netip.AddrPort) *route {
	if from == r.lastAddr && r.lastRoute != nil && r.lastRoute.owner.Load() != nil {
		return r.lastRoute
	}
	ro := r.known[from]
	if ro == nil || ro.owner.Load() == nil {
		e := r.endpoint
		e.mu.RLock()
		ro = e.routes[from]
		all := len(e.routes)
		e.mu.RUnlock()
		if ro == nil {
			delete(r.known, from)
			return nil
		}
		if len(r.known) > 2*all+64 { // mostly addresses that went
			clear(r.known)
		}
		r.known[from] = ro
	}
	r.lastAddr, r.lastRoute = from, ro
	return ro
}
