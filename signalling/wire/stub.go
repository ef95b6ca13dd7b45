package wire

import (
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// DecodeRequest reads a frame from a client.
func DecodeRequest(frame []byte, enc Encoding) (Request, error) { return Request{}, ErrUnknown }

// EncodeRequest writes a frame to a server.
func EncodeRequest(r Request, enc Encoding) ([]byte, error) { return nil, ErrUnknown }

// Encode writes a message as the frames that carry it: several for a large Update, none for what is not sent as such
// (GrantChanged, Hangup).
func (d Dialect) Encode(m session.Message, enc Encoding) ([][]byte, error) { return nil, nil }

// Pong answers a ping.
func (d Dialect) Pong(p Ping, now time.Time, enc Encoding) ([]byte, error) { return nil, nil }

// Token hands the client a newer token.
func (d Dialect) Token(token string, enc Encoding) ([]byte, error) { return nil, nil }

// DecodeResponse reads a frame from a server.
func DecodeResponse(frame []byte, enc Encoding) (Response, error) { return Response{}, ErrUnknown }

// JoinRequest is what a client asks when it opens its connection.
type JoinRequest struct {
	Settings      session.Settings // AllowPause counts only if AllowPauseSet
	AllowPauseSet bool
	Software      sfu.Software
	Metadata      string            // "": none
	Attributes    map[string]string // without empty values
	BadAttributes bool              // v0: they could not be read; validate refuses, connecting ignores them
	Publish       []session.AddTrack
	Offer         *session.Description
	Sync          *session.Sync

	Resume      bool
	Participant sfu.ParticipantID // to resume
	Reason      ReconnectReason

	PublishOnly string // v0 publish=x: identity gets "#x", nothing is subscribed
}

// ReconnectReason is why a client resumes. The numbers are LiveKit's.
type ReconnectReason uint8

const (
	UnknownCause ReconnectReason = iota
	SignalLost
	PublisherFailed
	SubscriberFailed
	SwitchCandidate
)

// ParseJoin reads the parameters of a connection: with join_request for a single transport, else the v0 ones, for
// which Settings.Dual is set. The caller refuses a v1 path without join_request. userAgent fills in browser and system
// if the client did not say.
func ParseJoin(query map[string][]string, userAgent string) (JoinRequest, error) {
	return JoinRequest{}, ErrUnknown
}

// EncodeJoin writes the parameters that ParseJoin reads, join_request unless Settings.Dual; compress gzips it.
func EncodeJoin(j JoinRequest, compress bool) (map[string][]string, error) { return nil, ErrUnknown }

// DataCodec reads and stamps LiveKit's data packets. It implements session.DataCodec and has no state.
type DataCodec struct{}

// Decode implements session.DataCodec.
func (DataCodec) Decode(packet []byte) (session.Data, error) { return session.Data{}, ErrUnknown }

// Stamp implements session.DataCodec.
func (DataCodec) Stamp(packet []byte, d session.Data) ([]byte, error) { return nil, ErrUnknown }

// UserPacket makes a data packet with a payload of the user's.
func UserPacket(payload []byte, topic *string, nonce []byte) []byte { return nil }

// RPCRequest makes a data packet that calls a method.
func RPCRequest(id, method, payload string, timeout time.Duration) []byte { return nil }

// RPCReply is the answer to an RPCRequest.
type RPCReply struct {
	RequestID string
	Payload   string
	Err       *RPCError // nil: success
}

// RPCError is what a method call failed with.
type RPCError struct {
	Code    uint32
	Message string
	Data    string
}

// DecodeRPCReply reads an RPC response packet; ErrUnknown for any other.
func DecodeRPCReply(packet []byte) (RPCReply, error) { return RPCReply{}, ErrUnknown }
