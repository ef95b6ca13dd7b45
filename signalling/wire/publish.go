package wire

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// addTrackIn reads an announcement. What a feature says and what the older flag for the same says are one.
func addTrackIn(a *livekit.AddTrackRequest) session.AddTrack {
	//nolint:staticcheck // deprecated fields are what older clients write
	out := session.AddTrack{
		CID: a.GetCid(), Name: a.GetName(), Kind: kindIn(a.GetType()), Source: sourceIn(a.GetSource()),
		Width: int(a.GetWidth()), Height: int(a.GetHeight()), Muted: a.GetMuted(), DisableDTX: a.GetDisableDtx(),
		DisableRED: a.GetDisableRed(), Stereo: a.GetStereo(), Stream: a.GetStream(),
		Encryption: encryptionIn(a.GetEncryption()), Publication: sfu.PublicationID(a.GetSid()),
		Layers: layersIn(a.GetLayers()), Backup: enum8(a.GetBackupCodecPolicy(), uint8(255), 0),
		AudioFeatures: enums(a.GetAudioFeatures()), Trailer: enums(a.GetPacketTrailerFeatures()),
	}
	out.Stereo = out.Stereo || slices.Contains(out.AudioFeatures, uint8(livekit.AudioTrackFeature_TF_STEREO))
	out.DisableDTX = out.DisableDTX || slices.Contains(out.AudioFeatures, uint8(livekit.AudioTrackFeature_TF_NO_DTX))
	for _, c := range a.GetSimulcastCodecs() {
		offer := session.CodecOffer{
			Codec: sfu.ParseCodec(c.GetCodec()), CID: c.GetCid(), Layers: layersIn(c.GetLayers()), Mode: modeIn(c.GetVideoLayerMode()),
		}
		if offer.Codec == sfu.NoCodec {
			offer.Mime = c.GetCodec()
		}
		out.Codecs = append(out.Codecs, offer)
	}
	return out
}

func addTrackOut(a *session.AddTrack) *livekit.AddTrackRequest {
	//nolint:staticcheck // deprecated fields are what older servers read
	out := &livekit.AddTrackRequest{
		Cid: a.CID, Name: a.Name, Type: kindOut(a.Kind), Width: u32(a.Width), Height: u32(a.Height), Muted: a.Muted,
		DisableDtx: a.DisableDTX, Source: livekit.TrackSource(a.Source), Layers: layersOut(a.Layers), Sid: string(a.Publication),
		Stereo: a.Stereo, DisableRed: a.DisableRED, Encryption: livekit.Encryption_Type(a.Encryption), Stream: a.Stream,
		BackupCodecPolicy:     livekit.BackupCodecPolicy(a.Backup),
		AudioFeatures:         numbers[livekit.AudioTrackFeature](a.AudioFeatures),
		PacketTrailerFeatures: numbers[livekit.PacketTrailerFeature](a.Trailer),
	}
	for _, c := range a.Codecs {
		name := c.Mime
		if c.Codec != sfu.NoCodec {
			name = c.Codec.String()
		}
		out.SimulcastCodecs = append(out.SimulcastCodecs, &livekit.SimulcastCodec{
			Codec: name, Cid: c.CID, Layers: layersOut(c.Layers), VideoLayerMode: livekit.VideoLayer_Mode(c.Mode),
		})
	}
	return out
}

func addTracksIn(list []*livekit.AddTrackRequest) []session.AddTrack {
	var out []session.AddTrack
	for _, a := range list {
		out = append(out, addTrackIn(a))
	}
	return out
}

func muteOut(p sfu.PublicationID, muted bool) *livekit.MuteTrackRequest {
	return &livekit.MuteTrackRequest{Sid: string(p), Muted: muted}
}

func updateAudioIn(u *livekit.UpdateLocalAudioTrack) session.UpdateAudio {
	return session.UpdateAudio{Publication: sfu.PublicationID(u.GetTrackSid()), Features: enums(u.GetFeatures())}
}

func updateAudioOut(u session.UpdateAudio) *livekit.UpdateLocalAudioTrack {
	return &livekit.UpdateLocalAudioTrack{
		TrackSid: string(u.Publication), Features: numbers[livekit.AudioTrackFeature](u.Features),
	}
}

func updateVideoIn(u *livekit.UpdateLocalVideoTrack) session.UpdateVideo {
	return session.UpdateVideo{
		Publication: sfu.PublicationID(u.GetTrackSid()), Width: int(u.GetWidth()), Height: int(u.GetHeight()),
	}
}

func updateVideoOut(u session.UpdateVideo) *livekit.UpdateLocalVideoTrack {
	return &livekit.UpdateLocalVideoTrack{TrackSid: string(u.Publication), Width: u32(u.Width), Height: u32(u.Height)}
}

func publishDataIn(p *livekit.PublishDataTrackRequest) session.PublishData {
	out := session.PublishData{
		Handle: handle16(p.GetPubHandle()), Name: p.GetName(), Encryption: encryptionIn(p.GetEncryption()),
	}
	if p != nil {
		out.Raw = rawDataTrack(p)
	}
	return out
}

// publishDataOut lets Raw say what it says: an echo must carry even a handle that is no handle.
func publishDataOut(p session.PublishData) *livekit.PublishDataTrackRequest {
	out := &livekit.PublishDataTrackRequest{
		PubHandle: uint32(p.Handle), Name: p.Name, Encryption: livekit.Encryption_Type(p.Encryption),
	}
	proto.Merge(out, passedOn(p.Raw))
	return out
}

func unpublishDataOut(u session.UnpublishData) *livekit.UnpublishDataTrackRequest {
	return &livekit.UnpublishDataTrackRequest{PubHandle: uint32(u.Handle)}
}

func updateOwnIn(u *livekit.UpdateParticipantMetadata) session.UpdateOwn {
	return session.UpdateOwn{
		RequestID: u.GetRequestId(), Name: u.GetName(), Metadata: u.GetMetadata(), Attributes: full(u.GetAttributes()),
	}
}

func updateOwnOut(u session.UpdateOwn) *livekit.UpdateParticipantMetadata {
	return &livekit.UpdateParticipantMetadata{
		RequestId: u.RequestID, Name: u.Name, Metadata: u.Metadata, Attributes: u.Attributes,
	}
}
