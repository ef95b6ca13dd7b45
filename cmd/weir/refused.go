package main

// refused are keys that exist in the design or in LiveKit's configuration and are not taken here. None is ignored: who
// sets one expects something of it.
var refused = map[string]string{
	"redis":           "there is no Redis here: one focus needs none, and several are linked by `cluster`, which is not available yet",
	"node_selector":   "nodes are not selected here: foci are linked by `cluster`, which is not available yet",
	"region":          "regions are not known here: foci are linked by `cluster`, which is not available yet",
	"cluster":         "not available yet: this version runs one focus for itself",
	"peers":           "not available yet: this version runs one focus for itself",
	"turn":            "not available yet: media goes over UDP to rtc.udp_port; leave the section out",
	"limit":           "not available yet: sessions are limited by room.max_participants and policy.rate",
	"session":         "not available yet: the alias of a session is never salted; leave the section out",
	"advertise":       "not available yet: clients are told livekit_service_url only; leave the section out",
	"development":     "LiveKit's key: run `weir serve --dev` instead",
	"log_level":       "use logging.level",
	"prometheus_port": "use prometheus.port",
	"audio":           "not available yet: the values of LiveKit's defaults are used",
	"video":           "not available yet: the values of LiveKit's defaults are used",
	"signal_relay":    "there is nothing to relay: signalling and media are one process",
	"psrpc":           "there is nothing to relay: signalling and media are one process",
	"ingress":         "not available: LiveKit's ingress needs Redis, which is not used here",
	"egress":          "not available: LiveKit's egress needs Redis, which is not used here",
	"sip":             "not available: LiveKit's SIP needs Redis, which is not used here",

	"tls.acme":             "not available yet: use tls.mode files, or a proxy in front",
	"proxy.proxy_protocol": "not available yet: use X-Forwarded-For and proxy.trusted",

	"rtc.tcp_port":              "not available yet: media goes over UDP to rtc.udp_port",
	"rtc.port_range_start":      "not available: all media goes over the one port rtc.udp_port",
	"rtc.port_range_end":        "not available: all media goes over the one port rtc.udp_port",
	"rtc.advertise_internal_ip": "not available yet: write every address into rtc.advertise",
	"rtc.stun_servers":          "not available yet: write the external address into rtc.advertise",
	"rtc.interfaces":            "not available yet: write the addresses into rtc.advertise",
	"rtc.ips":                   "not available yet: write the addresses into rtc.advertise",
	"rtc.turn_servers":          "not available yet: media goes over UDP to rtc.udp_port",
	"rtc.batch_io":              "the best way of this system is taken by itself; rtc.io: plain turns that off",

	"room.playout_delay":       "not available yet",
	"room.sync_streams":        "not available yet",
	"room.max_metadata_size":   "not available: metadata is limited to 512 KiB",
	"room.room_configurations": "not available yet",
	"web.admin":                "not available yet",
	"web.status":               "not available yet",
	"logging.pion_level":       "not available: the media stack logs through logging.level",
	"logging.sample":           "not available: no line is logged for each packet",
	"logging.json":             "use logging.format: json",
}

// ignoredVariables begin with WEIR_ and are no keys: they are for other programs that share our environment.
var ignoredVariables = []string{"WEIR_CONFIG", "WEIR_BIN", "WEIR_BENCH_*", "WEIR_DEMO_*"}
