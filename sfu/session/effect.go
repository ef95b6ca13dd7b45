package session

import (
	"errors"

	"weir/sfu"
)

// Effect is what the loop does for a session. Effects are values, in the order they must happen.
type Effect interface{ effect() }

type (
	// Tell hands a message to a connection.
	Tell struct {
		Sink    Sink
		Message Message
	}

	// Result answers an event of the outside API; nil Err is success. A Join or Resume that is refused gets
	// its Goodbye by Tell, no Result.
	Result struct{ Err error }

	// OpenTransports makes the transports of a participant that joined. What the media plane has to say goes to Sink.
	OpenTransports struct {
		ID       sfu.ParticipantID
		Sink     Sink
		Identity sfu.Identity
		Software sfu.Software
		Settings Settings
		Grant    Grant
	}

	// CloseTransports ends them with all their media.
	CloseTransports struct{ ID sfu.ParticipantID }

	// ApplyOffer answers a client's offer. The answer goes to Sink; Pending lists what was announced and may be in it.
	ApplyOffer struct {
		ID      sfu.ParticipantID
		Sink    Sink
		Offer   Description
		Pending []PendingPublication
	}

	// ApplyAnswer takes the client's answer to our offer.
	ApplyAnswer struct {
		ID     sfu.ParticipantID
		Answer Description
	}

	// ApplyCandidate adds a remote candidate.
	ApplyCandidate struct {
		ID        sfu.ParticipantID
		Candidate Trickle
	}

	// RestartICE makes a new offer on the subscriber transport of a dual participant after a resume.
	// For single ones it says where answers go from now on.
	RestartICE struct {
		ID   sfu.ParticipantID
		Sink Sink
	}

	// OpenPublication starts accepting media for a publication; its streams are found by negotiation.
	// Track.Muted starts it muted.
	OpenPublication struct {
		ID    sfu.ParticipantID
		Track PublicationView
	}

	// MuteMedia stops or restarts forwarding of a publication.
	MuteMedia struct {
		Publication sfu.PublicationID
		Muted       bool
	}

	// ClosePublication ends a publication and the media of its subscriptions.
	ClosePublication struct{ Publication sfu.PublicationID }

	// OpenSubscription places a publication on a subscriber's transport, and forwards up to Target.
	OpenSubscription struct {
		Subscriber sfu.ParticipantID
		Publisher  sfu.ParticipantID
		Track      PublicationView
		Target     sfu.Layer
		Paused     bool
		SyncStream bool
	}

	// SetTarget changes what an open subscription forwards. Paused forwards nothing.
	SetTarget struct {
		Subscriber  sfu.ParticipantID
		Publication sfu.PublicationID
		Target      sfu.Layer
		Paused      bool
	}

	// CloseSubscription takes it off the transport. Revoked: the subscriber still wants it and has to see it go, while
	// one that gave it up itself, or hears that the publication ended, needs no description for that.
	CloseSubscription struct {
		Subscriber  sfu.ParticipantID
		Publication sfu.PublicationID
		Revoked     bool
	}

	// RequestKeyframe asks a publisher for one, subject to the throttle.
	RequestKeyframe struct{ Publication sfu.PublicationID }

	// SendData writes one message on a channel. On any channel but Reliable it may be dropped when the channel is behind.
	SendData struct {
		To      []sfu.ParticipantID
		Channel DataChannel
		Payload []byte
	}

	// RPCReplied hands out what a participant answered to a call from outside: an ack or a response.
	RPCReplied struct {
		RequestID string
		From      sfu.Identity
		Packet    []byte
	}

	// Simulated asks the media plane to behave badly for one participant.
	Simulated struct {
		ID      sfu.ParticipantID
		Request Simulate
	}

	// Notify is for whoever watches sessions: webhooks, delegated leaves, metrics.
	Notify struct{ Notice Notice }

	// Ended says that the session is over; it is the last effect.
	Ended struct{ Reason LeaveReason }
)

// PendingPublication is an announced publication an offer may carry.
type PendingPublication struct {
	Publication sfu.PublicationID
	CID         string
	Kind        sfu.Kind
	Codecs      []sfu.Codec // acceptable, best first
	Layers      []Encoding
	Stereo      bool
	DisableDTX  bool
	DisableRED  bool
	Backup      bool
	Mid         string // known from an earlier offer, "" if not
}

// Notice is something that happened in a session that outsiders care for.
type Notice struct {
	Kind        NoticeKind
	Session     View
	Participant *ParticipantView
	Publication *PublicationView
	Reason      LeaveReason
}

// NoticeKind says what a Notice is about; the names are LiveKit's webhook events.
type NoticeKind uint8

const (
	SessionStarted NoticeKind = iota
	SessionFinished
	ParticipantJoined // on Active
	ParticipantLeft
	ParticipantAborted // never Active
	TrackPublished
	TrackUnpublished
)

// Errors of the outside API.
var (
	ErrNoSession     = errors.New("session: no such session")
	ErrNoParticipant = errors.New("session: no such participant")
	ErrNoPublication = errors.New("session: no such publication")
	ErrNotAllowed    = errors.New("session: not allowed")
	ErrTooLarge      = errors.New("session: over a size limit")
	ErrRemoteUnmute  = errors.New("session: unmuting others is off")
	ErrBadPacket     = errors.New("session: undecodable data packet")
)

func (Tell) effect()              {}
func (Result) effect()            {}
func (OpenTransports) effect()    {}
func (CloseTransports) effect()   {}
func (ApplyOffer) effect()        {}
func (ApplyAnswer) effect()       {}
func (ApplyCandidate) effect()    {}
func (RestartICE) effect()        {}
func (OpenPublication) effect()   {}
func (MuteMedia) effect()         {}
func (ClosePublication) effect()  {}
func (OpenSubscription) effect()  {}
func (SetTarget) effect()         {}
func (CloseSubscription) effect() {}
func (RequestKeyframe) effect()   {}
func (SendData) effect()          {}
func (RPCReplied) effect()        {}
func (Simulated) effect()         {}
func (Notify) effect()            {}
func (Ended) effect()             {}
