package matrix

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// refusal is an error a door answers with (matrixrtc.md section 2.1). Code names it in logs and metrics, where the same
// text may hide several reasons from the caller.
type refusal struct {
	status  int
	errcode string
	text    string
	code    string
	wait    time.Duration // 429: when to try again
	cause   error         // for the log
}

func (r *refusal) Error() string { return r.code }

func (r *refusal) because(err error) *refusal {
	c := *r
	c.cause = err
	return &c
}

var (
	unreadable = &refusal{status: http.StatusBadRequest, errcode: "M_NOT_JSON", text: "Error reading request", code: "unreadable"}
	// One text for all that have to do with who the caller is, and one for all that have to do with what it may do: the
	// answer never tells whether a user or a room exists.
	unauthorised = &refusal{status: http.StatusUnauthorized, errcode: "M_UNAUTHORIZED", text: "The request could not be authorised.", code: "openid"}
	impostor     = &refusal{status: http.StatusUnauthorized, errcode: "M_UNAUTHORIZED", text: "The request could not be authorised.", code: "claimed_user"}
	notAllowed   = &refusal{status: http.StatusForbidden, errcode: "M_FORBIDDEN", text: "You are not allowed to join this call here.", code: "policy"}
	notJoined    = &refusal{status: http.StatusForbidden, errcode: "M_FORBIDDEN", text: "You are not allowed to join this call here.", code: "not_joined"}
	deniedServer = &refusal{status: http.StatusForbidden, errcode: "M_FORBIDDEN", text: "You are not allowed to join this call here.", code: "server_acl"}
	slotClosed   = &refusal{status: http.StatusForbidden, errcode: "M_FORBIDDEN", text: "You are not allowed to join this call here.", code: "slot_closed"}
	noDelegation = &refusal{status: http.StatusBadRequest, errcode: "M_BAD_JSON", text: "Delayed leave delegation is not offered by this service.", code: "no_delegation"}
	foreignDelay = &refusal{status: http.StatusBadRequest, errcode: "M_BAD_JSON", text: "Delayed leave delegation is offered to users of this service's own homeserver only.", code: "foreign_delegation"}
	foreignLeave = &refusal{status: http.StatusForbidden, errcode: "M_FORBIDDEN", text: "Delayed leave delegation is offered to users of this service's own homeserver only.", code: "foreign_delegation"}
	notHere      = &refusal{status: http.StatusNotFound, errcode: "M_UNRECOGNIZED", text: "Delayed leave delegation is not offered by this service.", code: "no_delegation"}
	internal     = &refusal{status: http.StatusInternalServerError, errcode: "M_UNKNOWN", text: "The request could not be answered.", code: "internal"}
	lookupFailed = &refusal{status: http.StatusServiceUnavailable, errcode: "M_UNKNOWN", text: "The membership could not be looked up.", code: "lookup"}
	draining     = &refusal{status: http.StatusServiceUnavailable, errcode: "M_UNKNOWN", text: "The service is shutting down.", code: "draining"}
)

// The refusals of doors 3 and 4 (matrixrtc.md section 2.2).
var (
	missingToken = &refusal{status: http.StatusUnauthorized, errcode: "M_MISSING_TOKEN", text: "Missing homeserver token", code: "hs_token"}
	unknownToken = &refusal{status: http.StatusUnauthorized, errcode: "M_UNKNOWN_TOKEN", text: "Unknown homeserver token", code: "hs_token"}
	noIdentity   = &refusal{status: http.StatusUnauthorized, errcode: "M_UNAUTHORIZED", text: "The request could not be authorised.", code: "identity"}
	notVouched   = &refusal{status: http.StatusForbidden, errcode: "M_FORBIDDEN", text: "You are not allowed to join this call here.", code: "not_vouched"}
	unrecognised = &refusal{status: http.StatusNotFound, errcode: "M_UNRECOGNIZED", text: "Unrecognized request", code: "path"}
	wrongMethod  = &refusal{status: http.StatusMethodNotAllowed, errcode: "M_UNRECOGNIZED", text: "Unrecognized request", code: "method"}
	noToken      = &refusal{status: http.StatusBadGateway, errcode: "M_UNKNOWN", text: "The other server gave no token.", code: "relay_answer"}
)

// invalid is a value that is well formed and wrong.
func invalid(code, format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, errcode: "M_INVALID_PARAM", text: fmt.Sprintf(format, args...), code: code}
}

// badJSON is a field that is missing or cannot be.
func badJSON(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, errcode: "M_BAD_JSON", text: fmt.Sprintf(format, args...), code: "form"}
}

// limited asks to come back later. code tells which limit.
func limited(wait time.Duration, code string) *refusal {
	return &refusal{status: http.StatusTooManyRequests, errcode: "M_LIMIT_EXCEEDED", text: "Too many requests", code: code, wait: wait}
}

func (r *refusal) write(w http.ResponseWriter) {
	body := struct {
		Code  string `json:"errcode"`
		Text  string `json:"error"`
		After *int64 `json:"retry_after_ms,omitempty"`
	}{Code: r.errcode, Text: r.text}
	if r.status == http.StatusTooManyRequests {
		ms := r.wait.Milliseconds() + 1 // rounded up: who comes back at the instant told finds the purse filled
		body.After = &ms
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(float64(ms)/1000)))) // RFC 9110 section 10.2.3: whole seconds
	}
	writeJSON(w, r.status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // the caller hung up: nobody is left to tell
}
