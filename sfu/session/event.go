package session

import (
	"time"

	"weir/sfu"
)

// Event is anything that happens to a session.
type Event interface{ event() }

// Sink takes messages for one connection. Tell never blocks; a sink whose queue is full closes its connection.
// The session only carries sinks from events to effects; two sinks are the same connection if they are equal.
type Sink interface{ Tell(Message) }

// Settings are a participant's wishes at join.
type Settings struct {
	Dual              bool // two transports (v0); else a single one
	AutoSubscribe     bool
	AutoSubscribeData bool
	AdaptiveStream    bool
	AllowPause        bool // after the server default was filled in
	DisableICELite    bool
}

// Events of the signalling side.
type (
	// Join brings a participant in. ID is fresh; an older participant of the same identity is evicted first.
	Join struct {
		Sink       Sink
		ID         sfu.ParticipantID
		Identity   sfu.Identity
		Name       string
		Metadata   string
		Attributes map[string]string
		Kind       ParticipantKind
		Grant      Grant
		Software   sfu.Software
		Settings   Settings
		Publish    []AddTrack // sent along with the join
		Offer      *Description
		Region     string
	}

	// Resume swaps a participant's sink after its connection was lost.
	Resume struct {
		Sink     Sink
		ID       sfu.ParticipantID
		Identity sfu.Identity // must match
		Software sfu.Software
	}

	// FromParticipant is a request that came over Sink. One from a sink that is no longer the participant's is ignored.
	FromParticipant struct {
		Sink    Sink
		ID      sfu.ParticipantID
		Request Request
	}

	// ConnectionLost says that Sink is gone without a Leave.
	ConnectionLost struct {
		Sink Sink
		ID   sfu.ParticipantID
	}
)

// Events of the outside API. Each is answered by a Result effect.
type (
	// Evict removes a participant. Block keeps the identity out for that long.
	Evict struct {
		Identity sfu.Identity
		Reason   LeaveReason
		Block    time.Duration
	}
	// Withhold keeps what a participant publishes from all others, or gives it back. It ends with the stay.
	Withhold struct {
		Identity sfu.Identity
		On       bool
	}
	// MutePublication mutes or unmutes somebody's publication.
	MutePublication struct {
		Identity    sfu.Identity
		Publication sfu.PublicationID
		Muted       bool
	}
	// UpdateParticipant changes a participant; nil fields stay.
	UpdateParticipant struct {
		Identity       sfu.Identity
		Grant          *Grant
		Name, Metadata *string
		Attributes     map[string]string
	}
	// UpdateSubscriptions changes what a participant receives.
	UpdateSubscriptions struct {
		Identity  sfu.Identity
		Subscribe Subscribe
	}
	// Send delivers a data packet from outside. Packet is complete but for sender fields.
	Send struct {
		Packet   []byte
		Reliable bool
		To       []sfu.Identity
		ToSIDs   []sfu.ParticipantID
		Topic    *string
		Nonce    string
		// RequestID makes it a remote procedure call: it stands as the caller's identity, and what comes back
		// for it is an RPCReplied effect.
		RequestID string
	}
	// SetMetadata changes the session's metadata.
	SetMetadata struct{ Metadata string }
	// Configure upserts the configuration of a session.
	Configure struct{ Config Config }
	// Close ends the session for all.
	Close struct{ Reason LeaveReason }
	// Tick passes time; the loop sends it at Deadline.
	Tick struct{}
)

// Events of the media plane.
type (
	// TransportChanged reports a transport of a participant.
	TransportChanged struct {
		ID     sfu.ParticipantID
		Target Target
		State  TransportState
	}

	// Negotiated reports which announced tracks an offer carried, and which published ones it carries no more:
	// their section went inactive or was stopped. A publication in neither list stays as it is.
	Negotiated struct {
		ID    sfu.ParticipantID
		Bound []Bound
		Ended []sfu.PublicationID
	}

	// NegotiationFailed ends the stay with StateMismatch and a full reconnect.
	NegotiationFailed struct {
		ID         sfu.ParticipantID
		Err        string
		Unanswered bool // in time, which is no fault of a client whose connection is down: a resume begins anew
	}

	// StreamSeen reports the first media of a layer of a publication, and its codec.
	StreamSeen struct {
		Publication sfu.PublicationID
		Codec       sfu.Codec
		Spatial     int8
	}

	// SubscriptionBound reports that a subscription has a place in a description, and the codec it got there;
	// NoCodec means the publication's first.
	SubscriptionBound struct {
		Subscriber  sfu.ParticipantID
		Publication sfu.PublicationID
		Codec       sfu.Codec
	}

	// SubscriptionPaused reports that allocation stopped or restarted a subscription for want of bandwidth.
	SubscriptionPaused struct {
		Subscriber  sfu.ParticipantID
		Publication sfu.PublicationID
		Paused      bool
	}

	// SubscriptionRefused reports that a subscription can never be placed.
	SubscriptionRefused struct {
		Subscriber  sfu.ParticipantID
		Publication sfu.PublicationID
		Unsupported bool
	}

	// DataArrived is one message of a data channel. Payload is the session's from now on.
	DataArrived struct {
		ID      sfu.ParticipantID
		Channel DataChannel
		Payload []byte
	}

	// DataOpen reports that a channel towards a participant can be written.
	DataOpen struct {
		ID      sfu.ParticipantID
		Channel DataChannel
	}

	// Observed is what the media plane measured since the last one; sent each ObservePeriod while anybody is here.
	Observed struct {
		Audio        []AudioObserved
		Participants []LinkObserved
	}
)

// ObservePeriod is how often the loop reports Observed: the speaker interval of livekit.md section 8.
const ObservePeriod = 400 * time.Millisecond

// AudioObserved sums the audio levels (RFC 6464, −dBov) of a publication's packets.
type AudioObserved struct {
	Publication sfu.PublicationID
	Levels      []uint8 // one per packet, in order; 127 is silence
}

// LinkObserved is the state of a participant's transports.
type LinkObserved struct {
	ID             sfu.ParticipantID
	RTT            time.Duration
	UpstreamLoss   float64 // 0 to 1, after repair
	DownstreamLoss float64
	JitterMS       float64
	UpstreamBPS    float64
	DownstreamBPS  float64
	MediaSeen      bool // any RTP or RTCP came
}

// DataChannel is one of the three channels of a participant.
type DataChannel uint8

const (
	Reliable DataChannel = iota
	Lossy
	DataTracks
)

// TransportState of a transport.
type TransportState uint8

const (
	TransportConnected TransportState = iota
	TransportDisconnected
	TransportFailed
)

// Bound says where in an offer an announced track was found.
type Bound struct {
	Publication sfu.PublicationID
	Codec       sfu.Codec // the codec the answer put first
	Codecs      []sfu.Codec
	Mid         string
	SDPCID      string // track id in the SDP, if it is not the announced one
}

func (Join) event()                {}
func (Resume) event()              {}
func (FromParticipant) event()     {}
func (ConnectionLost) event()      {}
func (Evict) event()               {}
func (Withhold) event()            {}
func (MutePublication) event()     {}
func (UpdateParticipant) event()   {}
func (UpdateSubscriptions) event() {}
func (Send) event()                {}
func (SetMetadata) event()         {}
func (Configure) event()           {}
func (Close) event()               {}
func (Tick) event()                {}
func (TransportChanged) event()    {}
func (Negotiated) event()          {}
func (NegotiationFailed) event()   {}
func (StreamSeen) event()          {}
func (SubscriptionBound) event()   {}
func (SubscriptionRefused) event() {}
func (SubscriptionPaused) event()  {}
func (DataArrived) event()         {}
func (DataOpen) event()            {}
func (Observed) event()            {}
