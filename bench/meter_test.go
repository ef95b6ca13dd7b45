package bench

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 12345"
	for name, c := range map[string]struct {
		line string
		want time.Duration
		err  error
	}{
		"plain":             {"7 (weir)" + rest, 3 * time.Second, nil},
		"name with blanks":  {"7 (a b) c) 1 2 3 (x)" + rest, 3 * time.Second, nil},
		"no name":           {"7 weir" + rest, 0, ErrProcess},
		"empty":             {"", 0, ErrProcess},
		"cut":               {"7 (weir) S 1 2", 0, ErrProcess},
		"times not numbers": {"7 (weir) S 1 2 3 0 -1 4194560 1 2 3 4 x y", 0, ErrProcess},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(c.line))
			if got != c.want || !errors.Is(err, c.err) {
				t.Fatalf("%v, %v; want %v, %v", got, err, c.want, c.err)
			}
		})
	}
}

// FuzzParseStat: whatever the name of a process is, its times are found.
func FuzzParseStat(f *testing.F) {
	f.Add("weir", uint32(250), uint32(50))
	f.Add(") S 1 2 3 (", uint32(0), uint32(1<<31))
	f.Fuzz(func(t *testing.T, name string, user, system uint32) {
		line := "7 (" + name + ") S 1 2 3 0 -1 4194560 1 2 3 4 " + itoa(user) + " " + itoa(system) + " 0 0 20"
		got, err := parseStat([]byte(line))
		if want := time.Duration(uint64(user)+uint64(system)) * clockTick; err != nil || got != want {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
	})
}

func itoa(n uint32) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestOwnProcess(t *testing.T) {
	rss, err := processRSS(os.Getpid())
	if err != nil || rss < 1<<20 {
		t.Errorf("%d bytes, %v", rss, err)
	}
	if _, err := processCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if _, err := processCPU(1 << 30); !errors.Is(err, ErrProcess) {
		t.Errorf("a process that does not exist: %v", err)
	}
	if ownCPU() <= 0 || machineCPU() <= 0 {
		t.Errorf("own %v, machine %v", ownCPU(), machineCPU())
	}
}

func TestReadMetrics(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP go_goroutines x\ngo_goroutines 42\ngo_memstats_mallocs_total 1.5e+06\nother{a=\"b\"} 1\n"))
	}))
	defer s.Close()
	got, err := readMetrics(t.Context(), s.URL)
	if err != nil || got != (told{42, 1.5e6}) {
		t.Fatalf("%+v, %v", got, err)
	}
	s.Close()
	if _, err := readMetrics(t.Context(), s.URL); err == nil {
		t.Fatal("nobody answered, and no error")
	}
}

// TestGuard: load stays on the machine.
func TestGuard(t *testing.T) {
	g, err := NewGuard(false)
	if err != nil {
		t.Fatal(err)
	}
	all, err := NewGuard(true)
	if err != nil {
		t.Fatal(err)
	}
	for addr, own := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"192.0.2.1": false, "2001:db8::1": false, "8.8.8.8": false, "255.255.255.255": false, "0.0.0.0": false, "::": false,
	} {
		a := netip.MustParseAddr(addr)
		if g.Allows(a) != own {
			t.Errorf("%s: allowed %v, want %v", addr, !own, own)
		}
		if !all.Allows(a) {
			t.Errorf("%s: refused though everything is allowed", addr)
		}
	}
	for _, url := range []string{"ws://192.0.2.1:7880", "wss://[2001:db8::1]:443/rtc"} {
		if _, err := g.LocalAddr(t.Context(), url); !errors.Is(err, ErrRemote) {
			t.Errorf("%s: %v, want a refusal", url, err)
		}
	}
	if a, err := g.LocalAddr(t.Context(), "ws://127.0.0.1:7880"); err != nil || !a.IsLoopback() {
		t.Errorf("loopback is reached from %v, %v", a, err)
	}
	if _, err := g.Dial(context.Background(), "tcp", "192.0.2.1:7880"); !errors.Is(err, ErrRemote) {
		t.Errorf("dialled: %v", err)
	}
	b := &Bot{cfg: BotConfig{Candidate: g.Candidate}}
	lines := []string{
		"1 1 udp 2130706431 127.0.0.1 7882 typ host", "candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host",
		"1 1 udp 1 ::1 7882 typ host", "1 1 udp 1 secret.local 7882 typ host", "", "x",
	}
	if got := b.allowed(lines); len(got) != 2 || got[0] != lines[0] || got[1] != lines[2] {
		t.Errorf("allowed candidates: %q", got)
	}
}
