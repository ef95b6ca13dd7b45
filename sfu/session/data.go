package session

import "weir/sfu"

// DataCodec reads and stamps data packets, whose format belongs to the signalling side.
type DataCodec interface {
	// Decode reads the routing part of a packet; Payload stays as it came.
	Decode(packet []byte) (Data, error)
	// Stamp returns the packet with the sender, destinations and sequence of d in place of what it says.
	Stamp(packet []byte, d Data) ([]byte, error)
}

// Data is the routing part of a data packet.
type Data struct {
	Kind     DataKind
	Sender   sfu.ParticipantID
	Identity sfu.Identity
	To       []sfu.Identity
	ToSIDs   []sfu.ParticipantID // old clients
	Sequence uint32              // reliable only; 0: none
	Nonce    string
	Reliable bool
	// RequestID is set on RPC acks and responses.
	RequestID string
}

// DataKind is what a data packet carries, as far as the rules differ.
type DataKind uint8

const (
	DataUser          DataKind = iota // also chat, streams, RPC, encrypted packets: forwarded as they are
	DataTranscription                 // only from agents
	DataMetrics                       // only to those who may see metrics
	DataRPCAck
	DataRPCResponse
	DataUnknown // dropped: speaker updates and the like are not for clients to send
)
