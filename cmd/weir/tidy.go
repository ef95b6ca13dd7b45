package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Joining makes garbage, being in a call makes next to none: what a wave of joins left would stay until somebody else
// comes. When the process is quiet and it is worth it, we collect and give the memory back.
const (
	tidyPeriod = 2 * time.Second
	// tidyQuiet is how many bytes may be made in a period: more, and people are still joining.
	tidyQuiet = 512 << 10
	// tidyLeast is what has to be gained, in bytes, and tidyShare what part of what lives: collecting costs by what lives.
	tidyLeast = 1 << 20
	tidyShare = 8
)

// heap is what the runtime tells about its heap, in bytes.
type heap struct {
	made  uint64 // since the process began
	lives uint64 // found by the last collection
	holds uint64 // that and what was made since
	idle  uint64 // kept, though nothing is in it
}

// untidy says whether to collect, a period after before.
func (h heap) untidy(before heap) bool {
	gain := h.holds - min(h.lives, h.holds) + h.idle
	return h.made-before.made < tidyQuiet && gain > max(tidyLeast, h.lives/tidyShare)
}

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()}
}

// tidyMemory gives memory back until ctx ends. The operator who chose GOGC chose this too.
func tidyMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(tidyPeriod)
	defer tick.Stop()
	before := readHeap()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := readHeap()
		if now.untidy(before) {
			debug.FreeOSMemory()
			now = readHeap()
		}
		before = now
	}
}
