package bench

import (
	"time"

	"weir/sfu"
)

// LayerRate is one layer of a made-up camera.
type LayerRate struct {
	Width   int     `yaml:"width" json:"width"`
	Height  int     `yaml:"height" json:"height"`
	Bitrate int     `yaml:"bitrate" json:"bitrate"` // bit/s
	FPS     float64 `yaml:"fps" json:"fps"`
}

// layers720 are the rates of the shapes aN and cN.
var layers720 = []LayerRate{{320, 180, 150_000, 15}, {640, 360, 600_000, 20}, {1280, 720, 2_000_000, 30}}

// keyframeFactor is how much larger a keyframe is than the mean.
const keyframeFactor = 3

// Camera makes up a video publication: frames of the right size and look, without a picture, stamped with their time.
func Camera(cid string, c sfu.Codec, layers []LayerRate) Publication {
	p := Publication{CID: cid, Codec: c, Source: sfu.Camera, Stamped: true}
	for i, l := range layers {
		st := Stream{Width: l.Width, Height: l.Height, Bitrate: l.Bitrate, Every: time.Duration(float64(time.Second) / l.FPS)}
		if len(layers) > 1 {
			st.RID = rids[min(i, len(rids)-1)]
		}
		size := max(int(float64(l.Bitrate)/8/l.FPS), 2*stampLen+16)
		st.Feed = newFiller(c, size, l.Width, l.Height)
		p.Streams = append(p.Streams, st)
	}
	return p
}

// Microphone makes up an Opus publication of 20 ms packets.
func Microphone(cid string, bytes int) Publication {
	return Publication{CID: cid, Codec: sfu.Opus, Source: sfu.Microphone, Stamped: true, Level: 40, Streams: []Stream{{
		Every: 20 * time.Millisecond, Bitrate: bytes * 8 * 50, Feed: newFiller(sfu.Opus, max(bytes, stampLen+1), 0, 0),
	}}}
}

// filler gives frames that look right where a server may look, and are noise elsewhere.
type filler struct{ key, delta []byte }

func newFiller(c sfu.Codec, size, width, height int) *filler {
	f := &filler{key: noise(size * keyframeFactor), delta: noise(size)}
	switch c {
	case sfu.Opus:
		f.key = f.delta
		f.delta[0] = 31 << 3 // RFC 6716 section 3.1: CELT, full band, 20 ms, mono, one frame
	case sfu.VP8: // RFC 6386 section 9.1
		f.key[0], f.delta[0] = 0x10, 0x11
		copy(f.key[3:], []byte{0x9d, 0x01, 0x2a, byte(width), byte(width >> 8), byte(height), byte(height >> 8)})
	case sfu.VP9: // VP9 bitstream section 6.2: marker, profile 0, shown; the sync code of a keyframe
		copy(f.key, []byte{0x82, 0x49, 0x83, 0x42})
		f.delta[0] = 0x86
	case sfu.H264: // RFC 6184 section 1.3: one NAL unit, IDR or not
		f.key[0], f.delta[0] = 0x65, 0x41
	}
	return f
}

// noise has no byte 0, so that no start code can be in it.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x>>24) | 1
	}
	return b
}

func (f *filler) Frame(keyframe bool) ([]byte, bool) {
	if keyframe {
		return f.key, true
	}
	return f.delta, false
}
