package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"weir/cmd/weir/settings"
	"weir/signalling/matrix"
)

// registrationCommand makes the file that the homeserver and the focus share.
type registrationCommand struct {
	Config    string `short:"c" placeholder:"FILE" env:"WEIR_CONFIG" help:"Configuration to take the facts from."`
	Mode      string `enum:"ask,assert,push" default:"assert" help:"What the focus may do: ask who is in a room; also act as local users, to read rooms with a call; also be sent every event. The file says what each costs."`
	Write     bool   `help:"Write it to homeserver.registration_file, mode 0600, instead of printing it."`
	For       string `placeholder:"NAME" help:"Which homeserver, of several, by its server name."`
	NewTokens bool   `name:"new-tokens" help:"Make new tokens even if homeserver.registration_file has some."`
	ProxyURL  string `name:"proxy-url" placeholder:"URL" help:"Where the homeserver reaches the focus, if not on this machine."`
}

func (c *registrationCommand) Run(w *world) error {
	if c.Config == "" {
		return &exit{exitUsage, errors.New("weir: registration needs --config FILE")}
	}
	cfg, err := load(source{file: c.Config, environment: w.environment, registering: true})
	if err != nil {
		return &exit{exitConfig, err}
	}
	if err := cfg.choose(c.For); err != nil {
		return err
	}
	if cfg.Homeserver.ServerName == "" {
		return &exit{exitConfig, errors.New("weir: registration needs homeserver.server_name")}
	}
	text, err := c.text(cfg)
	if err != nil {
		return err
	}
	if !c.Write {
		_, err := fmt.Fprint(w.stdout, text)
		return err
	}
	name := cfg.Homeserver.RegistrationFile
	if name == "" {
		return &exit{exitUsage, errors.New("weir: --write needs homeserver.registration_file in the configuration")}
	}
	if err := writePrivate(name, text); err != nil {
		return fmt.Errorf("weir: write the registration: %w", err)
	}
	fmt.Fprintf(w.stdout, "%s is written. Give the homeserver a copy that only it can read, name that under app_service_config_files, "+
		"and restart it; `weir advise synapse` prints the block.\n", name)
	return nil
}

// text is the registration of this configuration. Tokens that the homeserver may have loaded are kept.
func (c *registrationCommand) text(cfg *Config) (string, error) {
	to := c.ProxyURL
	if to == "" {
		to = proxyURL(cfg)
	}
	reg, err := matrix.NewRegistration(matrix.Reach(c.Mode), cfg.Homeserver.ServerName, to)
	if err != nil {
		return "", fmt.Errorf("weir: %w", err)
	}
	if name := cfg.Homeserver.RegistrationFile; name != "" && !c.NewTokens {
		switch old, err := readRegistration(name); {
		case err == nil:
			reg.ASToken, reg.HSToken = old.ASToken, old.HSToken
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("weir: %s %w; --new-tokens replaces it", name, err)
		}
	}
	return reg.Text()
}

// proxyURL is where a homeserver on this machine reaches the doors behind it.
func proxyURL(c *Config) string {
	if host, port, err := net.SplitHostPort(c.Homeserver.ProxyListen); err == nil {
		if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
			host = "127.0.0.1"
		}
		return "http://" + net.JoinHostPort(host, port)
	}
	if c.TLS.Mode == "none" && c.Port != 0 {
		return "http://127.0.0.1:" + strconv.Itoa(c.Port)
	}
	return strings.TrimRight(c.PublicURL, "/")
}

// readRegistration reads and checks a registration file.
func readRegistration(name string) (*matrix.Registration, error) {
	text, err := settings.ReadSecret(name)
	if err != nil {
		return nil, err
	}
	var reg matrix.Registration
	if err := yaml.Unmarshal([]byte(text), &reg); err != nil {
		return nil, errors.New("is no YAML of an appservice registration") // the parser's words would quote a token
	}
	if err := reg.Check(); err != nil {
		return nil, err
	}
	return &reg, nil
}

// writePrivate replaces a file that only its owner may read, whole or not at all.
func writePrivate(name, text string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".registration-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
