package matrix

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Transport is how clients find this focus (matrixrtc.md section 6).
type Transport struct {
	Type    string `json:"type"`
	Service string `json:"livekit_service_url"`
}

// Transports are the transports of a focus whose service URL this is. Clients compare the URL byte by byte.
func Transports(service string) []Transport { return []Transport{{Type: "livekit", Service: service}} }

// WellKnown is the body of /.well-known/matrix/client on the host of the server name.
func WellKnown(homeserver, service string) ([]byte, error) {
	type address struct {
		URL string `json:"base_url"`
	}
	file := struct {
		Homeserver *address    `json:"m.homeserver,omitempty"`
		Foci       []Transport `json:"org.matrix.msc4143.rtc_foci"`
	}{Foci: Transports(service)}
	if homeserver != "" {
		file.Homeserver = &address{strings.TrimSuffix(homeserver, "/")}
	}
	return json.MarshalIndent(file, "", "  ")
}

// ServeWellKnown serves that file, to any page's script.
func ServeWellKnown(body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			h.Set("Content-Type", "application/json")
			_, _ = w.Write(body)
		case http.MethodOptions:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
}
