package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"weir/sfu"
)

// Shape says what a run sets on a server. In YAML the names are those of the tags.
type Shape struct {
	Name         string  `yaml:"name" json:"name"`
	Sessions     int     `yaml:"sessions" json:"sessions"`           // alike; 0: 1
	Groups       []Group `yaml:"groups" json:"groups"`               // of each session; they join in this order
	JoinRate     float64 `yaml:"join_rate" json:"join_rate"`         // participants per second; 0: 20
	Churn        float64 `yaml:"churn" json:"churn"`                 // participants per second that leave and come again
	LayerChanges float64 `yaml:"layer_changes" json:"layer_changes"` // requests for another quality per second
	Data         Data    `yaml:"data" json:"data"`
	E2EE         bool    `yaml:"e2ee" json:"e2ee"`                         // frames are encrypted, and opened by receivers
	Dual         bool    `yaml:"dual" json:"dual"`                         // two transports (v0 signalling)
	NoData       bool    `yaml:"no_data_channels" json:"no_data_channels"` // no data channels are opened
}

// Group is participants that do the same.
type Group struct {
	Count     int     `yaml:"count" json:"count"`
	Video     []Video `yaml:"video" json:"video"`
	Audio     []Audio `yaml:"audio" json:"audio"`
	Subscribe bool    `yaml:"subscribe" json:"subscribe"`
	Take      int     `yaml:"take" json:"take"`       // publications that each subscribes to, evenly spread; 0: all
	Quality   string  `yaml:"quality" json:"quality"` // of video: low, medium, high; "": high
}

// Video is a made-up camera.
type Video struct {
	Codec  string      `yaml:"codec" json:"codec"`   // vp8, vp9, h264; "": vp8
	Layers []LayerRate `yaml:"layers" json:"layers"` // lowest first; none: 180p, 360p and 720p
}

// Audio is a made-up microphone: Opus, 20 ms.
type Audio struct {
	Bytes int `yaml:"bytes" json:"bytes"` // of a packet; 0: 80
}

// Data is what publishers send on data channels.
type Data struct {
	Rate     float64 `yaml:"rate" json:"rate"`   // messages per second of each publisher
	Bytes    int     `yaml:"bytes" json:"bytes"` // of a message; 0: 200
	Reliable bool    `yaml:"reliable" json:"reliable"`
}

// ErrShape says that a shape makes no sense.
var ErrShape = errors.New("bench: bad shape")

const (
	maxParticipants = 20_000
	mostRate        = 100_000 // per second
	defaultJoinRate = 20
	defaultAudio    = 80
	defaultMessage  = 200
)

// NamedShape is one of the shapes aN, bN and cN: N is the number of subscribers, or of participants.
//
//	aN  one camera of three layers to N subscribers of the top layer
//	bN  five microphones to N subscribers
//	cN  a meeting of N: everybody has microphone and camera, and sees everybody at 360p
func NamedShape(name string) (Shape, error) {
	if len(name) < 2 {
		return Shape{}, fmt.Errorf("%w: %q is none of aN, bN, cN", ErrShape, name)
	}
	n, err := strconv.Atoi(name[1:])
	if err != nil || n < 1 || n > maxParticipants {
		return Shape{}, fmt.Errorf("%w: %q is none of aN, bN, cN", ErrShape, name)
	}
	s := Shape{Name: name}
	switch name[0] {
	case 'a':
		s.Groups = []Group{{Count: 1, Video: []Video{{}}}, {Count: n, Subscribe: true}}
	case 'b':
		s.Groups = []Group{{Count: 5, Audio: []Audio{{}}}, {Count: n, Subscribe: true}}
	case 'c':
		s.Groups = []Group{{Count: n, Video: []Video{{}}, Audio: []Audio{{}}, Subscribe: true, Quality: "medium"}}
	default:
		return Shape{}, fmt.Errorf("%w: %q is none of aN, bN, cN", ErrShape, name)
	}
	return s, s.fill()
}

// ReadShape reads a shape from YAML; unknown names are refused.
func ReadShape(text []byte) (Shape, error) {
	var s Shape
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField()).Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return Shape{}, fmt.Errorf("%w: %v", ErrShape, yaml.FormatError(err, false, true))
	}
	return s, s.fill()
}

// fill puts defaults in and refuses what makes no sense.
func (s *Shape) fill() error {
	if s.Name == "" {
		s.Name = "own"
	}
	if s.Sessions == 0 {
		s.Sessions = 1
	}
	if s.JoinRate == 0 {
		s.JoinRate = defaultJoinRate
	}
	if s.Data.Bytes == 0 {
		s.Data.Bytes = defaultMessage
	}
	for _, rate := range []float64{s.JoinRate, s.Churn, s.LayerChanges, s.Data.Rate} {
		if !(rate >= 0 && rate <= mostRate) { // no number at all is neither
			return fmt.Errorf("%w: rate %g is out of range", ErrShape, rate)
		}
	}
	if s.Sessions < 0 || s.Data.Bytes < 2*stampLen || s.Data.Bytes > 15_000 {
		return fmt.Errorf("%w: a number is out of range", ErrShape)
	}
	total := 0
	for i := range s.Groups {
		if err := s.Groups[i].fill(); err != nil {
			return fmt.Errorf("group %d: %w", i+1, err)
		}
		if s.Groups[i].Take > 0 && s.Churn > 0 {
			return fmt.Errorf("%w: take and churn do not go together: who comes anew would have to know what is not taken", ErrShape)
		}
		total += s.Groups[i].Count
		for _, v := range s.Groups[i].Video {
			if s.E2EE && v.Codec == "h264" {
				return fmt.Errorf("%w: encrypted h264 is not opened by the bots: use vp8 or vp9", ErrShape)
			}
		}
	}
	if total == 0 || total > maxParticipants/s.Sessions {
		return fmt.Errorf("%w: %d participants in each of %d sessions; from 1 to %d in all can be", ErrShape, total, s.Sessions, maxParticipants)
	}
	return nil
}

func (g *Group) fill() error {
	if g.Take < 0 || g.Take > 0 && !g.Subscribe {
		return fmt.Errorf("%w: take %d: it is a number of publications, of those who subscribe", ErrShape, g.Take)
	}
	if g.Count < 0 || g.Count > maxParticipants {
		return fmt.Errorf("%w: count %d", ErrShape, g.Count)
	}
	if _, ok := qualities[g.Quality]; !ok {
		return fmt.Errorf("%w: quality %q is none of low, medium, high", ErrShape, g.Quality)
	}
	for i := range g.Video {
		v := &g.Video[i]
		if v.Codec == "" {
			v.Codec = "vp8"
		}
		switch sfu.ParseCodec(v.Codec) {
		case sfu.VP8, sfu.VP9, sfu.H264:
		default:
			return fmt.Errorf("%w: codec %q is none of vp8, vp9, h264", ErrShape, v.Codec)
		}
		if len(v.Layers) == 0 {
			v.Layers = layers720
		}
		if len(v.Layers) > len(rids) {
			return fmt.Errorf("%w: %d layers; there can be %d", ErrShape, len(v.Layers), len(rids))
		}
		for _, l := range v.Layers {
			if l.Bitrate < 1000 || l.Bitrate > 100_000_000 || !(l.FPS >= 1 && l.FPS <= 120) || l.Width < 1 || l.Height < 1 || l.Width > 16383 || l.Height > 16383 {
				return fmt.Errorf("%w: layer %+v", ErrShape, l)
			}
		}
	}
	for i := range g.Audio {
		if g.Audio[i].Bytes == 0 {
			g.Audio[i].Bytes = defaultAudio
		}
		if g.Audio[i].Bytes < stampLen+1 || g.Audio[i].Bytes > packetMost {
			return fmt.Errorf("%w: audio packets of %d bytes", ErrShape, g.Audio[i].Bytes)
		}
	}
	return nil
}

var qualities = map[string]sfu.Quality{"": sfu.High, "high": sfu.High, "medium": sfu.Medium, "low": sfu.Low}

// Participants is how many there are in all sessions.
func (s *Shape) Participants() int {
	n := 0
	for _, g := range s.Groups {
		n += g.Count
	}
	return n * s.Sessions
}

// publications makes what one participant of the group publishes.
func (g *Group) publications() []Publication {
	var out []Publication
	for i, v := range g.Video {
		out = append(out, Camera("video"+strconv.Itoa(i), sfu.ParseCodec(v.Codec), v.Layers))
	}
	for i, a := range g.Audio {
		out = append(out, Microphone("audio"+strconv.Itoa(i), a.Bytes))
	}
	return out
}

// receives is how many streams a participant of the group gets when all are there.
func (s *Shape) receives(g *Group) int {
	switch n := s.offers(g); {
	case !g.Subscribe:
		return 0
	case g.Take > 0:
		return min(g.Take, n)
	default:
		return n
	}
}

// offers is how many publications a participant of the group can subscribe to when all are there.
func (s *Shape) offers(g *Group) int {
	n := 0
	for i := range s.Groups {
		n += s.Groups[i].Count * (len(s.Groups[i].Video) + len(s.Groups[i].Audio))
	}
	return n - len(g.Video) - len(g.Audio)
}

// joinGap is the time from one join to the next.
func (s *Shape) joinGap() time.Duration { return time.Duration(float64(time.Second) / s.JoinRate) }
