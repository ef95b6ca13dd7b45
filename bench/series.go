package bench

import (
	"context"
	"fmt"
	"time"
)

// Series makes the repeats: with two targets alternately, in the order A B B A, so that what changes on the machine
// meets both. A run that cannot be made ends the series.
func Series(ctx context.Context, o Options, targets []Target, repeats int) (*Report, error) {
	r := &Report{Version: ReportVersion, Seed: o.Seed, Began: time.Now(), Machine: ReadMachine(), Shape: o.Shape, Targets: targets}
	idle := make([]int64, len(targets))
	for i, t := range targets {
		if t.PID == 0 {
			continue
		}
		var err error
		if idle[i], err = processRSS(t.PID); err != nil {
			return r, err
		}
	}
	for n := range repeats {
		for i := range targets {
			at := i
			if n%2 == 1 {
				at = len(targets) - 1 - i
			}
			o.Seed = r.Seed + uint64(n)
			run, err := Load(ctx, o, targets[at])
			if err != nil {
				return r, fmt.Errorf("%s, repeat %d: %w", targets[at].Name, n+1, err)
			}
			run.ServerIdleRSS = idle[at]
			r.Runs = append(r.Runs, run)
		}
	}
	return r, nil
}
