package matrix

import "github.com/prometheus/client_golang/prometheus"

// leaveMetrics are those of a Delegation. None names a room or a user.
type leaveMetrics struct {
	leaves   *prometheus.GaugeVec   // state
	ends     *prometheus.CounterVec // end
	requests *prometheus.CounterVec // action, outcome
}

func newLeaveMetrics(reg prometheus.Registerer) *leaveMetrics {
	m := &leaveMetrics{
		leaves: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_delayed_leaves", Help: "Leaves that clients handed over: waiting for their participant, put off while it is here, being sent.",
		}, []string{"state"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_delayed_leaves_ended_total", Help: "Leaves that are looked after no more, by how they ended. Denied and expired ones may leave a ghost.",
		}, []string{"end"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_delayed_leave_requests_total", Help: "Requests to the homeserver to put a leave off or to send it.",
		}, []string{"action", "outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.leaves, m.ends, m.requests)
	}
	return m
}

func (m *leaveMetrics) count(n [3]int) {
	for i, state := range []string{"waiting", "connected", "sending"} {
		m.leaves.WithLabelValues(state).Set(float64(n[i]))
	}
}
