package wire

import (
	"cmp"
	"time"

	"github.com/livekit/protocol/livekit"

	"weir/sfu/session"
)

func (d Dialect) joinOut(m *session.Welcome) *livekit.JoinResponse {
	info := d.serverOut()
	//nolint:staticcheck // deprecated fields are what older clients read
	return &livekit.JoinResponse{
		Room: roomOut(m.Session), Participant: participantOut(&m.Self), OtherParticipants: participantsOut(m.Others),
		ServerVersion: info.Version, ServerRegion: info.Region, ServerInfo: info,
		IceServers: iceServersOut(m.ICEServers), SubscriberPrimary: m.SubscriberPrimary,
		ClientConfiguration:  d.configurationOut(m.ForceRelay),
		PingTimeout:          wholeSeconds(d.Server.PingTimeout, PingTimeout),
		PingInterval:         wholeSeconds(d.Server.PingInterval, PingInterval),
		SifTrailer:           m.SIFTrailer,
		EnabledPublishCodecs: codecsOut(m.Publish),
		FastPublish:          m.FastPublish,
	}
}

func wholeSeconds(d, otherwise time.Duration) int32 {
	return i32(int(cmp.Or(d, otherwise) / time.Second))
}

func (d Dialect) serverOut() *livekit.ServerInfo {
	s := d.Server
	return &livekit.ServerInfo{
		Edition: livekit.ServerInfo_Standard, Version: cmp.Or(s.Version, Version), Protocol: i32(cmp.Or(s.Protocol, Protocol)),
		Region: s.Region, NodeId: s.NodeID,
	}
}

func (d Dialect) configurationOut(forceRelay bool) *livekit.ClientConfiguration {
	out := &livekit.ClientConfiguration{}
	if d.Server.NoResume {
		out.ResumeConnection = livekit.ClientConfigSetting_DISABLED
	}
	if forceRelay {
		out.ForceRelay = livekit.ClientConfigSetting_ENABLED
	}
	if len(d.Server.DisabledCodecs)+len(d.Server.DisabledPublish) > 0 {
		out.DisabledCodecs = &livekit.DisabledCodecs{
			Codecs: mimesOut(d.Server.DisabledCodecs), Publish: mimesOut(d.Server.DisabledPublish),
		}
	}
	return out
}

func mimesOut(list []string) []*livekit.Codec {
	var out []*livekit.Codec
	for _, mime := range list {
		out = append(out, &livekit.Codec{Mime: mime})
	}
	return out
}

func mimesIn(list []*livekit.Codec) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.GetMime())
	}
	return out
}

// serverIn is what a server says of itself in join and reconnect.
func serverIn(s *livekit.ServerInfo, c *livekit.ClientConfiguration) *Server {
	return &Server{
		Version: s.GetVersion(), Protocol: int(s.GetProtocol()), Region: s.GetRegion(), NodeID: s.GetNodeId(),
		NoResume:       c.GetResumeConnection() == livekit.ClientConfigSetting_DISABLED,
		DisabledCodecs: mimesIn(c.GetDisabledCodecs().GetCodecs()), DisabledPublish: mimesIn(c.GetDisabledCodecs().GetPublish()),
	}
}
