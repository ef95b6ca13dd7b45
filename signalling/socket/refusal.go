package socket

import "net/http"

// refusal is why a request for a connection is not served. The text is what a stranger may read; the code names the
// reason in logs and metrics.
type refusal struct {
	status int
	text   string
	code   string
	err    error // for the log; holds no token
}

// The texts are read by clients: JS takes a 404 for "no v1 here" unless it says that the room does not exist
// (livekit.md section 1).
var (
	noToken      = refusal{http.StatusUnauthorized, "invalid authorization token", "no_token", nil}
	badToken     = refusal{http.StatusUnauthorized, "invalid authorization token", "bad_token", nil}
	notPermitted = refusal{http.StatusUnauthorized, "permissions denied", "not_permitted", nil}
	withdrawn    = refusal{http.StatusUnauthorized, "permissions denied", "not_admitted", nil}
	unsure       = refusal{http.StatusServiceUnavailable, "try again", "not_known", nil}
	noIdentity   = refusal{http.StatusBadRequest, "identity cannot be empty", "no_identity", nil}
	noRoom       = refusal{http.StatusBadRequest, "room name cannot be empty", "no_room", nil}
	tooLong      = refusal{http.StatusBadRequest, "name or metadata exceeds limits", "too_long", nil}
	noJoin       = refusal{http.StatusBadRequest, "join_request is required", "no_join_request", nil}
	badJoin      = refusal{http.StatusBadRequest, "invalid join request", "bad_join_request", nil}
	badForm      = refusal{http.StatusBadRequest, "invalid parameters", "bad_form", nil}
	tooLarge     = refusal{http.StatusRequestEntityTooLarge, "request too large", "too_large", nil}
	notOpen      = refusal{http.StatusNotFound, "requested room does not exist", "no_session", nil}
	noCapacity   = refusal{http.StatusServiceUnavailable, "no capacity", "no_capacity", nil}
	broken       = refusal{http.StatusInternalServerError, "internal error", "internal", nil}
)

// because adds what the log shall say.
func (f refusal) because(err error) *refusal {
	f.err = err
	return &f
}
