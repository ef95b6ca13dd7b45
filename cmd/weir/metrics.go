package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu/media"
)

// mediaMetrics reads the counters of the media plane when somebody asks for them: the packet path knows no registry.
type mediaMetrics struct {
	endpoint *media.Endpoint
	engine   *media.Engine
	sessions *media.Focus

	packets, bytes, messages, batches, drops, sockets, transports, open *prometheus.Desc
}

func newMediaMetrics(e *media.Endpoint, g *media.Engine, f *media.Focus) *mediaMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("weir_media_"+name, help, labels, nil)
	}
	return &mediaMetrics{
		endpoint: e, engine: g, sessions: f,
		packets:    desc("packets_total", "Datagrams of the media port.", "direction"),
		bytes:      desc("bytes_total", "Bytes of the media port, without IP and UDP headers.", "direction"),
		messages:   desc("messages_total", "Messages given to the kernel: packets of equal size to one receiver share one.", "direction"),
		batches:    desc("batches_total", "Batches of messages that the kernel gave or took.", "direction"),
		drops:      desc("drops_total", "Packets that went no further: before (transport) or after (media) decryption.", "stage", "reason"),
		sockets:    desc("socket_events_total", "What the kernel did not take as it was given, and writes that waited.", "event"),
		transports: desc("transports", "Transports that are open."),
		open:       desc("sessions", "Sessions that are open."),
	}
}

// Describe implements prometheus.Collector.
func (m *mediaMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.packets, m.bytes, m.messages, m.batches, m.drops, m.sockets, m.transports, m.open} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *mediaMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.endpoint.Snapshot()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(m.packets, s.PacketsIn, "in")
	count(m.packets, s.PacketsOut, "out")
	count(m.bytes, s.BytesIn, "in")
	count(m.bytes, s.BytesOut, "out")
	count(m.messages, s.MessagesOut, "out")
	count(m.batches, s.BatchesIn, "in")
	count(m.batches, s.Bursts, "out")
	for reason, n := range s.Drops {
		count(m.drops, n, "transport", reason)
	}
	count(m.drops, s.Refused, "transport", "refused")
	for reason, n := range m.engine.Drops() {
		count(m.drops, n, "media", reason)
	}
	count(m.sockets, s.KernelFull, "full")
	count(m.sockets, s.KernelTooLong, "too_long")
	count(m.sockets, s.KernelOther, "other")
	count(m.sockets, s.Split, "split")
	count(m.sockets, s.Waits, "wait")
	to <- prometheus.MustNewConstMetric(m.transports, prometheus.GaugeValue, float64(s.Transports))
	to <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(m.sessions.Count()))
}
