package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"weir/signalling/grant"
	"weir/signalling/matrix"
	"weir/signalling/socket"
)

// openWatch makes what knows the rooms. With a registration or a bot it reads them; with neither it only opens sessions
// again for clients that come back after a restart.
func (f *focus) openWatch(home installation, reg prometheus.Registerer) error {
	c := f.cfg
	if len(c.homes) == 0 {
		return nil
	}
	w := matrix.WatcherConfig{
		URLs: []string{c.PublicURL, webSocketURL(c.PublicURL)}, Key: home.key().ID,
		Policy: c.table, ClearGhosts: c.Policy.ClearGhosts, Calls: f.sessions,
	}
	for _, h := range c.homes {
		home, token := matrix.Home{Server: h.ServerName}, h.BotToken
		if r := h.Registration; r != nil {
			token = r.ASToken
			home.Assert, home.Push = asserts(h), r.Reach() == matrix.Push
		} else {
			home.Bot = true
		}
		if token == "" {
			continue
		}
		var err error
		if home.API, err = matrix.NewHomeserver(h, token, matrix.Network{}); err != nil {
			return fmt.Errorf("homeserver %s: %w", h.ServerName, err)
		}
		w.Homes = append(w.Homes, home)
	}
	if err := f.openLeaves(reg); err != nil {
		return err
	}
	if f.leaves != nil {
		w.Withdrawn = f.leaves.Withdrawn
	}
	f.watcher = matrix.NewWatcher(w, f.log, reg)
	for _, h := range w.Homes {
		f.log.Info("rooms are known", "server", h.Server, "level", f.watcher.Level(), "assert", h.Assert, "clear_ghosts", w.ClearGhosts)
	}
	if f.watcher.Level() == 0 {
		f.log.Warn("nobody's membership is known: whoever has an account gets a token, and keeps it when banned", "fix", "weir registration --write")
	}
	return nil
}

// asserts says whether the focus may act as the homeserver's users: if both the registration and the operator permit it.
func asserts(h matrix.Config) bool {
	return h.Registration != nil && h.AssertIdentity && h.Registration.Reach() != matrix.Ask
}

// openLeaves makes what looks after delayed leaves. Clients hand theirs over wherever the homeserver passes requests on to
// us: wherever there is a registration. Then those of all homeservers are taken: clients are told by the service alone.
func (f *focus) openLeaves(reg prometheus.Registerer) (err error) {
	c := f.cfg
	if !slices.ContainsFunc(c.homes, func(h matrix.Config) bool { return h.Registration != nil }) {
		return nil
	}
	var d matrix.DelegationConfig
	for _, h := range c.homes {
		home, token := matrix.Home{Server: h.ServerName, Assert: asserts(h)}, ""
		if home.Assert {
			token = h.Registration.ASToken
		}
		if home.API, err = matrix.NewHomeserver(h, token, matrix.Network{}); err != nil {
			return fmt.Errorf("homeserver %s: %w", h.ServerName, err)
		}
		d.Homes = append(d.Homes, home)
	}
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
