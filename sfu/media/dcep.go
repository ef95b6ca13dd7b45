package media

import (
	"encoding/binary"

	"weir/sfu/session"
)

// The Data Channel Establishment Protocol (RFC 8832). It is read here and not by pion/datachannel because that waits for
// the first message of a stream before it takes the next stream, so that one silent stream would stop all.

const (
	dcepOpen     = 0x03
	dcepAck      = 0x02
	dcepOpenLen  = 12
	typeReliable = 0x00
	typeRexmit   = 0x01 // partial reliability by retransmissions
	typeTimed    = 0x02 // … by time
	typeLoose    = 0x80 // … unordered
)

// openMessage is DATA_CHANNEL_OPEN (RFC 8832 section 5.1).
type openMessage struct {
	lossy bool
	label string
}

func parseOpen(b []byte) (openMessage, bool) {
	if len(b) < dcepOpenLen || b[0] != dcepOpen {
		return openMessage{}, false
	}
	kind := b[1] &^ typeLoose
	label, protocol := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	if kind > typeTimed || label > maxLabel || len(b) != dcepOpenLen+label+protocol {
		return openMessage{}, false
	}
	return openMessage{lossy: kind != typeReliable, label: string(b[dcepOpenLen : dcepOpenLen+label])}, true
}

func appendOpen(dst []byte, kind session.DataChannel, label string) []byte {
	channelType := byte(typeReliable)
	if kind != session.Reliable {
		channelType = typeLoose | typeRexmit
	}
	dst = append(dst, dcepOpen, channelType, 0, 0) // priority 0
	dst = binary.BigEndian.AppendUint32(dst, 0)    // no retransmission
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(label)))
	dst = binary.BigEndian.AppendUint16(dst, 0) // no protocol
	return append(dst, label...)
}
