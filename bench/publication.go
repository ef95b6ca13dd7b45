package bench

import (
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// Feed gives the frames of one stream. One goroutine asks.
type Feed interface {
	// Frame gives the next frame. keyframe says that one was asked for, and whether this is one. The bytes are only read,
	// and valid until the next call; nil: there is none now.
	Frame(keyframe bool) ([]byte, bool)
}

// Stream is one RTP stream of a publication.
type Stream struct {
	RID           string // "": the publication is not simulcast
	Width, Height int
	Bitrate       int           // bit/s, as announced
	Every         time.Duration // from frame to frame
	Feed          Feed
}

// Publication is what a bot offers.
type Publication struct {
	CID     string
	Codec   sfu.Codec
	Source  sfu.Source
	Streams []Stream // lowest first
	AnnexB  bool     // frames are access units in Annex B; else H.264 frames are a bare slice
	Stamped bool     // each packet ends in the time it was sent
	Level   uint8    // audio: -dBov of the level extension; 127 is silence
}

// request announces p.
func (p *Publication) request(encrypted bool) session.AddTrack {
	a := session.AddTrack{CID: p.CID, Name: p.Source.String(), Kind: p.Codec.Kind(), Source: p.Source, DisableRED: true}
	if encrypted {
		a.Encryption = sfu.GCM
	}
	if a.Kind == sfu.Audio {
		return a
	}
	top := p.Streams[len(p.Streams)-1]
	a.Width, a.Height = top.Width, top.Height
	qualities := [...]sfu.Quality{sfu.Low, sfu.Medium, sfu.High}
	for i, s := range p.Streams {
		q := qualities[min(i, len(qualities)-1)]
		if len(p.Streams) == 1 {
			q = sfu.High
		}
		a.Layers = append(a.Layers, session.Encoding{
			Quality: q, Width: s.Width, Height: s.Height, Bitrate: s.Bitrate, Spatial: i, RID: s.RID,
		})
	}
	a.Codecs = []session.CodecOffer{{Codec: p.Codec, CID: p.CID, Layers: a.Layers}}
	return a
}

func (p *Publication) rids() []string {
	var out []string
	for _, s := range p.Streams {
		if s.RID != "" {
			out = append(out, s.RID)
		}
	}
	return out
}
