package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/delayed"
	"weir/signalling/matrixtest"
)

// keeper is a Delegation between a homeserver and a focus, in a bubble.
type keeper struct {
	t    *testing.T
	hs   *matrixtest.Rooms
	d    *Delegation
	file string
	log  *lines
	reg  *prometheus.Registry
	as   bool
}

const leaveID = "syd_secret/of alice"

func keep(t *testing.T, script func(*keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{t: t, hs: matrixtest.NewRooms("own.example"), file: filepath.Join(t.TempDir(), "state", "leaves.jsonl"), log: &lines{}, as: true}
		defer k.hs.Stop()
		k.hs.Join(room, alice, ben)
		k.start()
		defer func() { k.d.Close() }()
		script(k)
	})
}

func (k *keeper) start() {
	k.t.Helper()
	token := asTok
	if !k.as {
		token = ""
	}
	home, err := NewHomeserver(Config{ServerName: "own.example", InternalURL: k.hs.URL()}, token, Network{Names: k.hs, Dial: k.hs.Dial})
	if err != nil {
		k.t.Fatal(err)
	}
	k.reg = prometheus.NewRegistry()
	k.d, err = OpenDelegation(DelegationConfig{Homes: []Home{{Server: "own.example", API: home, Assert: k.as}}, File: k.file}, slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug})), k.reg)
	if err != nil {
		k.t.Fatal(err)
	}
	synctest.Wait()
}

// schedule makes alice's delayed leave at the homeserver, beside her membership.
func (k *keeper) schedule(id string, delay time.Duration) {
	k.hs.State(room, alice, "org.matrix.msc3401.call.member", memberKey, `{"application":"m.call"}`)
	k.hs.Schedule(matrixtest.Delayed{ID: id, Room: room, User: alice, Key: memberKey, Delay: delay})
}

const (
	memberKey = "_" + alice + "_DEV_m.call"
	aliceHere = sfu.Identity(alice + ":DEV")
)

func (k *keeper) accept(id string, timeout time.Duration) error {
	k.t.Helper()
	err := k.d.Accept(delayed.Leave{
		Key: delayed.Key{Session: testAlias, Identity: aliceHere}, ID: id, Timeout: timeout, User: alice, Room: room, Slot: "m.call#ROOM",
	})
	synctest.Wait()
	return err
}

func (k *keeper) notice(kind session.NoticeKind, id sfu.ParticipantID, why session.LeaveReason) {
	k.d.Notice(session.Notice{
		Kind: kind, Session: session.View{ID: testAlias}, Participant: &session.ParticipantView{ID: id, Identity: aliceHere}, Reason: why,
	})
	synctest.Wait()
}

// asked are the actions that the homeserver was asked for.
func (k *keeper) asked() (all []string) {
	for _, r := range k.hs.Requests("/delayed_events/") {
		if r.Method == http.MethodPost {
			all = append(all, r.Path[strings.LastIndexByte(r.Path, '/')+1:])
		}
	}
	return all
}

func (k *keeper) waits(want bool, why string) {
	k.t.Helper()
	if got := len(k.hs.Scheduled()) > 0; got != want {
		k.t.Fatalf("%s: the leave waits: %v", why, got)
	}
}

// quiet makes sure that no secret is in the log.
func (k *keeper) quiet() {
	k.t.Helper()
	for _, secret := range []string{"syd_secret", asTok} {
		if strings.Contains(k.log.String(), secret) {
			k.t.Fatalf("%q is in the log:\n%s", secret, k.log)
		}
	}
}

func TestDelegation(t *testing.T) {
	keep(t, func(k *keeper) {
		k.schedule(leaveID, time.Hour)
		k.notice(session.ParticipantJoined, "PA_1", 0)
		if err := k.accept(leaveID, time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		k.waits(true, "a long call")
		if n := len(k.asked()); n != 7 {
			t.Fatalf("restarted %d times in five hours", n)
		}
		r := k.hs.Requests("/restart")[0]
		if r.As != alice || r.Token != asTok || r.Body != "{}" {
			t.Fatalf("%+v", r)
		}
		k.notice(session.ParticipantLeft, "PA_1", session.ClientInitiated)
		k.waits(false, "after she is gone")
		if k.asked()[7] != "send" {
			t.Fatal(k.asked())
		}
		if got := metric(t, k.reg, "weir_delayed_leaves_ended_total", "sent"); got != 1 {
			t.Fatal(got)
		}
		if !strings.Contains(k.log.String(), "code=leave_sent") {
			t.Fatal(k.log)
		}
		k.quiet()
	})
}

// An evicted user's event would be refused: nothing is sent.
func TestDelegationWithdrawn(t *testing.T) {
	keep(t, func(k *keeper) {
		k.schedule(leaveID, time.Hour)
		k.notice(session.ParticipantJoined, "PA_1", 0)
		_ = k.accept(leaveID, time.Hour)
		k.d.Withdrawn(room, alice, time.Now())
		k.notice(session.ParticipantLeft, "PA_1", session.ParticipantRemoved)
		time.Sleep(30 * time.Minute)
		if got := k.asked(); !slices.Equal(got, []string{"restart"}) {
			t.Fatal(got)
		}
	})
}

// What was handed over outlives the focus. A client that comes back goes on; one that does not is gone after a minute.
func TestDelegationRestarted(t *testing.T) {
	for _, back := range []bool{true, false} {
		keep(t, func(k *keeper) {
			k.schedule(leaveID, time.Hour)
			k.notice(session.ParticipantJoined, "PA_1", 0)
			_ = k.accept(leaveID, time.Hour)
			if s, err := os.Stat(k.file); err != nil || s.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v", s, err)
			}
			time.Sleep(10 * time.Minute)
			k.d.Close()
			if err := k.accept("another", time.Hour); !errors.Is(err, errEnded) {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			k.waits(true, "stopping sends nothing")
			k.start()
			if back {
				time.Sleep(30 * time.Second)
				k.notice(session.ParticipantJoined, "PA_1", 0)
			}
			time.Sleep(59 * time.Second)
			k.waits(true, "a minute to come back")
			time.Sleep(2 * time.Second)
			k.waits(back, "after it")
			time.Sleep(3 * time.Hour)
			k.waits(back, "hours later")
			k.quiet()
		})
	}
}

func TestDelegationOutage(t *testing.T) {
	keep(t, func(k *keeper) {
		k.schedule(leaveID, time.Hour)
		k.notice(session.ParticipantJoined, "PA_1", 0)
		_ = k.accept(leaveID, time.Hour)
		time.Sleep(48*time.Minute - time.Second)
		k.hs.Down(true)
		time.Sleep(5 * time.Minute)
		k.hs.Down(false)
		time.Sleep(time.Minute + time.Second)
		if n := len(k.asked()); n != 2 {
			t.Fatalf("restarted %d times", n)
		}
		if n := metric(t, k.reg, "weir_delayed_leave_requests_total", "unreached"); n < 8 || n > 20 {
			t.Fatalf("tried in vain %v times within five minutes", n)
		}
		time.Sleep(30 * time.Minute)
		k.waits(true, "the outage was shorter than the delay")
		k.hs.Down(true)
		k.notice(session.ParticipantLeft, "PA_1", session.ClientInitiated)
		time.Sleep(10 * time.Minute)
		k.hs.Down(false)
		time.Sleep(time.Minute + time.Second)
		k.waits(false, "sent as soon as the homeserver is back")
		k.quiet()
	})
}

// How a homeserver can answer, and what is made of it.
func TestDelegationAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer matrixtest.Step
		end    string // "": it is tried again
		tries  int    // within ten seconds
	}{
		{"unknown", matrixtest.Answer(404, `{"errcode":"M_NOT_FOUND"}`), "overtaken", 1},
		{"being sent", matrixtest.Answer(409, `{"errcode":"M_UNKNOWN"}`), "overtaken", 1},
		{"not permitted", matrixtest.Answer(403, `{"errcode":"M_FORBIDDEN"}`), "denied", 1},
		{"token unknown", matrixtest.Answer(401, `{"errcode":"M_UNKNOWN_TOKEN"}`), "denied", 1},
		{"a worker that knows no delayed events", matrixtest.Answer(404, `{"errcode":"M_UNRECOGNIZED"}`), "", 8},
		{"broken", matrixtest.Answer(502, `<html>`), "", 5},
		{"limited", limited429("3"), "", 4},
		{"no JSON", matrixtest.Answer(200, `<html>`), "", 1},
		{"hangs up", matrixtest.Hangup(), "", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keep(t, func(k *keeper) {
				k.hs.Answer("/restart", tt.answer)
				k.schedule(leaveID, time.Hour)
				k.notice(session.ParticipantJoined, "PA_1", 0)
				_ = k.accept(leaveID, time.Hour)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := len(k.asked()); n < tt.tries-1 || n > tt.tries+2 {
					t.Errorf("asked %d times", n)
				}
				if got := strings.Contains(k.log.String(), "delayed leave ended"); got != (tt.end != "") || got && !strings.Contains(k.log.String(), "code=leave_"+tt.end) {
					t.Errorf("%s", k.log)
				}
				k.quiet()
			})
		})
	}
}

func limited429(after string) matrixtest.Step {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", after)
		matrixtest.Answer(429, `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":100}`)(w, r)
	}
}

func TestFindLeave(t *testing.T) {
	for _, old := range []bool{false, true} {
		keep(t, func(k *keeper) {
			if old {
				k.hs.Old()
			}
			k.schedule(leaveID, time.Hour)
			ctx := context.Background()
			if in, delay, err := k.d.Find(ctx, alice, leaveID); in != room || delay != time.Hour || err != nil {
				t.Fatal(in, delay, err)
			}
			for _, q := range [][2]string{{ben, leaveID}, {alice, "another"}} {
				if _, _, err := k.d.Find(ctx, q[0], q[1]); !errors.Is(err, ErrUnknownLeave) {
					t.Fatalf("%v: %v", q, err)
				}
			}
			k.hs.Down(true)
			if _, _, err := k.d.Find(ctx, alice, leaveID); err == nil || errors.Is(err, ErrUnknownLeave) || strings.Contains(err.Error(), "secret") {
				t.Fatal(err)
			}
		})
	}
}

// Without the right to stand in for users the delay id has to do.
func TestDelegationAnonymous(t *testing.T) {
	keep(t, func(k *keeper) {
		k.d.Close()
		k.as = false
		k.start()
		k.schedule(leaveID, time.Hour)
		k.notice(session.ParticipantJoined, "PA_1", 0)
		_ = k.accept(leaveID, time.Hour)
		k.notice(session.ParticipantLeft, "PA_1", session.ClientInitiated)
		k.waits(false, "gone")
		if r := k.hs.Requests("/send")[0]; r.As != "" || r.Token != "" {
			t.Fatalf("%+v", r)
		}
		if _, _, err := k.d.Find(context.Background(), alice, leaveID); err == nil {
			t.Fatal("found in whose name?")
		}
	})
}

func TestJournal(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state", "leaves.jsonl")
	log := &lines{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	leaf := func(i int) delayed.Leave {
		return delayed.Leave{
			Key: delayed.Key{Session: "call", Identity: sfu.Identity(fmt.Sprint("ann", i))}, ID: "d", Timeout: time.Hour, User: alice, Room: room,
			Slot: "slot", Restarted: time.UnixMilli(1_700_000_000_000),
		}
	}
	j, kept, err := openJournal(name, logger)
	if err != nil || len(kept) != 0 {
		t.Fatal(kept, err)
	}
	for i := range 3 * slack {
		if err := j.keep(leaf(i % 3)); err != nil {
			t.Fatal(err)
		}
	}
	if !j.long(3) || j.forget(leaf(1).Key) != nil {
		t.Fatal("not long")
	}
	_ = j.close()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"", "null", `{"session":"call"}`, `{"session":"a","identity":"b","delay_id":"d","delay_timeout":-1}`,
		`{"session":"a","identity":"b","delay_id":"d","delay_timeout":99999999999}`, `{"session":7}`,
		`{"session":"a","identity":"` + strings.Repeat("b", 2000) + `"}`, `{"session":"a","identity":"b","delay_i`} {
		_, _ = f.WriteString(line + "\n")
	}
	_ = f.Close()
	j, kept, err = openJournal(name, logger)
	if err != nil || !slices.Equal(kept, []delayed.Leave{leaf(0), leaf(2)}) || !strings.Contains(log.String(), "lines=8") {
		t.Fatalf("%v %v\n%s", kept, err, log)
	}
	if j.lines != 2 || j.long(2) {
		t.Fatalf("%d lines", j.lines)
	}
	_ = j.close()
	if text, err := os.ReadFile(name); err != nil || strings.Count(string(text), "\n") != 2 {
		t.Fatalf("%s %v", text, err)
	}
	if _, _, err := openJournal(filepath.Join(name, "below-a-file"), logger); err == nil {
		t.Fatal("opened")
	}
}

// FuzzJournal: what is read back is what was kept, and what is not an entry hurts nobody.
func FuzzJournal(f *testing.F) {
	f.Add(`{"session":"a","identity":"b","delay_id":"d","delay_timeout":1,"restarted_at":5}`, "x", "y", "z", int64(3600000))
	f.Add("{", "call", "ann", "d", int64(18000))
	f.Add("0", "0", "\xdf", "\x80", int64(3600000)) // valid only together
	f.Fuzz(func(t *testing.T, junk, id, user, room string, ms int64) {
		name := filepath.Join(t.TempDir(), "leaves.jsonl")
		if err := os.WriteFile(name, []byte(junk), 0o600); err != nil {
			t.Fatal(err)
		}
		j, before, err := openJournal(name, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l := entry{Session: "\x00new", Identity: "ann", ID: id, Timeout: ms, User: user, Room: room, Restarted: 7}
		want := append([]delayed.Leave{}, before...)
		sound := utf8.ValidString(id) && utf8.ValidString(user) && utf8.ValidString(room) // as all that came as JSON
		if sound && l.sane() && id != "" {
			want = append(want, l.leave())
			if err := j.keep(l.leave()); err != nil {
				t.Fatal(err)
			}
		}
		_ = j.close()
		j, after, err := openJournal(name, slog.New(slog.DiscardHandler))
		if err != nil || !slices.Equal(after, want) {
			t.Fatalf("%v\n%v\n%v", err, after, want)
		}
		_ = j.close()
	})
}
