// Package sfutest is a network in memory: datagram sockets with loss, delay and reordering from a seed, and streams for
// signalling. It waits only on channels, conditions and timers, so that a testing/synctest bubble runs it in no time.
package sfutest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"weir/sfu/media"
)

// Impairment is what a path does to its datagrams.
type Impairment struct {
	Loss    float64       // share of datagrams that vanish
	Delay   time.Duration // each way
	Jitter  time.Duration // added to the delay, uniform from 0; datagrams may overtake each other
	Reorder float64       // share of datagrams that come 20 ms late
}

const lateness = 20 * time.Millisecond

// Network connects its sockets. All methods may be called from any goroutine.
type Network struct {
	mu      sync.Mutex
	random  *rand.Rand
	all     Impairment
	paths   map[netip.Addr]Impairment // to an address
	sockets map[netip.AddrPort]*Socket
	streams map[string]*Listener
	tap     func(from, to netip.AddrPort, b []byte)
	carried uint64
	lost    uint64

	travelling flights
}

// New makes a network whose chances come from seed.
func New(seed uint64) *Network {
	return &Network{
		random:  rand.New(rand.NewPCG(seed, seed)),
		paths:   make(map[netip.Addr]Impairment),
		sockets: make(map[netip.AddrPort]*Socket),
		streams: make(map[string]*Listener),
	}
}

// Impair sets what happens to datagrams on all paths that ImpairTo does not name.
func (n *Network) Impair(i Impairment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = i
}

// ImpairTo sets what happens to datagrams on the way to an address.
func (n *Network) ImpairTo(to netip.Addr, i Impairment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paths[to] = i
}

// Tap shows every datagram to f before the network's chances; f must not keep b or call the network.
func (n *Network) Tap(f func(from, to netip.AddrPort, b []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// Carried is how many datagrams were sent, and how many of them the network lost.
func (n *Network) Carried() (sent, lost uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.carried, n.lost
}

// queueMost bounds what waits at a socket: as a kernel's receive buffer it drops the newest.
const queueMost = 4096

// Socket is a datagram socket; it implements media.Socket.
type Socket struct {
	network *Network

	mu      sync.Mutex
	some    sync.Cond
	local   netip.AddrPort
	waiting []media.Message
	closed  bool
}

var _ media.Socket = (*Socket)(nil)

// Listen opens a socket at an address ("10.0.0.1:7882").
func (n *Network) Listen(addr string) (*Socket, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sockets[a] != nil {
		return nil, fmt.Errorf("listen: %s is in use", a)
	}
	s := &Socket{network: n, local: a}
	s.some.L = &s.mu
	n.sockets[a] = s
	return s, nil
}

// Move gives the socket another address, as when a client roams or its NAT forgets it.
func (s *Socket) Move(addr string) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("move: %w", err)
	}
	n := s.network
	n.mu.Lock()
	defer n.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.sockets[a] != nil || s.closed {
		return fmt.Errorf("move: %s is in use or the socket closed", a)
	}
	delete(n.sockets, s.local)
	n.sockets[a] = s
	s.local = a
	return nil
}

// ReadBatch waits for a datagram and takes as many as there are.
func (s *Socket) ReadBatch(ms []media.Message) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) == 0 {
		if s.closed {
			return 0, net.ErrClosed
		}
		s.some.Wait()
	}
	n := copy(ms, s.waiting)
	s.waiting = s.waiting[n:]
	return n, nil
}

// WriteBatch sends each datagram on its way.
func (s *Socket) WriteBatch(ms []media.Message) error {
	s.mu.Lock()
	from, closed := s.local, s.closed
	s.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	for _, m := range ms {
		size := m.Segment
		if size == 0 {
			size = len(m.Buf)
		}
		for b := m.Buf; len(b) > 0; b = b[min(size, len(b)):] {
			s.network.carry(from, m.Addr, append([]byte(nil), b[:min(size, len(b))]...))
		}
	}
	return nil
}

// LocalAddr is where the socket is now.
func (s *Socket) LocalAddr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local
}

// Close ends reads and writes.
func (s *Socket) Close() error {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	s.waiting = nil
	if s.network.sockets[s.local] == s {
		delete(s.network.sockets, s.local)
	}
	s.some.Broadcast()
	return nil
}

func (n *Network) carry(from, to netip.AddrPort, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.carried++
	if n.tap != nil {
		n.tap(from, to, b)
	}
	i, ok := n.paths[to.Addr()]
	if !ok {
		i = n.all
	}
	if i.Loss > 0 && n.random.Float64() < i.Loss {
		n.lost++
		return
	}
	wait := i.Delay
	if i.Jitter > 0 {
		wait += time.Duration(n.random.Int64N(int64(i.Jitter)))
	}
	if i.Reorder > 0 && n.random.Float64() < i.Reorder {
		wait += lateness
	}
	m := media.Message{Addr: from, Buf: b}
	if wait <= 0 {
		n.deliver(to, m)
		return
	}
	heap.Push(&n.travelling, flight{at: time.Now().Add(wait), number: n.carried, to: to, message: m})
	time.AfterFunc(wait, n.arrive)
}

// arrive delivers all that is due, in the order of arrival and then of sending: timers of one instant fire in any order.
func (n *Network) arrive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for now := time.Now(); len(n.travelling) > 0 && !now.Before(n.travelling[0].at); {
		f := heap.Pop(&n.travelling).(flight)
		n.deliver(f.to, f.message)
	}
}

// flight is a datagram on its way.
type flight struct {
	at      time.Time
	number  uint64
	to      netip.AddrPort
	message media.Message
}

// flights is a heap by arrival.
type flights []flight

func (f flights) Len() int { return len(f) }
func (f flights) Less(i, j int) bool {
	if !f[i].at.Equal(f[j].at) {
		return f[i].at.Before(f[j].at)
	}
	return f[i].number < f[j].number
}
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

// deliver is called with mu held.
func (n *Network) deliver(to netip.AddrPort, m media.Message) {
	s := n.sockets[to]
	if s == nil {
		n.lost++
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) >= queueMost {
		n.lost++
		return
	}
	s.waiting = append(s.waiting, m)
	s.some.Signal()
}
