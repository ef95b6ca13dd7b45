package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu/sfutest"
)

// A stranger that says half a request, or half of its headers, or nothing, keeps a connection for a while only.
func TestSlowStranger(t *testing.T) {
	for said, want := range map[string]time.Duration{
		"": 10 * time.Second, "POST /sfu/get HTTP/1.1\r\nHo": 10 * time.Second,
		"POST /sfu/get HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{": readLimit,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                               2 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			n := sfutest.New(1)
			l, err := n.ListenStream("10.0.0.1:80")
			if err != nil {
				t.Fatal(err)
			}
			f := &focus{log: slog.New(slog.DiscardHandler)}
			s := f.newServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), nil)
			ended := make(chan error)
			go func() { ended <- s.Serve(l) }()
			c, err := n.DialStream(t.Context(), "tcp", "10.0.0.1:80")
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := io.WriteString(c, said); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d != want {
				t.Errorf("%q keeps a connection for %v, want %v", said, d, want)
			}
			_ = c.Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
	}
}
