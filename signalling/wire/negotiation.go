package wire

import (
	"encoding/json"
	"strings"

	"github.com/livekit/protocol/livekit"

	"weir/sfu/session"
)

func descriptionIn(d *livekit.SessionDescription) session.Description {
	return session.Description{SDP: d.GetSdp(), ID: d.GetId(), Mids: full(d.GetMidToTrackId())}
}

func descriptionOut(kind string, d session.Description) *livekit.SessionDescription {
	return &livekit.SessionDescription{Type: kind, Sdp: d.SDP, Id: d.ID, MidToTrackId: d.Mids}
}

// candidate is the JSON in candidateInit: an RTCIceCandidateInit (W3C WebRTC section 4.8.1.1).
type candidate struct {
	Candidate string  `json:"candidate"`
	Mid       *string `json:"sdpMid"`
	Line      *uint16 `json:"sdpMLineIndex"`
}

// candidatePrefix goes before the attribute value in an RTCIceCandidateInit, but not in ours.
const candidatePrefix = "candidate:"

// undecodable stands for a candidateInit that could not be read; it is not JSON either.
const undecodable = "?"

func targetIn(t livekit.SignalTarget) session.Target {
	if t == livekit.SignalTarget_SUBSCRIBER {
		return session.Subscriber
	}
	return session.Publisher
}

func trickleIn(t *livekit.TrickleRequest) session.Trickle {
	out := session.Trickle{Target: targetIn(t.GetTarget()), Final: t.GetFinal()}
	text := t.GetCandidateInit()
	if text == "" { // only says that there are no more
		out.Bad = !out.Final
		return out
	}
	var c candidate
	if json.Unmarshal([]byte(text), &c) != nil || strings.ContainsAny(c.Candidate, "\r\n") {
		out.Bad = true
		return out
	}
	out.Init = bare(c.Candidate)
	if c.Mid != nil {
		out.Mid = *c.Mid
	}
	return out
}

// bare takes off every prefix, so that nothing is left to mistake for the one we put on.
func bare(value string) string {
	for strings.HasPrefix(value, candidatePrefix) {
		value = value[len(candidatePrefix):]
	}
	return value
}

func trickleOut(t session.Trickle) *livekit.TrickleRequest {
	out := &livekit.TrickleRequest{Target: livekit.SignalTarget(t.Target), Final: t.Final, CandidateInit: undecodable}
	if !t.Bad {
		out.CandidateInit = candidateOut(t.Init, t.Mid)
	}
	return out
}

// candidateOut always names a mid and a line: some clients' JSON readers need both. Everything is bundled, so the
// first line serves for all.
func candidateOut(value, mid string) string {
	if value = bare(value); value != "" {
		value = candidatePrefix + value
	}
	line := uint16(0)
	out, err := json.Marshal(candidate{Candidate: value, Mid: &mid, Line: &line})
	if err != nil {
		panic("wire: strings and a number always marshal: " + err.Error())
	}
	return string(out)
}
