package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"weir/bench"
	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/media"
)

// peer is a participant that tests of clients talk to: it opens every whole frame that it receives, and may send what it
// opened again, sealed with keys of its own. It is told its keys on standard input, a JSON object a line, and answers each
// with a report on standard output.
type peer struct {
	URL      string   `required:"" help:"Server to join."`
	Token    string   `required:"" help:"Access token to join with."`
	Password string   `help:"Shared password; else keys are per participant, told on standard input."`
	Echo     []string `help:"Codecs that are sent again as they come: one of audio, one of video."`
	Dual     bool     `help:"Use two transports (v0 signalling) instead of one."`
}

// order is one line of standard input; it is obeyed from the top.
type order struct {
	Set *struct {
		Identity sfu.Identity `json:"identity"` // "": our own
		Index    uint8        `json:"index"`
		Key      []byte       `json:"key"` // material, base64
	} `json:"set"`
	Use     *uint8 `json:"use"`     // of our own keys
	Ratchet bool   `json:"ratchet"` // our own key in use
}

// echo is a Feed of what was received. Its queue drops whole pictures when nobody takes them.
type echo struct {
	mu    sync.Mutex // a leaf
	codec sfu.Codec
	queue [][]byte
	taken []byte
	ask   chan struct{} // one token: a keyframe is wanted
}

const echoMost = 50

func (e *echo) Frame(keyframe bool) ([]byte, bool) {
	if keyframe {
		select {
		case e.ask <- struct{}{}:
		default:
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return nil, false
	}
	e.taken, e.queue = e.queue[0], e.queue[1:]
	return e.taken, bench.Keyframe(e.codec, e.taken)
}

func (e *echo) add(f []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == echoMost {
		e.queue = nil
	}
	e.queue = append(e.queue, append([]byte(nil), f...))
}

// Run takes part until standard input or ctx ends.
func (p *peer) Run(ctx context.Context) error {
	keys, err := p.keys()
	if err != nil {
		return err
	}
	guard, err := bench.NewGuard(false)
	if err != nil {
		return err
	}
	local, err := guard.LocalAddr(ctx, p.URL)
	if err != nil {
		return err
	}
	d := &desk{frames: map[string]*tally{}, echoes: map[sfu.Codec]*echo{}}
	ask := make(chan struct{}, 1)
	publish := p.publications(d, ask)
	lines := orders(ctx)
	first, ok := <-lines // obeyed before the join: keys have to be there before the first frame
	if !ok {
		return nil
	}
	failed := p.obey(keys, first)
	clock := bench.NewClock()
	pump := bench.NewPump(clock)
	defer pump.Close()
	b := bench.NewBot(bench.BotConfig{
		URL: p.URL, Token: p.Token, Dual: p.Dual, Publish: publish, Subscribe: true, Quality: sfu.High, Keys: keys, OnFrame: d.note,
		Seed: rand.Uint64(), Dial: guard.Dial, Candidate: guard.Candidate,
		Listen: func() (media.Socket, error) { return bench.ListenUDP(local) }, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, clock, pump)
	out := json.NewEncoder(os.Stdout)
	for {
		if err := out.Encode(d.report(b, failed)); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if ok, err := p.wait(ctx, b, lines, ask, func(line []byte) { failed = p.obey(keys, line) }); !ok {
			return err
		}
	}
}

// publications makes an echo of each codec.
func (p *peer) publications(d *desk, ask chan struct{}) []bench.Publication {
	var out []bench.Publication
	for _, name := range p.Echo {
		c := sfu.ParseCodec(name)
		e := &echo{codec: c, ask: ask}
		d.echoes[c] = e
		pub := bench.Publication{CID: "echo-" + name, Codec: c, Source: sfu.Camera, AnnexB: c == sfu.H264, Streams: []bench.Stream{{
			Width: 640, Height: 360, Bitrate: 500_000, Every: 10 * time.Millisecond, Feed: e,
		}}}
		if c.Kind() == sfu.Audio {
			pub.Source, pub.Level, pub.Streams[0].Every = sfu.Microphone, 20, 20*time.Millisecond
		}
		out = append(out, pub)
	}
	return out
}

// orders reads standard input until it or ctx ends.
func orders(ctx context.Context) <-chan []byte {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			select {
			case lines <- append([]byte(nil), in.Bytes()...):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// wait obeys one order; false: there will be none.
func (p *peer) wait(ctx context.Context, b *bench.Bot, lines <-chan []byte, ask <-chan struct{}, obey func([]byte)) (bool, error) {
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				b.Leave()
				return false, nil
			}
			obey(line)
			return true, nil
		case <-ask:
			for id, r := range b.Snapshot().Remote {
				if r.View.Kind == sfu.Video {
					b.AskKeyframe(id)
				}
			}
		case <-b.Done():
			return false, errors.Join(errors.New("the session ended for the peer"), b.Snapshot().Err)
		case <-ctx.Done():
			b.Leave()
			return false, nil
		}
	}
}

func (p *peer) keys() (*bench.Keychain, error) {
	if p.Password == "" {
		return bench.NewKeychain(keyring.PerParticipant, false), nil
	}
	k, err := keyring.FromPassword(p.Password)
	if err != nil {
		return nil, err
	}
	chain := bench.NewKeychain(keyring.Shared, true)
	chain.SetOwn(0, k)
	chain.Set("", 0, k)
	return chain, nil
}

func (p *peer) obey(keys *bench.Keychain, line []byte) error {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	if o.Set != nil {
		k, err := keyring.FromMaterial(o.Set.Key)
		if err != nil {
			return err
		}
		if o.Set.Identity == "" {
			keys.SetOwn(o.Set.Index, k)
		} else {
			keys.Set(o.Set.Identity, o.Set.Index, k)
		}
	}
	if o.Use != nil {
		keys.UseOwn(*o.Use)
	}
	if o.Ratchet {
		return keys.Ratchet()
	}
	return nil
}
