package clip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Why a file is not read, wrapped with where.
var (
	ErrFormat    = errors.New("clip: not a file of this format")
	ErrTruncated = errors.New("clip: truncated")
)

// Frame is one encoded video frame.
type Frame struct {
	Data     []byte
	Keyframe bool
}

// Video is a whole clip in memory.
type Video struct {
	Width, Height int
	FPS           float64
	Frames        []Frame
}

const (
	ivfHeaderLen      = 32
	ivfFrameHeaderLen = 12
	maxFPS            = 1000
)

// ReadIVF reads a VP8 file. IVF is a 32-byte header and, for each frame, its length (4), its timestamp (8) and its bytes,
// all little-endian. The frames share b.
func ReadIVF(b []byte) (Video, error) {
	if len(b) < ivfHeaderLen || string(b[:4]) != "DKIF" {
		return Video{}, fmt.Errorf("%w: no IVF header", ErrFormat)
	}
	le := binary.LittleEndian
	if string(b[8:12]) != "VP80" {
		return Video{}, fmt.Errorf("%w: codec %q, want VP80", ErrFormat, b[8:12])
	}
	head := int(le.Uint16(b[6:]))
	rate, scale := le.Uint32(b[16:]), le.Uint32(b[20:])
	if head < ivfHeaderLen || head > len(b) || rate == 0 || scale == 0 {
		return Video{}, fmt.Errorf("%w: IVF header", ErrFormat)
	}
	v := Video{Width: int(le.Uint16(b[12:])), Height: int(le.Uint16(b[14:])), FPS: float64(rate) / float64(scale)}
	if v.FPS > maxFPS {
		return Video{}, fmt.Errorf("%w: %g frames per second", ErrFormat, v.FPS)
	}
	for rest := b[head:]; len(rest) > 0; {
		if len(rest) < ivfFrameHeaderLen {
			return Video{}, fmt.Errorf("%w: header of frame %d", ErrTruncated, len(v.Frames))
		}
		n := uint64(le.Uint32(rest))
		rest = rest[ivfFrameHeaderLen:]
		if n > uint64(len(rest)) {
			return Video{}, fmt.Errorf("%w: frame %d", ErrTruncated, len(v.Frames))
		}
		data := rest[:n:n]
		// RFC 6386 section 9.1: the first bit of the frame tag is 0 for a keyframe.
		v.Frames = append(v.Frames, Frame{Data: data, Keyframe: n > 0 && data[0]&1 == 0})
		rest = rest[n:]
	}
	return v, nil
}
