package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"weir/bench"
	"weir/bench/member"
	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/media"
)

// call lets one bot be a member of a Matrix call.
type call struct {
	Homeserver  string `required:"" placeholder:"http://HOST:PORT" help:"Base URL of the bot's homeserver."`
	User        string `required:"" help:"User to log in as."`
	Password    string `required:"" env:"WEIR_BENCH_PASSWORD" help:"Its password."`
	Room        string `required:"" help:"Id of the room; the bot joins it if it may."`
	Service     string `placeholder:"URL" help:"Service URL of the focus; without one the homeserver is asked."`
	AllowRemote bool   `help:"Talk to servers off this machine."`
}

// callReport is what is printed each second.
type callReport struct {
	report
	Identity sfu.Identity    `json:"identity"`
	Members  []member.Member `json:"members"` // the others
}

const reportPeriod = time.Second

// Run takes part until ctx ends. It prints what it opened of each participant, a JSON object a line.
func (c *call) Run(ctx context.Context) error {
	guard, err := bench.NewGuard(c.AllowRemote)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	keys := bench.NewKeychain(keyring.PerParticipant, false)
	joining, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	place, err := member.Join(joining, member.Config{
		Homeserver: c.Homeserver, User: c.User, Password: c.Password, Room: c.Room, Service: c.Service, Keys: keys, Log: log,
		HTTP: &http.Client{Transport: &http.Transport{DialContext: guard.Dial}},
	})
	if err != nil {
		return err
	}
	err = c.take(ctx, joining, place, keys, guard, log)
	return errors.Join(err, place.Leave())
}

// take carries the media of a bot that has its place.
func (c *call) take(ctx, joining context.Context, place *member.Call, keys *bench.Keychain, guard *bench.Guard, log *slog.Logger) error {
	local, err := guard.LocalAddr(joining, place.URL)
	if err != nil {
		return err
	}
	publications, err := bench.Player()
	if err != nil {
		return err
	}
	d := &desk{frames: map[string]*tally{}}
	clock := bench.NewClock()
	pump := bench.NewPump(clock)
	defer pump.Close()
	cfg := bench.BotConfig{
		URL: place.URL, Token: place.Token, Publish: publications, Subscribe: true, Quality: sfu.High, OnFrame: d.note,
		Seed: rand.Uint64(), Dial: guard.Dial, Candidate: guard.Candidate,
		Listen: func() (media.Socket, error) { return bench.ListenUDP(local) }, Log: log,
	}
	if place.Encrypted {
		// The key is there before the first frame, and goes to the others when they are known.
		if err := place.Begin(); err != nil {
			return err
		}
		cfg.Keys = keys
	}
	b := bench.NewBot(cfg, clock, pump)
	if err := b.AwaitConnected(joining); err != nil {
		b.Close()
		return err
	}
	if err := place.Enter(joining); err != nil {
		b.Close()
		return fmt.Errorf("membership: %w", err)
	}
	return c.report(ctx, b, place, d)
}

// report prints until the bot is gone or ctx ends.
func (c *call) report(ctx context.Context, b *bench.Bot, place *member.Call, d *desk) error {
	out := json.NewEncoder(os.Stdout)
	tick := time.NewTicker(reportPeriod)
	defer tick.Stop()
	for {
		if err := out.Encode(callReport{d.report(b, nil), place.Identity, place.Members()}); err != nil {
			b.Leave()
			return fmt.Errorf("report: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.Leave()
			return nil
		case <-b.Done():
			return errors.Join(errors.New("the session ended for the bot"), b.Snapshot().Err)
		}
	}
}
