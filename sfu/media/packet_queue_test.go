package media

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacketQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := netip.MustParseAddrPort("10.0.0.1:1")
		q := newPacketQueue(2)
		for i, want := range []bool{true, true, false} { // the newest is dropped
			if got := q.push(from, []byte{byte(i)}); got != want {
				t.Errorf("push %d: %v", i, got)
			}
		}
		if q.push(from, make([]byte, maxDatagram+1)) {
			t.Error("took more than a datagram")
		}
		b := make([]byte, 10)
		for i := range 2 {
			if n, a, err := q.pop(b); n != 1 || a != from || err != nil || b[0] != byte(i) {
				t.Errorf("pop %d: %d bytes %x from %s, %v", i, n, b[0], a, err)
			}
		}
		start := time.Now()
		q.setDeadline(start.Add(time.Second))
		if _, _, err := q.pop(b); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		// A deadline set while somebody waits ends the wait; lifted, the queue works on.
		q.setDeadline(time.Time{})
		ended := make(chan error)
		go func() { _, _, err := q.pop(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		q.setDeadline(start)
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		q.setDeadline(time.Time{})
		go func() { _, _, err := q.pop(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		q.push(from, []byte{1})
		if err := <-ended; err != nil {
			t.Error(err)
		}
		go func() { _, _, err := q.pop(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		q.close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if q.push(from, nil) {
			t.Error("a closed queue took a datagram")
		}
	})
}
