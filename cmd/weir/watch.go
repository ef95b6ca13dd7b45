package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"weir/signalling/grant"
	"weir/signalling/matrix"
	"weir/signalling/socket"
)

// openWatch makes what knows the rooms. With a registration or a bot it reads them; with neither it only opens sessions
// again for clients that come back after a restart.
func (f *focus) openWatch(home installation, reg prometheus.Registerer) error {
	c := f.cfg
	if c.Homeserver.ServerName == "" {
		return nil
	}
	w := matrix.WatcherConfig{
		Server: c.Homeserver.ServerName, URLs: []string{c.PublicURL, webSocketURL(c.PublicURL)}, Key: home.key().ID,
		Policy: c.table, ClearGhosts: c.Policy.ClearGhosts, Calls: f.sessions,
	}
	token := c.Homeserver.BotToken
	if r := c.Homeserver.Registration; r != nil {
		token = r.ASToken
		w.Assert = c.Homeserver.AssertIdentity && r.Reach() != matrix.Ask
		w.Push = r.Reach() == matrix.Push
	} else {
		w.Bot = token != ""
	}
	if token != "" {
		var err error
		if w.Home, err = matrix.NewHomeserver(c.Homeserver, token, matrix.Network{}); err != nil {
			return fmt.Errorf("homeserver: %w", err)
		}
	}
	f.watcher = matrix.NewWatcher(w, f.log, reg)
	f.log.Info("rooms are known", "level", f.watcher.Level(), "assert", w.Assert, "clear_ghosts", w.ClearGhosts)
	if f.watcher.Level() == 0 {
		f.log.Warn("nobody's membership is known: whoever has an account gets a token, and keeps it when banned", "fix", "weir registration --write")
	}
	return nil
}

// admission is the watcher as the signalling sees it.
type admission struct{ *matrix.Watcher }

// Admit implements socket.Admission.
func (a admission) Admit(ctx context.Context, t grant.Token) error {
	err := a.Watcher.Admit(ctx, t)
	if errors.Is(err, matrix.ErrWithdrawn) {
		return fmt.Errorf("%w: %w", socket.ErrNotAdmitted, err)
	}
	return err
}

// homeserverCheck says how much is known of rooms. A homeserver that is out of reach makes the focus no less ready:
// running calls need none.
func (f *focus) homeserverCheck() socket.Check {
	check := socket.Check{Name: "homeserver", Detail: fmt.Sprintf("level %d", f.watcher.Level())}
	if n := f.watcher.Blind(); n > 0 {
		check.Status = socket.Degraded
		check.Detail += fmt.Sprintf(", %d rooms of which nothing is heard", n)
	}
	return check
}
