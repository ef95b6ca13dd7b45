package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// encode is the one frame of a message as LiveKit reads it.
func encode(t *testing.T, d Dialect, m session.Message) *livekit.SignalResponse {
	t.Helper()
	frames, err := d.Encode(m, Binary)
	if err != nil || len(frames) != 1 {
		t.Fatalf("%T: %d frames, %v", m, len(frames), err)
	}
	var r livekit.SignalResponse
	if err := proto.Unmarshal(frames[0], &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// livekit.md section 5 and the traps of section 11.
func TestJoinResponse(t *testing.T) {
	created := time.UnixMilli(1_790_000_000_123).UTC()
	d := Dialect{Server: Server{Region: "eu", NodeID: "ND_1", DisabledPublish: []string{"video/AV1"}}, Protocol: 17}
	j := encode(t, d, session.Welcome{
		Session: session.View{ID: "alias", SID: "RM_1", Created: created}, Self: session.ParticipantView{ID: "PA_1", State: session.Joined},
		SIFTrailer: []byte{1, 2}, Publish: []sfu.Codec{sfu.VP8, sfu.Opus}, ForceRelay: true,
	}).GetJoin()
	for name, ok := range map[string]bool{
		"version":          j.GetServerInfo().GetVersion() == "1.13.11" && j.GetServerVersion() == "1.13.11",
		"protocol":         j.GetServerInfo().GetProtocol() == 17,
		"place":            j.GetServerInfo().GetRegion() == "eu" && j.GetServerInfo().GetNodeId() == "ND_1" && j.GetServerRegion() == "eu",
		"pings":            j.GetPingInterval() == 5 && j.GetPingTimeout() == 15,
		"room":             j.GetRoom().GetName() == "alias" && j.GetRoom().GetSid() == "RM_1",
		"times":            j.GetRoom().GetCreationTime() == 1_790_000_000 && j.GetRoom().GetCreationTimeMs() == 1_790_000_000_123,
		"trailer":          string(j.GetSifTrailer()) == "\x01\x02",
		"codecs":           len(j.GetEnabledPublishCodecs()) == 2 && j.GetEnabledPublishCodecs()[0].GetMime() == "video/VP8",
		"force relay":      j.GetClientConfiguration().GetForceRelay() == livekit.ClientConfigSetting_ENABLED,
		"resume is open":   j.GetClientConfiguration().GetResumeConnection() == livekit.ClientConfigSetting_UNSET,
		"disabled":         j.GetClientConfiguration().GetDisabledCodecs().GetPublish()[0].GetMime() == "video/AV1",
		"single transport": !j.GetSubscriberPrimary(),
		"state":            j.GetParticipant().GetState() == livekit.ParticipantInfo_JOINED,
	} {
		if !ok {
			t.Errorf("%s: %v", name, j)
		}
	}
	d.Server.NoResume = true
	r := encode(t, d, session.Resumed{LastSeq: 65535}).GetReconnect()
	if r.GetLastMessageSeq() != 65535 || r.GetServerInfo().GetVersion() == "" ||
		r.GetClientConfiguration().GetResumeConnection() != livekit.ClientConfigSetting_DISABLED {
		t.Errorf("reconnect: %v", r)
	}
}

func TestOldProtocols(t *testing.T) {
	old := func(p int) Dialect { return Dialect{Protocol: p} }
	resume := session.Goodbye{Reason: session.ConnectionTimeout, Action: session.ActionResume}
	if l := encode(t, old(13), resume).GetLeave(); l.GetAction() != livekit.LeaveRequest_RESUME || l.GetCanReconnect() {
		t.Errorf("13: %v", l)
	}
	if l := encode(t, old(12), resume).GetLeave(); l.GetAction() != 0 || !l.GetCanReconnect() {
		t.Errorf("12: %v", l)
	}
	if l := encode(t, old(12), session.Goodbye{}).GetLeave(); l.GetCanReconnect() {
		t.Errorf("12, disconnect: %v", l)
	}
	if r := encode(t, old(7), session.Unpublished{Publication: "TR_1"}); r.GetTrackUnpublished().GetTrackSid() != "TR_1" {
		t.Errorf("7: %v", r)
	}
	if r := encode(t, old(6), session.Unpublished{Publication: "TR_1"}); !r.GetMute().GetMuted() {
		t.Errorf("6: %v", r)
	}
	lost := session.Quality{Updates: []session.QualityUpdate{{Quality: session.Lost}}}
	for p, want := range map[int]livekit.ConnectionQuality{
		10: livekit.ConnectionQuality_POOR, 11: livekit.ConnectionQuality_LOST, 0: livekit.ConnectionQuality_LOST,
	} {
		if got := encode(t, old(p), lost).GetConnectionQuality().GetUpdates()[0].GetQuality(); got != want {
			t.Errorf("%d: %v, want %v", p, got, want)
		}
	}
}

func TestDemand(t *testing.T) {
	u := encode(t, Dialect{}, session.Demand{Publication: "TR_1", Codecs: []session.CodecDemand{
		{Codec: sfu.VP8, Enabled: [3]bool{true, false, false}}, {Codec: sfu.H264, Enabled: [3]bool{false, true, false}},
	}}).GetSubscribedQualityUpdate()
	if c := u.GetSubscribedCodecs(); len(c) != 2 || c[0].GetCodec() != "vp8" || c[1].GetCodec() != "h264" {
		t.Errorf("codecs: %v", c)
	}
	var sum []bool
	for _, q := range u.GetSubscribedQualities() { //nolint:staticcheck // for older clients
		sum = append(sum, q.GetEnabled())
	}
	if !reflect.DeepEqual(sum, []bool{true, true, false}) {
		t.Errorf("sum over codecs: %v", sum)
	}
}

func TestPong(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_123)
	for _, c := range []struct {
		ping Ping
		want Pong
	}{
		{Ping{Old: true, Timestamp: 5}, Pong{Old: true, Timestamp: 1_790_000_000_123}},
		{Ping{Timestamp: 5, RTT: 9}, Pong{LastTimestamp: 5, Timestamp: 1_790_000_000_123}},
	} {
		for name, enc := range encodings {
			frame, err := Dialect{}.Pong(c.ping, now, enc)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeResponse(frame, enc)
			if err != nil || got.Pong == nil || *got.Pong != c.want {
				t.Errorf("%s: %+v %v, want %+v", name, got.Pong, err, c.want)
			}
		}
	}
}

func TestToken(t *testing.T) {
	frame, err := Dialect{}.Token("a.b.c", Text)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeResponse(frame, Text); err != nil || got.Token != "a.b.c" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestNotSent(t *testing.T) {
	for _, m := range []session.Message{session.Hangup{}, session.GrantChanged{}} {
		if frames, err := (Dialect{}).Encode(m, Binary); err != nil || len(frames) != 0 {
			t.Errorf("%T: %d frames, %v", m, len(frames), err)
		}
	}
}

func TestUpdateInParts(t *testing.T) {
	var all []session.ParticipantView
	for i := range 100 {
		all = append(all, session.ParticipantView{Version: uint32(i), Metadata: strings.Repeat("m", 4000)})
	}
	all[50].Metadata = strings.Repeat("m", 2*UpdateChunk) // never cut, alone in its frame
	for name, enc := range encodings {
		frames, err := Dialect{}.Encode(session.Update{Participants: all}, enc)
		if err != nil {
			t.Fatal(err)
		}
		var got []session.ParticipantView
		for _, f := range frames {
			r, err := DecodeResponse(f, enc)
			if err != nil {
				t.Fatal(err)
			}
			part := r.Session.(session.Update).Participants
			if enc == Binary && len(f) > UpdateChunk+64 && len(part) > 1 {
				t.Errorf("a frame of %d bytes with %d participants", len(f), len(part))
			}
			got = append(got, part...)
		}
		if !reflect.DeepEqual(got, all) {
			t.Errorf("%s: the parts differ from the whole", name)
		}
		if len(frames) < 4 || len(frames) > 7 {
			t.Errorf("%s: %d frames", name, len(frames))
		}
	}
}

func TestCandidates(t *testing.T) {
	const value = "1 1 udp 2130706431 192.0.2.1 7882 typ host"
	for _, init := range []string{value, "candidate:" + value} {
		text := encode(t, Dialect{}, session.Candidate{Init: init}).GetTrickle().GetCandidateInit()
		if text != `{"candidate":"candidate:`+value+`","sdpMid":"","sdpMLineIndex":0}` {
			t.Errorf("%s", text)
		}
	}
	for init, want := range map[string]session.Trickle{
		`{"candidate":"candidate:` + value + `","sdpMid":"2","sdpMLineIndex":0,"usernameFragment":"x"}`: {Init: value, Mid: "2"},
		`{"candidate":"` + value + `","sdpMid":null}`:                                                   {Init: value},
		`{"candidate":""}`:      {},
		``:                      {Bad: true},
		`{`:                     {Bad: true},
		`[]`:                    {Bad: true},
		`{"candidate":1}`:       {Bad: true},
		`{"candidate":"a\r\n"}`: {Bad: true}, // a line of its own in somebody's SDP
	} {
		if got := trickleIn(&livekit.TrickleRequest{CandidateInit: init}); got != want {
			t.Errorf("%s: %+v, want %+v", init, got, want)
		}
	}
	if got := trickleIn(&livekit.TrickleRequest{Final: true, Target: 1}); got != (session.Trickle{Final: true, Target: session.Subscriber}) {
		t.Errorf("final alone: %+v", got)
	}
}

func TestBadFrames(t *testing.T) {
	text := func(r *livekit.SignalRequest) []byte {
		out, err := protojson.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct {
		frame []byte
		enc   Encoding
		want  error
	}{
		"nothing":         {nil, Binary, ErrUnknown},
		"nothing in text": {[]byte(`{}`), Text, ErrUnknown},
		"a later request": {[]byte{0xfa, 0x01, 0}, Binary, ErrUnknown},
		"a later name":    {[]byte(`{"teleport":{}}`), Text, ErrUnknown},
		"not protobuf":    {[]byte{0xff}, Binary, ErrMalformed},
		"not JSON":        {[]byte(`{"offer":`), Text, ErrMalformed},
		"two in text":     {[]byte(`{"ping":"1","leave":{}}`), Text, ErrMalformed},
		"too large":       {make([]byte, MaxFrame+1), Binary, ErrTooLarge},
		"snake case":      {[]byte(`{"add_track":{"cid":"x","disable_dtx":true}}`), Text, nil},
		"camel case":      {text(&livekit.SignalRequest{Message: &livekit.SignalRequest_PingReq{PingReq: &livekit.Ping{Rtt: 1}}}), Text, nil},
	} {
		if _, err := DecodeRequest(c.frame, c.enc); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	secret := []byte(`{"leave":"eyJzZWNyZXQi"}`)
	if _, err := DecodeRequest(secret, Text); err == nil || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("an error must not quote the frame: %v", err)
	}
}

// What is beyond our numbers must not turn into another meaning.
func TestNumbersBeyond(t *testing.T) {
	a := addTrackIn(&livekit.AddTrackRequest{
		Type: 9, Source: 99, Encryption: 9, AudioFeatures: []livekit.AudioTrackFeature{1, 300, -1},
		Layers: []*livekit.VideoLayer{{Quality: 9}}, SimulcastCodecs: []*livekit.SimulcastCodec{{VideoLayerMode: 260}, {Codec: "Video/VP9"}},
	})
	want := session.AddTrack{
		Source: sfu.SourceUnknown, Encryption: sfu.CustomEncryption, AudioFeatures: []uint8{1}, DisableDTX: true,
		Layers: []session.Encoding{{Quality: sfu.High}}, Codecs: []session.CodecOffer{{}, {Codec: sfu.VP9}},
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("\n got %+v\nwant %+v", a, want)
	}
	if p := publishDataIn(&livekit.PublishDataTrackRequest{PubHandle: 65536 + 7, Name: "n"}); p.Handle != 0 {
		t.Errorf("handle 65543 became %d", p.Handle)
	}
	if g := permissionIn(&livekit.ParticipantPermission{CanPublish: true, CanPublishSources: []livekit.TrackSource{77}}); g.Publish {
		t.Errorf("unknown sources allow everything: %+v", g)
	}
}

// The focus passes on what it does not read of a data track, but not without end.
func TestDataTrackPassedOn(t *testing.T) {
	long := strings.Repeat("x", 300)
	schema := func(name string) *livekit.DataTrackSchemaId { return &livekit.DataTrackSchemaId{Name: name} }
	p := publishDataIn(&livekit.PublishDataTrackRequest{PubHandle: 1, Name: "n", Schema: schema("s")})
	info := dataTrackOut(&session.DataTrack{ID: "DTR_1", Handle: 1, Name: "n", Raw: p.Raw})
	if info.GetSchema().GetName() != "s" || info.GetSid() != "DTR_1" || info.GetPubHandle() != 1 {
		t.Errorf("%v", info)
	}
	p = publishDataIn(&livekit.PublishDataTrackRequest{PubHandle: 1, Name: "n", Schema: schema(long)})
	if len(p.Raw) > 100 {
		t.Errorf("%d bytes kept", len(p.Raw))
	}
}
