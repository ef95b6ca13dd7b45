package session

import (
	"weir/sfu"
)

// Message is what a participant is told over its connection, in order. The socket encodes them.
type Message interface{ message() }

// ICEServer is a STUN or TURN server for the client.
type ICEServer struct {
	URLs                 []string
	Username, Credential string
}

// LeaveAction is what a client shall do. The numbers are LiveKit's LeaveRequest.Action.
type LeaveAction uint8

const (
	ActionDisconnect LeaveAction = iota
	ActionResume
	ActionReconnect
)

// Outcome answers a request. The numbers are LiveKit's RequestResponse.Reason.
type Outcome uint8

const (
	OK Outcome = iota
	NotFound
	NotAllowed
	LimitExceeded
	Queued
	UnsupportedType
	UnclassifiedError
	InvalidHandle
	InvalidName
	DuplicateHandle
	DuplicateName
	InvalidRequest
)

// ConnectionQuality numbers are LiveKit's.
type ConnectionQuality uint8

const (
	Poor ConnectionQuality = iota
	Good
	Excellent
	Lost
)

type (
	// Welcome is the first message of a connection that joined.
	Welcome struct {
		Session           View
		Self              ParticipantView
		Others            []ParticipantView
		ICEServers        []ICEServer
		SubscriberPrimary bool
		SIFTrailer        []byte
		Publish           []sfu.Codec // codecs to publish in, best first; audio too
		FastPublish       bool
		ForceRelay        bool
	}

	// Resumed is the first message of a connection that took a participant over.
	Resumed struct {
		ICEServers []ICEServer
		LastSeq    uint32 // last reliable data sequence received from the client
	}

	// Answered and Offered are our descriptions.
	Answered struct{ Description }
	Offered  struct{ Description }

	// Candidate trickles one of ours.
	Candidate struct {
		Target Target
		Init   string
		Final  bool
	}

	// Update tells of participants that came, changed or went.
	Update struct{ Participants []ParticipantView }

	// SessionUpdate tells of the session itself.
	SessionUpdate struct{ Session View }

	// Published answers AddTrack; Unpublished tells the publisher that its publication ended.
	Published struct {
		CID   string
		Track PublicationView
	}
	Unpublished struct{ Publication sfu.PublicationID }

	// MuteOwn asks the publisher to mute or unmute.
	MuteOwn struct {
		Publication sfu.PublicationID
		Muted       bool
	}

	// Speakers are deltas; level 0 to 1, 0 with Active false ends.
	Speakers struct{ Levels []SpeakerLevel }

	// Quality of participants' connections.
	Quality struct{ Updates []QualityUpdate }

	// StreamStates tell which subscriptions the focus paused.
	StreamStates struct{ States []StreamState }

	// Demand is dynacast: which layers of an own publication somebody wants.
	Demand struct {
		Publication sfu.PublicationID
		Codecs      []CodecDemand
	}

	// PermissionUpdate tells a subscriber that a publisher allows or forbids a publication.
	PermissionUpdate struct {
		Participant sfu.ParticipantID
		Publication sfu.PublicationID
		Allowed     bool
	}

	// SubscriptionFailed: Unsupported codec, else not found.
	SubscriptionFailed struct {
		Publication sfu.PublicationID
		Unsupported bool
	}

	// Response answers a request that has an id or a body to echo.
	Response struct {
		RequestID uint32
		Outcome   Outcome
		Text      string
		Request   Request // what it answers; nil: none
	}

	// Subscribed tells the publisher that the first not hidden subscriber is bound.
	Subscribed struct{ Publication sfu.PublicationID }

	// SectionsNeeded asks a single-transport client for more media sections and a new offer.
	SectionsNeeded struct{ Audios, Videos int }

	// Goodbye ends the stay, or moves it on.
	Goodbye struct {
		Reason LeaveReason
		Action LeaveAction
	}

	// GrantChanged tells the connection that the token it refreshes must change. It is not sent as such.
	GrantChanged struct {
		Grant          Grant
		Name, Metadata string
		Attributes     map[string]string
	}

	// Hangup closes the connection once all before it is written; the participant may live on.
	Hangup struct{}

	// DataPublished, DataUnpublished answer data track requests; DataHandles maps handles of data packets to tracks.
	DataPublished   struct{ Track DataTrack }
	DataUnpublished struct{ Track DataTrack }
	DataHandles     struct{ Handles map[uint16]DataHandle }
)

// DataHandle is what a handle in a data track packet stands for, for one subscriber.
type DataHandle struct {
	Publisher   sfu.ParticipantID
	Identity    sfu.Identity
	Publication sfu.PublicationID
}

// SpeakerLevel is one row of Speakers.
type SpeakerLevel struct {
	Participant sfu.ParticipantID
	Level       float32
	Active      bool
}

// QualityUpdate is one row of Quality. Score is 1 to 4.5 as MOS.
type QualityUpdate struct {
	Participant sfu.ParticipantID
	Quality     ConnectionQuality
	Score       float32
}

// StreamState is one row of StreamStates.
type StreamState struct {
	Participant sfu.ParticipantID
	Publication sfu.PublicationID
	Paused      bool
}

// CodecDemand is the demand for one codec.
type CodecDemand struct {
	Codec   sfu.Codec
	Enabled [3]bool // by Quality: Low, Medium, High
}

func (Welcome) message()            {}
func (Resumed) message()            {}
func (Answered) message()           {}
func (Offered) message()            {}
func (Candidate) message()          {}
func (Update) message()             {}
func (SessionUpdate) message()      {}
func (Published) message()          {}
func (Unpublished) message()        {}
func (MuteOwn) message()            {}
func (Speakers) message()           {}
func (Quality) message()            {}
func (StreamStates) message()       {}
func (Demand) message()             {}
func (PermissionUpdate) message()   {}
func (SubscriptionFailed) message() {}
func (Response) message()           {}
func (Subscribed) message()         {}
func (SectionsNeeded) message()     {}
func (Goodbye) message()            {}
func (GrantChanged) message()       {}
func (Hangup) message()             {}
func (DataPublished) message()      {}
func (DataUnpublished) message()    {}
func (DataHandles) message()        {}
