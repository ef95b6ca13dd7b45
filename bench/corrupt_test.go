package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu/media"
)

// corrupting changes some of what is sent by a socket: handshakes, checks, media and data that are nearly right.
type corrupting struct {
	media.Socket
	mu sync.Mutex // any goroutine writes
	r  *rand.Rand
}

func (c *corrupting) WriteBatch(ms []media.Message) error {
	out := make([]media.Message, 0, len(ms))
	c.mu.Lock()
	for _, m := range ms {
		if m.Segment == 0 && len(m.Buf) > 1 && c.r.IntN(4) == 0 {
			m.Buf = c.corrupt(m.Buf)
		}
		out = append(out, m)
	}
	c.mu.Unlock()
	return c.Socket.WriteBatch(out)
}

func (c *corrupting) corrupt(b []byte) []byte {
	b = bytes.Clone(b)
	switch c.r.IntN(4) {
	case 0:
		return b[:1+c.r.IntN(len(b)-1)]
	case 1:
		return append(b, b[c.r.IntN(len(b)):]...)
	case 2:
		at := c.r.IntN(len(b))
		return append(b[:at], b[at/2:]...)
	}
	for range 1 + c.r.IntN(8) {
		b[c.r.IntN(len(b))] = byte(c.r.Uint32())
	}
	return b
}

// TestCorruptedPath: what comes over bad paths is wrong in every layer. Those who sent it may get in or not; the others
// notice nothing, and nothing is left of them.
func TestCorruptedPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a := h.bot("a", "hall", BotConfig{Publish: talker(), Subscribe: true})
		b := h.bot("b", "hall", BotConfig{Publish: talker(), Subscribe: true, Dual: true})
		h.awaitStreams(a, 2)
		h.awaitStreams(b, 2)
		var bad []*Bot
		in := 0
		for i := range 20 {
			port := 0
			bad = append(bad, h.bot(fmt.Sprint("bad", i), "hall", BotConfig{Publish: talker(), Subscribe: true, Dual: i%2 == 0,
				Listen: func() (media.Socket, error) {
					port++
					s, err := h.network.Listen(fmt.Sprintf("10.7.%d.1:%d", i, port))
					return &corrupting{Socket: s, r: rand.New(rand.NewPCG(uint64(i), uint64(port)))}, err
				}}))
		}
		for i, s := range h.flow(20*time.Second, a, b) {
			if s.State != Connected || s.Resumes != 0 || s.PacketsIn < 20*110*9/10 {
				t.Errorf("bot %d beside bad paths: %s, %d resumes, %d packets", i, s.State, s.Resumes, s.PacketsIn)
			}
		}
		for _, x := range bad {
			if s := x.Snapshot(); s.State == Connected && s.PacketsIn > 0 {
				in++
			}
			x.Close()
		}
		t.Logf("%d of %d got in", in, len(bad))
		if in < 5 {
			t.Errorf("only %d got in: the test reaches no layer but the first", in)
		}
		a.Leave()
		b.Leave()
		h.noSessions()
		h.close()
	})
}
