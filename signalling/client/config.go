package client

import (
	"time"

	"weir/signalling/wire"
)

// Config bounds a connection. The zero value works: zero fields take the defaults below.
type Config struct {
	// PingTimeout ends a connection that was silent for so long; it is what the join response tells the client.
	PingTimeout time.Duration // 15 s
	// PingPeriod of silence makes a WebSocket ping go out; its pong counts against the timeout, for clients that send no pings.
	PingPeriod time.Duration // 10 s
	// OpenTimeout is how long the session may take for its first answer. Clients wait 5 s for it.
	OpenTimeout time.Duration // 4 s
	// RefreshPeriod is how often a new token is sent.
	RefreshPeriod time.Duration // 5 min
	// MaxMalformed frames are tolerated over the life of a connection.
	MaxMalformed int // 16
	// MaxHeld messages may wait for the first response.
	MaxHeld int // 1024
	// Rate and Burst bound what a client may ask, in requests and requests per second; a frame counts once more per 4 KiB.
	// Above them the socket is read later: the client feels it, no request is lost.
	Rate  int // 200/s
	Burst int // 2000: the settings of every tile of a large call, at once
}

func (c Config) withDefaults() Config {
	duration(&c.PingTimeout, wire.PingTimeout)
	duration(&c.PingPeriod, 10*time.Second)
	duration(&c.OpenTimeout, 4*time.Second)
	duration(&c.RefreshPeriod, 5*time.Minute)
	number(&c.MaxMalformed, 16)
	number(&c.MaxHeld, 1024)
	number(&c.Rate, 200)
	number(&c.Burst, 2000)
	return c
}

func duration(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}

func number(n *int, otherwise int) {
	if *n == 0 {
		*n = otherwise
	}
}
