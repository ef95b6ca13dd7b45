// Package member lets a bot take part in a Matrix call as a member: it logs in, is in the room, gets its token at a door of
// the focus, says in the room that it is there, and exchanges media keys with the other devices (matrixrtc.md sections 7,
// 11 and 13). Media is the business of package bench, whose Keychain it fills.
//
// It speaks the state memberships of Element Call's compatibility mode. Sticky memberships are read where the room is not
// encrypted; in an encrypted room they come as messages that bots do not read.
package member

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client is the client API of a homeserver.
type client struct {
	base  string
	token string // a secret
	http  *http.Client
}

const (
	answerMost  = 32 << 20 // bytes; a first sync of a large room is the longest
	callTimeout = 15 * time.Second
)

// Refused is an error that a server answered.
type Refused struct {
	Status int
	Code   string `json:"errcode"`
	Text   string `json:"error"`
}

func (r *Refused) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s %s", r.Status, r.Code, r.Text))
}

// missing says that a server does not know what it was asked for.
func missing(err error) bool {
	r, ok := errors.AsType[*Refused](err)
	return ok && r.Status == http.StatusNotFound
}

// do makes a request below the base URL; in and into are JSON, either may be nil. Errors name no token: it travels in a
// header only.
func (c *client) do(ctx context.Context, method, path string, query url.Values, in, into any) error {
	return c.post(ctx, c.base, method, path, query, in, into)
}

// post makes one anywhere.
func (c *client) post(ctx context.Context, base, method, path string, query url.Values, in, into any) error {
	fail := func(err error) error { return fmt.Errorf("%s %s: %w", method, path, err) }
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fail(err)
		}
		body = bytes.NewReader(text)
	}
	address := strings.TrimSuffix(base, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fail(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" && base == c.base {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fail(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerMost))
	switch {
	case err != nil:
		return fail(err)
	case answer.StatusCode/100 != 2:
		refused := &Refused{}
		_ = json.Unmarshal(text, refused)
		refused.Status = answer.StatusCode
		return fail(refused)
	case into != nil:
		if err := json.Unmarshal(text, into); err != nil {
			return fail(fmt.Errorf("the answer is no JSON of the expected form: %w", err))
		}
	}
	return nil
}

// try is do with a time limit.
func (c *client) try(ctx context.Context, method, path string, query url.Values, in, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.do(ctx, method, path, query, in, into)
}

// segment makes a path segment of an id.
func segment(id string) string { return url.PathEscape(id) }
