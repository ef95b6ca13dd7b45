package bench

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// seriesOf makes a report of runs of one target with a CPU time per packet of so many µs each.
func seriesOf(costs ...float64) *Report {
	r := &Report{Version: ReportVersion, Shape: Shape{Name: "a5"}, Targets: []Target{{Name: "weir"}}}
	for _, c := range costs {
		run := Run{Target: "weir", Seconds: 10, PacketsIn: 1e6, ServerCPU: c, OwnCPU: 1, Began: time.Unix(0, 0).UTC()}
		if c < 0 {
			run.Void, run.ServerCPU = "saturated", -c
		}
		r.Runs = append(r.Runs, run)
	}
	return r
}

func metric(t *testing.T, key string) *Metric {
	t.Helper()
	for i := range Metrics {
		if Metrics[i].Key == key {
			return &Metrics[i]
		}
	}
	t.Fatalf("no metric %s", key)
	return nil
}

func TestSummarize(t *testing.T) {
	for name, c := range map[string]struct {
		costs []float64
		want  Summary
	}{
		"one":           {[]float64{3}, Summary{1, 3, 3, 3}},
		"two":           {[]float64{5, 3}, Summary{2, 4, 3, 5}},
		"three":         {[]float64{9, 1, 2}, Summary{3, 2, 1, 9}},
		"void left out": {[]float64{9, -100, 1, 2}, Summary{3, 2, 1, 9}},
		"all void":      {[]float64{-1}, Summary{}},
		"nothing":       {nil, Summary{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := seriesOf(c.costs...).Summarize("weir", metric(t, "us_per_packet"))
			if ok != (c.want.Count > 0) || got != c.want {
				t.Fatalf("%+v, %v; want %+v", got, ok, c.want)
			}
		})
	}
	r := seriesOf(-7)
	r.CountVoid = true
	if got, _ := r.Summarize("weir", metric(t, "us_per_packet")); got.Median != 7 {
		t.Errorf("void runs that shall count: %+v", got)
	}
}

func TestCompare(t *testing.T) {
	for name, c := range map[string]struct {
		before, after []float64
		worse         bool
	}{
		"the same":               {[]float64{3, 3.1, 3.2}, []float64{3, 3.1, 3.2}, false},
		"clearly worse":          {[]float64{3, 3.1, 3.2}, []float64{4, 4.1, 4.2}, true},
		"better":                 {[]float64{4, 4.1, 4.2}, []float64{3, 3.1, 3.2}, false},
		"worse, ranges touch":    {[]float64{3, 3.1, 5}, []float64{4, 4.1, 4.2}, false},
		"apart, but by little":   {[]float64{3, 3.01, 3.02}, []float64{3.1, 3.11, 3.12}, false},
		"only void runs after":   {[]float64{3}, []float64{-9}, false},
		"something from nothing": {[]float64{3}, []float64{9}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := Compare(seriesOf(c.before...), seriesOf(c.after...))
			found := false
			for _, g := range got {
				found = found || g.Metric.Key == "us_per_packet"
			}
			if found != c.worse {
				t.Fatalf("%+v; want worse %v", got, c.worse)
			}
		})
	}
	before, after := seriesOf(3), seriesOf(3)
	after.Runs[0].Lost = 1
	if got := Compare(before, after); len(got) != 1 || got[0].Metric.Key != "lost" {
		t.Errorf("a loss where there was none: %+v", got)
	}
}

func TestReportComesBack(t *testing.T) {
	r := seriesOf(3, 4, -5)
	r.Runs[0].Samples = []Point{{1, 2, 3, 4, 5, 6}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	back := new(Report)
	if err := json.Unmarshal(text, back); err != nil || !reflect.DeepEqual(back, r) {
		t.Fatalf("%v\n%+v\n%+v", err, back, r)
	}
	r.Targets[0].Secret, r.Targets[0].Key = "hidden", "hidden"
	if text, _ = json.Marshal(r); bytes.Contains(text, []byte("hidden")) {
		t.Error("the report tells a key")
	}
}

// TestHTML: one page that fetches nothing, says what counts, and lets no name out of its text.
func TestHTML(t *testing.T) {
	r := seriesOf(3, 4, -5)
	r.Targets[0].Name = `<script>alert("x")</script>`
	r.Targets = append(r.Targets, Target{Name: "peer"})
	for i := range r.Runs {
		r.Runs[i].Target = r.Targets[i%2].Name
		r.Runs[i].Samples = []Point{{1, 24000, .1, .1, .2, .4}, {2, 24100, .1, .1, .2, .5}}
		r.Runs[i].Latency = Spread{Count: 5, P50: .2, P99: 1}
	}
	shape, err := NamedShape("c12")
	if err != nil {
		t.Fatal(err)
	}
	r.Shape = shape
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{"12 × publish vp8 720p in 3 layers and opus 80 B, subscribe to all at medium quality", "void: saturated", "<svg", "prefers-color-scheme"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in it", want)
		}
	}
	for _, never := range []string{"<script", "src=", "href=", "@import", "url(", "NaN", "Inf"} {
		if strings.Contains(text, never) {
			t.Errorf("%q is in it", never)
		}
	}
	if table := r.Text(); !strings.Contains(table, "VOID: saturated") || !strings.Contains(table, "ratio") {
		t.Errorf("the table:\n%s", table)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", .0004: "0", .0126: "0.013", 1: "1", 1.256: "1.26", 14.9: "14.9", 15: "15", 254.6: "255", 1000: "1\u202f000",
		1234567: "1\u202f234\u202f567", -2500: "-2\u202f500", 999.6: "1000",
	} {
		if got := number(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, most := range []float64{0, 1e-6, .05, .7, 1, 3, 5, 9.99, 20, 24128, 1e9} {
		got := ticks(most)
		if got[0] != 0 || got[len(got)-1] < most || len(got) < 2 || len(got) > 7 {
			t.Errorf("up to %g: %v", most, got)
		}
	}
}

// TestJudge: a run that tells of the generator is void.
func TestJudge(t *testing.T) {
	good := Run{Seconds: 10, Cores: 2, OwnCPU: 5, PacketsIn: 1, ServerCPU: 1}
	for name, c := range map[string]struct {
		change func(*Run)
		void   string
		remark string
	}{
		"good":      {func(*Run) {}, "", ""},
		"saturated": {func(r *Run) { r.OwnCPU = 19 }, "generator took 95 %", ""},
		"late":      {func(r *Run) { r.Late.P99 = 30 }, "30 ms late", ""},
		"drops":     {func(r *Run) { r.OwnDrops = 3 }, "dropped 3 packets", ""},
		"nothing":   {func(r *Run) { r.PacketsIn = 0 }, "nothing was received", ""},
		"busy":      {func(r *Run) { r.OtherCPU = 10 }, "", "other processes took 50 %"},
	} {
		t.Run(name, func(t *testing.T) {
			l := load{run: good, target: Target{PID: 1}}
			c.change(&l.run)
			l.judge()
			if (l.run.Void == "") != (c.void == "") || !strings.Contains(l.run.Void, c.void) || !strings.Contains(l.run.Remark, c.remark) {
				t.Fatalf("void %q, remark %q", l.run.Void, l.run.Remark)
			}
		})
	}
}
