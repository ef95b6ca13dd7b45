package wire

import (
	"time"

	"weir/sfu/session"
)

// DecodeCall reads the body of a server API call; ErrUnknown if RoomService has no such method.
func DecodeCall(method string, body []byte, enc Encoding) (Call, error) { return nil, ErrUnknown }

// EncodeCall writes a call as a client of the API does.
func EncodeCall(c Call, enc Encoding) (method string, body []byte, err error) { return "", nil, ErrUnknown }

// EncodeReply writes the body that answers a call.
func EncodeReply(r Reply, enc Encoding) ([]byte, error) { return nil, ErrUnknown }

// Webhook is one event for outsiders.
type Webhook struct {
	ID      string // "EV_…", unique
	Created time.Time
	Notice  session.Notice
}

// EncodeWebhook writes the body of a webhook (protojson).
func EncodeWebhook(w Webhook) ([]byte, error) { return nil, ErrUnknown }
