package bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// row is one metric in the report's table.
type row struct {
	Title, Unit string
	Cells       []cell
	Ratio       string
	Good        string // class of the ratio
}

type cell struct{ Median, Range string }

// strip is a plot of all repeats of one metric.
type strip struct {
	Title string
	SVG   template.HTML
}

// HTML writes the report as one page that needs nothing else.
func (r *Report) HTML() ([]byte, error) {
	var rows []row
	for i := range Metrics {
		if rw, ok := r.row(&Metrics[i]); ok {
			rows = append(rows, rw)
		}
	}
	var strips []strip
	for _, key := range []string{"us_per_packet", "latency_p50", "latency_p99", "join_p50", "first_video_p50", "first_audio_p50", "rss", "lost"} {
		for i := range Metrics {
			if m := &Metrics[i]; m.Key == key {
				if svg := r.strip(m); svg != "" {
					strips = append(strips, strip{label(m), svg})
				}
			}
		}
	}
	series := []strip{
		{"Packets forwarded, /s", r.series(func(p Point) float64 { return p.Packets })},
		{"One-way latency p99, ms", r.series(func(p Point) float64 { return p.P99 })},
		{"Server CPU, cores", r.series(func(p Point) float64 { return p.ServerCPU })},
	}
	var out bytes.Buffer
	err := pageTemplate.Execute(&out, map[string]any{
		"R": r, "Rows": rows, "Strips": strips, "Series": series, "Two": len(r.Targets) == 2,
		"Began": r.Began.UTC().Format("2006-01-02 15:04 UTC"), "Shape": r.Shape.describe(),
	})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out.Bytes(), nil
}

func label(m *Metric) string {
	if m.Unit == "" {
		return m.Title
	}
	return m.Title + ", " + m.Unit
}

func (r *Report) row(m *Metric) (row, bool) {
	out := row{Title: m.Title, Unit: m.Unit}
	var sums []Summary
	for _, t := range r.Targets {
		s, ok := r.Summarize(t.Name, m)
		if !ok {
			out.Cells = append(out.Cells, cell{"–", ""})
			continue
		}
		sums = append(sums, s)
		c := cell{Median: number(s.Median)}
		if s.Min != s.Max {
			c.Range = number(s.Min) + " – " + number(s.Max)
		}
		out.Cells = append(out.Cells, c)
	}
	if len(sums) == 2 && sums[1].Median > 0 {
		q := sums[0].Median / sums[1].Median
		out.Ratio = number(q)
		switch {
		case m.Better == 0 || q > .95 && q < 1.05 || sums[0].Min <= sums[1].Max && sums[1].Min <= sums[0].Max:
		case (q < 1) == (m.Better < 0):
			out.Good = "good"
		default:
			out.Good = "bad"
		}
	}
	return out, len(sums) > 0
}

// number writes three significant digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		s := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "\u202f" + s[i:]
		}
		return s
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return trim(strconv.FormatFloat(v, 'f', 1, 64))
	case a >= 1:
		return trim(strconv.FormatFloat(v, 'f', 2, 64))
	default:
		return trim(strconv.FormatFloat(v, 'f', 3, 64))
	}
}

func trim(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

// Geometry of the plots, px.
const (
	plotWidth, seriesHeight = 560, 170
	left, right, bottom     = 64, 12, 24
	stripRow                = 30
	plotTop                 = 8
)

// scale maps values to px.
type scale struct{ from, to, px0, px1 float64 }

func (s scale) at(v float64) float64 {
	if s.to == s.from {
		return s.px0
	}
	return s.px0 + (v-s.from)/(s.to-s.from)*(s.px1-s.px0)
}

// ticks are round values from 0 to at least most.
func ticks(most float64) []float64 {
	if most <= 0 {
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, f := range []float64{.2, .25, .5, 1, 2} {
		if most/(step*f) <= 5 {
			step *= f
			break
		}
	}
	var out []float64
	for i := 0; ; i++ {
		v := float64(i) * step
		out = append(out, v)
		if v >= most {
			return out
		}
	}
}

// strip draws each repeat as a dot and the median as a bar, a line of the plot for each target.
func (r *Report) strip(m *Metric) template.HTML {
	var most float64
	for i := range r.Runs {
		if v, ok := m.get(&r.Runs[i]); ok && r.counts(&r.Runs[i]) {
			most = max(most, v)
		}
	}
	if most == 0 {
		return ""
	}
	marks := ticks(most)
	height := plotTop + stripRow*len(r.Targets) + bottom
	x := scale{0, marks[len(marks)-1], left + 30, plotWidth - right - 20}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, height, template.HTMLEscapeString(label(m)))
	for _, v := range marks {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`,
			x.at(v), x.at(v), plotTop, height-bottom, x.at(v), height-6, number(v))
	}
	for n, t := range r.Targets {
		y := float64(plotTop + stripRow*n + stripRow/2)
		fmt.Fprintf(&b, `<text class="name" x="%d" y="%.1f" text-anchor="end">%s</text>`, left+20, y+4, template.HTMLEscapeString(t.Name))
		s, ok := r.Summarize(t.Name, m)
		if !ok {
			continue
		}
		fmt.Fprintf(&b, `<line class="range s%d" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, n, x.at(s.Min), x.at(s.Max), y, y)
		for i := range r.Runs {
			if v, ok := m.get(&r.Runs[i]); ok && r.Runs[i].Target == t.Name && r.counts(&r.Runs[i]) {
				fmt.Fprintf(&b, `<circle class="dot s%d" cx="%.1f" cy="%.1f" r="4"/>`, n, x.at(v), y)
			}
		}
		fmt.Fprintf(&b, `<line class="median s%d" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"><title>median %s</title></line>`, n, x.at(s.Median), x.at(s.Median), y-10, y+10, number(s.Median))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // made above; names are escaped
}

// series draws a value over the window, a line for each repeat that counts.
func (r *Report) series(get func(Point) float64) template.HTML {
	var most, seconds float64
	for _, run := range r.Runs {
		for _, p := range run.Samples {
			most, seconds = max(most, get(p)), max(seconds, p.Second)
		}
	}
	marks := ticks(most)
	x := scale{0, max(seconds, 1), left, plotWidth - right}
	y := scale{0, marks[len(marks)-1], seriesHeight - bottom, plotTop}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, plotWidth, seriesHeight)
	for _, v := range marks {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, plotWidth-right, y.at(v), y.at(v), left-6, y.at(v)+4, number(v))
	}
	for _, v := range ticks(seconds) {
		if v <= seconds {
			fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s s</text>`, x.at(v), seriesHeight-6, number(v))
		}
	}
	for _, run := range r.Runs {
		n := slices.IndexFunc(r.Targets, func(t Target) bool { return t.Name == run.Target })
		var points []string
		for _, p := range run.Samples {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(p.Second), y.at(get(p))))
		}
		class := ""
		if run.Void != "" {
			class = " void"
		}
		fmt.Fprintf(&b, `<polyline class="line s%d%s" points="%s"><title>%s</title></polyline>`, n, class, strings.Join(points, " "), template.HTMLEscapeString(run.Target))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // made above; names are escaped
}

// describe says in words what a shape does.
func (s *Shape) describe() string {
	var parts []string
	for _, g := range s.Groups {
		p := fmt.Sprintf("%d × ", g.Count)
		var does []string
		for _, v := range g.Video {
			top := v.Layers[len(v.Layers)-1]
			does = append(does, fmt.Sprintf("%s %dp in %d layers", v.Codec, top.Height, len(v.Layers)))
		}
		for _, a := range g.Audio {
			does = append(does, fmt.Sprintf("opus %d B", a.Bytes))
		}
		if len(does) > 0 {
			p += "publish " + strings.Join(does, " and ")
			if g.Subscribe {
				p += ", "
			}
		}
		if g.Subscribe {
			if p += "subscribe to all"; g.Take > 0 {
				p = strings.TrimSuffix(p, "all") + number(float64(g.Take))
			}
			if g.Quality != "" {
				p += " at " + g.Quality + " quality"
			}
		}
		parts = append(parts, p)
	}
	text := strings.Join(parts, "; ")
	if s.Sessions > 1 {
		text = fmt.Sprintf("%d sessions, each: %s", s.Sessions, text)
	}
	for _, extra := range []struct {
		on   bool
		text string
	}{
		{s.E2EE, "frames encrypted end to end"}, {s.Dual, "two transports (v0)"}, {s.Churn > 0, number(s.Churn) + " participants replaced per second"},
		{s.LayerChanges > 0, number(s.LayerChanges) + " layer changes per second"},
		{s.Data.Rate > 0, fmt.Sprintf("%s data messages of %d B per second and publisher", number(s.Data.Rate), s.Data.Bytes)},
	} {
		if extra.on {
			text += "; " + extra.text
		}
	}
	return text
}

// Text is the report as a table for a terminal.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Shape.Name, r.Shape.describe())
	for i := range r.Runs {
		run := &r.Runs[i]
		for _, note := range []struct{ kind, text string }{{"VOID", run.Void}, {"note", run.Remark}, {"error", run.FirstErr}} {
			if note.text != "" {
				fmt.Fprintf(&b, "run %d, %s: %s: %s\n", i+1, run.Target, note.kind, note.text)
			}
		}
	}
	fmt.Fprintf(&b, "%-38s", "median (range)")
	for _, t := range r.Targets {
		fmt.Fprintf(&b, " %26s", t.Name)
	}
	if len(r.Targets) == 2 {
		fmt.Fprintf(&b, " %8s", "ratio")
	}
	b.WriteByte('\n')
	for i := range Metrics {
		rw, ok := r.row(&Metrics[i])
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "%-38s", label(&Metrics[i]))
		for _, c := range rw.Cells {
			text := c.Median
			if c.Range != "" {
				text += " (" + c.Range + ")"
			}
			fmt.Fprintf(&b, " %26s", text)
		}
		if rw.Ratio != "" {
			fmt.Fprintf(&b, " %8s", rw.Ratio)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
