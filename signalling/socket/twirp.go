package socket

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

// twirpPrefix is where the server API is (Twirp wire protocol v7: POST <prefix>/<package>.<Service>/<Method>).
const twirpPrefix = "/twirp/"

const roomService = "livekit.RoomService"

// callTimeout bounds a call of the server API, but for PerformRpc, which sets its own.
const callTimeout = 10 * time.Second

// absent are LiveKit's services that Weir has nothing to do with, so that their clients are told so.
var absent = map[string]bool{
	"livekit.AgentDispatchService": true, "livekit.Egress": true, "livekit.Ingress": true, "livekit.SIP": true,
	"livekit.Connector": true,
}

// caller is who calls, and for what.
type caller struct {
	ctx   context.Context
	token grant.Token
}

var (
	badRoute        = wire.Fault{Code: wire.BadRoute, Text: "no such route"}
	unauthenticated = wire.Fault{Code: wire.Unauthenticated, Text: "permissions denied"}
	unimplemented   = wire.Fault{Code: wire.Unimplemented, Text: "not supported"}
	unnamed         = wire.Fault{Code: wire.InvalidArgument, Text: "room and identity cannot be empty"}
	overLimit       = wire.Fault{Code: wire.InvalidArgument, Text: "name, metadata or attributes exceed limits"}
)

// twirp serves one call.
func (s *Server) twirp(w http.ResponseWriter, r *http.Request) {
	rest, _ := strings.CutPrefix(s.path(r.URL.Path), twirpPrefix)
	service, method, _ := strings.Cut(rest, "/")
	enc, known := contentEncoding(r)
	body, err := s.call(w, r, service, method, enc, known)
	status, code := http.StatusOK, "ok"
	var fault wire.Fault
	switch {
	case errors.As(err, &fault):
		status, code, body = fault.Code.Status(), string(fault.Code), fault.Body()
	case err != nil: // the body was too large: Twirp has no code for it
		status, code = http.StatusRequestEntityTooLarge, "too_large"
		body = wire.Fault{Code: wire.MalformedCall, Text: "request too large"}.Body()
	}
	if fault.Code == wire.BadRoute {
		service, method = "unknown", "unknown" // a stranger's words are no label values
	}
	if absent[service] {
		method = "any"
	}
	s.metrics.calls.WithLabelValues(service, method, strconv.Itoa(status), code).Inc()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if err == nil && enc == wire.Binary {
		h.Set("Content-Type", "application/protobuf")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the other side is gone: nobody to tell
}

// routed tells whether there is such a method. An empty body decodes as any message.
func routed(service, method string) bool {
	if absent[service] {
		return method != ""
	}
	_, err := wire.DecodeCall(method, nil, wire.Binary)
	return service == roomService && !errors.Is(err, wire.ErrUnknown)
}

func contentEncoding(r *http.Request) (enc wire.Encoding, known bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return wire.Text, false
	case kind == "application/json":
		return wire.Text, true
	case kind == "application/protobuf":
		return wire.Binary, true
	}
	return wire.Text, false
}

// call checks the route and the token and does what is asked. The error is a wire.Fault, or says that the body is too large.
func (s *Server) call(w http.ResponseWriter, r *http.Request, service, method string, enc wire.Encoding, known bool) ([]byte, error) {
	if r.Method != http.MethodPost || !routed(service, method) {
		return nil, badRoute
	}
	token, no := s.verify(r)
	if no != nil {
		s.log.Info("call refused", "code", no.code, "method", method, "address", clientAddress(r, s.cfg.TrustedProxies), "err", no.err)
		return nil, unauthenticated
	}
	if absent[service] {
		return nil, unimplemented
	}
	if !known {
		return nil, wire.Fault{Code: wire.BadRoute, Text: "unexpected Content-Type"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxBody))
	if err != nil {
		var over *http.MaxBytesError
		if errors.As(err, &over) {
			return nil, err
		}
		return nil, wire.Fault{Code: wire.MalformedCall, Text: "body could not be read"}
	}
	asked, err := wire.DecodeCall(method, body, enc)
	if err != nil {
		return nil, wire.FaultOf(err)
	}
	reply, err := s.answer(caller{ctx: r.Context(), token: token}, asked)
	if err != nil {
		return nil, s.fault(method, asked, err)
	}
	if body, err = wire.EncodeReply(reply, enc); err != nil {
		return nil, s.fault(method, asked, err)
	}
	return body, nil
}

// fault says in Twirp's words why a call failed. What is nobody's business but ours is logged instead.
func (s *Server) fault(method string, asked wire.Call, err error) wire.Fault {
	f := wire.FaultOf(err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		f = wire.Fault{Code: wire.DeadlineExceeded, Text: "timed out"}
	}
	if errors.Is(err, session.ErrBadPacket) {
		f = wire.Fault{Code: wire.InvalidArgument, Text: "undecodable data packet"}
	}
	s.log.Info("call failed", "method", method, "session", asked.Room(), "code", string(f.Code), "err", err)
	return f
}

// admin tells whether the token may manage id.
func (c caller) admin(id sfu.SessionID) bool {
	return c.token.Admin && id != "" && c.token.Session == id
}

// permitted applies the column "Grant" of livekit.md section 9.
func (c caller) permitted(asked wire.Call) bool {
	switch asked := asked.(type) {
	case wire.CreateRoom, wire.DeleteRoom:
		return c.token.Create
	case wire.ListRooms:
		return c.token.List
	case wire.ForwardParticipant:
		return c.admin(asked.Session) && asked.Destination != "" && c.token.Destination == asked.Destination
	case wire.MoveParticipant:
		return c.admin(asked.Session) && asked.Destination != "" && c.token.Destination == asked.Destination
	}
	return c.admin(asked.Room())
}
