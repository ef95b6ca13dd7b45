package bench

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/sfu"
)

// countFeed counts how often it is asked, and when.
type countFeed struct {
	clock Clock
	at    []int64
}

func (f *countFeed) Frame(bool) ([]byte, bool) {
	f.at = append(f.at, f.clock.Now())
	return []byte{1}, false
}

// TestPump: everything leaves at its time, and nothing leaves after it was taken out.
func TestPump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a := h.bot("a", "hall", BotConfig{NoData: true})
		h.await(a, "connection", connected)
		l := a.legs[0]
		feeds := map[time.Duration]*countFeed{}
		var all []*outgoing
		for _, every := range []time.Duration{20 * time.Millisecond, 33 * time.Millisecond, 66666667} {
			feed := &countFeed{clock: h.clock}
			feeds[every] = feed
			p := &Publication{Codec: sfu.VP8, Streams: []Stream{{Every: every, Feed: feed}}}
			o := testOutgoing(l, p)
			all = append(all, o)
			h.pump.add(o, h.clock.Now()+int64(every))
		}
		begin := h.clock.Now()
		const run = 10 * time.Second
		time.Sleep(run)
		for _, o := range all {
			h.pump.remove(o)
		}
		synctest.Wait()
		counts := map[time.Duration]int{}
		for every, feed := range feeds {
			counts[every] = len(feed.at)
			if want := int((run + time.Duration(slack)) / every); len(feed.at) < want-1 || len(feed.at) > want {
				t.Errorf("each %v: %d frames, want %d", every, len(feed.at), want)
			}
			for i, at := range feed.at {
				if due := begin + int64(every)*int64(i+1); at < due-slack || at > due+slack {
					t.Fatalf("each %v: frame %d at %d, want %d", every, i, at, due)
				}
			}
		}
		time.Sleep(time.Second)
		for every, feed := range feeds {
			if len(feed.at) != counts[every] {
				t.Errorf("each %v: sent after it was taken out", every)
			}
		}
		if late := h.pump.Late(); late.Quantile(.99) > time.Duration(slack) {
			t.Errorf("late: %v", late)
		}
		a.Leave()
		h.noSessions()
		h.close()
	})
}
