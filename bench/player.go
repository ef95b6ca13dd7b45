package bench

import (
	"time"

	"weir/bench/clip"
	"weir/sfu"
)

// rids of simulcast, as livekit-client names them, lowest first.
var rids = []string{"q", "h", "f"}

// Player gives the publications that play the test clip over and over: a camera in three layers and a microphone.
func Player() ([]Publication, error) {
	c, err := clip.Load()
	if err != nil {
		return nil, err
	}
	camera := Publication{CID: "clip-video", Codec: sfu.VP8, Source: sfu.Camera}
	for i, v := range c.Videos {
		every := time.Duration(float64(time.Second) / v.FPS)
		bytes := 0
		for _, f := range v.Frames {
			bytes += len(f.Data)
		}
		camera.Streams = append(camera.Streams, Stream{
			RID: rids[i], Width: v.Width, Height: v.Height, Every: every,
			Bitrate: int(float64(8*bytes) * v.FPS / float64(len(v.Frames))), Feed: &clipFeed{frames: v.Frames},
		})
	}
	microphone := Publication{CID: "clip-audio", Codec: sfu.Opus, Source: sfu.Microphone, Level: 20, Streams: []Stream{
		{Every: 20 * time.Millisecond, Feed: &toneFeed{packets: c.Audio.Packets}},
	}}
	return []Publication{camera, microphone}, nil
}
