package media

import "weir/sfu"

// Burst gathers sealed packets in an arena and gives them to a socket 64 messages at a time. Packets of equal size that
// follow each other to one address share a message. It belongs to one goroutine.
type Burst struct{}

// SendRTP seals one packet for o, whose lock the caller holds, and queues it: header, then prefix (bytes of the payload
// that were rewritten, may be empty), then payload. index is the extended sequence number of the header's SSRC.
// It reports false if the transport has no keys or address, or the packet is too long.
func (b *Burst) SendRTP(o *Outbound, header, prefix, payload []byte, index sfu.ExtSeq) bool { return false }

// SendRTCP seals one compound packet for o, whose lock the caller holds.
func (b *Burst) SendRTCP(o *Outbound, packet []byte) bool { return false }

// Flush writes what is queued.
func (b *Burst) Flush() {}
