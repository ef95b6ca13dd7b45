package sfu

import "strings"

// Codec is a payload format the focus forwards.
type Codec uint8

const (
	NoCodec Codec = iota
	Opus
	RED // RFC 2198 over Opus
	PCMU
	PCMA
	VP8
	VP9
	H264
	AV1
	H265
)

var codecMimes = [...]string{"", "audio/opus", "audio/red", "audio/PCMU", "audio/PCMA", "video/VP8", "video/VP9", "video/H264", "video/AV1", "video/H265"}

// Mime is the media type as it is written in SDP and TrackInfo.
func (c Codec) Mime() string { return codecMimes[c] }

// String is the bare encoding name, lower case.
func (c Codec) String() string {
	if c == NoCodec {
		return "none"
	}
	_, name, _ := strings.Cut(codecMimes[c], "/")
	return strings.ToLower(name)
}

// Kind tells whether the codec carries audio or video.
func (c Codec) Kind() Kind {
	switch {
	case c == NoCodec:
		return 0
	case c <= PCMA:
		return Audio
	}
	return Video
}

// ClockRate is the RTP clock in Hz.
func (c Codec) ClockRate() uint32 {
	switch c {
	case Opus, RED:
		return 48000
	case PCMU, PCMA:
		return 8000
	}
	return 90000
}

// ParseCodec reads a media type or a bare encoding name, in any case; NoCodec if unknown.
func ParseCodec(s string) Codec {
	if _, name, ok := strings.Cut(s, "/"); ok {
		s = name
	}
	for c := Opus; c <= H265; c++ {
		if strings.EqualFold(s, c.String()) {
			return c
		}
	}
	return NoCodec
}
