//go:build linux && (amd64 || arm64)

package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func plain(t testing.TB, addr string) Socket {
	t.Helper()
	s, err := ListenPlain(netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func batched(t testing.TB, addr string) *batchedSocket { return batchedWith(t, addr, SocketConfig{}) }

func batchedWith(t testing.TB, addr string, cfg SocketConfig) *batchedSocket {
	t.Helper()
	s, err := listenBatched(netip.MustParseAddrPort(addr), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestTimedSocket: what the kernel holds back is told, merged or not; nothing is told where nobody asked.
func TestTimedSocket(t *testing.T) {
	for _, timed := range []bool{true, false} {
		in, out := batchedWith(t, "127.0.0.1:0", SocketConfig{Timed: timed, Lone: timed}), batched(t, "127.0.0.1:0")
		for _, m := range []Message{{Buf: make([]byte, 90)}, {Buf: make([]byte, 300), Segment: 100}} {
			m.Addr = in.LocalAddr()
			begin := time.Now()
			if err := out.WriteBatch([]Message{m}); err != nil {
				t.Fatal(err)
			}
			ms := make([]Message, readBatch)
			if n, err := in.ReadBatch(ms); n != 1 || err != nil {
				t.Fatalf("%d messages, %v", n, err)
			}
			if ms[0].Segment != m.Segment || len(ms[0].Buf) != len(m.Buf) {
				t.Errorf("%d bytes in segments of %d, sent %d in %d", len(ms[0].Buf), ms[0].Segment, len(m.Buf), m.Segment)
			}
			if d := time.Duration(ms[0].Waited); timed != (d > 0) || d > time.Since(begin) {
				t.Errorf("timed %v: waited %v of %v", timed, d, time.Since(begin))
			}
		}
	}
}

// collect reads datagrams until there are count or the socket closes, splitting merged ones.
func collect(s Socket, count int) [][]byte {
	var got [][]byte
	ms := make([]Message, readBatch)
	for len(got) < count {
		n, err := s.ReadBatch(ms)
		if err != nil {
			break
		}
		for _, m := range ms[:n] {
			size := m.Segment
			if size == 0 {
				size = len(m.Buf)
			}
			for b := m.Buf; len(b) > 0; b = b[min(size, len(b)):] {
				got = append(got, bytes.Clone(b[:min(size, len(b))]))
			}
		}
	}
	return got
}

// randomMessages are what a burst could write: mostly equal sizes, a short last one, at times single ones. Each datagram
// begins with its number.
func randomMessages(seed uint64, to netip.AddrPort, count int) (ms []Message, datagrams [][]byte) {
	random := rand.New(rand.NewPCG(seed, 1))
	for range count {
		size := 20 + random.IntN(1200)
		segments := 1 + random.IntN(30)
		var buf []byte
		for i := range segments {
			n := size
			if i == segments-1 && segments > 1 {
				n = 8 + random.IntN(size-7)
			}
			d := make([]byte, n)
			binary.BigEndian.PutUint64(d, uint64(len(datagrams)))
			for j := 8; j < n; j++ {
				d[j] = byte(random.Uint32())
			}
			datagrams = append(datagrams, d)
			buf = append(buf, d...)
		}
		m := Message{Addr: to, Buf: buf}
		if segments > 1 {
			m.Segment = size
		}
		ms = append(ms, m)
	}
	return ms, datagrams
}

// TestPathsCarryTheSameBytes: every pairing of plain and batched sockets over IPv4, IPv6 and a dual-stack socket brings
// the same datagrams, in order, with merging taken or refused in each way a kernel may.
func TestPathsCarryTheSameBytes(t *testing.T) {
	open := map[string]func(testing.TB, string) Socket{
		"plain":   plain,
		"batched": func(t testing.TB, a string) Socket { return batched(t, a) },
		"no segments": func(t testing.TB, a string) Socket {
			s := batched(t, a)
			s.gso.Store(false)
			return s
		},
		"EIO":      func(t testing.TB, a string) Socket { return refusing(t, a, unix.EIO) },
		"EINVAL":   func(t testing.TB, a string) Socket { return refusing(t, a, unix.EINVAL) },
		"EMSGSIZE": func(t testing.TB, a string) Socket { return refusing(t, a, unix.EMSGSIZE) },
		"EINTR": func(t testing.TB, a string) Socket {
			s := batched(t, a)
			odd := false
			s.out.send = func(fd uintptr, ms []mmsghdr) (int, unix.Errno) {
				if odd = !odd; odd {
					return -1, unix.EINTR
				}
				return sendmmsg(fd, ms[:1+len(ms)/2]) // and a kernel that takes a part
			}
			return s
		},
		"EAGAIN": func(t testing.TB, a string) Socket {
			s := batched(t, a)
			calls := 0
			s.out.send = func(fd uintptr, ms []mmsghdr) (int, unix.Errno) {
				if calls++; calls%3 == 0 {
					return -1, unix.EAGAIN
				}
				return sendmmsg(fd, ms)
			}
			return s
		},
	}
	for from := range open {
		for _, to := range []string{"plain", "batched"} {
			for _, family := range [][2]string{{"127.0.0.1:0", "127.0.0.1:0"}, {"[::1]:0", "[::1]:0"}, {"[::]:0", "127.0.0.1:0"}, {"127.0.0.1:0", "[::]:0"}} {
				t.Run(fmt.Sprintf("%s to %s over %v", from, to, family), func(t *testing.T) {
					onOneCore(t)
					w, r := open[from](t, family[0]), open[to](t, family[1])
					dst := r.LocalAddr()
					if dst.Addr().IsUnspecified() {
						dst = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), dst.Port())
					}
					ms, want := randomMessages(uint64(len(from)), dst, 6)
					// A few at a time, so that no receive buffer overflows.
					for len(ms) > 0 {
						n := min(3, len(ms))
						count := 0
						for i := range ms[:n] {
							count += datagrams(&ms[i])
						}
						if err := w.WriteBatch(ms[:n]); err != nil {
							t.Fatal(err)
						}
						stop := time.AfterFunc(10*time.Second, func() { _ = r.Close() })
						got := collect(r, count)
						stop.Stop()
						if !slices.EqualFunc(got, want[:count], bytes.Equal) {
							t.Fatalf("%d datagrams, want %d, or other bytes", len(got), count)
						}
						ms, want = ms[n:], want[count:]
					}
				})
			}
		}
	}
}

// onOneCore keeps the test on one core: loopback queues datagrams for each core, so a sender that is moved between two system
// calls may overtake itself.
func onOneCore(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for i := 0; one.Count() == 0; i++ {
		if before.IsSet(i) {
			one.Set(i)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}

// FuzzPaths: whatever a burst writes, both paths put the same datagrams on the wire.
func FuzzPaths(f *testing.F) {
	for _, seed := range []uint64{0, 1, 32767, 65535, 1 << 40} {
		f.Add(seed, seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, merge bool) {
		onOneCore(t)
		var got [2][][]byte
		for i, w := range []Socket{plain(t, "127.0.0.1:0"), batched(t, "127.0.0.1:0")} {
			if b, ok := w.(*batchedSocket); ok {
				b.gso.Store(merge && b.gso.Load())
			}
			r := plain(t, "127.0.0.1:0")
			ms, want := randomMessages(seed, r.LocalAddr(), 4)
			if err := w.WriteBatch(ms); err != nil {
				t.Fatal(err)
			}
			stop := time.AfterFunc(10*time.Second, func() { _ = r.Close() })
			got[i] = collect(r, len(want))
			stop.Stop()
			if err := errors.Join(w.Close(), r.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.EqualFunc(got[0], got[1], bytes.Equal) {
			t.Fatalf("plain brought %d datagrams, batched %d, or other bytes", len(got[0]), len(got[1]))
		}
	})
}

// refusing is a batched socket whose kernel takes no merged messages.
func refusing(t testing.TB, addr string, errno unix.Errno) Socket {
	s := batched(t, addr)
	s.out.send = func(fd uintptr, ms []mmsghdr) (int, unix.Errno) {
		n := 0
		for n < len(ms) && ms[n].hdr.Controllen == 0 {
			n++
		}
		if n == 0 {
			return -1, errno
		}
		return sendmmsg(fd, ms[:n])
	}
	t.Cleanup(func() {
		if s.count.split.Load() == 0 {
			t.Error("nothing was split")
		}
		if off := !s.gso.Load(); off != (errno == unix.EIO) {
			t.Errorf("%v: merging off is %v", errno, off)
		}
		if s.count.full.Load()+s.count.tooLong.Load()+s.count.other.Load() != 0 {
			t.Error("something was counted as lost")
		}
	})
	return s
}

// TestKernelRefusals: what cannot be sent is counted and the rest goes on.
func TestKernelRefusals(t *testing.T) {
	for errno, count := range map[unix.Errno]func(*socketCounters) uint64{
		unix.ENOBUFS:     func(c *socketCounters) uint64 { return c.full.Load() },
		unix.EMSGSIZE:    func(c *socketCounters) uint64 { return c.tooLong.Load() },
		unix.ENETUNREACH: func(c *socketCounters) uint64 { return c.other.Load() },
	} {
		w, r := batched(t, "127.0.0.1:0"), plain(t, "127.0.0.1:0")
		first := true
		w.out.send = func(fd uintptr, ms []mmsghdr) (int, unix.Errno) {
			if first {
				first = false
				return -1, errno
			}
			return sendmmsg(fd, ms)
		}
		if err := w.WriteBatch([]Message{{Addr: r.LocalAddr(), Buf: []byte("lost")}, {Addr: r.LocalAddr(), Buf: []byte("kept")}}); err != nil {
			t.Fatal(err)
		}
		if got := collect(r, 1); string(got[0]) != "kept" {
			t.Errorf("%v: got %q", errno, got)
		}
		if n := count(&w.count); n != 1 {
			t.Errorf("%v counted %d times", errno, n)
		}
	}
	// For real: a datagram that no IPv4 packet can hold.
	w := batched(t, "127.0.0.1:0")
	if err := w.WriteBatch([]Message{{Addr: w.local, Buf: make([]byte, 65_530)}}); err != nil {
		t.Fatal(err)
	}
	if n := w.count.tooLong.Load(); n != 1 {
		t.Errorf("EMSGSIZE counted %d times", n)
	}
}

func TestClosedSocketsSaySo(t *testing.T) {
	for name, s := range map[string]Socket{"plain": plain(t, "127.0.0.1:0"), "batched": batched(t, "127.0.0.1:0")} {
		ended := make(chan error, 1)
		go func() {
			_, err := s.ReadBatch(make([]Message, readBatch))
			ended <- err
		}()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: read ended with %v", name, err)
		}
		if err := s.WriteBatch([]Message{{Addr: netip.MustParseAddrPort("127.0.0.1:9"), Buf: []byte("x")}}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: write gave %v", name, err)
		}
	}
}

// TestListenUDP: sockets share one port; a stranger's port is not shared.
func TestListenUDP(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	sockets, err := ListenUDP(loopback, SocketConfig{Count: 3}, log)
	if err != nil {
		t.Fatal(err)
	}
	if len(sockets) != 3 {
		t.Errorf("%d sockets", len(sockets))
	}
	for _, s := range sockets {
		if s.LocalAddr() != sockets[0].LocalAddr() {
			t.Errorf("%s and %s differ", s.LocalAddr(), sockets[0].LocalAddr())
		}
	}
	if _, err := ListenUDP(sockets[0].LocalAddr(), SocketConfig{}, log); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("the port was shared with another: %v", err)
	}
	for _, s := range sockets {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	var said bytes.Buffer
	sockets, err = ListenUDP(loopback, SocketConfig{Plain: true}, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said.String(), "path=plain"); n != 1 || !strings.Contains(said.String(), "receive_buffer=") {
		t.Errorf("the path was said %d times: %s", n, said.String())
	}
	if _, ok := sockets[0].(*plainSocket); !ok || len(sockets) != 1 {
		t.Errorf("asked for plain, got %T", sockets[0])
	}
	_ = sockets[0].Close()
}

func TestSmallBufferNamesTheRemedy(t *testing.T) {
	for receive, warns := range map[int]bool{212992: true, socketBuffer - 1: true, socketBuffer: false} {
		var said bytes.Buffer
		warnSmallBuffer(receive, slog.New(slog.NewTextHandler(&said, nil)))
		if got := strings.Contains(said.String(), "sysctl -w net.core.rmem_max=16777216"); got != warns {
			t.Errorf("%d bytes: %q", receive, said.String())
		}
	}
}

// TestSteer: all input comes to the first socket, or to each a part of it.
func TestSteer(t *testing.T) {
	sockets, err := ListenUDP(loopback, SocketConfig{Count: 2}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan int)
	for i, s := range sockets {
		t.Cleanup(func() { _ = s.Close() })
		go func() {
			ms := make([]Message, readBatch)
			for {
				n, err := s.ReadBatch(ms)
				if err != nil {
					return
				}
				for range n {
					heard <- i
				}
			}
		}()
	}
	for _, spread := range []bool{false, true, false} {
		if err := sockets[0].(steered).steer(spread); err != nil {
			t.Fatal(err)
		}
		var got [2]int
		for range 64 { // by chance all go the same way once in 2^63
			if err := plain(t, "127.0.0.1:0").WriteBatch([]Message{{Addr: sockets[0].LocalAddr(), Buf: []byte("x")}}); err != nil {
				t.Fatal(err)
			}
			got[<-heard]++
		}
		if (got[1] > 0) != spread || got[0] == 0 {
			t.Errorf("spread %v: %v datagrams", spread, got)
		}
	}
}

// TestAlarm: a reader waits no longer than its alarm, which can be taken back.
func TestAlarm(t *testing.T) {
	s := batched(t, "127.0.0.1:0")
	ms := make([]Message, readBatch)
	begin := time.Now()
	s.setAlarm(3 * time.Millisecond)
	if n, err := s.ReadBatch(ms); n != 0 || err != nil || time.Since(begin) < 3*time.Millisecond {
		t.Errorf("after %v: %d messages, %v", time.Since(begin), n, err)
	}
	s.setAlarm(time.Microsecond)
	s.setAlarm(0)
	if err := plain(t, "127.0.0.1:0").WriteBatch([]Message{{Addr: s.local, Buf: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ReadBatch(ms); n != 1 || err != nil {
		t.Errorf("%d messages, %v", n, err)
	}
}

func TestBatchedPathDoesNotAllocate(t *testing.T) {
	w, r := batched(t, "127.0.0.1:0"), batched(t, "127.0.0.1:0")
	ms := make([]Message, 16)
	for i := range ms {
		ms[i] = Message{Addr: r.local, Buf: make([]byte, 10_000), Segment: 1000}
	}
	in := make([]Message, readBatch)
	run := func() {
		if err := w.WriteBatch(ms); err != nil {
			t.Fatal(err)
		}
		for left := len(ms) * 10; left > 0; {
			n, err := r.ReadBatch(in)
			if err != nil {
				t.Fatal(err)
			}
			for i := range in[:n] {
				left -= datagrams(&in[i])
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSockets: 1,000-byte datagrams over loopback, merged by eight; ns for each datagram sent and received.
func BenchmarkSockets(b *testing.B) {
	const segments, messages, size = 8, 16, 1000
	for name, open := range map[string]func(testing.TB, string) Socket{
		"plain":   plain,
		"batched": func(t testing.TB, a string) Socket { return batched(t, a) },
	} {
		b.Run(name, func(b *testing.B) {
			w, r := open(b, "127.0.0.1:0"), open(b, "127.0.0.1:0")
			ms := make([]Message, messages)
			for i := range ms {
				ms[i] = Message{Addr: r.LocalAddr(), Buf: make([]byte, segments*size), Segment: size}
			}
			in := make([]Message, readBatch)
			b.ReportAllocs()
			for b.Loop() {
				if err := w.WriteBatch(ms); err != nil {
					b.Fatal(err)
				}
				for left := messages * segments; left > 0; {
					n, err := r.ReadBatch(in)
					if err != nil {
						b.Fatal(err)
					}
					for i := range in[:n] {
						left -= datagrams(&in[i])
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages*segments), "ns/datagram")
		})
	}
}
