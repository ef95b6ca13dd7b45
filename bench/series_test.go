//go:build system

package bench

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSeries: two servers under everything a shape can ask for, alternately; nothing is lost and every number is there.
func TestSeries(t *testing.T) {
	shape, err := ReadShape([]byte(`
name: all
sessions: 2
groups:
  - {count: 1, video: [{layers: [{width: 320, height: 180, bitrate: 100000, fps: 10}, {width: 640, height: 360, bitrate: 200000, fps: 10}]}], audio: [{}], subscribe: true}
  - {count: 1, video: [{codec: vp9, layers: [{width: 320, height: 180, bitrate: 100000, fps: 10}]}]}
  - {count: 2, subscribe: true, quality: medium}
join_rate: 200
churn: 2
layer_changes: 4
data: {rate: 20}
e2ee: true
`))
	if err != nil {
		t.Fatal(err)
	}
	guard, err := NewGuard(false)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	o := Options{Shape: shape, Window: 1100 * time.Millisecond, Seed: 5, Guard: guard, Progress: func(s string) { lines = append(lines, s) }}
	targets := []Target{
		{Name: "one", URL: loopbackFocus(t), Key: "devkey", Secret: "secret", PID: os.Getpid()},
		{Name: "two", URL: loopbackFocus(t), Key: "devkey", Secret: "secret"},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r, err := Series(ctx, o, targets, 2)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for i := range r.Runs {
		run := &r.Runs[i]
		order = append(order, run.Target)
		// How many packets a stream had is for the load tester to judge, on a machine that is not busy with tests.
		if run.Failed != 0 || run.Unopened != 0 || run.Lost != 0 {
			t.Errorf("run %d: failed %d (%s), unopened %d, lost %d", i, run.Failed, run.FirstErr, run.Unopened, run.Lost)
		}
		for name, n := range map[string]uint64{
			"packets sent": run.PacketsSent, "packets in": run.PacketsIn, "bytes in": run.BytesIn, "frames opened": run.Opened,
			"data sent": run.DataSent, "data received": run.DataReceived, "participants left": run.Left, "layer changes": run.LayerChanges,
			"latencies": run.Latency.Count, "data delays": run.DataDelay.Count, "joins": run.Join.Count, "first videos": run.FirstVideo.Count,
			"first audios": run.FirstAudio.Count, "frames": run.Late.Count, "samples": uint64(len(run.Samples)),
		} {
			if n == 0 {
				t.Errorf("run %d: no %s", i, name)
			}
		}
		if run.OwnCPU <= 0 || (run.ServerRSS > 0) != (run.Target == "one") {
			t.Errorf("run %d: own CPU %g, server memory %d", i, run.OwnCPU, run.ServerRSS)
		}
	}
	if got := strings.Join(order, " "); got != "one two two one" {
		t.Errorf("order: %s", got)
	}
	if len(lines) == 0 {
		t.Error("no progress was told")
	}
	if _, err := r.HTML(); err != nil {
		t.Error(err)
	}
}
