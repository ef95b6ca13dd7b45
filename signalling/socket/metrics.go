package socket

import "github.com/prometheus/client_golang/prometheus"

// metrics of this package. Names without the weir_ prefix are LiveKit's, which its dashboards read (operators.md section 3.7).
type metrics struct {
	connections prometheus.Gauge
	opened      *prometheus.CounterVec // path, outcome
	ended       *prometheus.CounterVec // why
	malformed   prometheus.Counter
	calls       *prometheus.CounterVec // service, method, status, code
	webhooks    *prometheus.CounterVec // outcome
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_signalling_connections", Help: "Open signalling connections."}),
		opened:      counter("weir_signalling_opened_total", "Requests for a signalling connection, by route and outcome.", "route", "outcome"),
		ended:       counter("weir_signalling_ended_total", "Signalling connections that ended, by reason.", "reason"),
		malformed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_signalling_malformed_total", Help: "Signalling frames that could not be read."}),
		calls:       counter("livekit_node_twirp_request_status", "Calls of the server API, by outcome.", "service", "method", "status", "code"),
		webhooks:    counter("weir_webhooks_total", "Webhooks, by outcome.", "outcome"),
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.opened, m.ended, m.malformed, m.calls, m.webhooks)
	}
	return m
}
