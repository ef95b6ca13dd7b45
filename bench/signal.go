package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"weir/sfu/session"
	"weir/signalling/wire"
)

// Dial opens a stream to an address, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

const (
	dialLimit  = 15 * time.Second
	writeLimit = 5 * time.Second
)

// ErrRefused says that the server did not let the bot in; the text tells the status and what the server wrote.
var ErrRefused = errors.New("bench: refused")

// signal is one signalling connection. The bot's loop writes, one goroutine reads.
type signal struct {
	ws *websocket.Conn
}

// dialSignal joins or resumes.
func dialSignal(ctx context.Context, cfg *BotConfig, j wire.JoinRequest) (*signal, error) {
	query, err := wire.EncodeJoin(j, false)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	}
	path := "/rtc/v1"
	if j.Settings.Dual {
		path = "/rtc"
	}
	u.Path = strings.TrimRight(u.Path, "/") + path
	u.RawQuery = url.Values(query).Encode()
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	d := websocket.Dialer{NetDialContext: cfg.Dial, HandshakeTimeout: dialLimit, ReadBufferSize: 4096, WriteBufferSize: 4096}
	ws, resp, err := d.DialContext(ctx, u.String(), http.Header{"Authorization": {"Bearer " + cfg.Token}})
	if err != nil {
		if resp != nil {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, refusalMost))
			_ = resp.Body.Close()
			return nil, fmt.Errorf("%w: %s: %s", ErrRefused, resp.Status, withoutToken(string(text), cfg.Token))
		}
		return nil, fmt.Errorf("dial: %w", err)
	}
	ws.SetReadLimit(wire.MaxFrame)
	return &signal{ws: ws}, nil
}

// refusalMost bounds what is read of a refusal.
const refusalMost = 4096

// withoutToken is what a server wrote, fit for a terminal and a log: some repeat the token that they refuse.
func withoutToken(text, token string) string {
	if token != "" {
		text = strings.ReplaceAll(text, token, "(token)")
	}
	const most = 300
	if text = strings.TrimSpace(text); len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

// read hands on what the server sends until the connection ends.
func (s *signal) read(got func(*signal, wire.Response, error)) {
	for {
		kind, frame, err := s.ws.ReadMessage()
		if err != nil {
			got(s, wire.Response{}, err)
			return
		}
		enc := wire.Binary
		if kind == websocket.TextMessage {
			enc = wire.Text
		}
		r, err := wire.DecodeResponse(frame, enc)
		if errors.Is(err, wire.ErrUnknown) { // newer servers say more
			continue
		}
		if err != nil {
			got(s, wire.Response{}, err)
			return
		}
		got(s, r, nil)
	}
}

func (s *signal) send(r wire.Request) error {
	frame, err := wire.EncodeRequest(r, wire.Binary)
	if err != nil {
		return err
	}
	_ = s.ws.SetWriteDeadline(time.Now().Add(writeLimit))
	return s.ws.WriteMessage(websocket.BinaryMessage, frame)
}

func (s *signal) request(r session.Request) error { return s.send(wire.Request{Session: r}) }

// close ends it; politely if the far side shall know.
func (s *signal) close(politely bool) {
	if politely {
		_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""),
			time.Now().Add(writeLimit))
	}
	_ = s.ws.Close()
}
