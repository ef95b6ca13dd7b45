package matrix

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"weir/signalling/member"
)

// ghost notes a member who names this focus and is not here, and clears it if that is wanted and we may.
func (v *watch) ghost(m *member.Member) {
	if !v.ghosts[m.Key] {
		v.ghosts[m.Key] = true
		v.w.metrics.ghosts.Inc()
	}
	home := v.w.homes.actsAs(m.User)
	v.log.Info("ghost member", "code", "ghost", "slot", m.Slot, "user", m.User, "device", m.Device, "since", m.Created, "own", home != nil)
	if v.w.cfg.ClearGhosts && home != nil {
		v.w.wg.Go(func() { v.clear(home.home, m) })
	}
}

func (v *watch) ghostGone(k member.Key) {
	if v.ghosts[k] {
		delete(v.ghosts, k)
		v.w.metrics.ghosts.Dec()
	}
}

// stickyLife is how long a leave stays sticky: as long as what it ends may have left (MSC4354).
const stickyLife = time.Hour

// clear sends the leave that the ghost's client did not, as that user. An audit line names it.
func (v *watch) clear(home *Homeserver, m *member.Member) {
	ctx, cancel := context.WithTimeout(v.stopped, callTimeout)
	defer cancel()
	c := call{method: http.MethodPut, as: m.User, in: struct{}{}}
	room := "/_matrix/client/v3/rooms/" + escape(v.id)
	if m.Source == member.StateEvent {
		c.path = room + "/state/" + escape(m.Key.Type) + "/" + escape(m.Key.Key)
	} else {
		// The transaction is named after what it ends, so that a second try sends nothing twice.
		c.path = room + "/send/" + escape(m.Key.Type) + "/" + escape("weir"+m.Event)
		c.query = url.Values{"org.matrix.msc4354.sticky_duration_ms": {strconv.FormatInt(stickyLife.Milliseconds(), 10)}}
		c.in = map[string]string{"slot_id": m.Slot, "msc4354_sticky_key": m.Key.Key}
	}
	err := home.do(ctx, c)
	outcome := "cleared"
	if err != nil {
		outcome = "failed"
	}
	v.w.metrics.cleared.WithLabelValues(outcome).Inc()
	v.log.Info("ghost member ended in its name", "code", "ghost_"+outcome, "as", m.User, "slot", m.Slot, "event", m.Event, "err", err)
}
