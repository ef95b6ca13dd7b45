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

// openBack opens the doors behind each homeserver: on a listener of their own, or else on the public port.
func (f *focus) openBack(ctx context.Context, rt *router) error {
	var public behind
	for _, h := range f.cfg.homes {
		if h.Registration == nil {
			continue
		}
		back, err := f.doorsBehind(h)
		if err != nil {
			return err
		}
		if h.ProxyListen == "" {
			public = append(public, back)
			continue
		}
		l, err := listenBack(ctx, h.ProxyListen)
		if err != nil {
			return fmt.Errorf("proxy_listen of %s: %w", h.ServerName, err)
		}
		f.back = append(f.back, l.Addr())
		f.run(f.newServer(back, nil), l, false)
		f.log.Info("listening for the homeserver", "server", h.ServerName, "address", l.Addr().String())
	}
	if len(public) > 0 {
		rt.back = public
	}
	return nil
}

// doorsBehind are the doors behind one homeserver.
func (f *focus) doorsBehind(c matrix.Config) (back, error) {
	home, err := matrix.NewHomeserver(c, c.Registration.ASToken, matrix.Network{})
	if err != nil {
		return back{}, fmt.Errorf("homeserver %s: %w", c.ServerName, err)
	}
	b := back{doors: matrix.NewProxied(matrix.ProxiedConfig{
		Own: c.ServerName, HSToken: c.Registration.HSToken, HeaderOnly: c.ProxyAuth == "header_only", Servers: home, Relay: home,
	}, f.doors)}
	if c.Registration.Reach() == matrix.Push {
		b.events = matrix.NewPushed(c.ServerName, c.Registration.HSToken, f.watcher)
	}
	return b, nil
}

// back are the doors behind one homeserver.
type back struct {
	doors  *matrix.Proxied
	events http.Handler // nil: it pushes none
}

func (b back) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.events != nil && matrix.ServesPushed(r.URL.Path) {
		b.events.ServeHTTP(w, r)
		return
	}
	b.doors.ServeHTTP(w, r)
}

// behind are the doors behind several homeservers on one port, at least one.
type behind []back

// ServeHTTP tells by its token which homeserver asks. To who shows none of them the first says what is wrong.
func (all behind) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := all[0]
	for _, b := range all {
		if b.doors.Vouched(r) {
			from = b
		}
	}
	from.ServeHTTP(w, r)
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
