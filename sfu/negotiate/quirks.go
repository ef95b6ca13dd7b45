package negotiate

import (
	"slices"
	"strconv"
	"strings"

	"weir/sfu"
)

// everyCodec is what a nil list of codecs stands for.
var everyCodec = []sfu.Codec{sfu.Opus, sfu.RED, sfu.PCMU, sfu.PCMA, sfu.VP8, sfu.H264, sfu.VP9, sfu.AV1, sfu.H265}

// Publishable is the codecs a client may publish in: all (nil: every codec) without those its software does badly
// (livekit.md section 10).
func Publishable(sw sfu.Software, all []sfu.Codec) []sfu.Codec {
	out := Receivable(sw, all)
	return slices.DeleteFunc(out, func(c sfu.Codec) bool {
		switch c {
		case sfu.VP9:
			return isSafari(sw) && newerThan(sw.BrowserVersion, 18, 3)
		case sfu.H264:
			return isFirefox(sw) && isOS(sw, "android") || sw.DeviceModel == "2201117TI"
		}
		return false
	})
}

// Receivable is the codecs a client can be sent.
func Receivable(sw sfu.Software, all []sfu.Codec) []sfu.Codec {
	if all == nil {
		all = everyCodec
	}
	return slices.DeleteFunc(slices.Clone(all), func(c sfu.Codec) bool {
		return (c == sfu.AV1 || c == sfu.RED) && (isSafari(sw) || isFirefox(sw))
	})
}

// MayBeLite tells whether our side of this client's transports may be ICE-lite.
func MayBeLite(sw sfu.Software) bool { return !isFirefox(sw) && (sw.Protocol > 5 || sw.Protocol == 0) }

// RIDIndex is the place of a rid among the declared qualities of a publication, lowest first: LiveKit clients name
// them q, h, f, or 2, 1, 0. -1: another name.
func RIDIndex(rid string) int {
	switch rid {
	case "q", "2":
		return 0
	case "h", "1":
		return 1
	case "f", "0":
		return 2
	}
	return -1
}

func isFirefox(sw sfu.Software) bool { return strings.Contains(strings.ToLower(sw.Browser), "firefox") }

// isSafari includes every browser on iOS: they are all WebKit.
func isSafari(sw sfu.Software) bool {
	return strings.Contains(strings.ToLower(sw.Browser), "safari") || sw.SDK == "js" && isOS(sw, "ios")
}

func isOS(sw sfu.Software, name string) bool { return strings.EqualFold(sw.OS, name) }

// oneVideoCodec: these send in a codec of their own choice if the answer leaves them one.
func oneVideoCodec(sw sfu.Software) bool {
	return isFirefox(sw) && (isOS(sw, "linux") || isOS(sw, "android"))
}

// mayReuse tells whether a section of ours can carry another publication after the first.
func mayReuse(sw sfu.Software) bool { return !isSafari(sw) }

func newerThan(version string, major, minor int) bool {
	var have [2]int
	for i, part := range strings.SplitN(version, ".", 3)[:min(2, strings.Count(version, ".")+1)] {
		have[i], _ = strconv.Atoi(part)
	}
	return have[0] > major || have[0] == major && have[1] > minor
}
