package wire

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/livekit/protocol/livekit"

	"weir/sfu/session"
)

// Webhook is one event for outsiders.
type Webhook struct {
	ID      string // "EV_…", unique
	Created time.Time
	Notice  session.Notice
}

var noticeNames = map[session.NoticeKind]string{
	session.SessionStarted: "room_started", session.SessionFinished: "room_finished",
	session.ParticipantJoined: "participant_joined", session.ParticipantLeft: "participant_left",
	session.ParticipantAborted: "participant_connection_aborted",
	session.TrackPublished:     "track_published", session.TrackUnpublished: "track_unpublished",
}

// Name is what webhooks call the event; "" if they have no word for it.
func (w Webhook) Name() string { return noticeNames[w.Notice.Kind] }

// EncodeWebhook writes the body of a webhook (protojson).
func EncodeWebhook(w Webhook) ([]byte, error) {
	n := w.Notice
	m := &livekit.WebhookEvent{
		Event: w.Name(), Id: w.ID, CreatedAt: unixSeconds(w.Created), Room: roomOut(n.Session),
	}
	if m.Event == "" {
		return nil, fmt.Errorf("%w notice %d", ErrUnknown, n.Kind)
	}
	if n.Participant != nil {
		m.Participant = participantOut(n.Participant)
		if n.Reason != session.UnknownReason {
			m.Participant.DisconnectReason = livekit.DisconnectReason(n.Reason)
		}
	}
	if n.Publication != nil {
		m.Track = trackOut(n.Publication)
	}
	out, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("wire: writing a webhook: %w", err)
	}
	if n.Kind == session.SessionFinished {
		return withEndReason(out, n.Reason)
	}
	return out, nil
}

// withEndReason adds WebhookEvent.room_end_reason, which came with protocol 1.54: the generated code is older.
func withEndReason(body []byte, r session.LeaveReason) ([]byte, error) {
	reason := "ROOM_END_IDLE_TIMEOUT"
	switch r {
	case session.SessionDeleted:
		reason = "ROOM_END_API_DELETE"
	case session.ServerShutdown:
		reason = "ROOM_END_SERVER_SHUTDOWN"
	}
	var event map[string]json.RawMessage
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, fmt.Errorf("wire: writing a webhook: %w", err)
	}
	event["roomEndReason"] = json.RawMessage(`"` + reason + `"`)
	out, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("wire: writing a webhook: %w", err)
	}
	return out, nil
}
