package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"weir/bench"
	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/session"
	"weir/signalling/grant"
)

// publish lets one bot play the test clip.
type publish struct {
	URL          string `required:"" placeholder:"ws://HOST:PORT" help:"The server."`
	Token        string `env:"WEIR_BENCH_TOKEN" help:"Call token; without one it is minted from key and secret."`
	Key          string `default:"devkey" help:"API key to mint a token with."`
	Secret       string `default:"secret" env:"WEIR_BENCH_SECRET" help:"Its secret."`
	Room         string `default:"bench" help:"Session to join, in a minted token."`
	Identity     string `default:"clip" help:"Identity to join as, in a minted token."`
	E2EEPassword string `name:"e2ee-password" env:"WEIR_BENCH_E2EE_PASSWORD" help:"Shared password: frames are encrypted with it."`
	Dual         bool   `help:"Use two transports (v0 signalling) instead of one."`
	AllowRemote  bool   `help:"Publish to a server off this machine."`
}

const (
	tokenLife   = 6 * time.Hour
	joinTimeout = 20 * time.Second
)

// Run publishes until ctx ends.
func (p *publish) Run(ctx context.Context) error {
	token := p.Token
	if token == "" {
		var err error
		token, err = grant.Mint(grant.Grant{
			Identity: sfu.Identity(p.Identity), Name: p.Identity, Session: sfu.SessionID(p.Room), Join: true,
			Inside: session.Grant{Publish: true, PublishData: true, Subscribe: true},
		}, grant.Key{ID: p.Key, Secret: p.Secret}, time.Now(), tokenLife)
		if err != nil {
			return fmt.Errorf("minting a token: %w", err)
		}
	}
	guard, err := bench.NewGuard(p.AllowRemote)
	if err != nil {
		return err
	}
	local, err := guard.LocalAddr(ctx, p.URL)
	if err != nil {
		return err
	}
	publications, err := bench.Player()
	if err != nil {
		return err
	}
	clock := bench.NewClock()
	pump := bench.NewPump(clock)
	defer pump.Close()
	b := bench.NewBot(bench.BotConfig{
		URL: p.URL, Token: token, Dual: p.Dual, Publish: publications, KeyPassword: p.E2EEPassword, Seed: rand.Uint64(),
		Dial: guard.Dial, Candidate: guard.Candidate, Listen: func() (media.Socket, error) { return bench.ListenUDP(local) },
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, clock, pump)
	joining, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	streams := 0
	for _, pub := range publications {
		streams += len(pub.Streams)
	}
	if err := b.Await(joining, "publishing", func(s *bench.Snapshot) bool { return s.State == bench.Connected && s.Sending == streams }); err != nil {
		b.Close()
		if ctx.Err() != nil {
			return nil // stopped while joining
		}
		return err
	}
	fmt.Println("publishing")
	select {
	case <-ctx.Done():
		b.Leave()
		return nil
	case <-b.Done():
		s := b.Snapshot()
		return errors.Join(errors.New("the session ended for the bot"), s.Err)
	}
}
