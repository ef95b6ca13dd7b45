package media

import "net/netip"

// Forge sends bytes from the endpoint's own address, as somebody on the path could.
func (e *Endpoint) Forge(to netip.AddrPort, b []byte) error { return e.write(to, b) }
