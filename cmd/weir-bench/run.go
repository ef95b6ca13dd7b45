package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"time"

	"weir/bench"
)

// run loads one server, or two alternately.
type run struct {
	Shape     string        `default:"a50" help:"aN, bN, cN, or a YAML file."`
	URL       []string      `required:"" placeholder:"ws://HOST:PORT" help:"The server; with --compare give it twice."`
	PID       []int         `name:"pid" help:"Process id of the server, to measure its CPU and memory; in the order of the URLs."`
	Name      []string      `help:"What to call the server in the report; in the order of the URLs."`
	Metrics   []string      `placeholder:"http://HOST:PORT/metrics" help:"Its Prometheus endpoint, for goroutines and allocations; in the order of the URLs."`
	Key       []string      `default:"devkey" help:"API key; in the order of the URLs, or one for both."`
	Secret    []string      `default:"secret" env:"WEIR_BENCH_SECRET" help:"Its secret."`
	Compare   bool          `help:"Load two servers alternately and print ratios, first to second."`
	Repeats   int           `default:"3" help:"Runs for each server."`
	Settle    time.Duration `default:"5s" help:"Time between the last join and the window."`
	Window    time.Duration `default:"20s" help:"Time that is measured."`
	Seed      uint64        `help:"Seed of all chances; 0: from the clock."`
	JSON      string        `name:"json" placeholder:"FILE" help:"Write everything measured."`
	HTML      string        `name:"html" placeholder:"FILE" help:"Write a report with plots."`
	Quiet     bool          `help:"No progress line."`
	Remote    bool          `name:"allow-remote" help:"Load a server off this machine. Ask its owner first."`
	Dual      bool          `help:"Two transports (v0 signalling)."`
	NoData    bool          `name:"no-data-channels" help:"Bots open no data channels."`
	E2EE      bool          `name:"e2ee" help:"Frames are encrypted."`
	CountVoid bool          `name:"count-void" help:"Take void runs into the medians: for a look at a busy machine, never for a claim."`
	JoinRate  float64       `name:"join-rate" help:"Participants per second, instead of the shape's."`
}

// errVoid says that no run counts.
var errVoid = errors.New("every run is void: see why above")

// Run makes the runs and reports.
func (r *run) Run(ctx context.Context) error {
	shape, err := r.shape()
	if err != nil {
		return err
	}
	targets, err := r.targets()
	if err != nil {
		return err
	}
	guard, err := bench.NewGuard(r.Remote)
	if err != nil {
		return err
	}
	if r.Seed == 0 {
		r.Seed = rand.Uint64() >> 12 // JSON numbers are exact to 53 bits
	}
	debug.SetGCPercent(400) // memory is cheaper here than the server's CPU
	o := bench.Options{Shape: shape, Settle: r.Settle, Window: r.Window, Seed: r.Seed, Guard: guard, Progress: progress(r.Quiet)}
	report, err := bench.Series(ctx, o, targets, r.Repeats)
	clearProgress(r.Quiet)
	if err != nil {
		return err
	}
	report.CountVoid = r.CountVoid
	fmt.Print(report.Text())
	if err := r.write(report); err != nil {
		return err
	}
	for i := range report.Runs {
		if report.Runs[i].Void == "" || r.CountVoid {
			return nil
		}
	}
	return errVoid
}

func (r *run) shape() (bench.Shape, error) {
	shape, err := bench.NamedShape(r.Shape)
	if err != nil {
		text, readErr := os.ReadFile(r.Shape)
		if readErr != nil {
			return shape, fmt.Errorf("%w, nor a file: %w", err, readErr)
		}
		if shape, err = bench.ReadShape(text); err != nil {
			return shape, fmt.Errorf("%s: %w", r.Shape, err)
		}
	}
	shape.Dual = shape.Dual || r.Dual
	shape.NoData = shape.NoData || r.NoData
	shape.E2EE = shape.E2EE || r.E2EE
	if r.JoinRate > 0 {
		shape.JoinRate = r.JoinRate
	}
	return shape, nil
}

func (r *run) targets() ([]bench.Target, error) {
	want := 1
	if r.Compare {
		want = 2
	}
	if len(r.URL) != want {
		return nil, fmt.Errorf("%d servers given, want %d: --compare takes two, without it there is one", len(r.URL), want)
	}
	if r.Repeats < 1 || r.Window < time.Second || r.Settle < 0 {
		return nil, errors.New("at least one repeat and a window of a second are needed")
	}
	var out []bench.Target
	for i, url := range r.URL {
		t := bench.Target{Name: at(r.Name, i), URL: url, Key: shared(r.Key, i), Secret: shared(r.Secret, i), PID: at(r.PID, i), Metrics: at(r.Metrics, i)}
		if t.Name == "" {
			t.Name = string(rune('A' + i))
			if want == 1 {
				t.Name = "server"
			}
		}
		out = append(out, t)
	}
	if want == 2 && out[0].Name == out[1].Name {
		return nil, errors.New("both servers have the same name")
	}
	return out, nil
}

// at is the i-th value, or nothing.
func at[T any](list []T, i int) (out T) {
	if i < len(list) {
		return list[i]
	}
	return out
}

// shared is the i-th value, or the only one.
func shared(list []string, i int) string {
	if len(list) == 1 {
		return list[0]
	}
	return at(list, i)
}

func (r *run) write(report *bench.Report) error {
	if r.JSON != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
		if err := os.WriteFile(r.JSON, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if r.HTML != "" {
		text, err := report.HTML()
		if err != nil {
			return err
		}
		if err := os.WriteFile(r.HTML, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// progress writes one line over and over; onto something that is no terminal, a line each five seconds.
func progress(quiet bool) func(string) {
	if quiet {
		return nil
	}
	terminal := isTerminal(os.Stderr)
	var last time.Time
	return func(line string) {
		switch {
		case terminal:
			fmt.Fprintf(os.Stderr, "\r\x1b[K%s", line)
		case time.Since(last) >= 5*time.Second:
			last = time.Now()
			fmt.Fprintln(os.Stderr, line)
		}
	}
}

func clearProgress(quiet bool) {
	if !quiet && isTerminal(os.Stderr) {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

func isTerminal(f *os.File) bool {
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}
