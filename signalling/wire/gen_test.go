package wire

import (
	"math/rand/v2"
	"reflect"
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// gen makes values of our types that the wire can carry in full, so that reading what was written gives them back.
type gen struct{ *rand.Rand }

func newGen(seed uint64) gen { return gen{rand.New(rand.NewPCG(seed, 7))} }

// limits are the largest values of the enums.
var limits = map[reflect.Type]int{
	reflect.TypeFor[sfu.Kind]():                  int(sfu.Video),
	reflect.TypeFor[sfu.Source]():                int(sfu.ScreenAudio),
	reflect.TypeFor[sfu.Quality]():               int(sfu.Off),
	reflect.TypeFor[sfu.Encryption]():            int(sfu.CustomEncryption),
	reflect.TypeFor[sfu.Codec]():                 int(sfu.H265),
	reflect.TypeFor[session.LayerMode]():         int(session.ModeOneLayerPerStreamIncompleteRTCPSR),
	reflect.TypeFor[session.Target]():            int(session.Subscriber),
	reflect.TypeFor[session.Scenario]():          int(session.SimulateFullReconnect),
	reflect.TypeFor[session.ParticipantState]():  int(session.Disconnected),
	reflect.TypeFor[session.LeaveAction]():       int(session.ActionReconnect),
	reflect.TypeFor[session.Outcome]():           int(session.InvalidRequest),
	reflect.TypeFor[session.ConnectionQuality](): int(session.Lost),
	reflect.TypeFor[ReconnectReason]():           int(SwitchCandidate),
}

var words = []string{"", "a", "0", "TR_VCx", "PA_1", "ünïcode 😀", "<&>\"'\\", "line\nline", "\u2028"}

// fill gives v any value; lists and maps are nil or full, as the wire knows no empty ones.
func (g gen) fill(v reflect.Value) {
	if !v.CanSet() || g.special(v) {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.String:
		v.SetString(words[g.IntN(len(words))])
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{0, 1, 32767, 65535, 1<<31 - 1}[g.IntN(5)])
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		top := uint64(1)<<v.Type().Bits() - 1
		if n, ok := limits[v.Type()]; ok {
			top = uint64(n)
		}
		v.SetUint(g.Uint64N(top + 1))
	case reflect.Float32:
		v.SetFloat(float64(g.Float32()))
	case reflect.Struct:
		for i := range v.NumField() {
			g.fill(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			g.fill(v.Index(i))
		}
	case reflect.Pointer:
		if g.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			g.fill(v.Elem())
		}
	case reflect.Slice:
		if n := g.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				g.fill(v.Index(i))
			}
		}
	case reflect.Map:
		g.fillMap(v)
	}
	g.settle(v)
}

func (g gen) fillMap(v reflect.Value) {
	n := g.IntN(3)
	if n == 0 {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for range n {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		g.fill(key)
		g.fill(value)
		v.SetMapIndex(key, value)
	}
}

// special fills what has a form of its own.
func (g gen) special(v reflect.Value) bool {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = []time.Time{{}, time.UnixMilli(1).UTC(), time.UnixMilli(1_790_000_000_123).UTC()}[g.IntN(3)]
	case *sfu.Software:
		p.PacketTrailer, p.DeflateRaw = g.IntN(2) == 0, g.IntN(2) == 0
	case *session.Encodings:
		*p = []session.Encodings{nil, {sfu.VP8, sfu.Opus}}[g.IntN(2)]
	case *session.Request:
		*p = g.echo()
	default:
		return false
	}
	return true
}

// settle makes a filled value agree with itself.
func (g gen) settle(v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *session.Grant:
		for i, s := range p.Sources {
			p.Sources[i] = max(s, sfu.Camera)
		}
	case *session.CodecOffer:
		p.Mime = ""
		if p.Codec == sfu.NoCodec {
			p.Mime = "video/x-new"
		}
	case *session.AddTrack:
		for _, f := range p.AudioFeatures {
			p.Stereo, p.DisableDTX = p.Stereo || f == 0, p.DisableDTX || f == 1
		}
	case *session.Trickle:
		if p.Bad {
			p.Init, p.Mid = "", ""
		}
		if p.Init == "line\nline" {
			p.Init = "1 1 udp 1 127.0.0.1 9 typ host"
		}
	case *session.Candidate:
		p.Init = "1 1 udp 1 127.0.0.1 9 typ host"
	case *session.Simulate:
		*p = session.Simulate{Scenario: p.Scenario, Seconds: p.Seconds, Bandwidth: p.Bandwidth, TCP: p.TCP, TLS: p.TLS && !p.TCP}
		if p.Scenario != session.SimulateSpeaker {
			p.Seconds = 0
		}
		if p.Scenario != session.SimulateBandwidth {
			p.Bandwidth = 0
		}
		if p.Scenario != session.SimulateSwitchProtocol {
			p.TCP, p.TLS = false, false
		}
	case *session.PublishData:
		p.Raw = rawDataTrack(publishDataOut(session.PublishData{Handle: p.Handle, Name: p.Name, Encryption: p.Encryption}))
	case *session.DataTrack:
		if p.ID == "" {
			p.ID = "DTR_1"
		}
		p.Raw = rawDataTrack(publishDataOut(session.PublishData{Handle: p.Handle, Name: p.Name, Encryption: p.Encryption}))
	case *session.Ignored:
		p.Name = []string{"update_layers", "store_data_blob_request", "get_data_blob_request"}[g.IntN(3)]
	case *session.DataHandles:
		delete(p.Handles, 0)
		if len(p.Handles) == 0 {
			p.Handles = nil
		}
	case *[]sfu.Codec:
		for i, c := range *p {
			(*p)[i] = max(c, sfu.Opus)
		}
	}
}

var requests = []session.Request{
	session.Offer{}, session.Answer{}, session.Trickle{}, session.AddTrack{}, session.Mute{}, session.Subscribe{},
	session.TrackSetting{}, session.Leave{}, session.Permission{}, session.Sync{}, session.Simulate{}, session.UpdateOwn{},
	session.UpdateAudio{}, session.UpdateVideo{}, session.PublishData{}, session.UnpublishData{}, session.SubscribeData{},
	session.Ignored{},
}

var messages = []session.Message{
	session.Welcome{}, session.Resumed{}, session.Answered{}, session.Offered{}, session.Candidate{}, session.Update{},
	session.SessionUpdate{}, session.Published{}, session.Unpublished{}, session.MuteOwn{}, session.Speakers{},
	session.Quality{}, session.StreamStates{}, session.Demand{}, session.PermissionUpdate{}, session.SubscriptionFailed{},
	session.Response{}, session.Subscribed{}, session.SectionsNeeded{}, session.Goodbye{}, session.DataPublished{},
	session.DataUnpublished{}, session.DataHandles{},
}

var calls = []Call{
	CreateRoom{}, ListRooms{}, DeleteRoom{}, ListParticipants{}, GetParticipant{}, RemoveParticipant{}, MutePublishedTrack{},
	UpdateParticipant{}, UpdateSubscriptions{}, SendData{}, UpdateRoomMetadata{}, PerformRPC{}, ForwardParticipant{},
	MoveParticipant{},
}

// like is a random value of the type of its sample.
func like[T any](g gen, sample T) T {
	v := reflect.New(reflect.TypeOf(sample)).Elem()
	g.fill(v)
	return v.Interface().(T)
}

// echo is a request that a Response can carry, or none.
func (g gen) echo() session.Request {
	switch n := g.IntN(9); n {
	case 0:
		return like[session.Request](g, session.Trickle{})
	case 1:
		return like[session.Request](g, session.AddTrack{})
	case 2:
		return like[session.Request](g, session.Mute{})
	case 3:
		return like[session.Request](g, session.UpdateOwn{})
	case 4:
		return like[session.Request](g, session.UpdateAudio{})
	case 5:
		return like[session.Request](g, session.UpdateVideo{})
	case 6:
		return like[session.Request](g, session.PublishData{})
	case 7:
		return like[session.Request](g, session.UnpublishData{})
	}
	return nil
}
