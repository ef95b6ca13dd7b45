// Package negotiate speaks SDP for one far PeerConnection: it reads offers and answers, and writes ours.
//
// It is pure. A Peer is the focus' side of one transport to one client; the session's loop owns it and calls
//
//	Answer          a client's offer: publisher transport (dual mode) or the only transport (single mode)
//	Offer, Accept   the subscriber transport of dual mode, where the focus offers
//
// A Client is the other side of both, for bots and tests. Every call either succeeds and changes the state, or
// returns an error and changes nothing. What a description says is read once, here: results are typed.
//
// Offer/answer is RFC 3264 and RFC 9429 (JSEP), with BUNDLE (RFC 9143) always on: one transport per description.
package negotiate

import (
	"errors"
	"math/rand/v2"

	"weir/sfu"
)

// Errors, wrapped with what was being read.
var (
	ErrTooLarge  = errors.New("negotiate: description too large")
	ErrSyntax    = errors.New("negotiate: not a session description")
	ErrNoBundle  = errors.New("negotiate: no BUNDLE group")
	ErrMid       = errors.New("negotiate: missing or repeated mid")
	ErrTransport = errors.New("negotiate: no usable ICE or DTLS description")
	ErrPayload   = errors.New("negotiate: payload type means two things")
	ErrMismatch  = errors.New("negotiate: answer does not fit the offer")
	ErrNoOffer   = errors.New("negotiate: answer without an offer")
	ErrEmpty     = errors.New("negotiate: nothing to offer")
)

// maxSize bounds a description: a thousand sections of a browser fit.
const maxSize = 1 << 20

// Limits on what one description may hold; far above what any client makes.
const (
	maxSections = 2048
	maxFormats  = 128
	maxStreams  = 64
	maxRIDs     = 3 // as many as there are qualities
)

// DefaultMessageSize is the largest data channel message we say we take, in bytes (livekit.md section 7).
const DefaultMessageSize = 65535

// Config of a Peer. The zero value works: every codec, transport-cc, seed zero.
type Config struct {
	Software       sfu.Software
	Publish        []sfu.Codec // accepted from the client, best first; nil: all
	Subscribe      []sfu.Codec // sent to the client, best first; nil: all
	Seed           [32]byte    // of SSRCs, session ids
	Data           bool        // our offers have a data channel section
	REMB           bool        // downstream: abs-send-time and goog-remb instead of transport-cc
	PlayoutDelay   bool        // negotiate playout-delay downstream
	MaxMessageSize uint32      // bytes; 0: DefaultMessageSize
}

// Local is our side of the transport, as the transport tells it.
type Local struct {
	Ufrag, Pwd      string
	Fingerprint     string   // "sha-256 AA:BB…"
	Candidates      []string // values of a=candidate, with or without "candidate:"
	EndOfCandidates bool
	Lite            bool
}

// Setup is a DTLS role (RFC 8842 section 5).
type Setup uint8

const (
	NoSetup Setup = iota
	ActPass
	ActiveSetup  // DTLS client
	PassiveSetup // DTLS server
)

func (s Setup) String() string { return [...]string{"", "actpass", "active", "passive"}[s] }

// Remote is the far side of the transport.
type Remote struct {
	Ufrag, Pwd      string
	Fingerprint     string // "sha-256 AA:BB…"
	Setup           Setup
	Lite            bool
	Candidates      []string // values of a=candidate, without "candidate:"
	EndOfCandidates bool
	Data            bool   // a data channel section was agreed
	SCTPPort        uint16 // with Data
	MaxMessageSize  uint32 // with Data, bytes; math.MaxUint32: no limit
}

// Offer is a client's offer: its SDP and what its message said about it.
type Offer struct {
	SDP  string
	Mids map[string]string // mid → client track id (CID); may be nil
}

// Pending is an announced publication that an offer may carry.
type Pending struct {
	Publication sfu.PublicationID
	CID         string
	Kind        sfu.Kind
	Codecs      []sfu.Codec // best first
	Stereo      bool
	DisableDTX  bool
	DisableRED  bool
	Mid         string // known from before, "" if not
}

// Wanted is a publication the client shall receive.
type Wanted struct {
	Publisher   sfu.ParticipantID
	Publication sfu.PublicationID
	Kind        sfu.Kind
	Codecs      []sfu.Codec // it is published in, best first; nil: not known
	Stereo      bool
	Stream      string // joins publications of a publisher for lip sync; "": alone
}

// Peer is one far PeerConnection. The session's loop owns it; it is not safe for concurrent use.
type Peer struct {
	cfg     Config
	publish []sfu.Codec // after quirks
	send    []sfu.Codec
	rng     *rand.ChaCha8
	session uint64
	version uint64
	used    map[uint32]bool // SSRCs drawn so far
	state   state
	offered *state // our offer that waits for an answer
	read    struct {
		text string
		d    *description
	} // what Inspect read, for the Answer that follows
}

// NewPeer makes a Peer that has not negotiated yet.
func NewPeer(cfg Config) *Peer {
	rng := rand.NewChaCha8(cfg.Seed)
	if cfg.MaxMessageSize == 0 {
		cfg.MaxMessageSize = DefaultMessageSize
	}
	return &Peer{
		cfg:     cfg,
		publish: Publishable(cfg.Software, cfg.Publish),
		send:    Receivable(cfg.Software, cfg.Subscribe),
		rng:     rng,
		used:    map[uint32]bool{},
		session: rng.Uint64() >> 2, // RFC 9429 section 5.2.1: fits in 62 bits
	}
}
