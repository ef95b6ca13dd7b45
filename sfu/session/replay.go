package session

import (
	"time"

	"weir/sfu"
)

const (
	replayAge  = 10 * time.Second
	replaySize = 100_000 // bytes, of each cache
)

// outlet is what can be written to a participant. Reliable packets wait until both message channels are open.
type outlet struct {
	reliable, lossy, tracks bool
	from                    uint64 // packets after this one were missed while it was joining
	replayed                bool
}

// cached is a reliable packet as it was delivered to others.
type cached struct {
	order  uint64
	at     time.Time
	from   *participant // nil: outside
	data   Data
	packet []byte
}

// replayCache holds the last packets, bounded in age and size; it drops the oldest.
type replayCache struct {
	list []cached
	size int
}

func (c *replayCache) add(e cached) {
	c.expire(e.at)
	c.list = append(c.list, e)
	c.size += len(e.packet)
	for c.size > replaySize {
		c.dropFirst()
	}
}

func (c *replayCache) expire(now time.Time) {
	for len(c.list) > 0 && now.Sub(c.list[0].at) >= replayAge {
		c.dropFirst()
	}
}

func (c *replayCache) dropFirst() {
	c.size -= len(c.list[0].packet)
	c.list[0] = cached{}
	c.list = c.list[1:]
}

// ready says that reliable packets go to p directly.
func (p *participant) ready() bool { return p.outlet.replayed }

// dataOpen notes that a channel can be written.
func (s *Session) dataOpen(ev DataOpen) {
	p := s.byID[ev.ID]
	if p == nil {
		return
	}
	switch ev.Channel {
	case Reliable:
		p.outlet.reliable = true
	case Lossy:
		p.outlet.lossy = true
	case DataTracks:
		p.outlet.tracks = true
	}
	s.replay(p)
}

// replay sends what p missed between its join and now, in the order others got it. From then on p is served directly,
// so that it gets nothing twice.
func (s *Session) replay(p *participant) {
	if p.outlet.replayed || p.state != Active || !p.outlet.reliable || !p.outlet.lossy {
		return
	}
	p.outlet.replayed = true
	a, b := &s.packets.inside, &s.packets.api
	a.expire(s.now)
	b.expire(s.now)
	for i, j := 0, 0; i < len(a.list) || j < len(b.list); {
		var e *cached
		if j == len(b.list) || (i < len(a.list) && a.list[i].order < b.list[j].order) {
			e, i = &a.list[i], i+1
		} else {
			e, j = &b.list[j], j+1
		}
		if e.order > p.outlet.from && addressed(e.from, &e.data, p) {
			s.do(SendData{To: []sfu.ParticipantID{p.id}, Channel: Reliable, Payload: e.packet})
		}
	}
}
