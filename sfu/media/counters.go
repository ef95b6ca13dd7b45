package media

// mediaDrop says why a packet went no further.
type mediaDrop uint8

const (
	dropMalformed   mediaDrop = iota // not RTP, or a descriptor that cannot be read
	dropUnknownSSRC                  // belongs to no section of the sender
	dropFormat                       // payload type that was not agreed
	dropDuplicate                    // came before
	dropPadding                      // a probe without a packet in it
	dropMuted                        // the publication is muted
	dropOverflow                     // more packets in one batch than anybody sends
	dropNoFormat                     // the subscriber has no payload type for it
	dropBadRTCP                      // not RTCP
	dropForeignRTCP                  // about a stream that is not the sender's business
	dropTooOld                       // asked for again too late, or too often
	mediaDrops
)

var mediaDropNames = [mediaDrops]string{
	"malformed", "unknown_ssrc", "format", "duplicate", "padding", "muted", "overflow", "no_format", "bad_rtcp",
	"foreign_rtcp", "too_old",
}

func (e *Engine) drop(r mediaDrop) { e.drops[r].Add(1) }

// Drops tells how many packets were dropped, by reason.
func (e *Engine) Drops() map[string]uint64 {
	m := make(map[string]uint64, mediaDrops)
	for r, name := range mediaDropNames {
		m[name] = e.drops[r].Load()
	}
	return m
}
