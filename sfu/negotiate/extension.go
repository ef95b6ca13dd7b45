package negotiate

import "weir/sfu"

// extension is an extmap line. Directions are the writer's.
type extension struct {
	id              uint8
	uri             string
	sends, receives bool
}

// URIs of the header extensions we use.
const (
	uriMid            = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRID            = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRID    = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriTransportCC    = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriAbsSendTime    = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	uriAbsCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
	uriAudioLevel     = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriDependency     = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
	uriPlayoutDelay   = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
)

// slot is the field of an extension.
func (e *Extensions) slot(uri string) *uint8 {
	switch uri {
	case uriMid:
		return &e.Mid
	case uriRID:
		return &e.RID
	case uriRepairedRID:
		return &e.RepairedRID
	case uriTransportCC:
		return &e.TransportCC
	case uriAbsSendTime:
		return &e.AbsSendTime
	case uriAbsCaptureTime:
		return &e.AbsCaptureTime
	case uriAudioLevel:
		return &e.AudioLevel
	case uriDependency:
		return &e.Dependency
	case uriPlayoutDelay:
		return &e.PlayoutDelay
	}
	return nil
}

// collect keeps the offered ids of the extensions in uris.
func collect(offered []extension, uris []string, usable func(extension) bool) (out Extensions) {
	for _, uri := range uris {
		for _, e := range offered {
			if e.uri == uri && usable(e) {
				*out.slot(uri) = e.id
			}
		}
	}
	return out
}

// upstreamURIs are the extensions taken from publishers (livekit.md section 8).
func upstreamURIs(kind sfu.Kind, transportCC bool) []string {
	if kind == sfu.Audio {
		return []string{uriMid, uriRID, uriAudioLevel, uriAbsCaptureTime}
	}
	uris := []string{uriMid, uriRID, uriRepairedRID, uriDependency, uriAbsCaptureTime}
	if transportCC {
		return append(uris, uriTransportCC)
	}
	return append(uris, uriAbsSendTime)
}

// echoed is what an answer repeats: all that we use in either direction, in every section. Chromium leaves an extension that
// an answer refused out of every later offer, so a client that first only receives could never simulcast.
func (p *Peer) echoed(m *media) Extensions {
	uris := append(upstreamURIs(m.kind, offersTransportCC(m)), p.downstreamURIs(m.kind)...)
	return collect(m.exts, uris, func(extension) bool { return true })
}

// downstreamURIs are the extensions sent to subscribers.
func (p *Peer) downstreamURIs(kind sfu.Kind) []string {
	uris := []string{uriMid, uriAbsCaptureTime}
	if kind == sfu.Audio {
		// No transport-cc: a section may carry either direction, and a publisher whose audio packets are numbered but never
		// reported takes them for lost.
		return uris
	}
	uris = append(uris, uriDependency)
	if p.cfg.PlayoutDelay {
		uris = append(uris, uriPlayoutDelay)
	}
	if p.cfg.REMB {
		return append(uris, uriAbsSendTime)
	}
	return append(uris, uriTransportCC)
}

func (p *Peer) receiveExtensions(m *media) Extensions {
	return collect(m.exts, upstreamURIs(m.kind, offersTransportCC(m)), func(e extension) bool { return e.sends })
}

func (p *Peer) sendExtensions(m *media) Extensions {
	return collect(m.exts, p.downstreamURIs(m.kind), func(e extension) bool { return e.receives })
}
