package matrix

import "github.com/prometheus/client_golang/prometheus"

// watchMetrics are those of a Watcher (operators.md section 3.7). None names a room or a user.
type watchMetrics struct {
	level     prometheus.Gauge
	rooms     prometheus.Gauge
	blind     prometheus.Gauge
	ghosts    prometheus.Gauge
	lag       prometheus.Histogram
	evictions *prometheus.CounterVec // reason
	refused   *prometheus.CounterVec // code
	requests  *prometheus.CounterVec // kind, outcome
	cleared   *prometheus.CounterVec // outcome
	ignored   prometheus.Counter
}

func newWatchMetrics(reg prometheus.Registerer) *watchMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &watchMetrics{
		level:  gauge("weir_membership_level", "How memberships are known: 0 not at all, 1 as a bot, 2 on demand, 3 by pushed events."),
		rooms:  gauge("weir_rooms_watched", "Rooms with an open session."),
		blind:  gauge("weir_rooms_blind", "Watched rooms of which no events arrive: their members are asked for every 10 s, or not known to change at all."),
		ghosts: gauge("weir_ghost_members", "Members of calls who name this focus and are not here."),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_membership_lag_seconds", Help: "From when a change of room membership was made until it is acted on here, by the clocks of both servers.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		evictions: counter("weir_evictions_total", "Participants evicted for what happened in their room.", "reason"),
		refused:   counter("weir_admissions_refused_total", "Joins refused although the token was good.", "code"),
		requests:  counter("weir_homeserver_requests_total", "Requests to the homeserver for watching rooms.", "kind", "outcome"),
		cleared:   counter("weir_ghosts_cleared_total", "Memberships ended in the name of users who were gone.", "outcome"),
		ignored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_events_ignored_total", Help: "Events of watched rooms that could not be read.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.level, m.rooms, m.blind, m.ghosts, m.lag, m.evictions, m.refused, m.requests, m.cleared, m.ignored)
	}
	return m
}
