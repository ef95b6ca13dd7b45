package matrix

import (
	"context"
	"errors"
)

// NobodysToken is an OpenID token that no homeserver has given out.
const NobodysToken = "weir-doctor-has-no-token"

// Inspect asks a homeserver whose NobodysToken is, as for a token of one of its users. It returns the status of its
// answer, and what was tried to find it; status 0: it was not reached.
func (v *Verifier) Inspect(ctx context.Context, server string) (status int, steps []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	var tr trace
	_, err = v.ask(ctx, server, NobodysToken, &tr)
	if s, answered := errors.AsType[statusError](err); answered {
		return int(s), tr, nil
	}
	return 0, tr, redact(err, NobodysToken)
}
