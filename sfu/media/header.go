package media

import (
	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/negotiate"
)

// extension is what an RTP header extension element carries (RFC 8285), as far as the focus cares.
type extension uint8

const (
	extNone        extension = iota
	extMID                   // urn:ietf:params:rtp-hdrext:sdes:mid (RFC 9143)
	extRID                   // …:rtp-stream-id (RFC 8852)
	extRepairedRID           // …:repaired-rtp-stream-id (RFC 8852)
	extTransportCC           // draft-holmer-rmcat-transport-wide-cc-extensions-01
	extAudioLevel            // RFC 6464
	extDependency            // AV1 RTP specification, appendix A
	extCaptureTime           // abs-capture-time
	extKinds
)

// extensionMap tells what the ids of one transport mean. Ids are per bundle group (RFC 9143 section 9.2 with
// RFC 8285 section 6), so there is one map per transport.
type extensionMap [256]extension

func (m *extensionMap) learn(x *negotiate.Extensions) {
	for k, id := range [extKinds]uint8{
		extMID: x.Mid, extRID: x.RID, extRepairedRID: x.RepairedRID, extTransportCC: x.TransportCC,
		extAudioLevel: x.AudioLevel, extDependency: x.Dependency, extCaptureTime: x.AbsCaptureTime,
	} {
		if id != 0 {
			m[id] = extension(k)
		}
	}
}

// elements are the extensions of one packet by kind, borrowed from it; nil: absent.
type elements [extKinds][]byte

// find reads the elements of p. Those with ids that nobody agreed on are passed over.
func (e *elements) find(m *extensionMap, p *sfu.Packet) {
	*e = elements{}
	r := codec.Extensions(p)
	for {
		id, value, ok := r.Next()
		if !ok {
			return
		}
		if k := m[id]; k != extNone && len(value) > 0 {
			e[k] = value
		}
	}
}

// absSendTime is now as 24 bits of 6.18 fixed point seconds (the abs-send-time extension).
func absSendTime(now int64) uint32 {
	sec, frac := now/1e9, now%1e9
	return uint32(sec<<18|(frac<<18)/1e9) & 0xffffff
}
