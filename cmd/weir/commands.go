package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"weir/cmd/weir/settings"
	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
)

// serveCommand runs a focus until it is told to stop.
type serveCommand struct {
	Config  string `short:"c" placeholder:"FILE" env:"WEIR_CONFIG" help:"Configuration, YAML. Files in conf.d beside it override it."`
	Dev     bool   `help:"For developers: loopback only, no homeserver, API key \"devkey\" with secret \"secret\", sessions are created on join."`
	Port    *int   `placeholder:"N" help:"TCP port of HTTP and WebSocket; 0: any free one."`
	UDPPort *int   `name:"udp-port" placeholder:"N" help:"UDP port of media; 0: any free one."`
}

func (s *serveCommand) Run(w *world) error {
	if s.Config == "" && !s.Dev {
		return &exit{exitUsage, errors.New("weir: serve needs --config FILE, or --dev")}
	}
	c, err := load(source{file: s.Config, dev: s.Dev, environment: w.environment, port: s.Port, udpPort: s.UDPPort})
	if err != nil {
		return &exit{exitConfig, err}
	}
	home, err := openInstallation(c.Storage.Dir)
	if err != nil {
		return &exit{exitConfig, err}
	}
	log := newLog(w.stderr, c.Logging, []byte(home.derive("user ids in logs")))
	tuneCollector()
	limitMemory("/", log)
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	go tidyMemory(ctx)
	f, err := start(w.ctx, c, home, log)
	if err != nil {
		return fmt.Errorf("weir: %w", err)
	}
	if s.Dev {
		fmt.Fprintf(w.stdout, "weir %s is listening on %s\nAPI key %s, secret %s; make a token with: weir token --dev --session demo --identity you\n",
			versionText(), f.base, devKey, devSecret)
	}
	left, err := f.untilStopped(w)
	if err == nil && left > 0 && !s.Dev {
		return &exit{code: exitDrained}
	}
	return err
}

// untilStopped waits for a signal, drains, and closes. A second signal ends the drain.
func (f *focus) untilStopped(w *world) (left int, err error) {
	now := make(chan struct{})
	select {
	case s := <-w.signals:
		f.log.Info("draining", "signal", s.String(), "timeout", f.cfg.Drain.Timeout)
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-w.signals:
				close(now)
			case <-stop:
			}
		}()
		left = f.drain(w.ctx, now)
	case err = <-f.failed:
	case <-w.ctx.Done():
	}
	f.close(w.ctx)
	f.log.Info("stopped", "participants_left", left)
	return left, err
}

// configCommand looks at configurations without running anything.
type configCommand struct {
	Check  configCheck  `cmd:"" help:"Read the configuration as serve would and say what is wrong with it."`
	Print  configPrint  `cmd:"" help:"Print the configuration with all defaults and overrides, without secrets."`
	Schema configSchema `cmd:"" help:"Print a JSON Schema of the configuration, for editors."`
}

type configCheck struct {
	Config string `short:"c" placeholder:"FILE" env:"WEIR_CONFIG" help:"Configuration, YAML."`
	File   string `arg:"" optional:"" help:"The same, without the flag."`
}

func pick(flag, arg string) (string, error) {
	switch {
	case flag != "" && arg != "" && flag != arg:
		return "", &exit{exitUsage, errors.New("weir: two files were named")}
	case flag == "" && arg == "":
		return "", &exit{exitUsage, errors.New("weir: which file? --config FILE")}
	}
	return flag + strings.TrimPrefix(arg, flag), nil
}

func (c *configCheck) Run(w *world) error {
	file, err := pick(c.Config, c.File)
	if err != nil {
		return err
	}
	if _, err := load(source{file: file, environment: w.environment}); err != nil {
		return &exit{exitConfig, err}
	}
	fmt.Fprintf(w.stdout, "%s: good\n", file)
	return nil
}

type configPrint struct {
	Config    string `short:"c" placeholder:"FILE" env:"WEIR_CONFIG" help:"Configuration, YAML."`
	Dev       bool   `help:"The configuration of serve --dev."`
	Effective bool   `help:"With defaults and overrides; it always is."`
	File      string `arg:"" optional:"" help:"The configuration, without the flag."`
}

func (c *configPrint) Run(w *world) error {
	file := ""
	if !c.Dev {
		var err error
		if file, err = pick(c.Config, c.File); err != nil {
			return err
		}
	}
	cfg, err := load(source{file: file, dev: c.Dev, environment: w.environment})
	if err != nil {
		return &exit{exitConfig, err}
	}
	return settings.Print(w.stdout, cfg)
}

type configSchema struct{}

func (configSchema) Run(w *world) error {
	b, err := settings.Schema(newConfig())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.stdout, string(b))
	return err
}

// tokenCommand mints a token. The names in the environment are those of LiveKit's tools.
type tokenCommand struct {
	Identity  string            `short:"i" help:"Who joins."`
	Session   string            `short:"s" aliases:"room" help:"Which session."`
	Key       string            `env:"LIVEKIT_API_KEY" help:"API key."`
	Secret    string            `env:"LIVEKIT_API_SECRET" help:"Its secret. Better given in the environment: command lines can be seen by others."`
	Dev       bool              `help:"The key and secret of serve --dev."`
	Name      string            `help:"Display name."`
	Metadata  string            `help:"Metadata of the participant."`
	Attribute map[string]string `placeholder:"KEY=VALUE" help:"Attributes of the participant."`
	TTL       time.Duration     `name:"ttl" default:"6h" help:"How long the token is good for."`

	NoPublish   bool `help:"May not publish."`
	NoSubscribe bool `help:"May not receive."`
	NoData      bool `help:"May not send data."`
	UpdateOwn   bool `help:"May change its own name, metadata and attributes."`
	Hidden      bool `help:"Is not shown to others."`
	Agent       bool `help:"Is an agent."`
	Create      bool `help:"May open and end sessions (roomCreate)."`
	List        bool `help:"May list sessions (roomList)."`
	Admin       bool `help:"May manage the session (roomAdmin)."`
	JSON        bool `name:"json" help:"Print a JSON object."`
}

func (t *tokenCommand) Run(w *world) error {
	if t.Dev {
		t.Key, t.Secret = devKey, devSecret
	}
	join := t.Identity != "" && t.Session != ""
	switch {
	case t.Key == "" || t.Secret == "":
		return &exit{exitUsage, errors.New("weir: token needs --key and --secret, or --dev")}
	case !join && !t.Create && !t.List && !t.Admin:
		return &exit{exitUsage, errors.New("weir: token needs --identity and --session, or one of --create, --list, --admin")}
	case t.Admin && t.Session == "":
		return &exit{exitUsage, errors.New("weir: --admin needs --session")}
	case t.TTL < time.Second:
		return &exit{exitUsage, errors.New("weir: --ttl is below a second")}
	}
	g := grant.Grant{
		Identity: sfu.Identity(t.Identity), Name: t.Name, Metadata: t.Metadata, Attributes: t.Attribute,
		Session: sfu.SessionID(t.Session), Join: join, Admin: t.Admin, Create: t.Create, List: t.List,
	}
	if join {
		g.Inside = session.Grant{
			Publish: !t.NoPublish, Subscribe: !t.NoSubscribe, PublishData: !t.NoPublish && !t.NoData, UpdateOwn: t.UpdateOwn,
			Hidden: t.Hidden, Agent: t.Agent,
		}
	}
	if t.Agent {
		g.Kind = session.Agent
	}
	token, err := grant.Mint(g, grant.Key{ID: t.Key, Secret: t.Secret}, time.Now(), t.TTL)
	if err != nil {
		return fmt.Errorf("weir: %w", err)
	}
	if t.JSON {
		return json.NewEncoder(w.stdout).Encode(map[string]string{"token": token, "identity": t.Identity, "session": t.Session})
	}
	_, err = fmt.Fprintln(w.stdout, token)
	return err
}

type versionCommand struct {
	JSON bool `name:"json" help:"Print a JSON object."`
}

func (v *versionCommand) Run(w *world) error {
	facts := map[string]string{"version": versionText(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				facts["revision"] = s.Value
			}
		}
	}
	if v.JSON {
		return json.NewEncoder(w.stdout).Encode(facts)
	}
	fmt.Fprintf(w.stdout, "weir %s (%s, %s)\n", facts["version"], facts["go"], facts["platform"])
	return nil
}

// hostname is this machine's, for telling nodes apart.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "weir"
	}
	return name
}
