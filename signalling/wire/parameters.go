package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"weir/sfu"
	"weir/sfu/session"
)

// parametersIn reads the query of v0 (livekit.md section 1).
func parametersIn(query map[string][]string) JoinRequest {
	get := func(name string) string { return strings.ToValidUTF8(first(query, name), "\uFFFD") }
	flag := func(name string) bool { return truth(get(name)) }
	j := JoinRequest{
		Settings: session.Settings{
			Dual: true, AutoSubscribe: get("auto_subscribe") == "" || flag("auto_subscribe"),
			AutoSubscribeData: flag("auto_subscribe_data_track"), AdaptiveStream: flag("adaptive_stream"),
			AllowPause: flag("subscriber_allow_pause"), DisableICELite: flag("disable_ice_lite"),
		},
		AllowPauseSet: get("subscriber_allow_pause") != "",
		Software: sfu.Software{
			SDK: sdkName(get("sdk")), Version: get("version"), Protocol: number(get("protocol")),
			ClientProtocol: number(get("client_protocol")), OS: strings.ToLower(get("os")), OSVersion: get("os_version"),
			DeviceModel: get("device_model"), Browser: strings.ToLower(get("browser")),
			BrowserVersion: get("browser_version"), Network: get("network"),
		},
		Metadata: get("metadata"),
		Resume:   flag("reconnect"), Participant: sfu.ParticipantID(get("sid")), PublishOnly: get("publish"),
	}
	if n := number(get("reconnect_reason")); n <= int(SwitchCandidate) {
		j.Reason = ReconnectReason(n)
	}
	for name := range strings.SplitSeq(get("capabilities"), ",") {
		name = strings.TrimSpace(name)
		j.Software.PacketTrailer = j.Software.PacketTrailer || name == capPacketTrailer
		j.Software.DeflateRaw = j.Software.DeflateRaw || name == capDeflateRaw
	}
	if j.PublishOnly != "" {
		j.Settings.AutoSubscribe, j.Settings.AutoSubscribeData = false, false
	}
	j.Attributes, j.BadAttributes = attributesIn(first(query, "attributes"))
	return j
}

const (
	capPacketTrailer = "CAP_PACKET_TRAILER"
	capDeflateRaw    = "CAP_COMPRESSION_DEFLATE_RAW"
)

func truth(s string) bool { return s == "1" || s == "true" }

// number is 0 for what is not a small count.
func number(s string) int {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// attributesIn reads base64url of a JSON object of strings.
func attributesIn(text string) (attributes map[string]string, bad bool) {
	if text == "" {
		return nil, false
	}
	raw, err := base64URL(text)
	if err != nil || !utf8.Valid(raw) {
		return nil, true
	}
	var m map[string]string
	if json.Unmarshal(raw, &m) != nil {
		return nil, true
	}
	return withoutEmpty(m), false
}

// parametersOut writes the query of v0. What v0 cannot say is an error.
func parametersOut(j *JoinRequest) (map[string][]string, error) {
	if len(j.Publish) > 0 || j.Offer != nil || j.Sync != nil {
		return nil, fmt.Errorf("%w in v0: tracks, offer or state with the join", ErrUnknown)
	}
	s, q := j.Software, map[string][]string{}
	set := func(name, value string) {
		if value != "" {
			q[name] = []string{value}
		}
	}
	flag := func(name string, on bool) {
		q[name] = []string{"0"}
		if on {
			q[name] = []string{"1"}
		}
	}
	flag("auto_subscribe", j.Settings.AutoSubscribe)
	flag("auto_subscribe_data_track", j.Settings.AutoSubscribeData)
	flag("adaptive_stream", j.Settings.AdaptiveStream)
	flag("disable_ice_lite", j.Settings.DisableICELite)
	if j.AllowPauseSet {
		flag("subscriber_allow_pause", j.Settings.AllowPause)
	}
	if j.Resume {
		flag("reconnect", true)
		set("reconnect_reason", strconv.Itoa(int(j.Reason)))
	}
	var capabilities []string
	for name, has := range map[string]bool{capPacketTrailer: s.PacketTrailer, capDeflateRaw: s.DeflateRaw} {
		if has {
			capabilities = append(capabilities, name)
		}
	}
	for name, value := range map[string]string{
		"sid": string(j.Participant), "sdk": s.SDK, "version": s.Version, "os": s.OS, "os_version": s.OSVersion,
		"device_model": s.DeviceModel, "browser": s.Browser, "browser_version": s.BrowserVersion, "network": s.Network,
		"metadata": j.Metadata, "publish": j.PublishOnly, "capabilities": strings.Join(capabilities, ","),
		"protocol": strconv.Itoa(s.Protocol), "client_protocol": strconv.Itoa(s.ClientProtocol),
	} {
		set(name, value)
	}
	if len(j.Attributes) > 0 {
		raw, err := json.Marshal(j.Attributes)
		if err != nil {
			return nil, fmt.Errorf("wire: writing attributes: %w", err)
		}
		set("attributes", base64.URLEncoding.EncodeToString(raw))
	}
	return q, nil
}
