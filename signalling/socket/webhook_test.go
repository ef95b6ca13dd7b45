package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
)

// receiver is the far end of webhooks.
type receiver struct {
	mu   sync.Mutex
	got  []hook
	say  func(n int) (status int, err error) // of the nth request
	wait time.Duration
}

type hook struct {
	at              time.Time
	auth, kind      string
	body            []byte
	event, id, room string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	h := hook{at: time.Now(), auth: req.Header.Get("Authorization"), kind: req.Header.Get("Content-Type"), body: body}
	var parsed struct {
		Event, ID string
		Room      struct{ Name string }
	}
	_ = json.Unmarshal(body, &parsed)
	h.event, h.id, h.room = parsed.Event, parsed.ID, parsed.Room.Name
	if r.wait > 0 {
		select {
		case <-time.After(r.wait):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, h)
	status, err := 200, error(nil)
	if r.say != nil {
		status, err = r.say(len(r.got))
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

func (r *receiver) all() []hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func hooked(t *testing.T, r *receiver, urls ...string) *world {
	if urls == nil {
		urls = []string{"http://receiver/hook"}
	}
	return newWorld(t, Config{Webhooks: Webhooks{URLs: urls, Key: testKey.ID, Client: &http.Client{Transport: r}}}, newFocus())
}

func notice(id sfu.SessionID, kind session.NoticeKind) session.Notice {
	return session.Notice{Kind: kind, Session: session.View{ID: id, SID: "RM_1"},
		Participant: &session.ParticipantView{ID: "PA_1", Identity: "alice"}, Reason: session.ClientInitiated}
}

func TestWebhookIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		w := hooked(t, r)
		w.server.Notify(notice("call", session.ParticipantLeft))
		synctest.Wait()
		got := r.all()
		if len(got) != 1 {
			t.Fatalf("%d requests", len(got))
		}
		h := got[0]
		if strings.HasPrefix(h.auth, "Bearer") || h.kind != "application/webhook+json" {
			t.Errorf("headers %q, %q", h.auth, h.kind)
		}
		if err := grant.VerifyWebhook(h.auth, h.body, grant.Keys{testKey.ID: testKey.Secret}, time.Now()); err != nil {
			t.Errorf("signature: %v", err)
		}
		if h.event != "participant_left" || !strings.HasPrefix(h.id, "EV_") || h.room != "call" || !strings.Contains(string(h.body), "CLIENT_INITIATED") {
			t.Errorf("body %s", h.body)
		}
		if strings.Contains(w.logged.String(), h.auth) {
			t.Error("a token is in the log")
		}
	})
}

// One session's webhooks keep their order through failures; another session's do not wait for them.
func TestWebhookOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 0
		r := &receiver{}
		r.say = func(n int) (int, error) {
			if r.got[n-1].room == "slow" && failures < 3 {
				failures++
				if failures == 2 {
					return 0, errors.New("connection reset")
				}
				return 503, nil
			}
			return 200, nil
		}
		w := hooked(t, r)
		kinds := []session.NoticeKind{session.SessionStarted, session.ParticipantJoined, session.TrackPublished, session.SessionFinished}
		for _, k := range kinds {
			w.server.Notify(notice("slow", k))
		}
		w.server.Notify(notice("quick", session.SessionStarted))
		synctest.Wait()
		if got := r.all(); !slices.ContainsFunc(got, func(h hook) bool { return h.room == "quick" }) {
			t.Error("another session waits")
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		var order []string
		for _, h := range r.all() {
			if h.room == "slow" {
				order = append(order, h.event)
			}
		}
		want := "room_started room_started room_started room_started participant_joined track_published room_finished"
		if got := strings.Join(order, " "); got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestWebhookGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		say    func(int) (int, error)
		wait   time.Duration
		atMost time.Duration
		tries  int // at most
	}{
		"a refusal is final":        {say: func(int) (int, error) { return 403, nil }, tries: 1},
		"a redirect is a refusal":   {say: func(int) (int, error) { return 302, nil }, tries: 1},
		"thirty seconds of trouble": {say: func(int) (int, error) { return 500, nil }, atMost: 30 * time.Second, tries: 12},
		"a receiver that hangs":     {wait: time.Hour, atMost: 30 * time.Second, tries: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{say: c.say, wait: c.wait}
				w := hooked(t, r)
				began := time.Now()
				w.server.Notify(notice("call", session.SessionStarted))
				w.server.hooks.wg.Wait()
				if d := time.Since(began); d > c.atMost {
					t.Errorf("took %v", d)
				}
				if n := len(r.all()); n > c.tries {
					t.Errorf("%d tries", n)
				}
				if !strings.Contains(w.logged.String(), "webhook dropped") {
					t.Error("dropped in silence")
				}
			})
		})
	}
}

func TestWebhookQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{wait: time.Second}
		w := hooked(t, r)
		w.server.Notify(notice("call", session.SessionStarted))
		synctest.Wait() // one is on its way
		for range hookQueue + 5 {
			w.server.Notify(notice("call", session.ParticipantJoined))
		}
		if n := strings.Count(w.logged.String(), "queue full"); n != 5 {
			t.Errorf("%d dropped", n)
		}
	})
}

func TestWebhookReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		w := hooked(t, r, "http://a/", "http://b/")
		w.server.Notify(notice("call", session.SessionStarted))
		synctest.Wait()
		if n := len(r.all()); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

// Close sends what is queued, as long as it may.
func TestWebhooksAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{wait: time.Second}
		w := hooked(t, r)
		for range 3 {
			w.server.Notify(notice("call", session.SessionFinished))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		w.server.Close(ctx)
		if n := len(r.all()); n != 2 {
			t.Errorf("%d sent in time", n)
		}
		w.server.Notify(notice("call", session.SessionFinished)) // too late: nothing happens
	})
}
