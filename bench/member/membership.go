package member

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	typeMember = "org.matrix.msc3401.call.member"
	lifetime   = 4 * time.Hour // of a membership, from its last writing
)

// content is a state membership as Element Call's compatibility mode writes it (matrixrtc.md section 7).
type content struct {
	Application string      `json:"application"`
	Call        string      `json:"call_id"`
	Scope       string      `json:"scope"`
	Device      string      `json:"device_id"`
	Membership  string      `json:"membershipID"`
	Expires     int64       `json:"expires"`              // ms, from the first writing
	Created     int64       `json:"created_ts,omitempty"` // ms, of the first writing; left out in it
	Active      focusActive `json:"focus_active"`
	Preferred   []transport `json:"foci_preferred"`
}

type focusActive struct {
	Type      string `json:"type"`
	Selection string `json:"focus_selection"`
}

// announce writes the membership, or writes it again with a later end.
func (c *Call) announce(ctx context.Context) error {
	now := time.Now()
	m := content{
		Application: "m.call", Scope: "m.room", Device: c.device.ID, Membership: string(c.Identity),
		Expires: (now.Sub(c.entered) + lifetime).Milliseconds(), Active: focusActive{"livekit", "multi_sfu"},
		Preferred: []transport{{Type: "livekit", Service: c.service, Alias: c.cfg.Room}},
	}
	if !c.renewal.IsZero() {
		m.Created = c.entered.UnixMilli()
	}
	if err := c.putMembership(ctx, m, nil, nil); err != nil {
		return err
	}
	c.renewal = now.Add(lifetime / 2)
	return nil
}

func (c *Call) putMembership(ctx context.Context, m any, query url.Values, into any) error {
	key := "_" + c.device.User + "_" + c.device.ID + "_m.call"
	return c.client.try(ctx, http.MethodPut, "/_matrix/client/v3/rooms/"+segment(c.cfg.Room)+"/state/"+typeMember+"/"+segment(key), query, m, into)
}

// guard is a delayed leave: if the bot dies, the homeserver ends its membership (MSC4140).
type guard struct {
	id  string // a secret; "": the homeserver knows no delayed events
	due time.Time
}

const (
	guardDelay  = 18 * time.Second
	guardPeriod = 5 * time.Second
	delayedPath = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/"
)

// arm schedules the leave.
func (g *guard) arm(ctx context.Context, c *Call) {
	var got struct {
		ID string `json:"delay_id"`
	}
	delay := url.Values{"org.matrix.msc4140.delay": {strconv.FormatInt(guardDelay.Milliseconds(), 10)}}
	*g = guard{}
	var versions struct {
		Unstable map[string]bool `json:"unstable_features"`
	}
	// A homeserver that does not know the parameter would take the leave for one that is meant now.
	if err := c.client.try(ctx, http.MethodGet, "/_matrix/client/versions", nil, nil, &versions); err != nil || !versions.Unstable["org.matrix.msc4140"] {
		return
	}
	if err := c.putMembership(ctx, struct{}{}, delay, &got); err != nil || got.ID == "" {
		c.log.Warn("no delayed leave: if this bot dies, it stays listed", "err", err)
		return
	}
	g.id, g.due = got.ID, time.Now().Add(guardPeriod)
}

func (g *guard) tick(ctx context.Context, c *Call, now time.Time) {
	if g.id == "" || now.Before(g.due) {
		return
	}
	g.due = now.Add(guardPeriod)
	err := c.client.try(ctx, http.MethodPost, delayedPath+segment(g.id)+"/restart", nil, struct{}{}, nil)
	if missing(err) { // the leave was sent: we were away for too long
		g.arm(ctx, c)
		err = c.announce(ctx)
	}
	if err != nil {
		c.log.Warn("the delayed leave was not put off", "err", err)
	}
}

func (g *guard) cancel(ctx context.Context, c *Call) {
	if g.id != "" {
		_ = c.client.try(ctx, http.MethodPost, delayedPath+segment(g.id)+"/cancel", nil, struct{}{}, nil) // it leaves twice then
	}
}
