package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

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
	if err := f.openLeaves(w.Assert, reg); err != nil {
		return err
	}
	if f.leaves != nil {
		w.Withdrawn = f.leaves.Withdrawn
	}
	f.watcher = matrix.NewWatcher(w, f.log, reg)
	f.log.Info("rooms are known", "level", f.watcher.Level(), "assert", w.Assert, "clear_ghosts", w.ClearGhosts)
	if f.watcher.Level() == 0 {
		f.log.Warn("nobody's membership is known: whoever has an account gets a token, and keeps it when banned", "fix", "weir registration --write")
	}
	return nil
}

// openLeaves makes what looks after delayed leaves. Clients hand theirs over wherever the homeserver passes requests on to
// us: wherever there is a registration.
func (f *focus) openLeaves(assert bool, reg prometheus.Registerer) error {
	c := f.cfg
	r := c.Homeserver.Registration
	if r == nil {
		return nil
	}
	token := ""
	if assert {
		token = r.ASToken
	}
	home, err := matrix.NewHomeserver(c.Homeserver, token, matrix.Network{})
	if err != nil {
		return fmt.Errorf("homeserver: %w", err)
	}
	d := matrix.DelegationConfig{Home: home, Assert: assert}
	if c.Storage.Dir != "" {
		d.File = filepath.Join(c.Storage.Dir, "leaves.jsonl")
		if f.leaves, err = matrix.OpenDelegation(d, f.log, reg); err == nil {
			return nil
		}
	}
	f.log.Warn("delayed leaves are not kept: a restart loses them, and who is gone after it stays listed for an hour",
		"fix", "make storage.dir a folder that can be written", "err", err)
	d.File = ""
	f.leaves, err = matrix.OpenDelegation(d, f.log, reg)
	return err
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
