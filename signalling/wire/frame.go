package wire

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"weir/sfu/session"
)

// Encoding is how a frame or body is written.
type Encoding uint8

const (
	Binary Encoding = iota // protobuf
	Text                   // protojson
)

// Limits on what is read (livekit.md sections 1, 2 and 5).
const (
	MaxFrame       = 2 << 20  // one signalling frame, inflated
	MaxJoinRequest = 1 << 20  // join_request, raw and inflated
	MaxBody        = 10 << 20 // body of a server API call
	UpdateChunk    = 128 << 10
)

// Why something was not read. Test with errors.Is.
var (
	ErrMalformed = errors.New("wire: malformed")
	ErrTooLarge  = errors.New("wire: too large")
	ErrUnknown   = errors.New("wire: unknown") // well formed, but of no kind we know
)

// Request is one frame from a client: exactly one field is set.
type Request struct {
	Session session.Request // for the session
	Ping    *Ping           // for the connection itself, answered at once by Dialect.Pong
}

// Ping is either kind of ping.
type Ping struct {
	Old       bool  // ping, a bare number; else ping_req
	Timestamp int64 // the client's clock, ms
	RTT       int64 // ms as the client measured it; not with Old
}

// Response is one frame to a client: Session, Pong or Token is set.
type Response struct {
	Session session.Message
	Pong    *Pong
	Token   string  // refresh_token
	Server  *Server // with session.Welcome and session.Resumed: what the server said of itself
}

// Pong answers a Ping.
type Pong struct {
	Old           bool
	LastTimestamp int64 // of the ping; not with Old
	Timestamp     int64 // the focus's clock, Unix ms
}

// Server describes the focus to its clients. The zero value works.
type Server struct {
	Version      string        // "": Version
	Protocol     int           // 0: Protocol
	Region       string        //
	NodeID       string        //
	PingInterval time.Duration // 0: 5 s
	PingTimeout  time.Duration // 0: 15 s

	NoResume        bool     // client_configuration: always reconnect fully
	DisabledCodecs  []string // media types neither to publish nor to receive
	DisabledPublish []string // media types not to publish
}

const (
	// Version is the LiveKit server we are like: below 1.8.0 clients turn RPC off, and below 1.13.7 rid simulcast of
	// VP9 and AV1 (livekit.md section 5). Our own name stands elsewhere.
	Version = "1.13.11"
	// Protocol is the newest signalling protocol we speak.
	Protocol = 17
	// PingInterval and PingTimeout are what join tells clients.
	PingInterval = 5 * time.Second
	PingTimeout  = 15 * time.Second
)

// Dialect is what the frames of one connection depend on besides the message. The zero value works.
type Dialect struct {
	Server   Server
	Protocol int // the client's signalling protocol; 0: newest
}

func unmarshal(frame []byte, enc Encoding, m proto.Message, limit int) error {
	if len(frame) > limit {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(frame), limit)
	}
	if tooMany(frame, enc, m.ProtoReflect().Descriptor()) {
		return fmt.Errorf("%w: more than %d elements", ErrTooLarge, maxElements)
	}
	var err error
	if enc == Text {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(frame, m)
	} else {
		err = proto.Unmarshal(frame, m)
	}
	if err != nil { // the parser's words may quote what a client sent, tokens included: they go no further
		return fmt.Errorf("%w: %s", ErrMalformed, m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

func marshal(enc Encoding, m proto.Message) ([]byte, error) {
	var out []byte
	var err error
	if enc == Text {
		out, err = protojson.Marshal(m)
	} else {
		out, err = proto.MarshalOptions{Deterministic: true}.Marshal(m)
	}
	if err != nil {
		return nil, fmt.Errorf("wire: writing %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return out, nil
}
