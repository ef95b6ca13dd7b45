package session

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/sfu"
)

// player turns bytes into events and watches what must hold after each.
type player struct {
	t     *testing.T
	s     *Session
	now   time.Time
	bytes []byte

	stays    int
	ids      map[sfu.Identity]sfu.ParticipantID // the newest stay of each
	sinks    map[sfu.ParticipantID]wire
	live     map[wire]bool // connections that may be told something
	owner    map[wire]sfu.Identity
	versions map[string]uint32 // by connection and participant
	known    []sfu.PublicationID
	open     map[[2]string]bool // subscriptions on a transport
	media    map[sfu.ParticipantID]bool
	tracks   map[sfu.PublicationID]bool
	ended    bool
}

func newPlayer(t *testing.T, b []byte) *player {
	return &player{
		t: t, bytes: b, now: start,
		s:   New("room", "RM_x", Config{MaxParticipants: 5, DepartureTimeout: 2}, jsonCodec{}, [32]byte{}, start),
		ids: map[sfu.Identity]sfu.ParticipantID{}, sinks: map[sfu.ParticipantID]wire{},
		live: map[wire]bool{}, owner: map[wire]sfu.Identity{}, versions: map[string]uint32{},
		known: []sfu.PublicationID{"TR_never"}, open: map[[2]string]bool{},
		media: map[sfu.ParticipantID]bool{}, tracks: map[sfu.PublicationID]bool{},
	}
}

// play runs all bytes.
func (p *player) play() {
	for len(p.bytes) > 0 {
		ev := p.next()
		for _, e := range p.s.Handle(p.now, ev, nil) {
			if p.ended {
				p.t.Fatalf("%T after the end, of %T", e, ev)
			}
			p.watch(ev, e)
		}
		if !p.ended {
			p.consistent(ev)
		}
	}
}

// watch checks one effect against those before.
func (p *player) watch(ev Event, e Effect) {
	switch e := e.(type) {
	case Tell:
		p.watchTell(ev, e)
	case OpenTransports:
		p.media[e.ID] = true
	case CloseTransports:
		if !p.media[e.ID] {
			p.t.Fatalf("%T: transports of %s closed twice", ev, e.ID)
		}
		delete(p.media, e.ID)
		for k := range p.open {
			if k[0] == string(e.ID) {
				delete(p.open, k)
			}
		}
	case OpenPublication:
		if p.tracks[e.Track.ID] {
			p.t.Fatalf("%T: %s opened twice", ev, e.Track.ID)
		}
		p.tracks[e.Track.ID] = true
	case ClosePublication:
		if !p.tracks[e.Publication] {
			p.t.Fatalf("%T: %s closed but not open", ev, e.Publication)
		}
		delete(p.tracks, e.Publication)
	case OpenSubscription:
		k := [2]string{string(e.Subscriber), string(e.Track.ID)}
		if p.open[k] || !p.media[e.Subscriber] || !p.tracks[e.Track.ID] || strings.HasPrefix(string(e.Publisher), "PA_hid") {
			p.t.Fatalf("%T: %v opened: open %v, transports %v, track %v", ev, k, p.open[k], p.media[e.Subscriber], p.tracks[e.Track.ID])
		}
		p.open[k] = true
	case SetTarget:
		if !p.open[[2]string{string(e.Subscriber), string(e.Publication)}] {
			p.t.Fatalf("%T: target of %s > %s, which is not open", ev, e.Subscriber, e.Publication)
		}
	case CloseSubscription:
		k := [2]string{string(e.Subscriber), string(e.Publication)}
		if !p.open[k] {
			p.t.Fatalf("%T: %v closed but not open", ev, k)
		}
		delete(p.open, k)
	case SendData:
		for _, id := range e.To {
			if !p.media[id] {
				p.t.Fatalf("%T: data to %s, which is gone", ev, id)
			}
		}
		if strings.Contains(string(e.Payload), "hid") {
			p.t.Fatalf("%T: data names a hidden participant: %q", ev, e.Payload)
		}
	case Ended:
		p.ended = true
	}
}

func (p *player) watchTell(ev Event, e Tell) {
	sink := e.Sink.(wire)
	if !p.live[sink] {
		p.t.Fatalf("%T: %s told %T after its end", ev, sink, e.Message)
	}
	switch m := e.Message.(type) {
	case Hangup:
		p.live[sink] = false
	case Published:
		p.known = append(p.known, m.Track.ID)
	case DataPublished:
		p.known = append(p.known, m.Track.ID)
	case Update:
		for _, v := range m.Participants {
			k := string(sink) + string(v.ID)
			if v.Version < p.versions[k] {
				p.t.Fatalf("%T: %s told version %d of %s after %d", ev, sink, v.Version, v.ID, p.versions[k])
			}
			p.versions[k] = v.Version
		}
	}
	if p.owner[sink] != "hid" && strings.Contains(fmt.Sprintf("%v", e.Message), "PA_hid") {
		p.t.Fatalf("%T: %s hears of a hidden participant: %v", ev, sink, e.Message)
	}
}

// consistent checks what the session keeps count of.
func (p *player) consistent(ev Event) {
	s := p.s
	for i, al := range s.alarms.list {
		if al.place != i+1 {
			p.t.Fatalf("%T: alarm %d thinks it is at %d", ev, i, al.place)
		}
		if q := al.participant; q != nil && s.byID[q.id] != q {
			p.t.Fatalf("%T: alarm %d for %s, who is gone", ev, al.why, q.id)
		}
		if pub := al.publication; pub != nil && s.publications[pub.id] != pub {
			p.t.Fatalf("%T: alarm %d for %s, which is gone", ev, al.why, pub.id)
		}
		if sub := al.subscription; sub != nil && (s.byID[sub.by.id] != sub.by || sub.by.subs[sub.id] != sub) {
			p.t.Fatalf("%T: alarm %d for a subscription of %s that is gone", ev, al.why, sub.by.id)
		}
	}
	for _, q := range s.order {
		intents, following := 0, map[*participant]int{}
		for _, sub := range q.subs {
			if sub.pub == nil {
				intents++
			} else if sub.open {
				following[sub.pub.owner]++
			}
			if sub.open != p.open[[2]string{string(q.id), string(sub.id)}] {
				p.t.Fatalf("%T: %s > %s open %v", ev, q.id, sub.id, sub.open)
			}
		}
		if intents != q.intents || fmt.Sprint(len(following), following) != fmt.Sprint(len(q.following), q.following) {
			p.t.Fatalf("%T: %s counts %d intents, follows %v; has %d, %v", ev, q.id, q.intents, q.following, intents, following)
		}
	}
	for _, pub := range s.publications {
		var wants [maxCodecs][maxLayers]int
		for _, q := range s.order {
			if sub := q.subs[pub.id]; sub != nil && sub.demand.codec >= 0 {
				wants[sub.demand.codec][sub.demand.spatial]++
			}
		}
		if wants != pub.demand.wants {
			p.t.Fatalf("%T: demand of %s is %v, counted %v", ev, pub.id, pub.demand.wants, wants)
		}
	}
}

func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestRandomCalls(t *testing.T) {
	for seed := range uint64(150) {
		newPlayer(t, randomBytes(seed, 4000)).play()
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 3, 1, 1, 1, 1, 1})
	f.Add([]byte("\x00\x00\x00\x03\x00\x01\x01\x01\x03\x00\x00\x00\x09\x00\x01\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x01\x03\x00\x01\x01\x01"))
	f.Add([]byte(strings.Repeat("\x00\x04\x00\x03\x00\x03\x04\x00\x00\x09\x04\x01\x00\x05\x01\x04\x00\x01", 8)))
	for seed := range uint64(8) {
		f.Add(randomBytes(seed, 2000))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4000 {
			b = b[:4000]
		}
		newPlayer(t, b).play()
	})
}
