package member

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"weir/e2ee/keyring"
	roster "weir/signalling/member"
)

// answer is what of a /sync is read.
type answer struct {
	Next     string         `json:"next_batch"`
	OneTime  map[string]int `json:"device_one_time_keys_count"`
	ToDevice struct {
		Events []toDevice `json:"events"`
	} `json:"to_device"`
	Rooms struct {
		Join map[string]*joined `json:"join"`
	} `json:"rooms"`
}

type toDevice struct {
	Type    string          `json:"type"`
	Sender  string          `json:"sender"`
	Content json.RawMessage `json:"content"`
}

type eventList struct {
	Events []json.RawMessage `json:"events"`
}

type joined struct {
	State    eventList `json:"state"`
	Timeline eventList `json:"timeline"`
	Sticky   eventList `json:"msc4354_sticky"`
}

const pollTime = 30 * time.Second

// sync asks what happened, and waits for it except the first time.
func (c *Call) sync(ctx context.Context) (*answer, error) {
	none := map[string]any{"types": []string{}}
	filter, _ := json.Marshal(map[string]any{
		"presence": none, "account_data": none,
		"room": map[string]any{
			"rooms": []string{c.cfg.Room}, "ephemeral": none, "account_data": none,
			"timeline": map[string]any{"limit": 100}, "state": map[string]any{"lazy_load_members": false},
		},
	})
	query := url.Values{"filter": {string(filter)}, "set_presence": {"offline"}, "timeout": {"0"}}
	if c.since != "" {
		query.Set("since", c.since)
		query.Set("timeout", strconv.FormatInt(pollTime.Milliseconds(), 10))
	}
	ctx, cancel := context.WithTimeout(ctx, pollTime+2*callTimeout)
	defer cancel()
	var a answer
	if err := c.client.do(ctx, http.MethodGet, "/_matrix/client/v3/sync", query, nil, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

func (c *Call) firstSync(ctx context.Context) error {
	a, err := c.sync(ctx)
	if err != nil {
		return err
	}
	if r := a.Rooms.Join[c.cfg.Room]; r != nil {
		events := c.decode(time.Now(), r.State, r.Timeline)
		c.room.Apply(time.Now(), roster.State{Events: current(events)}, nil)
		c.room.Apply(time.Now(), roster.Batch{Events: c.decode(time.Now(), r.Sticky)}, nil)
	}
	c.Encrypted = c.room.Snapshot().Encrypted
	c.since = a.Next
	c.receive(ctx, a)
	return nil
}

// current is the last event of each piece of state.
func current(events []roster.Event) []roster.Event {
	at := map[[2]string]int{}
	var last []roster.Event
	for _, e := range events {
		if !e.State {
			continue
		}
		k := [2]string{e.Type, e.StateKey}
		if i, known := at[k]; known {
			last[i] = e
			continue
		}
		at[k] = len(last)
		last = append(last, e)
	}
	return last
}

func (c *Call) decode(received time.Time, lists ...eventList) []roster.Event {
	var all []roster.Event
	for _, list := range lists {
		for _, raw := range list.Events {
			if e, err := roster.Decode(raw, received); err == nil {
				all = append(all, e)
			}
		}
	}
	return all
}

// run owns the call until it is cancelled.
func (c *Call) run(ctx context.Context) {
	defer close(c.done)
	answers := make(chan *answer)
	var polling sync.WaitGroup
	polling.Go(func() { c.poll(ctx, answers) })
	defer polling.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	c.rosterChanged(ctx)
	for {
		select {
		case a := <-answers:
			if r := a.Rooms.Join[c.cfg.Room]; r != nil {
				c.room.Apply(time.Now(), roster.Batch{Events: c.decode(time.Now(), r.State, r.Timeline, r.Sticky)}, nil)
			}
			c.receive(ctx, a)
			c.rosterChanged(ctx)
		case <-timer.C:
			c.tick(ctx)
		case <-ctx.Done():
			return
		}
		timer.Reset(max(time.Until(c.deadline()), 0))
	}
}

// poll hands answers on, in order; c.since is its own while it runs.
func (c *Call) poll(ctx context.Context, answers chan<- *answer) {
	for wait := time.Second; ctx.Err() == nil; {
		a, err := c.sync(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.log.Warn("the homeserver is not reached", "err", err)
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			wait = min(2*wait, time.Minute)
			continue
		}
		wait, c.since = time.Second, a.Next
		select {
		case answers <- a:
		case <-ctx.Done():
		}
	}
}

func (c *Call) deadline() time.Time {
	at := c.renewal
	for _, t := range []time.Time{c.rotation.Deadline(), c.room.Deadline(), c.guard.due} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	return at
}

func (c *Call) tick(ctx context.Context) {
	now := time.Now()
	if !now.Before(c.renewal) {
		if err := c.announce(ctx); err != nil {
			c.log.Warn("the membership was not renewed", "err", err)
			c.renewal = now.Add(time.Minute)
		}
	}
	c.guard.tick(ctx, c, now)
	c.room.Apply(now, roster.Tick{}, nil)
	c.rosterChanged(ctx)
	steps, err := c.rotation.Tick(now, nil)
	c.follow(ctx, steps, err)
}

// rosterChanged looks who is in the call now.
func (c *Call) rosterChanged(ctx context.Context) {
	var members []keyring.Member
	var peers []keyring.Peer
	var shown []Member
	for _, slot := range c.room.Slots() {
		for _, m := range c.room.Roster(slot).Members {
			if m.User == c.device.User && m.Device == c.device.ID {
				continue
			}
			identity := m.Candidates()[0]
			members = append(members, keyring.Member{User: m.User, Device: m.Device, Identity: identity})
			peers = append(peers, keyring.Peer{User: m.User, Device: m.Device, Joined: m.Created.UnixMilli()})
			shown = append(shown, Member{m.User, m.Device, identity})
		}
	}
	c.mu.Lock()
	c.members = shown
	c.mu.Unlock()
	if !c.Encrypted {
		return
	}
	now := time.Now()
	c.install(c.inbox.Members(now, members, nil))
	if c.peers == nil || !slices.Equal(c.peers, peers) {
		c.peers = append([]keyring.Peer{}, peers...)
		steps, err := c.rotation.Members(now, peers, nil)
		c.follow(ctx, steps, err)
	}
}
