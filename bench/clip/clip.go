// Package clip is the test clip that bots publish: moving pictures in three sizes and a tone, encoded beforehand, and
// readers for the two container formats it is kept in.
package clip

import (
	_ "embed"
	"fmt"
	"sync"
)

//go:embed v180.ivf
var v180 []byte

//go:embed v360.ivf
var v360 []byte

//go:embed v720.ivf
var v720 []byte

//go:embed tone.ogg
var tone []byte

// Clip is the test clip: the pictures of all sizes show the same, at 15 frames per second, a keyframe each second.
type Clip struct {
	Videos []Video // 180p, 360p, 720p
	Audio  Audio
}

// Load reads the clip.
var Load = sync.OnceValues(load)

func load() (*Clip, error) {
	c := new(Clip)
	for _, file := range [][]byte{v180, v360, v720} {
		v, err := ReadIVF(file)
		if err != nil {
			return nil, fmt.Errorf("test clip: %w", err)
		}
		c.Videos = append(c.Videos, v)
	}
	var err error
	if c.Audio, err = ReadOgg(tone); err != nil {
		return nil, fmt.Errorf("test clip: %w", err)
	}
	return c, nil
}
