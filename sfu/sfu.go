// Package sfu is the vocabulary of the media plane: identifiers, kinds, codecs, layers and sequence numbers.
// It is pure and imports the standard library only.
package sfu

// SessionID names a live call on this focus; it is the MatrixRTC alias, or whatever name a token carries.
type SessionID string

// ParticipantID is one stay of a participant in a session ("PA_…"). A participant that joins again gets a new one.
type ParticipantID string

// Identity is who a participant is; unique within a session, stable over joins.
type Identity string

// PublicationID names one source offered by a participant ("TR_…"), or one data track ("DTR_…").
type PublicationID string

// Kind is audio or video.
type Kind uint8

const (
	Audio Kind = iota + 1
	Video
)

func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	}
	return "unknown"
}

// Source is where a publication comes from. The numbers are LiveKit's TrackSource.
type Source uint8

const (
	SourceUnknown Source = iota
	Camera
	Microphone
	Screen
	ScreenAudio
)

func (s Source) String() string {
	switch s {
	case Camera:
		return "camera"
	case Microphone:
		return "microphone"
	case Screen:
		return "screen_share"
	case ScreenAudio:
		return "screen_share_audio"
	}
	return "unknown"
}

// Quality is a spatial layer as clients name it. The numbers are LiveKit's VideoQuality.
type Quality uint8

const (
	Low Quality = iota
	Medium
	High
	Off
)

// Encryption is what a publication says of its frames. The numbers are LiveKit's Encryption.Type.
type Encryption uint8

const (
	NotEncrypted Encryption = iota
	GCM
	CustomEncryption
)

// Software is what a client says it is: facts for quirks, never for rights.
type Software struct {
	SDK            string // "js", "go", "rust", …, lower case; "" unknown
	Version        string
	Protocol       int // signalling protocol number
	ClientProtocol int // passed on to other clients
	OS, OSVersion  string
	DeviceModel    string
	Browser        string // lower case: "chrome", "firefox", "safari", …
	BrowserVersion string
	Network        string
	Address        string // as seen by the focus, never shown to others
	PacketTrailer  bool   // CAP_PACKET_TRAILER
	DeflateRaw     bool   // CAP_COMPRESSION_DEFLATE_RAW
}
