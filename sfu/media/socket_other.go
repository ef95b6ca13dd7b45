//go:build !linux || !(amd64 || arm64)

package media

import (
	"log/slog"
	"net/netip"
)

// ListenUDP opens the sockets of a media port. This system has the plain path only.
func ListenUDP(addr netip.AddrPort, _ SocketConfig, log *slog.Logger) ([]Socket, error) {
	s, err := ListenPlain(addr)
	if err != nil {
		return nil, err
	}
	log.Info("media socket open", "address", s.LocalAddr(), "path", "plain")
	return []Socket{s}, nil
}
