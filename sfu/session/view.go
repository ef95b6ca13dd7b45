package session

import (
	"time"

	"weir/sfu"
)

// ParticipantState is how far a participant has come. The numbers are LiveKit's ParticipantInfo.State.
type ParticipantState uint8

const (
	Joining ParticipantState = iota
	Joined
	Active
	Disconnected
)

// LeaveReason is why a participant is gone. The numbers are LiveKit's DisconnectReason.
type LeaveReason uint8

const (
	UnknownReason      LeaveReason = 0
	ClientInitiated    LeaveReason = 1
	DuplicateIdentity  LeaveReason = 2
	ServerShutdown     LeaveReason = 3
	ParticipantRemoved LeaveReason = 4
	SessionDeleted     LeaveReason = 5
	StateMismatch      LeaveReason = 6
	JoinFailure        LeaveReason = 7
	SignalClose        LeaveReason = 9
	SessionClosed      LeaveReason = 10
	UserUnavailable    LeaveReason = 11
	UserRejected       LeaveReason = 12
	ConnectionTimeout  LeaveReason = 14
	AgentError         LeaveReason = 16
)

// ParticipantView is a participant as others see it. Publications are always complete.
type ParticipantView struct {
	ID             sfu.ParticipantID
	Identity       sfu.Identity
	Name           string
	Metadata       string
	Attributes     map[string]string
	State          ParticipantState
	Kind           ParticipantKind
	Grant          Grant
	Publications   []PublicationView
	DataTracks     []DataTrack
	Version        uint32 // rises with each change
	JoinedAt       time.Time
	IsPublisher    bool
	Reason         LeaveReason // with Disconnected
	Region         string
	ClientProtocol int
	Software       sfu.Software
}

// PublicationView is a publication as others see it.
type PublicationView struct {
	ID            sfu.PublicationID
	Kind          sfu.Kind
	Name          string
	Source        sfu.Source
	Muted         bool
	Width, Height int
	Simulcast     bool
	DisableDTX    bool
	DisableRED    bool
	Stereo        bool
	Layers        []Encoding
	Codecs        []CodecView
	Mime          string
	Mid           string
	Stream        string
	Encryption    sfu.Encryption
	Backup        uint8
	AudioFeatures []uint8
	Trailer       []uint8
	Version       time.Time
}

// CodecView is one codec of a publication.
type CodecView struct {
	Mime   string
	Mid    string
	CID    string
	SDPCID string
	Layers []Encoding
	Mode   LayerMode
}

// DataTrack is a published data track.
type DataTrack struct {
	ID         sfu.PublicationID
	Handle     uint16
	Name       string
	Encryption sfu.Encryption
	Raw        []byte // fields of the publish request that the focus passes on unread
}

// View is a session as its participants see it.
type View struct {
	ID               sfu.SessionID
	SID              string // "RM_…"
	Metadata         string
	Created          time.Time
	Participants     int // not hidden
	Publishers       int
	MaxParticipants  int
	EmptyTimeout     int // s
	DepartureTimeout int // s
	Recording        bool
	Encodings        Encodings
}

// Snapshot is everything an operator may want to see of a session, at one instant.
type Snapshot struct {
	View          View
	Participants  []ParticipantView
	Subscriptions []SubscriptionView
}

// SubscriptionView is one receipt of one publication.
type SubscriptionView struct {
	Subscriber  sfu.Identity
	Publisher   sfu.Identity
	Publication sfu.PublicationID
	Wanted      sfu.Layer
	Target      sfu.Layer
	Paused      bool
}
