package main

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent is how much garbage there may be for what lives, in percent; Go's own choice is 100. Media makes none, so the
// collector runs when people join and when a homeserver talks. Each halving takes a tenth of the memory of a call of hundreds,
// and a join of 8 ms of CPU costs one more.
const gcPercent = 25

// tuneCollector sets gcPercent, if the operator did not choose (GOGC).
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// limitMemory tells the collector how much there is, if the operator did not (GOMEMLIMIT): nine tenths of the tightest
// limit of our control group, because the kernel counts socket buffers too.
func limitMemory(root string, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return // no Linux, no groups
	}
	limit := tightest(root, string(text))
	if limit == math.MaxInt64 {
		return
	}
	debug.SetMemoryLimit(limit / 10 * 9)
	log.Debug("memory limit", "bytes", limit/10*9, "group", limit)
}

// tightest is the least limit of a group and those around it; inside a container the root is the group itself.
func tightest(root, groups string) int64 {
	limit := int64(math.MaxInt64)
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max" // version 2
		switch {
		case fields[0] == "0" && fields[1] == "":
		case strings.Contains(","+fields[1]+",", ",memory,"):
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for dir := filepath.Clean("/" + fields[2]); ; dir = filepath.Dir(dir) {
			if text, err := os.ReadFile(filepath.Join(root, base, dir, file)); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
					limit = min(limit, n)
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	// Version 1 writes "no limit" as the largest number of pages.
	if limit > 1<<60 {
		return math.MaxInt64
	}
	return limit
}
