package wire

import (
	"strings"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
)

// sdkNames are our names of SDKs by LiveKit's numbers; they are also what v0 clients write.
var sdkNames = map[livekit.ClientInfo_SDK]string{
	livekit.ClientInfo_JS: "js", livekit.ClientInfo_SWIFT: "swift", livekit.ClientInfo_ANDROID: "android",
	livekit.ClientInfo_FLUTTER: "flutter", livekit.ClientInfo_GO: "go", livekit.ClientInfo_UNITY: "unity",
	livekit.ClientInfo_REACT_NATIVE: "reactnative", livekit.ClientInfo_RUST: "rust", livekit.ClientInfo_PYTHON: "python",
	livekit.ClientInfo_CPP: "cpp", livekit.ClientInfo_UNITY_WEB: "unityweb", livekit.ClientInfo_NODE: "node",
	livekit.ClientInfo_UNREAL: "unreal", livekit.ClientInfo_ESP32: "esp32",
}

// sdkName is "" for an SDK that is not known.
func sdkName(name string) string {
	name = strings.ToLower(name)
	if name == "ios" { // the name Swift had
		return "swift"
	}
	for _, known := range sdkNames {
		if name == known {
			return known
		}
	}
	return ""
}

func softwareIn(c *livekit.ClientInfo) sfu.Software {
	s := sfu.Software{
		SDK: sdkNames[c.GetSdk()], Version: c.GetVersion(), Protocol: int(c.GetProtocol()),
		ClientProtocol: int(c.GetClientProtocol()), OS: strings.ToLower(c.GetOs()), OSVersion: c.GetOsVersion(), DeviceModel: c.GetDeviceModel(),
		Browser: strings.ToLower(c.GetBrowser()), BrowserVersion: c.GetBrowserVersion(), Network: c.GetNetwork(),
	}
	capabilitiesIn(&s, c.GetCapabilities())
	return s
}

func softwareOut(s sfu.Software) *livekit.ClientInfo {
	c := &livekit.ClientInfo{
		Version: s.Version, Protocol: i32(s.Protocol), ClientProtocol: i32(s.ClientProtocol), Os: s.OS, OsVersion: s.OSVersion,
		DeviceModel: s.DeviceModel, Browser: s.Browser, BrowserVersion: s.BrowserVersion, Network: s.Network,
		Capabilities: capabilitiesOut(s),
	}
	for n, name := range sdkNames {
		if name == s.SDK {
			c.Sdk = n
		}
	}
	return c
}

// fillFromUserAgent fills what the client left out, for SDKs that run in a browser and leave it out (livekit.md
// section 1). It serves quirks only: a wrong guess costs a feature, never a right.
func fillFromUserAgent(s *sfu.Software, userAgent string) {
	switch s.SDK {
	case "js", "reactnative", "flutter", "unity", "unityweb", "":
	default:
		return
	}
	const enough = 512 // real ones are shorter
	userAgent = strings.ToValidUTF8(userAgent[:min(len(userAgent), enough)], "")
	if s.Browser == "" {
		s.Browser, s.BrowserVersion = browserOf(userAgent)
	}
	if s.OS == "" {
		s.OS, s.OSVersion = systemOf(userAgent)
	}
}

// browserOf knows the browsers by the token only they write. Each later row's token also stands in the earlier rows'
// strings: Edge says Chrome, Chrome says Safari. On iOS every browser is Safari underneath, of the system's version.
func browserOf(ua string) (name, version string) {
	if system, version := systemOf(ua); system == "ios" {
		return "safari", version
	}
	for _, b := range [...]struct{ token, name string }{
		{"Edg/", "edge"}, {"EdgA/", "edge"}, {"OPR/", "opera"}, {"SamsungBrowser/", "samsung"}, {"Firefox/", "firefox"},
		{"HeadlessChrome/", "chrome"}, {"Chrome/", "chrome"}, {"Chromium/", "chrome"},
	} {
		if _, rest, ok := strings.Cut(ua, b.token); ok {
			return b.name, versionAt(rest)
		}
	}
	if strings.Contains(ua, "Safari/") || strings.Contains(ua, "AppleWebKit/") {
		_, rest, _ := strings.Cut(ua, "Version/")
		return "safari", versionAt(rest)
	}
	return "", ""
}

func systemOf(ua string) (name, version string) {
	for _, o := range [...]struct{ token, name string }{
		{"iPhone OS ", "ios"}, {"CPU OS ", "ios"}, {"Android ", "android"}, {"Android", "android"},
		{"Windows NT ", "windows"}, {"Mac OS X ", "macos"}, {"CrOS ", "chromeos"}, {"Linux", "linux"},
	} {
		_, rest, ok := strings.Cut(ua, o.token)
		if !ok {
			continue
		}
		if o.name == "chromeos" { // "CrOS x86_64 14541.0.0"
			_, rest, _ = strings.Cut(rest, " ")
		}
		return o.name, strings.ReplaceAll(versionAt(rest), "_", ".")
	}
	return "", ""
}

// versionAt is the run of digits and separators that text begins with.
func versionAt(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '_' })
	if end < 0 {
		end = len(text)
	}
	return strings.TrimRight(text[:end], "._")
}
