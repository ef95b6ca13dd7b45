package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
	"weir/signalling/wire"
)

// Webhooks says whom to tell what happens in sessions, and who signs. The zero value tells nobody.
type Webhooks struct {
	URLs []string
	Key  string // id of the API key that signs
	// Client sends; nil: one with the default transport.
	Client *http.Client
}

// Limits of webhooks (livekit.md section 9).
const (
	hookQueue   = 200              // notices waiting, per session and receiver
	hookAge     = 30 * time.Second // an older notice is dropped
	hookTimeout = 10 * time.Second // one request
	hookRetry   = 500 * time.Millisecond
	hookRetries = 5 * time.Second // longest pause between two attempts
)

// hooks sends notices to receivers, in order per session and receiver. A queue has a goroutine while it is not empty.
type hooks struct {
	cfg     Webhooks
	key     grant.Key
	client  *http.Client
	log     *slog.Logger
	metrics *metrics
	ctx     context.Context // ends with the focus
	cancel  context.CancelFunc

	mu     sync.Mutex
	queues map[destination][]wire.Webhook // present while its goroutine runs
	closed bool                           // nothing is queued any more
	wg     sync.WaitGroup
}

type destination struct {
	url     string
	session sfu.SessionID
}

func newHooks(cfg Webhooks, keys grant.Keys, log *slog.Logger, m *metrics) *hooks {
	client := http.Client{}
	if cfg.Client != nil {
		client = *cfg.Client
	}
	client.Timeout = hookTimeout
	// A redirected webhook would carry its signature to somebody the operator did not name.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ctx, cancel := context.WithCancel(context.Background())
	return &hooks{cfg: cfg, key: grant.Key{ID: cfg.Key, Secret: keys[cfg.Key]}, client: &client, log: log, metrics: m,
		ctx: ctx, cancel: cancel, queues: make(map[destination][]wire.Webhook)}
}

// notify queues a notice for every receiver. It never blocks.
func (h *hooks) notify(n session.Notice) {
	if len(h.cfg.URLs) == 0 {
		return
	}
	hook := wire.Webhook{ID: newID("EV_"), Created: time.Now(), Notice: n}
	if hook.Name() == "" {
		return // not for outsiders
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	for _, url := range h.cfg.URLs {
		to := destination{url, n.Session.ID}
		queue, running := h.queues[to]
		if len(queue) >= hookQueue {
			h.drop(to, hook, "queue full")
			continue
		}
		h.queues[to] = append(queue, hook)
		if !running {
			h.wg.Add(1)
			go h.run(to)
		}
	}
}

// run sends the queue of one receiver and ends when it is empty.
func (h *hooks) run(to destination) {
	defer h.wg.Done()
	for {
		hook, more := h.next(to)
		if !more {
			return
		}
		h.deliver(to, hook)
	}
}

// next takes the oldest notice off the queue; an empty queue ends.
func (h *hooks) next(to destination) (wire.Webhook, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	queue := h.queues[to]
	if len(queue) == 0 {
		delete(h.queues, to)
		return wire.Webhook{}, false
	}
	hook := queue[0]
	h.queues[to] = slices.Delete(queue, 0, 1)
	return hook, true
}

// deliver tries until the receiver took it, refused it, or it is too old.
func (h *hooks) deliver(to destination, hook wire.Webhook) {
	body, err := wire.EncodeWebhook(hook)
	if err != nil {
		h.log.Error("webhook could not be encoded", "session", to.session, "err", err)
		return
	}
	ctx, cancel := context.WithDeadline(h.ctx, hook.Created.Add(hookAge))
	defer cancel()
	for pause := hookRetry; ; pause = min(2*pause, hookRetries) {
		if ctx.Err() != nil {
			h.drop(to, hook, "too old")
			return
		}
		again, err := h.post(ctx, to.url, body)
		if err == nil {
			h.metrics.webhooks.WithLabelValues("sent").Inc()
			return
		}
		if !again {
			h.drop(to, hook, err.Error())
			return
		}
		h.log.Debug("webhook failed", "session", to.session, "url", to.url, "err", err)
		wait(ctx, pause)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// post makes one attempt; again says that another may succeed.
func (h *hooks) post(ctx context.Context, url string, body []byte) (again bool, err error) {
	token, err := grant.MintWebhook(body, h.key, time.Now())
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/webhook+json")
	req.Header.Set("Authorization", token) // without Bearer: receivers read it as it is
	resp, err := h.client.Do(req)
	if err != nil {
		return true, fmt.Errorf("sending: %w", err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode < 300:
		return false, nil
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return true, errors.New("receiver answered " + resp.Status)
	}
	return false, errors.New("receiver answered " + resp.Status)
}

// drop counts and logs a notice nobody will get.
func (h *hooks) drop(to destination, hook wire.Webhook, why string) {
	h.metrics.webhooks.WithLabelValues("dropped").Inc()
	h.log.Warn("webhook dropped", "session", to.session, "url", to.url, "id", hook.ID, "code", why)
}

// close takes no more notices, and sends those that wait until ctx is done.
func (h *hooks) close(ctx context.Context) {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	stop := context.AfterFunc(ctx, h.cancel)
	h.wg.Wait()
	stop()
	h.cancel()
}
