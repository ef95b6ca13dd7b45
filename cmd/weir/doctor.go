package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"

	"weir/cmd/weir/doctor"
	"weir/cmd/weir/settings"
	"weir/signalling/matrix"
)

// doctorCommand says what is wrong with a focus, from its operator's chair.
type doctorCommand struct {
	Config        string   `short:"c" placeholder:"FILE" env:"WEIR_CONFIG" help:"Configuration of the focus."`
	Offline       bool     `help:"Look at the configuration only: ask nobody."`
	JSON          bool     `name:"json" help:"Print a JSON object."`
	Strict        bool     `help:"Fail on warnings too."`
	UserTokenFile string   `name:"user-token-file" placeholder:"FILE" help:"Access token of a user of the homeserver, to see what clients are told."`
	For           string   `placeholder:"NAME" help:"Which homeserver to look at, of several, by its server name."`
	Server        string   `placeholder:"NAME" help:"Also find this homeserver, as for its users."`
	STUN          []string `name:"stun" placeholder:"ADDRESS:PORT" help:"Reflectors on the internet (STUN), to see this network from outside; two show what the router does."`
}

func (d *doctorCommand) Run(w *world) error {
	if d.Config == "" {
		return &exit{exitUsage, errors.New("weir: doctor needs --config FILE")}
	}
	s, c, err := d.subject(w)
	if err != nil {
		return err
	}
	p, err := probe(c)
	if err != nil {
		s.Faults = append(s.Faults, err.Error())
	}
	return d.report(w.ctx, w.stdout, s, p)
}

// report makes the checks and prints them.
func (d *doctorCommand) report(ctx context.Context, out io.Writer, s doctor.Subject, p doctor.Probe) error {
	rows := doctor.Run(ctx, s, p)
	if d.JSON {
		counts := map[doctor.Status]int{}
		for _, status := range []doctor.Status{doctor.Pass, doctor.Warn, doctor.Fail, doctor.Skip} {
			counts[status] = doctor.Count(rows, status)
		}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(map[string]any{"version": versionText(), "checks": rows, "count": counts}); err != nil {
			return err
		}
	} else {
		for _, r := range rows {
			fmt.Fprintf(out, "%-4s  %-15s  %s\n", r.Status, r.ID, r.Summary)
			for _, text := range []string{r.Evidence, r.Remedy} {
				if text != "" && r.Status != doctor.Pass {
					fmt.Fprintln(out, "      "+strings.ReplaceAll(text, "\n", "\n      "))
				}
			}
		}
		fmt.Fprintf(out, "%d passed, %d warnings, %d failed, %d could not be looked at\n", doctor.Count(rows, doctor.Pass),
			doctor.Count(rows, doctor.Warn), doctor.Count(rows, doctor.Fail), doctor.Count(rows, doctor.Skip))
	}
	if doctor.Failed(rows, d.Strict) {
		return &exit{code: exitFailed}
	}
	return nil
}

// subject is what there is to look at, as far as the configuration can be read.
func (d *doctorCommand) subject(w *world) (doctor.Subject, *Config, error) {
	s := doctor.Subject{File: d.Config, Offline: d.Offline, Server: d.Server}
	for _, text := range d.STUN {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return s, nil, &exit{exitUsage, fmt.Errorf("weir: --stun %q is no ADDRESS:PORT", text)}
		}
		s.STUN = append(s.STUN, at)
	}
	if d.UserTokenFile != "" {
		token, err := settings.ReadSecret(d.UserTokenFile)
		if err != nil {
			return s, nil, &exit{exitUsage, fmt.Errorf("weir: --user-token-file: %w", err)}
		}
		s.UserToken = token
	}
	c, err := load(source{file: d.Config, environment: w.environment})
	if err != nil {
		s.Faults = strings.Split(err.Error(), "\n")
	}
	if c == nil {
		return s, nil, nil
	}
	if err := c.choose(d.For); err != nil {
		return s, nil, err
	}
	describe(&s, c)
	for _, h := range c.homes {
		if d.For == "" && h.ServerName != c.Homeserver.ServerName {
			s.Others = append(s.Others, h.ServerName)
		}
	}
	return s, c, nil
}

// describe takes over what the checks need of a configuration.
func describe(s *doctor.Subject, c *Config) {
	s.PublicURL, s.Bind, s.Port, s.UDPPort = c.PublicURL, c.BindAddresses, c.Port, c.RTC.UDPPort
	s.Advertise, s.Trusted = c.RTC.Advertise, c.Proxy.Trusted
	if a, err := netip.ParseAddr(c.RTC.NodeIP); err == nil {
		s.Advertise = append(s.Advertise[:len(s.Advertise):len(s.Advertise)], a)
	}
	s.TLS, s.CertFile = c.TLS.Mode == "files", c.TLS.CertFile
	s.PublishAny, s.Homeserver = c.Policy.Publish == "any", c.Homeserver
	if c.Prometheus.Port != 0 {
		s.Metrics = netip.AddrPortFrom(c.Prometheus.Bind, uint16(c.Prometheus.Port))
	}
	for _, name := range []string{c.Homeserver.RegistrationFile, c.KeyFile, c.TLS.KeyFile} {
		if name != "" {
			s.Secrets = append(s.Secrets, name)
		}
	}
	if c.Storage.Dir != "" {
		s.Secrets = append(s.Secrets, filepath.Join(c.Storage.Dir, "installation.secret"))
	}
}

// probe is the world, with the eyes of this configuration.
func probe(c *Config) (doctor.Probe, error) {
	if c == nil {
		return doctor.Here(nil, nil, matrix.Network{}), nil
	}
	own, err := c.Homeserver.Roots()
	if err != nil {
		return doctor.Here(nil, nil, matrix.Network{}), err
	}
	find, err := matrix.NewVerifier(c.Homeserver, matrix.Network{})
	if err != nil {
		return doctor.Here(nil, own, matrix.Network{}), err
	}
	return doctor.Here(find, own, matrix.Network{}), nil
}
