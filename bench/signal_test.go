package bench

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/signalling/wire"
)

// TestRefusalHidesToken: LiveKit's answer to a token that it does not take repeats the token.
func TestRefusalHidesToken(t *testing.T) {
	const token = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"
	for name, c := range map[string]struct{ body, want string }{
		"repeated": {"invalid token: %s, error: go-jose", "401 Unauthorized: invalid token: (token), error: go-jose"},
		"plain":    {"no such key", "401 Unauthorized: no such key"},
		"long":     {strings.Repeat("x", 5000), "401 Unauthorized: " + strings.Repeat("x", 300) + "…"},
		"cut rune": {strings.Repeat("x", 299) + "€€", "401 Unauthorized: " + strings.Repeat("x", 299) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = fmt.Fprint(w, strings.ReplaceAll(c.body, "%s", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
			}))
			defer s.Close()
			_, err := dialSignal(t.Context(), &BotConfig{URL: "ws" + strings.TrimPrefix(s.URL, "http"), Token: token}, wire.JoinRequest{})
			if !errors.Is(err, ErrRefused) || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%v, want …%s", err, c.want)
			}
		})
	}
}
