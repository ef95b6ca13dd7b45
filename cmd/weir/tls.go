package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificates serves a certificate from files and notices when they are renewed.
type certificates struct {
	certFile, keyFile string

	mu      sync.Mutex // guards the rest
	current *tls.Certificate
	changed time.Time // of the certificate's file, when it was read
	looked  time.Time
}

// lookAgain is how often the files are looked at, at most; only handshakes look.
const lookAgain = 10 * time.Second

func newCertificates(certFile, keyFile string) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificates) read() error {
	st, err := os.Stat(c.certFile)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("no certificate with its key: %w", err)
	}
	c.current, c.changed = &pair, st.ModTime()
	return nil
}

// config is for a listener. Only HTTP/1.1: WebSockets need it, and nothing else here gains from more.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if now := time.Now(); now.Sub(c.looked) > lookAgain {
			c.looked = now
			if st, err := os.Stat(c.certFile); err == nil && !st.ModTime().Equal(c.changed) {
				_ = c.read() // half a renewal: the old pair serves until both files fit
			}
		}
		return c.current, nil
	}}
}
