package media

import (
	"net/netip"

	"github.com/pion/sctp"
)

// Forge sends bytes from the endpoint's own address, as somebody on the path could.
func (e *Endpoint) Forge(to netip.AddrPort, b []byte) error { return e.write(to, b) }

// WriteStream opens an SCTP stream if need be, and sends a message on it as no client would.
func (t *Transport) WriteStream(id uint16, b []byte, ppid sctp.PayloadProtocolIdentifier) error {
	t.data.mu.Lock()
	a := t.data.assoc
	t.data.mu.Unlock()
	s, err := a.OpenStream(id, ppid)
	if err != nil {
		return err
	}
	_, err = s.WriteSCTP(b, ppid)
	return err
}
