package main

import (
	"fmt"
	"slices"

	"weir/cmd/weir/settings"
	"weir/signalling/matrix"
)

// homeserverItem is a further homeserver of the same operator. What is not said here is as in homeserver.
type homeserverItem struct {
	ServerName       string `yaml:"server_name"`
	URL              string `yaml:"url"`
	InternalURL      string `yaml:"internal_url"`
	CAFile           string `yaml:"ca_file"` // empty: as homeserver's
	RegistrationFile string `yaml:"registration_file"`
	BotTokenFile     string `yaml:"bot_token_file"`
	ProxyListen      string `yaml:"proxy_listen"`
	ProxyAuth        string `yaml:"proxy_auth"`
}

// settle makes the sections of all homeservers, the first being homeserver.
func (c *Config) settle() {
	c.homes = nil
	if c.Homeserver.ServerName != "" {
		c.homes = append(c.homes, c.Homeserver)
	}
	for _, h := range c.Homeservers {
		m := matrix.Config{
			ServerName: h.ServerName, URL: h.URL, InternalURL: h.InternalURL, CAFile: h.CAFile, RegistrationFile: h.RegistrationFile,
			BotTokenFile: h.BotTokenFile, ProxyListen: h.ProxyListen, ProxyAuth: h.ProxyAuth, AssertIdentity: c.Homeserver.AssertIdentity,
		}
		if m.CAFile == "" {
			m.CAFile = c.Homeserver.CAFile
		}
		c.homes = append(c.homes, m)
	}
}

// checkHomeservers checks each by itself and all together.
func (c *Config) checkHomeservers(r *settings.Reader) {
	c.checkHomeserver(r, "homeserver", &c.Homeserver)
	c.settle()
	if len(c.Homeservers) > 0 && c.Homeserver.ServerName == "" {
		r.Reject("homeserver.server_name", "missing, though there are homeservers beside it")
		return
	}
	for i := 1; i < len(c.homes); i++ {
		h := &c.homes[i]
		section := fmt.Sprintf("homeservers[%d]", i-1)
		if h.ServerName == "" {
			r.Reject(section+".server_name", "missing")
		}
		c.checkHomeserver(r, section, h)
		before := c.homes[:i]
		switch {
		case slices.ContainsFunc(before, func(o matrix.Config) bool { return o.ServerName == h.ServerName }):
			r.Reject(section+".server_name", fmt.Sprintf("%q is there already", h.ServerName))
		case h.RegistrationFile != "" && slices.ContainsFunc(before, func(o matrix.Config) bool { return o.RegistrationFile == h.RegistrationFile }):
			r.Reject(section+".registration_file", "is another homeserver's: each has tokens of its own")
		case h.Registration != nil && slices.ContainsFunc(before, func(o matrix.Config) bool { return sameTokens(o.Registration, h.Registration) }):
			r.Reject(section+".registration_file", "has a token of another homeserver's registration: make it anew with --new-tokens")
		case h.ProxyListen != "" && slices.ContainsFunc(before, func(o matrix.Config) bool { return o.ProxyListen == h.ProxyListen }):
			r.Reject(section+".proxy_listen", "is another homeserver's: leave it out of both, or give each its own")
		case known(*h) != known(c.homes[0]):
			// Users of one without would pass for strangers, and be asked about where they are not known.
			r.Reject(section+".registration_file", "either all homeservers have registration_file or bot_token_file, or none has")
		}
	}
}

// known says whether the memberships of a homeserver's users can be looked up.
func known(h matrix.Config) bool { return h.RegistrationFile != "" || h.BotTokenFile != "" }

// sameTokens says whether one homeserver could pass for the other.
func sameTokens(a, b *matrix.Registration) bool {
	return a != nil && (a.HSToken == b.HSToken || a.ASToken == b.ASToken)
}

// own are the server names whose users are ours.
func (c *Config) own() []string {
	var names []string
	for _, h := range c.homes {
		names = append(names, h.Own()...)
	}
	return names
}

// choose makes one of the homeservers the one that a command is about; "" leaves it at the first.
func (c *Config) choose(server string) error {
	for _, h := range c.homes {
		if h.ServerName == server {
			c.Homeserver = h
			return nil
		}
	}
	if server == "" {
		return nil
	}
	return &exit{exitUsage, fmt.Errorf("weir: --for %q is none of the configured homeservers", server)}
}
