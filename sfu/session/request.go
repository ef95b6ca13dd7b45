package session

import "weir/sfu"

// Request is what a participant asks over its connection. The socket decodes them; the session answers by effects.
type Request interface{ request() }

// Target says which of a participant's transports a description or candidate is for.
type Target uint8

const (
	Publisher  Target = iota // the only one when the participant has a single transport
	Subscriber               // offers come from the focus; dual mode only
)

// Description is an SDP offer or answer. ID is echoed in the answer to it.
type Description struct {
	SDP  string
	ID   uint32
	Mids map[string]string // mid → publication id (out) or client track id (in)
}

// Encoding is one layer as a publisher declares it.
type Encoding struct {
	Quality       sfu.Quality
	Width, Height int
	Bitrate       int // bit/s
	SSRC          uint32
	Spatial       int
	RID           string
}

// LayerMode says how the layers of a codec are carried. The numbers are LiveKit's VideoLayer.Mode.
type LayerMode uint8

const (
	ModeUnused LayerMode = iota
	ModeOneLayerPerStream
	ModeManyLayersPerStream
	ModeOneLayerPerStreamIncompleteRTCPSR
)

// CodecOffer is one codec a publication may be sent in: the first is primary, a second one a backup.
type CodecOffer struct {
	Codec  sfu.Codec
	Mime   string // as written, for codecs that are not known
	CID    string
	Layers []Encoding
	Mode   LayerMode
}

type (
	// Offer carries the client's offer; Answer its answer to ours (dual mode).
	Offer  struct{ Description }
	Answer struct{ Description }

	// Trickle adds a remote candidate; Init is the candidate line, empty with Final at the end.
	Trickle struct {
		Target Target
		Init   string // candidate attribute value, "" : end of candidates
		Mid    string
		Bad    bool // the JSON could not be read
		Final  bool
	}

	// AddTrack announces a publication before its media. Publication is set for a backup codec of one that exists.
	AddTrack struct {
		CID           string
		Name          string
		Kind          sfu.Kind // 0: neither audio nor video
		Source        sfu.Source
		Width, Height int
		Muted         bool
		DisableDTX    bool
		DisableRED    bool
		Stereo        bool
		Stream        string
		Encryption    sfu.Encryption
		Publication   sfu.PublicationID
		Layers        []Encoding
		Codecs        []CodecOffer
		Backup        uint8   // BackupCodecPolicy
		AudioFeatures []uint8 // AudioTrackFeature
		Trailer       []uint8 // PacketTrailerFeature
	}

	// Mute sets the muted state of an own publication.
	Mute struct {
		Publication sfu.PublicationID
		Muted       bool
	}

	// Subscribe asks for, or gives up, publications. ByParticipant holds the ids grouped by publisher sid.
	Subscribe struct {
		Publications  []sfu.PublicationID
		ByParticipant map[sfu.ParticipantID][]sfu.PublicationID
		On            bool
	}

	// TrackSetting says what of some publications the receiver can use now.
	TrackSetting struct {
		Publications  []sfu.PublicationID
		Disabled      bool
		Quality       sfu.Quality
		Width, Height int // px of the tile; 0: Quality counts
		FPS           int
		Priority      int
	}

	// Leave ends the stay.
	Leave struct {
		Reason LeaveReason
	}

	// Permission is the allow list of a publisher.
	Permission struct {
		AllParticipants bool
		Tracks          []TrackPermission
	}

	// Sync is what a resuming client believes (sync_state).
	Sync struct {
		Subscription  *Subscribe
		Offer, Answer *Description
		Publications  []SyncPublication
		DataTracks    []DataTrack
		Channels      []Channel
		Disabled      []sfu.PublicationID
		ReceiveStates map[sfu.ParticipantID]uint32 // last reliable sequence received, by sender
	}

	// Simulate asks the focus to behave badly, for tests of clients.
	Simulate struct {
		Scenario  Scenario
		Seconds   int   // speaker update
		Bandwidth int64 // bit/s, subscriber bandwidth
		TCP, TLS  bool  // switch candidate protocol
	}

	// UpdateOwn changes own name, metadata and attributes. Attributes with an empty value are removed.
	UpdateOwn struct {
		RequestID      uint32
		Name, Metadata string
		Attributes     map[string]string
	}

	// UpdateAudio changes the features of an own audio publication.
	UpdateAudio struct {
		Publication sfu.PublicationID
		Features    []uint8
	}

	// UpdateVideo changes the size of an own video publication.
	UpdateVideo struct {
		Publication   sfu.PublicationID
		Width, Height int
	}

	// PublishData offers a data track; UnpublishData ends it.
	PublishData struct {
		Handle     uint16
		Name       string
		Encryption sfu.Encryption
		Raw        []byte // the request as it came, for the echo and for fields passed on unread
	}
	UnpublishData struct{ Handle uint16 }

	// SubscribeData changes data track subscriptions.
	SubscribeData struct{ Updates []DataSubscription }

	// Ignored is a request the focus knows and does nothing about (update_layers, data blobs).
	Ignored struct{ Name string }
)

// SyncPublication is a publication as a resuming client believes it to be.
type SyncPublication struct {
	CID         string
	Publication sfu.PublicationID // "": without info
}

// TrackPermission is one row of an allow list.
type TrackPermission struct {
	Participant  sfu.ParticipantID // or
	Identity     sfu.Identity
	All          bool
	Publications []sfu.PublicationID
}

// DataSubscription is one wish for a data track.
type DataSubscription struct {
	Publication sfu.PublicationID
	On          bool
	FPS         int
}

// Channel is a data channel a client holds.
type Channel struct {
	Label  string
	ID     uint16
	Target Target
}

// Scenario of a Simulate request.
type Scenario uint8

const (
	SimulateNothing Scenario = iota
	SimulateSpeaker
	SimulateNodeFailure
	SimulateMigration
	SimulateServerLeave
	SimulateSwitchProtocol
	SimulateBandwidth
	SimulateDisconnectOnResume
	SimulateDisconnectOnResumeNoMessages
	SimulateFullReconnect
)

func (Offer) request()         {}
func (Answer) request()        {}
func (Trickle) request()       {}
func (AddTrack) request()      {}
func (Mute) request()          {}
func (Subscribe) request()     {}
func (TrackSetting) request()  {}
func (Leave) request()         {}
func (Permission) request()    {}
func (Sync) request()          {}
func (Simulate) request()      {}
func (UpdateOwn) request()     {}
func (UpdateAudio) request()   {}
func (UpdateVideo) request()   {}
func (PublishData) request()   {}
func (UnpublishData) request() {}
func (SubscribeData) request() {}
func (Ignored) request()       {}
