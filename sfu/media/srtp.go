package media

import (
	"sync"

	"weir/sfu"
)

// Outbound is the SRTP sender of one transport. The caller of the sealing methods holds its lock, once per burst.
type Outbound struct{ sync.Mutex }

// Ready reports whether there are keys and an address to send to. No lock needed.
func (o *Outbound) Ready() bool { return false }

// SealRTP appends the protected packet to dst and returns it; nil if there are no keys. header and the rest are as in Burst.SendRTP.
func (o *Outbound) SealRTP(dst, header, prefix, payload []byte, index sfu.ExtSeq) []byte { return nil }

// SealRTCP appends the protected compound packet to dst and returns it; nil if there are no keys.
func (o *Outbound) SealRTCP(dst, packet []byte) []byte { return nil }
