package bench

import (
	"cmp"
	"slices"
	"time"
)

// Target is a server under load.
type Target struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Key     string `json:"-"`
	Secret  string `json:"-"`
	PID     int    `json:"-"`
	Metrics string `json:"-"` // Prometheus endpoint of its runtime; "": none
}

// Run is what one repeat measured in its window. Durations are in ms, as people say them.
type Run struct {
	Target  string    `json:"target"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`

	Participants int    `json:"participants"`
	Failed       int    `json:"failed"`         // participants that did not get in, or went
	Streams      int    `json:"streams"`        // received in the window
	StreamsShort int    `json:"streams_short"`  // that should have been and were not
	PacketsSent  uint64 `json:"packets_sent"`   // by the bots
	PacketsIn    uint64 `json:"packets_in"`     // received by them: what the server forwarded
	BytesIn      uint64 `json:"bytes_in"`       //
	Lost         uint64 `json:"lost"`           // for good
	Missed       uint64 `json:"missed"`         // did not come at first
	Repaired     uint64 `json:"repaired"`       //
	Duplicate    uint64 `json:"duplicate"`      //
	Freezes      uint64 `json:"freezes"`        //
	Opened       uint64 `json:"opened"`         // encrypted frames that opened
	Unopened     uint64 `json:"unopened"`       // and that did not
	DataSent     uint64 `json:"data_sent"`      // messages
	DataReceived uint64 `json:"data_received"`  //
	Left         uint64 `json:"left"`           // participants that were replaced
	LayerChanges uint64 `json:"layer_changes"`  //
	Resumes      int    `json:"resumes"`        //
	Keyframes    uint64 `json:"keyframes_sent"` //

	Latency    Spread `json:"latency"`     // from bot to bot, one way
	DataDelay  Spread `json:"data_delay"`  //
	Join       Spread `json:"join"`        // dialling to the welcome
	Live       Spread `json:"live"`        // dialling to a transport that media can flow on
	FirstVideo Spread `json:"first_video"` // dialling to the first packet that a decoder can begin with
	FirstAudio Spread `json:"first_audio"` //

	ServerCPU        float64 `json:"server_cpu"`        // s in the window; 0: not measured
	OwnCPU           float64 `json:"own_cpu"`           // s
	OtherCPU         float64 `json:"other_cpu"`         // s of all other processes
	ServerRSS        int64   `json:"server_rss"`        // bytes at the end of the window
	ServerIdleRSS    int64   `json:"server_idle_rss"`   // before the first run
	ServerGoroutines float64 `json:"server_goroutines"` // at the end of the window; 0: not told
	IdleGoroutines   float64 `json:"idle_goroutines"`   // before the run
	ServerMallocs    float64 `json:"server_mallocs"`    // in the window
	Late             Spread  `json:"late"`              // frames behind their time: the generator's own fault
	OwnDrops         uint64  `json:"own_drops"`         // packets that the generator's kernel dropped
	Cores            int     `json:"cores"`             //
	Samples          []Point `json:"samples"`           // one a second
	Void             string  `json:"void,omitempty"`    // why the run says nothing; "": it counts
	Remark           string  `json:"remark,omitempty"`  // what to keep in mind
	FirstErr         string  `json:"error,omitempty"`   // of the first participant that failed
}

// Spread is quantiles in ms.
type Spread struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func spread(h *Histogram) Spread {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return Spread{Count: h.Count(), P50: ms(h.Quantile(.5)), P95: ms(h.Quantile(.95)), P99: ms(h.Quantile(.99)), Max: ms(h.Max())}
}

// Point is one second of a run.
type Point struct {
	Second    float64 `json:"second"`
	Packets   float64 `json:"packets"`    // received per second
	ServerCPU float64 `json:"server_cpu"` // cores
	OwnCPU    float64 `json:"own_cpu"`    // cores
	P50       float64 `json:"p50"`        // latency, ms
	P99       float64 `json:"p99"`
}

// Report is all that a command measured.
type Report struct {
	Version int       `json:"version"`
	Seed    uint64    `json:"seed"`
	Began   time.Time `json:"began"`
	Machine Machine   `json:"machine"`
	Shape   Shape     `json:"shape"`
	Targets []Target  `json:"targets"`
	Runs    []Run     `json:"runs"` // in the order in which they were made

	CountVoid bool `json:"count_void,omitempty"` // void runs are taken into medians all the same
}

// ReportVersion is of the JSON form.
const ReportVersion = 1

// Metric is one number of a run.
type Metric struct {
	Key, Title, Unit string
	Better           int // -1: lower is better, 1: higher is, 0: neither
	get              func(*Run) (float64, bool)
}

// Of is the metric of a run; false: it was not measured.
func (m *Metric) Of(r *Run) (float64, bool) { return m.get(r) }

func ratio(a, b float64) (float64, bool) { return a / b, b > 0 && a > 0 }

// Metrics are what is reported of each run, in order.
var Metrics = []Metric{
	{"us_per_packet", "Server CPU per forwarded packet", "µs", -1, func(r *Run) (float64, bool) {
		return ratio(r.ServerCPU*1e6, float64(r.PacketsIn))
	}},
	{"cpu_ratio", "Server CPU / generator CPU", "", -1, func(r *Run) (float64, bool) { return ratio(r.ServerCPU, r.OwnCPU) }},
	{"server_cores", "Server CPU", "cores", -1, func(r *Run) (float64, bool) { return ratio(r.ServerCPU, r.Seconds) }},
	{"packets_per_second", "Packets forwarded", "/s", 0, func(r *Run) (float64, bool) { return ratio(float64(r.PacketsIn), r.Seconds) }},
	{"megabits", "Forwarded", "Mb/s", 0, func(r *Run) (float64, bool) { return ratio(float64(r.BytesIn)*8/1e6, r.Seconds) }},
	{"lost", "Packets lost for good", "", -1, func(r *Run) (float64, bool) { return float64(r.Lost), true }},
	{"missed", "Packets that did not come at first", "", -1, func(r *Run) (float64, bool) { return float64(r.Missed), true }},
	{"freezes", "Freezes", "", -1, func(r *Run) (float64, bool) { return float64(r.Freezes), true }},
	{"streams_short", "Streams that never came", "", -1, func(r *Run) (float64, bool) { return float64(r.StreamsShort), true }},
	{"failed", "Participants that failed", "", -1, func(r *Run) (float64, bool) { return float64(r.Failed), true }},
	{"latency_p50", "One-way latency p50", "ms", -1, func(r *Run) (float64, bool) { return r.Latency.P50, r.Latency.Count > 0 }},
	{"latency_p99", "One-way latency p99", "ms", -1, func(r *Run) (float64, bool) { return r.Latency.P99, r.Latency.Count > 0 }},
	{"join_p50", "Join p50", "ms", -1, func(r *Run) (float64, bool) { return r.Join.P50, r.Join.Count > 0 }},
	{"join_p95", "Join p95", "ms", -1, func(r *Run) (float64, bool) { return r.Join.P95, r.Join.Count > 0 }},
	{"join_p99", "Join p99", "ms", -1, func(r *Run) (float64, bool) { return r.Join.P99, r.Join.Count > 0 }},
	{"live_p50", "Join to connected p50", "ms", -1, func(r *Run) (float64, bool) { return r.Live.P50, r.Live.Count > 0 }},
	{"first_video_p50", "Join to first video packet p50", "ms", -1, func(r *Run) (float64, bool) { return r.FirstVideo.P50, r.FirstVideo.Count > 0 }},
	{"first_video_p99", "Join to first video packet p99", "ms", -1, func(r *Run) (float64, bool) { return r.FirstVideo.P99, r.FirstVideo.Count > 0 }},
	{"first_audio_p50", "Join to first audio packet p50", "ms", -1, func(r *Run) (float64, bool) { return r.FirstAudio.P50, r.FirstAudio.Count > 0 }},
	{"first_audio_p99", "Join to first audio packet p99", "ms", -1, func(r *Run) (float64, bool) { return r.FirstAudio.P99, r.FirstAudio.Count > 0 }},
	{"rss", "Server memory", "MiB", -1, func(r *Run) (float64, bool) { return float64(r.ServerRSS) / (1 << 20), r.ServerRSS > 0 }},
	{"rss_per_participant", "Server memory per participant", "KiB", -1, func(r *Run) (float64, bool) {
		return ratio(float64(r.ServerRSS-r.ServerIdleRSS)/1024, float64(r.Participants))
	}},
	{"goroutines_per_participant", "Goroutines per participant", "", -1, func(r *Run) (float64, bool) {
		return ratio(r.ServerGoroutines-r.IdleGoroutines, float64(r.Participants))
	}},
	{"mallocs_per_packet", "Allocations per forwarded packet", "", -1, func(r *Run) (float64, bool) {
		return ratio(r.ServerMallocs, float64(r.PacketsIn))
	}},
	{"data_p99", "Data message delay p99", "ms", -1, func(r *Run) (float64, bool) { return r.DataDelay.P99, r.DataDelay.Count > 0 }},
	{"own_cores", "Generator CPU", "cores", 0, func(r *Run) (float64, bool) { return ratio(r.OwnCPU, r.Seconds) }},
	{"late_p99", "Generator lateness p99", "ms", 0, func(r *Run) (float64, bool) { return r.Late.P99, r.Late.Count > 0 }},
	{"other_cores", "CPU of other processes", "cores", 0, func(r *Run) (float64, bool) { return max(r.OtherCPU, 0) / r.Seconds, r.Seconds > 0 }},
}

// Summary is a metric over the repeats that count.
type Summary struct {
	Count            int
	Median, Min, Max float64
}

// counts says whether a run is taken into medians.
func (r *Report) counts(run *Run) bool { return run.Void == "" || r.CountVoid }

// Summarize takes the runs of one target that count.
func (r *Report) Summarize(target string, m *Metric) (Summary, bool) {
	var values []float64
	for i := range r.Runs {
		if run := &r.Runs[i]; run.Target == target && r.counts(run) {
			if v, ok := m.get(run); ok {
				values = append(values, v)
			}
		}
	}
	if len(values) == 0 {
		return Summary{}, false
	}
	slices.Sort(values)
	n := len(values)
	return Summary{Count: n, Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}, true
}

// Regression is a metric that became worse.
type Regression struct {
	Metric        Metric
	Before, After Summary
}

// leastChange keeps noise out: a median has to be so much worse, and the ranges must not touch.
const leastChange = 1.10

// Compare finds what is worse in b than in a: the first target of each. Both need runs that count.
func Compare(a, b *Report) []Regression {
	var out []Regression
	for i := range Metrics {
		m := &Metrics[i]
		if m.Better == 0 || len(a.Targets) == 0 || len(b.Targets) == 0 {
			continue
		}
		was, ok1 := a.Summarize(a.Targets[0].Name, m)
		is, ok2 := b.Summarize(b.Targets[0].Name, m)
		if ok1 && ok2 && m.worse(was, is) {
			out = append(out, Regression{*m, was, is})
		}
	}
	slices.SortStableFunc(out, func(x, y Regression) int {
		return cmp.Compare(y.After.Median*x.Before.Median, x.After.Median*y.Before.Median)
	})
	return out
}

func (m *Metric) worse(was, is Summary) bool {
	if m.Better < 0 {
		return is.Median > was.Median*leastChange && is.Min > was.Max
	}
	return is.Median*leastChange < was.Median && is.Max < was.Min
}
