package sfutest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu/media"
	"weir/sfu/sfutest"
)

var (
	near = "10.0.0.1:1"
	far  = netip.MustParseAddrPort("10.0.0.2:2")
)

func pair(t *testing.T, n *sfutest.Network) (a, b *sfutest.Socket) {
	t.Helper()
	a, err := n.Listen(near)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = n.Listen(far.String()); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// script sends count datagrams, 10 ms apart, and gives what came in which order.
func script(t *testing.T, i sfutest.Impairment, seed uint64, count int) (got []byte, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(seed)
		n.Impair(i)
		a, b := pair(t, n)
		start := time.Now()
		go func() {
			ms := make([]media.Message, 8)
			for {
				k, err := b.ReadBatch(ms)
				if err != nil {
					return
				}
				for _, m := range ms[:k] {
					got = append(got, m.Buf...)
				}
				took = time.Since(start)
			}
		}()
		for k := range count {
			if err := a.WriteBatch([]media.Message{{Addr: far, Buf: []byte{byte(k)}}}); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		_ = a.Close()
		_ = b.Close()
		synctest.Wait()
	})
	return got, took
}

func TestImpairments(t *testing.T) {
	got, took := script(t, sfutest.Impairment{Delay: 70 * time.Millisecond}, 1, 100)
	if len(got) != 100 || took != 99*10*time.Millisecond+70*time.Millisecond {
		t.Errorf("delay: %d datagrams in %s", len(got), took)
	}
	for i, b := range got {
		if int(b) != i {
			t.Fatalf("delay alone changed the order: %v", got)
		}
	}
	got, _ = script(t, sfutest.Impairment{Loss: .3}, 1, 100)
	if len(got) < 50 || len(got) > 90 {
		t.Errorf("loss of 30 %%: %d of 100 came", len(got))
	}
	again, _ := script(t, sfutest.Impairment{Loss: .3}, 1, 100)
	if string(again) != string(got) {
		t.Error("the same seed lost others")
	}
	got, _ = script(t, sfutest.Impairment{Reorder: .2}, 1, 100)
	late := 0
	for i := 1; i < len(got); i++ {
		if got[i] < got[i-1] {
			late++
		}
	}
	if len(got) != 100 || late < 5 {
		t.Errorf("reordering: %d of %d came late", late, len(got))
	}
}

func TestSegmentsArriveApart(t *testing.T) {
	a, b := pair(t, sfutest.New(1))
	if err := a.WriteBatch([]media.Message{{Addr: far, Buf: []byte("aabbc"), Segment: 2}}); err != nil {
		t.Fatal(err)
	}
	ms := make([]media.Message, 8)
	n, err := b.ReadBatch(ms)
	if err != nil || n != 3 || string(ms[2].Buf) != "c" || ms[0].Addr.String() != near {
		t.Errorf("%d messages, %v", n, err)
	}
}

// TestStreams: HTTP over the network's streams, deadlines, and refusal.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		l, err := n.ListenStream("10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write(b)
		})}
		go func() { _ = server.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{DialContext: n.DialStream, DisableKeepAlives: true}}
		r, err := client.Post("http://10.0.0.1:80/", "", io.LimitReader(zeros{}, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r.Body); err != nil || len(b) != 1<<20 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		_ = r.Body.Close()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := n.DialStream(context.Background(), "tcp", "10.0.0.1:80"); err == nil {
			t.Error("a closed listener took a connection")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := sfutest.New(1)
		l, err := n.ListenStream("10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.DialStream(context.Background(), "tcp", "10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = c.SetReadDeadline(start.Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("read ended after %s with %v", time.Since(start), err)
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write to one who does not read: %v", err)
		}
		_ = other.Close()
		_ = c.SetDeadline(time.Time{})
		if _, err := c.Write([]byte{1}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write to one who went: %v", err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read from one who went: %v", err)
		}
		_ = l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
