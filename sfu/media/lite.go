package media

import (
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
)

// liteAgent is ICE-lite (RFC 8445 sections 2.5 and 8.2): it answers checks on the goroutine of the socket and sends
// none, so that it costs a participant neither a goroutine nor a buffer. The far side is full and controls.
type liteAgent struct {
	t *Transport

	mu      sync.Mutex // held while the owner is told
	remote  string     // the far side's ufrag; "": not started
	heard   int64      // last check, by the endpoint's clock
	state   ice.ConnectionState
	watch   *time.Timer
	stopped bool
}

// followAfter is how long the selected address has to be silent before media follows a far side that moved without
// nominating again: a NAT that forgot it.
const followAfter = 3 * time.Second

// start begins a generation: checks of this far side count from now on. Media goes on over the old pair.
func (l *liteAgent) start(ufrag string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.remote, l.heard = ufrag, l.t.endpoint.Now()
	l.set(ice.ConnectionStateChecking)
	l.arm(disconnectedAfter + failedAfter)
}

// takes reports whether a check comes from the far side of this generation.
func (l *liteAgent) takes(ufrag []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.stopped && l.remote != "" && l.remote == string(ufrag)
}

// checked notes a true check from an address that is bound to the transport.
func (l *liteAgent) checked(now int64, from netip.AddrPort, nominates bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.heard = now
	// The first address to prove itself will do until another is nominated: browsers nominate 50 ms later than they can
	// receive. A nomination counts always, silence at the selected address counts as one.
	at, ok := l.t.out.Addr()
	if ok && at != from && !nominates && now-l.t.endpoint.lastSeen(at) <= int64(followAfter) {
		return // a spare pair
	}
	l.t.selected(from)
	if l.state != ice.ConnectionStateConnected {
		l.set(ice.ConnectionStateConnected)
		l.arm(disconnectedAfter)
	}
}

// set is called with mu held.
func (l *liteAgent) set(s ice.ConnectionState) {
	l.state = s
	l.t.iceState(s)
}

// arm is called with mu held.
func (l *liteAgent) arm(d time.Duration) {
	if l.watch == nil {
		l.watch = time.AfterFunc(d, l.look)
	} else {
		l.watch.Reset(d)
	}
}

// look is called when silence may have become too long.
func (l *liteAgent) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.state == ice.ConnectionStateFailed {
		return
	}
	alive := l.heard
	if at, ok := l.t.out.Addr(); ok && l.state != ice.ConnectionStateChecking {
		alive = max(alive, l.t.endpoint.lastSeen(at)) // media that authenticates is as good as a check
	}
	silence := time.Duration(l.t.endpoint.Now() - alive)
	switch {
	case silence >= disconnectedAfter+failedAfter:
		l.set(ice.ConnectionStateFailed)
		return
	case l.state == ice.ConnectionStateChecking:
		l.arm(disconnectedAfter + failedAfter - silence)
	case silence >= disconnectedAfter:
		l.set(ice.ConnectionStateDisconnected)
		l.arm(disconnectedAfter + failedAfter - silence)
	default:
		if l.state == ice.ConnectionStateDisconnected {
			l.set(ice.ConnectionStateConnected)
		}
		l.arm(disconnectedAfter - silence)
	}
}

func (l *liteAgent) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.watch != nil {
		l.watch.Stop()
	}
}

// lastSeen is when an address last proved itself.
func (e *Endpoint) lastSeen(a netip.AddrPort) int64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if r := e.routes[a]; r != nil {
		return r.seen.Load()
	}
	return 0
}
