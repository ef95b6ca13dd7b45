package session

import "weir/sfu"

// Grant is what a participant may do inside a session.
type Grant struct {
	Publish     bool
	Sources     []sfu.Source // narrows Publish; empty: every source
	Subscribe   bool
	PublishData bool
	UpdateOwn   bool // own metadata, name and attributes
	Metrics     bool // may receive metrics packets
	Hidden      bool // shown to nobody
	Recorder    bool
	Agent       bool
}

// ParticipantKind is what sort of participant this is. The numbers are LiveKit's ParticipantInfo.Kind.
type ParticipantKind uint8

const (
	Standard ParticipantKind = iota
	Ingress
	Egress
	SIP
	Agent
)

// Config is what a session is opened with; the zero value works.
type Config struct {
	Metadata         string
	EmptyTimeout     int // seconds without anybody ever joining; 0: 300
	DepartureTimeout int // seconds after the last participant left; 0: 20
	MaxParticipants  int // 0: no limit
	Encoding         Encodings
	RemoteUnmute     bool // the outside API may unmute
}

// Encodings are the codecs a session accepts, in order of preference; nil: all that the focus forwards.
type Encodings []sfu.Codec
