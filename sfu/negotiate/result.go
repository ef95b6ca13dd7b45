package negotiate

import "weir/sfu"

// Result is what a description came to. Receives, Sends and Mids are complete each time, not changes.
type Result struct {
	SDP     string // our description; "" from Accept
	Remote  Remote // zero from Offer
	Restart bool   // the far side has new ICE credentials

	Receives []Receive
	Sends    []Send            // empty from Offer: nothing is agreed yet
	Mids     map[string]string // mid → publication id of every subscription that has a place

	// Bound are announced publications found in this offer for the first time.
	Bound []Bound
	// Refused are wanted publications the client has no codec for.
	Refused []sfu.PublicationID
	// MissingAudios and MissingVideos count wanted publications that found no section: the client shall add as many.
	MissingAudios, MissingVideos int
	// FreeAudios and FreeVideos count the sections that the next offer can place publications on without any more.
	FreeAudios, FreeVideos int
	// Again says that sections became free in this answer that still unplaced publications can take in the next offer:
	// ask for an offer even if nothing is missing. (A browser fires no track event if a section changes its
	// publication without being inactive in between.)
	Again bool
}

// Bound says where in an offer an announced publication was found.
type Bound struct {
	Publication sfu.PublicationID
	CID         string      // the announced one
	SDPCID      string      // track id in the SDP, if it is not CID
	Codec       sfu.Codec   // the answer puts it first
	Codecs      []sfu.Codec // all the answer has
	Mid         string
}

// Receive is a section in which media comes to us.
type Receive struct {
	Mid           string
	Kind          sfu.Kind
	Publication   sfu.PublicationID // "": not announced; drop its media
	CID           string            // the announced one
	Stream, Track string            // msid
	Formats       []Format          // best first
	Extensions    Extensions
	RIDs          []string // simulcast, lowest first as the publisher lists them; none: not simulcast by rid
	Streams       []Stream // SSRCs told in the description, in the order of a SIM group if there is one
}

// Send is a section in which media leaves us.
type Send struct {
	Mid           string
	Kind          sfu.Kind
	Publication   sfu.PublicationID
	SSRC, RTX     uint32 // RTX 0: no retransmission stream
	CNAME         string
	Stream, Track string   // msid
	Formats       []Format // best first
	Extensions    Extensions
	Layers        []Stream // of a simulcast bot, lowest first; empty on the focus
}

// Stream is one RTP stream and its retransmissions.
type Stream struct {
	SSRC, RTX uint32 // 0: not told
	RID       string
}

// Format is a payload type and what was agreed for it.
type Format struct {
	Codec    sfu.Codec
	PT       uint8
	RTX      uint8 // payload type of its retransmissions, 0: none
	FMTP     string
	Profile  uint8 // VP9, AV1 profile; H264 profile class, see profile.go
	Mode     uint8 // H264 packetization-mode
	Feedback Feedback
}

// Feedback is a set of RTCP feedback kinds (RFC 4585, RFC 5104).
type Feedback uint8

const (
	NACK Feedback = 1 << iota
	PLI
	FIR
	REMB
	TransportCC
)

// Has reports whether all of g are in the set.
func (f Feedback) Has(g Feedback) bool { return f&g == g }

// Extensions are the ids of RTP header extensions (RFC 8285); 0: not agreed.
type Extensions struct {
	Mid, RID, RepairedRID uint8 // RFC 9143, RFC 8852
	TransportCC           uint8
	AbsSendTime           uint8
	AbsCaptureTime        uint8
	AudioLevel            uint8 // RFC 6464
	Dependency            uint8 // AV1 RTP dependency descriptor
	PlayoutDelay          uint8
}

// Format finds what to send a received format as: the same codec with the same profile, else one the receiver
// should decode all the same.
func (s *Send) Format(in Format) (Format, bool) { return matchFormat(s.Formats, in) }

// ByPT finds a receive format by its payload type. rtx says that pt is that of its retransmissions.
func (r *Receive) ByPT(pt uint8) (f Format, rtx, ok bool) {
	for _, f := range r.Formats {
		if f.PT == pt {
			return f, false, true
		}
		if f.RTX == pt && f.RTX != 0 {
			return f, true, true
		}
	}
	return Format{}, false, false
}
