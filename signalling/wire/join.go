package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

// JoinRequest is what a client asks when it opens its connection.
type JoinRequest struct {
	Settings      session.Settings // AllowPause counts only if AllowPauseSet
	AllowPauseSet bool
	Software      sfu.Software
	Metadata      string            // "": none
	Attributes    map[string]string // without empty values
	BadAttributes bool              // v0: they could not be read; validate refuses, connecting ignores them
	Publish       []session.AddTrack
	Offer         *session.Description
	Sync          *session.Sync

	Resume      bool
	Participant sfu.ParticipantID // to resume
	Reason      ReconnectReason

	PublishOnly string // v0 publish=x: identity gets "#x", nothing is subscribed
}

// ReconnectReason is why a client resumes. The numbers are LiveKit's.
type ReconnectReason uint8

const (
	UnknownCause ReconnectReason = iota
	SignalLost
	PublisherFailed
	SubscriberFailed
	SwitchCandidate
)

// ParseJoin reads the parameters of a connection: with join_request for a single transport, else the v0 ones, for
// which Settings.Dual is set. The caller refuses a v1 path without join_request. userAgent fills in browser and system
// if the client did not say.
func ParseJoin(query map[string][]string, userAgent string) (JoinRequest, error) {
	var j JoinRequest
	if wrapped := first(query, "join_request"); wrapped != "" {
		inner, err := unwrap(wrapped)
		if err != nil {
			return JoinRequest{}, fmt.Errorf("join_request: %w", err)
		}
		j = joinRequestIn(inner)
	} else {
		j = parametersIn(query)
	}
	fillFromUserAgent(&j.Software, userAgent)
	return j, nil
}

// EncodeJoin writes the parameters that ParseJoin reads, join_request unless Settings.Dual; compress gzips it.
func EncodeJoin(j JoinRequest, compress bool) (map[string][]string, error) {
	if j.Settings.Dual {
		return parametersOut(&j)
	}
	wrapped, err := wrap(joinRequestOut(&j), compress)
	if err != nil {
		return nil, err
	}
	return map[string][]string{"join_request": {wrapped}}, nil
}

func first(query map[string][]string, name string) string {
	if values := query[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// base64URL reads base64url with or without padding (RFC 4648 section 5): clients do either.
func base64URL(text string) ([]byte, error) {
	out, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, fmt.Errorf("%w base64url", ErrMalformed)
	}
	return out, nil
}

// wrapOverhead is room for what WrappedJoinRequest puts around the inner message.
const wrapOverhead = 64

// unwrap reads WrappedJoinRequest: the limit holds before and after inflation.
func unwrap(text string) (*livekit.JoinRequest, error) {
	if len(text) > base64.URLEncoding.EncodedLen(MaxJoinRequest+wrapOverhead) {
		return nil, fmt.Errorf("%w: limit %d bytes", ErrTooLarge, MaxJoinRequest)
	}
	raw, err := base64URL(text)
	if err != nil {
		return nil, err
	}
	var w livekit.WrappedJoinRequest
	if err := unmarshal(raw, Binary, &w, MaxJoinRequest+wrapOverhead); err != nil {
		return nil, err
	}
	inner := w.GetJoinRequest()
	if len(inner) > MaxJoinRequest {
		return nil, fmt.Errorf("%w: limit %d bytes", ErrTooLarge, MaxJoinRequest)
	}
	switch w.GetCompression() {
	case livekit.WrappedJoinRequest_NONE:
	case livekit.WrappedJoinRequest_GZIP:
		if inner, err = inflate(inner, MaxJoinRequest); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w compression", ErrUnknown)
	}
	var j livekit.JoinRequest
	if err := unmarshal(inner, Binary, &j, MaxJoinRequest); err != nil {
		return nil, err
	}
	return &j, nil
}

// inflate reads gzip and stops one byte beyond the limit, so that a bomb costs no more than the limit.
func inflate(packed []byte, limit int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w gzip", ErrMalformed)
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(out) > limit {
		return nil, fmt.Errorf("%w: limit %d bytes inflated", ErrTooLarge, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%w gzip", ErrMalformed)
	}
	return out, nil
}

func wrap(j *livekit.JoinRequest, compress bool) (string, error) {
	inner, err := marshal(Binary, j)
	if err != nil {
		return "", err
	}
	w := &livekit.WrappedJoinRequest{JoinRequest: inner}
	if compress {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(inner); err != nil {
			return "", fmt.Errorf("wire: compressing a join request: %w", err)
		}
		if err := z.Close(); err != nil {
			return "", fmt.Errorf("wire: compressing a join request: %w", err)
		}
		w.Compression, w.JoinRequest = livekit.WrappedJoinRequest_GZIP, packed.Bytes()
	}
	raw, err := marshal(Binary, w)
	if err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(raw), nil
}

func joinRequestIn(m *livekit.JoinRequest) JoinRequest {
	s := m.GetConnectionSettings()
	j := JoinRequest{
		Settings: session.Settings{
			AutoSubscribe: s.GetAutoSubscribe(), AutoSubscribeData: s.GetAutoSubscribeDataTrack(),
			AdaptiveStream: s.GetAdaptiveStream(), AllowPause: s.GetSubscriberAllowPause(), DisableICELite: s.GetDisableIceLite(),
		},
		AllowPauseSet: s != nil && s.SubscriberAllowPause != nil,
		Software:      softwareIn(m.GetClientInfo()),
		Metadata:      m.GetMetadata(), Attributes: withoutEmpty(m.GetParticipantAttributes()),
		Publish: addTracksIn(m.GetAddTrackRequests()),
		Resume:  m.GetReconnect(), Participant: sfu.ParticipantID(m.GetParticipantSid()),
		Reason: enum8(m.GetReconnectReason(), SwitchCandidate, UnknownCause),
	}
	if d := m.GetPublisherOffer(); d != nil {
		offer := descriptionIn(d)
		j.Offer = &offer
	}
	if st := m.GetSyncState(); st != nil {
		sync := syncIn(st)
		j.Sync = &sync
	}
	return j
}

func joinRequestOut(j *JoinRequest) *livekit.JoinRequest {
	m := &livekit.JoinRequest{
		ClientInfo: softwareOut(j.Software),
		ConnectionSettings: &livekit.ConnectionSettings{
			AutoSubscribe: j.Settings.AutoSubscribe, AdaptiveStream: j.Settings.AdaptiveStream,
			DisableIceLite:         j.Settings.DisableICELite,
			AutoSubscribeDataTrack: proto.Bool(j.Settings.AutoSubscribeData),
		},
		Metadata: j.Metadata, ParticipantAttributes: j.Attributes, Reconnect: j.Resume,
		ReconnectReason: livekit.ReconnectReason(j.Reason), ParticipantSid: string(j.Participant),
	}
	if j.AllowPauseSet {
		m.ConnectionSettings.SubscriberAllowPause = proto.Bool(j.Settings.AllowPause)
	}
	for i := range j.Publish {
		m.AddTrackRequests = append(m.AddTrackRequests, addTrackOut(&j.Publish[i]))
	}
	if j.Offer != nil {
		m.PublisherOffer = descriptionOut("offer", *j.Offer)
	}
	if j.Sync != nil {
		m.SyncState = syncOut(j.Sync)
	}
	return m
}

// withoutEmpty leaves out attributes without a value: at join they are ignored (livekit.md section 1).
func withoutEmpty(m map[string]string) map[string]string {
	var out map[string]string
	for k, v := range m {
		if v == "" {
			continue
		}
		if out == nil {
			out = make(map[string]string, len(m))
		}
		out[k] = v
	}
	return out
}
