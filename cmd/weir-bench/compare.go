package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"weir/bench"
)

// compare says what became worse from one report to another.
type compare struct {
	Before string `arg:"" help:"JSON of the earlier series."`
	After  string `arg:"" help:"JSON of the later one."`
}

// errWorse makes the exit code 1.
var errWorse = errors.New("it became worse")

// Run compares the first servers of both.
func (c *compare) Run() error {
	before, err := readReport(c.Before)
	if err != nil {
		return err
	}
	after, err := readReport(c.After)
	if err != nil {
		return err
	}
	if before.Shape.Name != after.Shape.Name {
		return fmt.Errorf("one is of shape %s, the other of %s", before.Shape.Name, after.Shape.Name)
	}
	if before.Machine != after.Machine {
		fmt.Println("note: the machines are not the same: only ratios between servers of one series can be compared")
	}
	worse := bench.Compare(before, after)
	for _, w := range worse {
		fmt.Printf("%-38s %10.3f → %10.3f %s (ranges %.3f – %.3f, %.3f – %.3f)\n", w.Metric.Title, w.Before.Median, w.After.Median,
			w.Metric.Unit, w.Before.Min, w.Before.Max, w.After.Min, w.After.Max)
	}
	if len(worse) > 0 {
		return errWorse
	}
	fmt.Println("nothing became worse: no median by over 10 % with ranges that do not touch")
	return nil
}

func readReport(file string) (*bench.Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(bench.Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Version != bench.ReportVersion || len(r.Targets) == 0 {
		return nil, fmt.Errorf("%s: not a report of this version", file)
	}
	return r, nil
}
