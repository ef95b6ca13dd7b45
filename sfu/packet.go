package sfu

// Packet is the parsed RTP header of a decrypted packet together with its bytes (RFC 3550 section 5.1).
// It borrows Raw: whoever keeps the packet copies the bytes.
type Packet struct {
	Raw         []byte // header and payload; padding stripped
	HeaderLen   int    // offset of the payload in Raw
	PayloadType uint8
	Marker      bool
	Seq         ExtSeq // extended by the receiving stream
	Timestamp   uint32
	SSRC        uint32
	PaddingLen  uint8
	Arrival     int64 // ns on the receiver's monotonic clock
}

// Payload is what follows the header.
func (p *Packet) Payload() []byte { return p.Raw[p.HeaderLen:] }
