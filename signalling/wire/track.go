package wire

import (
	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

func trackOut(v *session.PublicationView) *livekit.TrackInfo {
	//nolint:staticcheck // deprecated fields are what older clients read
	t := &livekit.TrackInfo{
		Sid: string(v.ID), Type: kindOut(v.Kind), Name: v.Name, Muted: v.Muted, Width: u32(v.Width), Height: u32(v.Height),
		Simulcast: v.Simulcast, DisableDtx: v.DisableDTX, Source: livekit.TrackSource(v.Source), Layers: layersOut(v.Layers),
		MimeType: v.Mime, Mid: v.Mid, Stereo: v.Stereo, DisableRed: v.DisableRED,
		Encryption: livekit.Encryption_Type(v.Encryption), Stream: v.Stream,
		AudioFeatures:         numbers[livekit.AudioTrackFeature](v.AudioFeatures),
		BackupCodecPolicy:     livekit.BackupCodecPolicy(v.Backup),
		PacketTrailerFeatures: numbers[livekit.PacketTrailerFeature](v.Trailer),
	}
	for i := range v.Codecs {
		c := &v.Codecs[i]
		t.Codecs = append(t.Codecs, &livekit.SimulcastCodecInfo{
			MimeType: c.Mime, Mid: c.Mid, Cid: c.CID, Layers: layersOut(c.Layers),
			VideoLayerMode: livekit.VideoLayer_Mode(c.Mode), SdpCid: c.SDPCID,
		})
	}
	if !v.Version.IsZero() {
		t.Version = &livekit.TimedVersion{UnixMicro: v.Version.UnixMicro()}
	}
	return t
}

func trackIn(t *livekit.TrackInfo) session.PublicationView {
	//nolint:staticcheck // deprecated fields are what older servers write
	v := session.PublicationView{
		ID: sfu.PublicationID(t.GetSid()), Kind: kindIn(t.GetType()), Name: t.GetName(), Source: sourceIn(t.GetSource()),
		Muted: t.GetMuted(), Width: int(t.GetWidth()), Height: int(t.GetHeight()), Simulcast: t.GetSimulcast(),
		DisableDTX: t.GetDisableDtx(), DisableRED: t.GetDisableRed(), Stereo: t.GetStereo(), Layers: layersIn(t.GetLayers()),
		Mime: t.GetMimeType(), Mid: t.GetMid(), Stream: t.GetStream(), Encryption: encryptionIn(t.GetEncryption()),
		Backup: enum8(t.GetBackupCodecPolicy(), uint8(255), 0), AudioFeatures: enums(t.GetAudioFeatures()),
		Trailer: enums(t.GetPacketTrailerFeatures()), Version: microTime(t.GetVersion().GetUnixMicro()),
	}
	for _, c := range t.GetCodecs() {
		v.Codecs = append(v.Codecs, session.CodecView{
			Mime: c.GetMimeType(), Mid: c.GetMid(), CID: c.GetCid(), SDPCID: c.GetSdpCid(), Layers: layersIn(c.GetLayers()),
			Mode: modeIn(c.GetVideoLayerMode()),
		})
	}
	return v
}

// kindOut writes a kind that is neither audio nor video as DATA: such a publication is refused, but echoed.
func kindOut(k sfu.Kind) livekit.TrackType {
	switch k {
	case sfu.Audio:
		return livekit.TrackType_AUDIO
	case sfu.Video:
		return livekit.TrackType_VIDEO
	}
	return livekit.TrackType_DATA
}

func kindIn(t livekit.TrackType) sfu.Kind {
	switch t {
	case livekit.TrackType_AUDIO:
		return sfu.Audio
	case livekit.TrackType_VIDEO:
		return sfu.Video
	}
	return 0
}

func sourceIn(s livekit.TrackSource) sfu.Source { return enum8(s, sfu.ScreenAudio, sfu.SourceUnknown) }

// encryptionIn takes an unknown kind of encryption for a custom one: taken for none, receivers would play ciphertext.
func encryptionIn(e livekit.Encryption_Type) sfu.Encryption {
	return enum8(e, sfu.CustomEncryption, sfu.CustomEncryption)
}

func modeIn(m livekit.VideoLayer_Mode) session.LayerMode {
	return enum8(m, session.ModeOneLayerPerStreamIncompleteRTCPSR, session.ModeUnused)
}

func layersOut(list []session.Encoding) []*livekit.VideoLayer {
	var out []*livekit.VideoLayer
	for _, e := range list {
		out = append(out, &livekit.VideoLayer{
			Quality: livekit.VideoQuality(e.Quality), Width: u32(e.Width), Height: u32(e.Height), Bitrate: u32(e.Bitrate),
			Ssrc: e.SSRC, SpatialLayer: i32(e.Spatial), Rid: e.RID,
		})
	}
	return out
}

func layersIn(list []*livekit.VideoLayer) []session.Encoding {
	var out []session.Encoding
	for _, l := range list {
		out = append(out, session.Encoding{
			Quality: qualityIn(l.GetQuality()), Width: int(l.GetWidth()), Height: int(l.GetHeight()),
			Bitrate: int(l.GetBitrate()), SSRC: l.GetSsrc(), Spatial: int(l.GetSpatialLayer()), RID: l.GetRid(),
		})
	}
	return out
}

func qualityIn(q livekit.VideoQuality) sfu.Quality { return enum8(q, sfu.Off, sfu.High) }

// Limits of the fields of a data track that we hold but do not read (livekit.md section 7 and the comments of
// LiveKit's messages): a longer one is left out, lest a session hold megabytes for a name.
const (
	maxSchemaName = 256
	maxCustomName = 32
)

func trimDataTrack(r *livekit.PublishDataTrackRequest) {
	forget := func(m proto.Message) {
		if p := m.ProtoReflect(); p.IsValid() {
			p.SetUnknown(nil)
		}
	}
	forget(r)
	forget(r.GetFrameEncoding())
	forget(r.GetSchema())
	forget(r.GetSchema().GetEncoding())
	if e := r.GetFrameEncoding(); len(e.GetCustom()) > maxCustomName {
		r.FrameEncoding = nil
	}
	if s := r.GetSchema(); len(s.GetName()) > maxSchemaName || len(s.GetEncoding().GetCustom()) > maxCustomName {
		r.Schema = nil
	}
}

// rawDataTrack is the request in the form session.DataTrack.Raw holds.
func rawDataTrack(r *livekit.PublishDataTrackRequest) []byte {
	trimDataTrack(r)
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return nil // not UTF-8: cannot be, for it was read
	}
	return raw
}

// passedOn reads from Raw what we pass on unread.
func passedOn(raw []byte) *livekit.PublishDataTrackRequest {
	r := &livekit.PublishDataTrackRequest{}
	if proto.Unmarshal(raw, r) != nil {
		return &livekit.PublishDataTrackRequest{}
	}
	return r
}

func dataTrackOut(v *session.DataTrack) *livekit.DataTrackInfo {
	r := passedOn(v.Raw)
	return &livekit.DataTrackInfo{
		PubHandle: uint32(v.Handle), Sid: string(v.ID), Name: v.Name, Encryption: livekit.Encryption_Type(v.Encryption),
		FrameEncoding: r.FrameEncoding, Schema: r.Schema,
	}
}

func dataTrackIn(t *livekit.DataTrackInfo) session.DataTrack {
	v := session.DataTrack{
		ID: sfu.PublicationID(t.GetSid()), Handle: handle16(t.GetPubHandle()), Name: t.GetName(),
		Encryption: encryptionIn(t.GetEncryption()),
	}
	if t != nil {
		v.Raw = rawDataTrack(&livekit.PublishDataTrackRequest{
			PubHandle: uint32(v.Handle), Name: v.Name, Encryption: livekit.Encryption_Type(v.Encryption),
			FrameEncoding: t.GetFrameEncoding(), Schema: t.GetSchema(),
		})
	}
	return v
}
