package matrix

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxList bounds an answer of the own homeserver that lists the members or events of a room, which can be many. All
// other answers are small, and it is not trusted to know that.
const maxList = 64 << 20

// callTimeout bounds a call that is no long poll.
const callTimeout = 5 * time.Second

// Homeserver is the client API of the own homeserver, as somebody with an access token sees it: the application
// service, any own user it stands in for, or a bot. It keeps nothing of what it is told. Safe for use by many goroutines.
type Homeserver struct {
	base   *url.URL
	token  string
	client *http.Client
}

// NewHomeserver makes a client for the API at the internal URL, or at the public one.
func NewHomeserver(c Config, token string, n Network) (*Homeserver, error) {
	base, err := url.Parse(c.ClientURL())
	if err != nil || base.Host == "" {
		return nil, &Fault{"internal_url", "missing: where the homeserver's client API is reached"}
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	d := newDialer(guard{anywhere}, n) // the operator wrote it
	t := newTransport(d.connect, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots})
	// Each active room keeps one long poll open.
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.MaxIdleConns = 0, 32, 64
	return &Homeserver{base: base, token: token, client: &http.Client{
		Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close ends connections that nobody uses.
func (h *Homeserver) Close() { h.client.CloseIdleConnections() }

// Refused is an error that the homeserver answered.
type Refused struct {
	Status int
	Code   string        // errcode
	After  time.Duration // when to come back, if it said so
}

func (r *Refused) Error() string {
	return strings.TrimSpace(fmt.Sprintf("homeserver answered status %d %s", r.Status, r.Code))
}

// call is one request. as, if not empty, is the own user that the application service stands in for. in and into are
// JSON; either may be nil.
type call struct {
	method, path string // path is escaped
	query        url.Values
	as           string
	in, into     any
	limit        int64 // of the answer; 0: maxAnswer
}

// do makes the call. Its errors hold no token: tokens travel in headers only.
func (h *Homeserver) do(ctx context.Context, c call) error {
	req, err := h.request(ctx, c)
	if err != nil {
		return fmt.Errorf("%s %s: %w", c.method, c.path, err)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // it quotes the whole URL
		}
		return fmt.Errorf("%s %s: %w", c.method, c.path, err)
	}
	defer resp.Body.Close()
	if err := c.take(resp); err != nil {
		return fmt.Errorf("%s %s: %w", c.method, c.path, err)
	}
	return nil
}

func (h *Homeserver) request(ctx context.Context, c call) (*http.Request, error) {
	var body io.Reader
	if c.in != nil {
		b, err := json.Marshal(c.in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	u := *h.base
	u.RawPath = u.EscapedPath() + c.path
	path, err := url.PathUnescape(u.RawPath)
	if err != nil {
		return nil, err
	}
	u.Path = path
	query := url.Values{}
	for k, v := range c.query {
		query[k] = v
	}
	if c.as != "" {
		query.Set("user_id", c.as)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if c.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if h.token != "" {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	return req, nil
}

// take reads the answer of a call.
func (c call) take(resp *http.Response) error {
	if resp.StatusCode/100 != 2 {
		return refusedBy(resp, time.Now())
	}
	limit := c.limit
	if limit == 0 {
		limit = maxAnswer
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return err
	case int64(len(b)) > limit:
		return fmt.Errorf("answer of more than %d bytes", limit)
	case c.into != nil && json.Unmarshal(b, c.into) != nil:
		return errors.New("the answer is no JSON of the expected form")
	}
	return nil
}

// refusedBy reads an error answer; of a proxy's page only the status is left.
func refusedBy(resp *http.Response, now time.Time) *Refused {
	r := &Refused{Status: resp.StatusCode}
	var body struct {
		Code  string  `json:"errcode"`
		After float64 `json:"retry_after_ms"`
	}
	if b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10)); err == nil && json.Unmarshal(b, &body) == nil {
		r.Code = body.Code[:min(len(body.Code), 100)]
	}
	r.After = retryAfter(resp.Header.Get("Retry-After"), now)
	if r.After == 0 {
		r.After = time.Duration(min(max(body.After, 0), 3.6e6)) * time.Millisecond
	}
	return r
}

// retryAfter reads the header (RFC 9110 section 10.2.3): whole seconds, or a date. At most an hour is believed.
func retryAfter(header string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(header); err == nil {
		return min(max(time.Duration(s)*time.Second, 0), time.Hour)
	}
	if t, err := http.ParseTime(header); err == nil {
		return min(max(t.Sub(now), 0), time.Hour)
	}
	return 0
}

// escape makes a path segment of an id. Dots are no danger: every id begins with a sigil.
func escape(id string) string { return url.PathEscape(id) }
