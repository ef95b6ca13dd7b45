package sfu

// Seq is a 16-bit sequence number that wraps (RFC 3550 section 5.1).
type Seq uint16

// Minus is the signed distance from b to a along the shorter way round: positive if a comes after b.
// Exactly half way round counts as after.
func (a Seq) Minus(b Seq) int {
	d := int(int16(a - b))
	if d == -32768 {
		return 32768
	}
	return d
}

// After reports whether a comes after b.
func (a Seq) After(b Seq) bool { return a.Minus(b) > 0 }

// ExtSeq is a sequence number with its rollovers in front: it never wraps in the life of a stream.
type ExtSeq uint64

// Extend returns the extended number nearest to last whose low 16 bits are a.
// Start a stream at 1<<16 + first, so that packets from before the first stay positive.
func (a Seq) Extend(last ExtSeq) ExtSeq {
	return ExtSeq(int64(last) + int64(a.Minus(Seq(last))))
}

// Seq is the number as it stands in the packet.
func (e ExtSeq) Seq() Seq { return Seq(e) }

// Rollover is the SRTP rollover counter that goes with the number when the stream began at 1<<16 + first.
func (e ExtSeq) Rollover() uint32 { return uint32(e>>16) - 1 }
