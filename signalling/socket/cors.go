package socket

import "net/http"

// corsMaxAge is how long a browser may remember a preflight, in seconds: one day, as livekit.md section 1 has it.
const corsMaxAge = "86400"

// allowOrigin lets any page read the response, whatever its status. It goes first: browsers must be able to read the
// body of a 401 too, for the client library decides by it.
func allowOrigin(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "*")
}

// preflight answers OPTIONS (Fetch standard, CORS-preflight request).
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "OPTIONS, HEAD, GET, POST, PATCH, DELETE")
	// "*" does not stand for Authorization (Fetch standard, CORS non-wildcard request-header name), so the asked names are echoed.
	asked := r.Header.Get("Access-Control-Request-Headers")
	if asked == "" {
		asked = "*, Authorization"
	}
	h.Set("Access-Control-Allow-Headers", asked)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	h.Add("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
}
