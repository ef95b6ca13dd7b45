package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/bench"
)

func TestTargets(t *testing.T) {
	good := run{URL: []string{"ws://a"}, Key: []string{"k"}, Secret: []string{"s"}, Repeats: 1, Window: time.Second}
	for name, c := range map[string]struct {
		change func(*run)
		names  []string
	}{
		"one":                 {func(*run) {}, []string{"server"}},
		"two":                 {func(r *run) { r.Compare, r.URL = true, []string{"ws://a", "ws://b"} }, []string{"A", "B"}},
		"named":               {func(r *run) { r.Name = []string{"weir"} }, []string{"weir"}},
		"two without compare": {func(r *run) { r.URL = []string{"ws://a", "ws://b"} }, nil},
		"compare of one":      {func(r *run) { r.Compare = true }, nil},
		"same names": {func(r *run) {
			r.Compare, r.URL, r.Name = true, []string{"ws://a", "ws://b"}, []string{"x", "x"}
		}, nil},
		"no repeat":    {func(r *run) { r.Repeats = 0 }, nil},
		"short window": {func(r *run) { r.Window = time.Millisecond }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			c.change(&r)
			got, err := r.targets()
			if (err == nil) != (c.names != nil) || len(got) != len(c.names) {
				t.Fatalf("%+v, %v", got, err)
			}
			for i := range got {
				if got[i].Name != c.names[i] || got[i].Key != "k" || got[i].Secret != "s" {
					t.Errorf("%+v, want %s", got[i], c.names[i])
				}
			}
		})
	}
}

func TestShapeOfFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shape.yaml")
	if err := os.WriteFile(file, []byte("groups: [{count: 2, audio: [{}], subscribe: true}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run{Shape: file, E2EE: true, JoinRate: 7}
	s, err := r.shape()
	if err != nil || s.Participants() != 2 || !s.E2EE || s.JoinRate != 7 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := (&run{Shape: "no-such-shape"}).shape(); !errors.Is(err, bench.ErrShape) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v", err)
	}
}

func TestCompareFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, cost float64) string {
		r := bench.Report{Version: bench.ReportVersion, Targets: []bench.Target{{Name: "weir"}},
			Runs: []bench.Run{{Target: "weir", Seconds: 1, PacketsIn: 1000, ServerCPU: cost}}}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cheap, dear := write("cheap.json", .001), write("dear.json", .002)
	if err := (&compare{cheap, dear}).Run(); !errors.Is(err, errWorse) {
		t.Errorf("twice the cost: %v", err)
	}
	if err := (&compare{dear, cheap}).Run(); err != nil {
		t.Errorf("half the cost: %v", err)
	}
	if err := (&compare{cheap, filepath.Join(dir, "none.json")}).Run(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}

func TestPublishStaysHere(t *testing.T) {
	p := publish{URL: "ws://192.0.2.1:7880", Key: "devkey", Secret: "secret"}
	if err := p.Run(context.Background()); !errors.Is(err, bench.ErrRemote) {
		t.Errorf("publishing off the machine: %v", err)
	}
}
