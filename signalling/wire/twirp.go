package wire

import (
	"encoding/json"
	"errors"

	"weir/sfu/session"
)

// Fault is an error of the server API in Twirp's form (Twirp wire protocol v7, "Errors").
type Fault struct {
	Code FaultCode
	Text string
}

// FaultCode is one of Twirp's error codes.
type FaultCode string

const (
	BadRoute           FaultCode = "bad_route"
	MalformedCall      FaultCode = "malformed"
	Unauthenticated    FaultCode = "unauthenticated"
	PermissionDenied   FaultCode = "permission_denied"
	InvalidArgument    FaultCode = "invalid_argument"
	NotFound           FaultCode = "not_found"
	AlreadyExists      FaultCode = "already_exists"
	FailedPrecondition FaultCode = "failed_precondition"
	Unimplemented      FaultCode = "unimplemented"
	ResourceExhausted  FaultCode = "resource_exhausted"
	Unavailable        FaultCode = "unavailable"
	DeadlineExceeded   FaultCode = "deadline_exceeded"
	Internal           FaultCode = "internal"
)

// Status is the HTTP status that goes with the code.
func (c FaultCode) Status() int {
	switch c {
	case BadRoute, NotFound:
		return 404
	case MalformedCall, InvalidArgument:
		return 400
	case Unauthenticated:
		return 401
	case PermissionDenied:
		return 403
	case AlreadyExists:
		return 409
	case FailedPrecondition:
		return 412
	case ResourceExhausted:
		return 429
	case Unimplemented:
		return 501
	case Unavailable:
		return 503
	case DeadlineExceeded:
		return 408
	}
	return 500
}

// Error makes a Fault an error.
func (f Fault) Error() string { return "api: " + string(f.Code) + ": " + f.Text }

// Body is the JSON body; it is JSON also when the call was protobuf.
func (f Fault) Body() []byte {
	body, err := json.Marshal(map[string]string{"code": string(f.Code), "msg": f.Text})
	if err != nil {
		panic("wire: two strings always marshal: " + err.Error())
	}
	return body
}

// FaultOf tells a caller of the API what went wrong. Errors of our own making are not told in full.
func FaultOf(err error) Fault {
	var f Fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, session.ErrNoSession):
		return Fault{NotFound, "requested room does not exist"}
	case errors.Is(err, session.ErrNoParticipant):
		return Fault{NotFound, "participant does not exist"}
	case errors.Is(err, session.ErrNoPublication):
		return Fault{NotFound, "track is not found"}
	case errors.Is(err, session.ErrNotAllowed):
		return Fault{PermissionDenied, "not allowed"}
	case errors.Is(err, session.ErrRemoteUnmute):
		return Fault{FailedPrecondition, "remote unmute not enabled"}
	case errors.Is(err, session.ErrBadPacket):
		return Fault{InvalidArgument, "bad data packet"}
	case errors.Is(err, session.ErrTooLarge), errors.Is(err, ErrTooLarge):
		return Fault{InvalidArgument, "over a size limit"}
	case errors.Is(err, ErrMalformed):
		return Fault{MalformedCall, err.Error()}
	case errors.Is(err, ErrUnknown):
		return Fault{BadRoute, err.Error()}
	}
	return Fault{Internal, "internal error"}
}
