package media

import (
	"net/netip"

	"github.com/pion/ice/v4"
)

// iceState is called by the agent, one change at a time.
func (t *Transport) iceState(s ice.ConnectionState) {
	t.mu.Lock()
	t.connecting = s
	t.mu.Unlock()
	t.changed()
}

// selectedCandidate is called by the agent when media shall go another way.
func (t *Transport) selectedCandidate(remote ice.Candidate) {
	if a, err := netip.ParseAddr(remote.Address()); err == nil {
		to := netip.AddrPortFrom(a.Unmap(), uint16(remote.Port()))
		t.endpoint.bind(to, t, t.endpoint.Now())
		t.selected(to)
	}
}

// selected makes media go to an address that is ours.
func (t *Transport) selected(to netip.AddrPort) {
	if now := t.out.addr.Load(); now == nil || *now != to {
		t.out.addr.Store(&to)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.paired {
		t.paired = true
		close(t.pair)
	}
}

// changed works out the state and tells the owner if it is new.
func (t *Transport) changed() {
	t.events.Lock()
	defer t.events.Unlock()
	t.mu.Lock()
	before := t.state
	next := t.nextState()
	t.state = next
	t.mu.Unlock()
	if next != before && !t.closed.Load() && t.cfg.Events != nil {
		t.cfg.Events(StateChanged{next})
	}
}

// nextState is called with mu held.
func (t *Transport) nextState() State {
	if t.state == Closed {
		return Closed
	}
	if t.broken {
		return Failed
	}
	switch t.connecting {
	case ice.ConnectionStateConnected, ice.ConnectionStateCompleted:
		if t.keyed {
			return Connected
		}
		return Connecting
	case ice.ConnectionStateDisconnected:
		return Disconnected
	case ice.ConnectionStateFailed:
		return Failed
	case ice.ConnectionStateChecking:
		if t.state == Connected { // an ICE restart: media goes on over the old pair
			return Connected
		}
		return Connecting
	}
	return t.state
}

// tell gives the owner an event.
func (t *Transport) tell(ev TransportEvent) {
	t.events.Lock()
	defer t.events.Unlock()
	if !t.closed.Load() && t.cfg.Events != nil {
		t.cfg.Events(ev)
	}
}
