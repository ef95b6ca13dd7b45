package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"

	"weir/signalling/matrix"
)

// openBack opens the doors behind the homeserver: on a listener of their own, or else on the public port.
func (f *focus) openBack(ctx context.Context, rt *router) error {
	c := f.cfg.Homeserver
	if c.Registration == nil {
		return nil
	}
	home, err := matrix.NewHomeserver(c, c.Registration.ASToken, matrix.Network{})
	if err != nil {
		return fmt.Errorf("homeserver: %w", err)
	}
	var back http.Handler = matrix.NewProxied(matrix.ProxiedConfig{
		Own: c.ServerName, HSToken: c.Registration.HSToken, HeaderOnly: c.ProxyAuth == "header_only", Servers: home, Relay: home,
	}, f.doors)
	if c.Registration.Reach() == matrix.Push {
		back = pushing{back, matrix.NewPushed(c.Registration.HSToken, f.watcher)}
	}
	if c.ProxyListen == "" {
		rt.back = back
		return nil
	}
	l, err := listenBack(ctx, c.ProxyListen)
	if err != nil {
		return fmt.Errorf("homeserver.proxy_listen: %w", err)
	}
	f.back = l.Addr()
	f.run(f.newServer(back, nil), l, false)
	f.log.Info("listening for the homeserver", "address", l.Addr().String())
	return nil
}

// pushing takes events too.
type pushing struct{ doors, events http.Handler }

func (p pushing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if matrix.ServesPushed(r.URL.Path) {
		p.events.ServeHTTP(w, r)
		return
	}
	p.doors.ServeHTTP(w, r)
}

// listenBack listens on host:port, or on unix: and a path. A socket that an earlier run left there is replaced.
func listenBack(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		return lc.Listen(ctx, "tcp", address)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("the socket of an earlier run: %w", err)
		}
	}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// The homeserver, or the proxy before it, runs as another user: it gets in by the group.
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
