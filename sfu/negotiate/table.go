package negotiate

import (
	"strings"

	"weir/sfu"
)

// table holds the payload types of offers that we write, retransmissions one above (livekit.md section 8).
var table = []format{
	{pt: 63, codec: sfu.RED, fmtp: "111/111"},
	{pt: 111, codec: sfu.Opus},
	{pt: 0, codec: sfu.PCMU},
	{pt: 8, codec: sfu.PCMA},
	{pt: 96, rtx: 97, codec: sfu.VP8},
	{pt: 98, rtx: 99, codec: sfu.VP9, fmtp: "profile-id=0"},
	{pt: 125, rtx: 126, codec: sfu.H264, fmtp: "packetization-mode=0;profile-level-id=42e01f", profile: H264ConstrainedBaseline},
	{pt: 108, rtx: 109, codec: sfu.H264, fmtp: "packetization-mode=1;profile-level-id=42e01f", profile: H264ConstrainedBaseline, mode: 1},
	{pt: 123, rtx: 124, codec: sfu.H264, fmtp: "packetization-mode=1;profile-level-id=640032", profile: H264High, mode: 1},
	{pt: 35, rtx: 36, codec: sfu.AV1},
	{pt: 116, rtx: 117, codec: sfu.H265},
}

// ownExtensions are the ids of offers that we write.
var ownExtensions = []extension{
	{id: 1, uri: uriAudioLevel},
	{id: 2, uri: uriAbsSendTime},
	{id: 3, uri: uriTransportCC},
	{id: 4, uri: uriMid},
	{id: 5, uri: uriPlayoutDelay},
	{id: 8, uri: uriDependency},
	{id: 9, uri: uriAbsCaptureTime},
	{id: 10, uri: uriRID},
	{id: 11, uri: uriRepairedRID},
}

// ownFormats are the formats of codecs in an offer of ours, with all feedback in allowed.
func ownFormats(codecs []sfu.Codec, allowed Feedback) []Format {
	out := choose(table, codecs, 0)
	for i := range out {
		if out[i].Codec.Kind() == sfu.Video || out[i].Codec == sfu.Opus {
			out[i].Feedback = allowed
		}
	}
	return out
}

// ownIDs are the ids of the extensions named in uris.
func ownIDs(uris []string) Extensions {
	return collect(ownExtensions, uris, func(extension) bool { return true })
}

// mediaName and protos of sections that we offer.
var (
	rtpProtos  = strings.Split("UDP/TLS/RTP/SAVPF", "/")
	sctpProtos = strings.Split("UDP/DTLS/SCTP", "/")
)

// agreed keeps of what was offered what the answer has too, in the answer's order of preference. The answer repeats the
// offered payload types (RFC 3264 section 6.1 recommends it; every client does).
func agreed(mine []Format, m *media) []Format {
	var out []Format
	for _, f := range m.formats {
		for _, own := range mine {
			if own.PT != f.pt || own.Codec != f.codec {
				continue
			}
			own.Feedback &= f.feedback
			if f.rtx != own.RTX {
				own.RTX = 0
			}
			out = append(out, own)
		}
	}
	return out
}

// agreedExtensions keeps of the offered ids those the answer repeats.
func agreedExtensions(mine Extensions, m *media) (out Extensions) {
	for _, e := range m.exts {
		if id := mine.slot(e.uri); id != nil && *id == e.id {
			*out.slot(e.uri) = e.id
		}
	}
	return out
}
