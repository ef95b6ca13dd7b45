package member

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"weir/bench"
	"weir/bench/device"
	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/signalling/derive"
	roster "weir/signalling/member"
)

// Config says who a bot is and which call it joins.
type Config struct {
	Homeserver     string // base URL of its client API
	User, Password string // User is a localpart or a user id
	Room           string // id
	Service        string // service URL of the focus; "": the homeserver says
	Keys           *bench.Keychain
	HTTP           *http.Client // nil: the default one
	Log            *slog.Logger // nil: silent
}

// Call is a bot's place in a call. Join makes it, Enter makes it known to the room, Leave ends it.
type Call struct {
	URL, Token string       // of the session, for the bot that carries the media; Token is a secret
	Identity   sfu.Identity // of its participant
	Encrypted  bool         // the room is: media is sealed with keys per participant

	cfg     Config
	client  *client
	device  *device.Device
	service string
	log     *slog.Logger

	cancel context.CancelFunc
	done   chan struct{} // the loop has ended; nil: it never began

	// Owned by Join, then by the loop.
	since    string
	room     *roster.Room
	inbox    *keyring.Inbox
	rotation *keyring.Rotation
	peers    []keyring.Peer // that the rotation knows of; nil: it was told of none yet
	entered  time.Time
	renewal  time.Time // when the membership is written again
	guard    guard
	sent     int // to-device messages, for transaction ids

	mu      sync.Mutex // guards members
	members []Member
}

// Member is another device in the call.
type Member struct {
	User, Device string
	Identity     sfu.Identity
}

// Join logs in, enters the room and gets a token. The bot is in the call once it has connected and entered.
func Join(ctx context.Context, cfg Config) (*Call, error) {
	c := &Call{cfg: cfg, log: cfg.Log, client: &client{base: cfg.Homeserver, http: cfg.HTTP}, room: roster.NewRoom(cfg.Room, roster.Config{})}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.client.http == nil {
		c.client.http = http.DefaultClient
	}
	c.inbox = keyring.NewInbox(cfg.Room)
	c.rotation = keyring.NewRotation(keyring.RotationOptions{}, rand.Reader)
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"log in", c.login}, {"device keys", c.replenish}, {"join the room", c.join}, {"read the room", c.firstSync},
		{"find the focus", c.findService}, {"call token", c.askToken},
	} {
		if err := step.do(ctx); err != nil {
			c.logout()
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return c, nil
}

func (c *Call) login(ctx context.Context) error {
	var got struct {
		User   string `json:"user_id"`
		Device string `json:"device_id"`
		Token  string `json:"access_token"`
	}
	err := c.client.try(ctx, http.MethodPost, "/_matrix/client/v3/login", nil, map[string]any{
		"type": "m.login.password", "password": c.cfg.Password, "initial_device_display_name": "weir-bench",
		"identifier": map[string]string{"type": "m.id.user", "user": c.cfg.User},
	}, &got)
	if err != nil {
		return err
	}
	c.client.token = got.Token
	c.device, err = device.New(got.User, got.Device)
	c.Identity = derive.Identity(derive.Legacy, derive.Claim{User: got.User, Device: got.Device})
	return err
}

// logout takes the device away again, whatever happened.
func (c *Call) logout() {
	if c.client.token == "" {
		return
	}
	if err := c.client.try(context.Background(), http.MethodPost, "/_matrix/client/v3/logout", nil, struct{}{}, nil); err != nil {
		c.log.Warn("the device stays", "err", err)
	}
}

func (c *Call) join(ctx context.Context) error {
	return c.client.try(ctx, http.MethodPost, "/_matrix/client/v3/join/"+segment(c.cfg.Room), nil, struct{}{}, nil)
}

// transport is a focus, as homeservers and memberships name it (MSC4143, MSC4195).
type transport struct {
	Type    string `json:"type"`
	Service string `json:"livekit_service_url"`
	Alias   string `json:"livekit_alias,omitempty"`
}

func (c *Call) findService(ctx context.Context) error {
	if c.service = c.cfg.Service; c.service != "" {
		return nil
	}
	var got struct {
		Transports []transport `json:"rtc_transports"`
	}
	err := c.client.try(ctx, http.MethodGet, "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", nil, nil, &got)
	if missing(err) {
		err = c.client.try(ctx, http.MethodGet, "/_matrix/client/v1/rtc/transports", nil, nil, &got)
	}
	if err != nil {
		return err
	}
	for _, t := range got.Transports {
		if t.Type == "livekit" && t.Service != "" {
			c.service = t.Service
			return nil
		}
	}
	return errors.New("the homeserver names none: --service does")
}

// askToken goes through door 1 (matrixrtc.md section 2.1).
func (c *Call) askToken(ctx context.Context) error {
	var proof json.RawMessage
	if err := c.client.try(ctx, http.MethodPost, "/_matrix/client/v3/user/"+segment(c.device.User)+"/openid/request_token", nil, struct{}{}, &proof); err != nil {
		return err
	}
	var got struct {
		URL string `json:"url"`
		JWT string `json:"jwt"`
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := c.client.post(limited, c.service, http.MethodPost, "/sfu/get", url.Values{}, map[string]any{
		"room": c.cfg.Room, "openid_token": proof, "device_id": c.device.ID,
	}, &got)
	c.URL, c.Token = got.URL, got.JWT
	return err
}

// Members are the other devices in the call.
func (c *Call) Members() []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Member(nil), c.members...)
}

// Begin makes the bot's own key and seals with it, before anybody else has it.
func (c *Call) Begin() error {
	steps, err := c.rotation.Members(time.Now(), nil, nil)
	c.follow(context.Background(), steps, err)
	return err
}

// Enter tells the room that the bot is in the call, and exchanges keys from now on.
func (c *Call) Enter(ctx context.Context) error {
	c.entered = time.Now()
	c.guard.arm(ctx, c)
	if err := c.announce(ctx); err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.Background())
	c.cancel, c.done = cancel, make(chan struct{})
	go c.run(running)
	return nil
}

// Leave takes the membership back and logs out.
func (c *Call) Leave() error {
	if c.done != nil {
		c.cancel()
		<-c.done
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var err error
	if !c.entered.IsZero() {
		err = c.putMembership(ctx, struct{}{}, nil, nil)
		c.guard.cancel(ctx, c)
	}
	c.logout()
	return err
}
