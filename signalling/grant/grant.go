package grant

import (
	"errors"
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// Grant is what a token permits, and what it says of its bearer.
type Grant struct {
	Identity    sfu.Identity // claim sub
	Name        string
	Metadata    string
	Attributes  map[string]string
	Kind        session.ParticipantKind
	KindDetails []string

	Session sfu.SessionID // claim video.room; "" : none named
	Join    bool          // may join Session
	Admin   bool          // may manage Session and its participants
	Create  bool          // may open and delete any session
	List    bool          // may list sessions
	Record  bool
	Ingress bool // ingressAdmin

	Destination sfu.SessionID // where participants may be moved or forwarded

	Inside session.Grant   // rights inside Session
	Config *session.Config // for the session, if this join opens it; nil: none
	Preset string
	SHA256 string // of a message body, standard base64; webhooks only

	Seat *Seat // whom of which room the token was made for; nil: it is none of the doors'
}

// Seat ties a participant to a member of a room (matrixrtc.md section 3). It travels in the token, under a claim of our
// own, so that a focus that was restarted knows whom it lets in again.
type Seat struct {
	Room, Slot           string
	User, Device, Member string
	Version              int    // of the identity's derivation
	Door                 string // which gave the token
	Opens                bool   // the user may open the session
	MaxParticipants      int    // in a session so opened; 0: no limit
	Made                 int64  // ms since 1970; rights that were withdrawn later end with it
}

// Token is a verified token.
type Token struct {
	Grant
	Key     string    // claim iss: the API key that signed it
	Expires time.Time // whole seconds
}

// Keys are the secrets of the API keys.
type Keys map[string]string

// Key is one API key and its secret.
type Key struct{ ID, Secret string }

// Why a token is refused.
var (
	ErrMalformed  = errors.New("invalid token: malformed")
	ErrAlgorithm  = errors.New("invalid token: algorithm is not HS256")
	ErrUnknownKey = errors.New("invalid API key")
	ErrSignature  = errors.New("invalid token: wrong signature")
	ErrNoExpiry   = errors.New("invalid token: no expiry")
	ErrExpired    = errors.New("invalid token: expired")
	ErrNotYet     = errors.New("invalid token: not valid yet")
	ErrDigest     = errors.New("invalid token: does not belong to this body")
	ErrNoSecret   = errors.New("grant: key without id or secret")
	ErrNotUTF8    = errors.New("grant: text is not UTF-8")
)

const (
	// Leeway is how far clocks of issuer and focus may be apart (livekit.md section 9).
	Leeway = time.Minute
	// MinRefresh is the least life of a refreshed token (livekit.md section 3).
	MinRefresh = 10 * time.Minute
	// WebhookTTL is the life of a webhook's token (livekit.md section 9).
	WebhookTTL = 5 * time.Minute
	// MaxToken bounds a token: metadata may be 512 KiB, and it grows by base64 and escapes.
	MaxToken = 1 << 20
)
