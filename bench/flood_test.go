//go:build system

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu/media"
	"weir/sfu/session"
	"weir/sfu/sfutest"
)

// TestFlood: one participant sends reliable data as fast as it can, over links that are slower than it. Everything comes
// to everybody, nobody is sent away, and what others say meanwhile does not wait for it.
func TestFlood(t *testing.T) {
	for name, dual := range map[string]bool{"one transport": false, "two transports": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t)
				const size, count, notes = 60_000, 1000, 50 // 60 MB
				var slowest atomic.Int64
				var files, said [4]atomic.Int64
				var bots []*Bot
				for i := range 4 {
					bots = append(bots, h.bot(fmt.Sprintf("user%d", i), "hall", BotConfig{Subscribe: true, Dual: dual,
						OnData: func(_ *Bot, _ session.DataChannel, payload []byte, now int64) {
							if len(payload) >= size {
								files[i].Add(int64(len(payload) / size))
								return
							}
							said[i].Add(1)
							if at := bytes.Index(payload, stampMagic[:]); at >= 0 {
								sent, _ := readStamp(payload[at : at+stampLen])
								slowest.Store(max(slowest.Load(), now-sent))
							}
						}}))
				}
				for _, b := range bots {
					h.await(b, "data channels", func(s *Snapshot) bool { return s.State == Connected && s.DataOpen })
				}
				h.network.Impair(sfutest.Impairment{Delay: 20 * time.Millisecond})
				pass(time.Second)
				chat := make(chan struct{})
				go func() {
					defer close(chat)
					for range notes {
						note := make([]byte, 100)
						putStamp(note, h.clock.Now())
						if err := bots[1].SendData(session.Reliable, note); err != nil {
							t.Error(err)
						}
						pass(100 * time.Millisecond)
					}
				}()
				file := make([]byte, size)
				for range count {
					for {
						err := bots[0].SendData(session.Reliable, file)
						if err == nil {
							break
						}
						if !errors.Is(err, media.ErrDropped) {
							t.Fatal(err)
						}
						pass(5 * time.Millisecond) // its own queue is full
					}
				}
				<-chat
				pass(30 * time.Second)
				for i, b := range bots {
					s := b.Snapshot()
					if s.State != Connected || s.Resumes != 0 || s.Err != nil {
						t.Errorf("bot %d is %s after %d resumes: %v", i, s.State, s.Resumes, s.Err)
					}
					if got := files[i].Load(); i != 0 && got != count {
						t.Errorf("bot %d got %d of %d messages", i, got, count)
					}
					if got := said[i].Load(); i != 1 && got != notes {
						t.Errorf("bot %d got %d of %d notes", i, got, notes)
					}
				}
				if late := time.Duration(slowest.Load()); late == 0 || late > 3*time.Second {
					t.Errorf("a note took %v", late)
				} else {
					t.Logf("the slowest note took %v", late)
				}
				for _, b := range bots {
					b.Leave()
				}
				h.noSessions()
				h.close()
			})
		})
	}
}
