package main

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"weir/bench"
	"weir/sfu"
)

// report is what was received so far, by participant and codec.
type report struct {
	Error   string            `json:"error,omitempty"`
	Frames  map[string]*tally `json:"frames"` // "alice vp8"
	Sent    uint64            `json:"sent"`
	Packets uint64            `json:"packets"`
	Lost    uint64            `json:"lost"`
}

type tally struct {
	Opened    int            `json:"opened"`
	Keyframes int            `json:"keyframes"`
	Injected  int            `json:"injected"`
	Clear     int            `json:"clear"` // came in clear
	Refused   map[string]int `json:"refused"`
	Indices   map[int]int    `json:"indices"` // of keys
}

// desk is what a participant's goroutines share.
type desk struct {
	mu     sync.Mutex // a leaf
	frames map[string]*tally
	echoes map[sfu.Codec]*echo
}

func (d *desk) note(r *bench.Received) {
	d.mu.Lock()
	name := fmt.Sprintf("%s %s", r.From, r.Codec)
	t := d.frames[name]
	if t == nil {
		t = &tally{Refused: map[string]int{}, Indices: map[int]int{}}
		d.frames[name] = t
	}
	switch {
	case r.Err != nil:
		t.Refused[r.Err.Error()]++
	case r.Injected:
		t.Injected++
	case !r.Encrypted:
		t.Clear++
	default:
		t.Opened++
		t.Indices[int(r.Sealed[len(r.Sealed)-1])]++
		if bench.Keyframe(r.Codec, r.Frame) {
			t.Keyframes++
		}
	}
	d.mu.Unlock()
	if e := d.echoes[r.Codec]; e != nil && r.Err == nil && !r.Injected {
		e.add(r.Frame)
	}
}

// report copies the tallies: they go on while it is written.
func (d *desk) report(b *bench.Bot, err error) report {
	s := b.Snapshot()
	r := report{Frames: map[string]*tally{}, Sent: s.FramesSent, Packets: s.PacketsIn, Lost: s.Lost}
	if err = errors.Join(err, s.Err); err != nil {
		r.Error = err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, t := range d.frames {
		c := *t
		c.Refused, c.Indices = maps.Clone(t.Refused), maps.Clone(t.Indices)
		r.Frames[name] = &c
	}
	return r
}
