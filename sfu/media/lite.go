package media

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
)

// liteAgent is ICE-lite (RFC 8445 sections 2.5 and 8.2): it answers checks on the goroutine of the socket, so that it
// costs a participant neither a goroutine nor a buffer. The far side is full and controls. Of its own the agent sends a
// check only before media moves to another address: whoever can forge sources could nominate a stranger's, and would
// have us flood it. DTLS, which needs answers, proves the first address; the answer to our check proves the next.
type liteAgent struct {
	t      *Transport
	secret [16]byte // makes the transaction ids of our checks

	mu      sync.Mutex // held while the owner is told
	remote  string     // the far side's ufrag; "": not started
	pwd     string     // and password
	heard   int64      // last check, by the endpoint's clock
	state   ice.ConnectionState
	watch   *time.Timer
	stopped bool
}

// followAfter is how long the selected address has to be silent before media follows a far side that moved without
// nominating again: a NAT that forgot it.
const followAfter = 3 * time.Second

// proofPeriod is how often the ids of our checks change; an answer may take so long.
const proofPeriod = 10 * time.Second

// maxUfrag is RFC 8839 section 5.4's.
const maxUfrag = 256

func newLiteAgent(t *Transport) *liteAgent {
	l := &liteAgent{t: t}
	_, _ = rand.Read(l.secret[:]) // never fails since Go 1.24
	return l
}

// start begins a generation: checks of this far side count from now on. Media goes on over the old pair.
func (l *liteAgent) start(ufrag, pwd string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || len(ufrag) > maxUfrag {
		return
	}
	l.remote, l.pwd, l.heard = ufrag, pwd, l.t.endpoint.Now()
	l.set(ice.ConnectionStateChecking)
	l.arm(disconnectedAfter + failedAfter)
}

// takes reports whether a check comes from the far side of this generation.
func (l *liteAgent) takes(ufrag []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.stopped && l.remote != "" && l.remote == string(ufrag)
}

// checked notes a true check from an address that is bound to the transport; prove: media would go there, if it proves
// that it wants it.
func (l *liteAgent) checked(now int64, from netip.AddrPort, nominates bool) (prove bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	// The first address to prove itself will do until another is nominated: browsers nominate 50 ms later than they can
	// receive. A nomination counts always, silence at the selected address counts as one.
	at, ok := l.t.out.Addr()
	if ok && at != from {
		return nominates || now-l.t.endpoint.lastSeen(at) > int64(followAfter) // else a spare pair
	}
	l.follow(now, from)
	return false
}

// follow is called with mu held.
func (l *liteAgent) follow(now int64, to netip.AddrPort) {
	l.heard = now
	l.t.selected(to)
	if l.state != ice.ConnectionStateConnected {
		l.set(ice.ConnectionStateConnected)
		l.arm(disconnectedAfter)
	}
}

// appendCheck writes our check of an address. Its id is all that we remember of it.
func (l *liteAgent) appendCheck(dst []byte, now int64, to netip.AddrPort) []byte {
	l.mu.Lock()
	remote, pwd := l.remote, l.pwd
	l.mu.Unlock()
	return appendRequest(dst, l.proof(to, now/int64(proofPeriod)), remote+":"+l.t.conns.Load().ufrag, l.secret[:8], pwd)
}

// proof is the transaction id that only somebody who receives at an address can know.
func (l *liteAgent) proof(at netip.AddrPort, period int64) [12]byte {
	mac := hmac.New(sha256.New, l.secret[:])
	ip := at.Addr().As16()
	mac.Write(ip[:])
	mac.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, at.Port()), uint64(period)))
	return [12]byte(mac.Sum(nil))
}

// answered takes the answer to a check of ours; false: it is none.
func (l *liteAgent) answered(now int64, from netip.AddrPort, m *stunMessage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.remote == "" || !m.authentic(l.pwd) {
		return false
	}
	id := [12]byte(m.raw[8:stunHeaderLen])
	period := now / int64(proofPeriod)
	if id != l.proof(from, period) && id != l.proof(from, period-1) {
		return false
	}
	l.follow(now, from)
	return true
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
	if at, ok := l.t.out.Addr(); ok {
		// Media that authenticates is as good as a check: in a restart too, which a busy client may take long over.
		alive = max(alive, l.t.endpoint.lastSeen(at))
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
