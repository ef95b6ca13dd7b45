package socket

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

// quietPair is an accepted quiet connection and the far side of it.
func quietPair(t testing.TB) (near, far net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = Quiet(l).Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// TestQuietCarriesAll: more than any buffer holds goes through, both ways at once, and the end is an end.
func TestQuietCarriesAll(t *testing.T) {
	near, far := quietPair(t)
	text := make([]byte, 8<<20)
	chacha := rand.NewChaCha8([32]byte{1})
	_, _ = chacha.Read(text)
	echoed := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{near}, struct{ io.Reader }{near})
		near.Close()
		echoed <- err
	}()
	go func() {
		_, _ = far.Write(text)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes of %d, %v", len(got), len(text), err)
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

func TestQuietEnds(t *testing.T) {
	near, far := quietPair(t)
	if err := near.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var late net.Error
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("after the deadline: %v", err)
	}
	if err := near.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	_ = far.(*net.TCPConn).SetLinger(0)
	far.Close() // a reset
	var op *net.OpError
	if _, err := near.Read(make([]byte, 1)); !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("after a reset: %v", err)
	}
	if _, err := near.Write([]byte("x")); !errors.As(err, &op) {
		t.Errorf("write after a reset: %v", err)
	}
	near.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}

func TestQuietAllocatesNothing(t *testing.T) {
	near, far := quietPair(t)
	b, echo := make([]byte, 100), make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := near.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, echo); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(near, echo); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
