package bench

import (
	"weir/bench/clip"
)

// clipFeed plays a video clip over and over.
type clipFeed struct {
	frames []clip.Frame
	next   int
}

// Frame jumps to the nearest keyframe ahead when one is asked for: what follows it decodes as ever.
func (f *clipFeed) Frame(keyframe bool) ([]byte, bool) {
	if keyframe {
		for range f.frames {
			if f.frames[f.next].Keyframe {
				break
			}
			f.next = (f.next + 1) % len(f.frames)
		}
	}
	frame := f.frames[f.next]
	f.next = (f.next + 1) % len(f.frames)
	return frame.Data, frame.Keyframe
}

// toneFeed plays an audio clip over and over.
type toneFeed struct {
	packets [][]byte
	next    int
}

func (f *toneFeed) Frame(bool) ([]byte, bool) {
	p := f.packets[f.next]
	f.next = (f.next + 1) % len(f.packets)
	return p, true
}
