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

func (p *player) byte() int {
	if len(p.bytes) == 0 {
		return 0
	}
	b := p.bytes[0]
	p.bytes = p.bytes[1:]
	return int(b)
}

func pick[T any](p *player, list ...T) T { return list[p.byte()%len(list)] }

// identity hides one of them for good.
func (p *player) identity() sfu.Identity {
	return pick[sfu.Identity](p, "ann", "bob", "cas", "dan", "hid")
}
func (p *player) id() sfu.ParticipantID { return p.ids[p.identity()] }

// publication is mostly a recent one.
func (p *player) publication() sfu.PublicationID {
	b := p.byte()
	if b == 255 {
		return p.known[0]
	}
	return p.known[len(p.known)-1-b%min(len(p.known), 9)]
}

// publisher is mostly whoever announced id.
func (p *player) publisher(id sfu.PublicationID) sfu.ParticipantID {
	if p.byte()%16 != 0 {
		for _, q := range p.s.order {
			if q.publication(id) != nil {
				return q.id
			}
		}
	}
	return p.id()
}

// rarely is for what ends things, so that others get somewhere.
func (p *player) rarely() bool { return p.byte()%8 == 0 }
func (p *player) flag() bool   { return p.byte()%2 == 1 }

// connection is a fresh one, of whoever has that identity.
func (p *player) connection(who sfu.Identity) wire {
	p.stays++
	w := wire(fmt.Sprintf("%s#%d", who, p.stays))
	p.owner[w], p.live[w] = who, true
	return w
}

func (p *player) next() Event {
	switch p.byte() % 12 {
	case 0:
		if ev := p.join(); ev != nil {
			return ev
		}
		return Tick{}
	case 1:
		who := p.identity()
		ev := Resume{Sink: p.connection(who), ID: p.ids[who], Identity: p.identity(), Software: sfu.Software{Protocol: 17}}
		if cur := p.s.byID[ev.ID]; cur != nil && cur.identity == ev.Identity {
			p.sinks[ev.ID] = ev.Sink.(wire)
			p.owner[ev.Sink.(wire)] = ev.Identity
		}
		return ev
	case 2:
		id := p.id()
		ev := ConnectionLost{Sink: p.sinks[id], ID: p.id()}
		if ev.ID == id {
			p.live[p.sinks[id]] = false
		}
		return ev
	case 3, 4:
		return TransportChanged{ID: p.id(), Target: pick(p, Publisher, Subscriber), State: TransportState(p.byte() % 32 % 30 / 14)}
	case 5, 6:
		return p.mediaEvent()
	case 7:
		return p.outsideEvent()
	case 8:
		p.now = p.now.Add(time.Duration(p.byte()) * 100 * time.Millisecond)
		return Tick{}
	}
	id := p.id()
	if p.byte()%16 == 0 {
		id = p.id() // possibly somebody else's
	}
	return FromParticipant{Sink: p.sinks[id], ID: id, Request: p.request()}
}

func (p *player) join() Event {
	who := p.identity()
	if p.s.byIdentity[who] != nil && !p.rarely() {
		return nil
	}
	p.stays++
	id := sfu.ParticipantID(fmt.Sprintf("PA_%s%d", who, p.stays))
	j := Join{
		ID: id, Identity: who, Sink: p.connection(who), Grant: everything,
		Software: sfu.Software{SDK: pick(p, "js", "go", "rust"), Protocol: pick(p, 7, 9, 11, 17)},
		Settings: Settings{Dual: p.flag(), AutoSubscribe: !p.rarely(), AutoSubscribeData: p.flag(), AdaptiveStream: p.flag()},
		Publish:  []AddTrack{camera("early")},
	}
	j.Grant.Hidden = who == "hid"
	p.ids[who], p.sinks[id] = id, j.Sink.(wire)
	return j
}

func (p *player) request() Request {
	switch p.byte() % 16 {
	case 0, 1:
		return pick(p, camera(fmt.Sprint(p.byte()%8)), microphone(fmt.Sprint(p.byte()%8)),
			AddTrack{Publication: p.publication(), CID: "b", Kind: sfu.Video, Codecs: []CodecOffer{{Codec: sfu.VP8, CID: "b"}}},
			AddTrack{CID: "9", Kind: sfu.Video, Backup: uint8(p.byte() % 3), Codecs: []CodecOffer{{Codec: sfu.VP9, CID: "9"}, {Codec: sfu.VP8}}})
	case 2, 3:
		return Subscribe{Publications: []sfu.PublicationID{p.publication()}, On: p.flag()}
	case 4:
		return TrackSetting{
			Publications: []sfu.PublicationID{p.publication(), p.publication()}, Disabled: p.flag(),
			Width: p.byte() * 8, Height: p.byte() * 4, FPS: p.byte() % 64, Quality: sfu.Quality(p.byte()),
		}
	case 5:
		return Mute{p.publication(), p.flag()}
	case 6:
		return Permission{AllParticipants: p.flag(), Tracks: []TrackPermission{
			{Identity: p.identity(), All: p.flag(), Publications: []sfu.PublicationID{p.publication()}}, {Participant: p.id(), All: p.flag()},
		}}
	case 7:
		id := p.publication()
		if p.s.publications[id] != nil && !p.rarely() {
			return Sync{Disabled: []sfu.PublicationID{id}, Subscription: &Subscribe{Publications: []sfu.PublicationID{id}, On: p.flag()}}
		}
		return Sync{Publications: []SyncPublication{{"x", id}}}
	case 8:
		if p.rarely() {
			return Simulate{Scenario: Scenario(p.byte() % 10)}
		}
		return Simulate{Scenario: SimulateSpeaker, Seconds: p.byte()}
	case 9:
		return UpdateOwn{Name: "n", Attributes: map[string]string{"k": pick(p, "", "v")}}
	case 10:
		return PublishData{Handle: uint16(p.byte() % 4), Name: pick(p, "", "a", "b", "c")}
	case 11:
		return UnpublishData{Handle: uint16(p.byte() % 4)}
	case 12:
		return SubscribeData{[]DataSubscription{{Publication: p.publication(), On: p.flag(), FPS: p.byte()}}}
	case 13:
		return UpdateVideo{p.publication(), p.byte(), p.byte()}
	case 14:
		if p.rarely() {
			return Leave{Reason: LeaveReason(p.byte())}
		}
		return UpdateAudio{p.publication(), []uint8{1}}
	}
	return Offer{}
}

func (p *player) mediaEvent() Event {
	switch p.byte() % 10 {
	case 0, 1, 2:
		id := p.publication()
		return Negotiated{ID: p.publisher(id), Bound: []Bound{
			{Publication: id, Codec: pick(p, sfu.VP8, sfu.VP9, sfu.Opus, sfu.NoCodec), Mid: fmt.Sprint(p.byte())},
			{Publication: p.publication(), Codec: sfu.VP8, Mid: "1"},
		}}
	case 3:
		id := p.publication()
		if !p.rarely() {
			return Negotiated{ID: p.publisher(id)}
		}
		return Negotiated{ID: p.publisher(id), Ended: []sfu.PublicationID{id}}
	case 4:
		return StreamSeen{Publication: p.publication(), Codec: pick(p, sfu.VP8, sfu.VP9, sfu.H264, sfu.Opus)}
	case 5:
		return SubscriptionBound{Subscriber: p.id(), Publication: p.publication(), Codec: pick(p, sfu.VP8, sfu.VP9)}
	case 6:
		return SubscriptionRefused{Subscriber: p.id(), Publication: p.publication(), Unsupported: p.flag()}
	case 7:
		return DataOpen{p.id(), DataChannel(p.byte() % 3)}
	case 8:
		if p.flag() {
			return DataArrived{ID: p.id(), Channel: DataTracks, Payload: framed(uint16(p.byte()%4), uint16(p.byte()), "x")}
		}
		return DataArrived{ID: p.id(), Channel: DataChannel(p.byte() % 2), Payload: packetOf(Data{
			Sequence: uint32(p.byte() % 8), Kind: DataKind(p.byte() % 6), To: pick(p, nil, []sfu.Identity{"ann"}),
		}, "x")}
	}
	p.now = p.now.Add(ObservePeriod)
	return Observed{
		Audio:        []AudioObserved{{p.publication(), levels(20, uint8(p.byte()))}},
		Participants: []LinkObserved{{ID: p.id(), UpstreamLoss: float64(p.byte()) / 255}},
	}
}

func (p *player) outsideEvent() Event {
	switch p.byte() % 12 {
	case 0:
		if p.rarely() {
			return Evict{Identity: p.identity(), Block: time.Duration(p.byte()%16) * time.Second}
		}
	case 1:
		return MutePublication{p.identity(), p.publication(), true}
	case 2, 3, 4:
		who := p.identity()
		g := everything
		g.Publish, g.Subscribe, g.PublishData = !p.rarely(), !p.rarely(), !p.rarely()
		g.Hidden = who == "hid"
		return UpdateParticipant{Identity: who, Grant: &g}
	case 5:
		return UpdateSubscriptions{p.identity(), Subscribe{Publications: []sfu.PublicationID{p.publication()}, On: p.flag()}}
	case 6:
		return Send{Packet: packetOf(Data{}, "x"), Reliable: p.flag()}
	case 7:
		return SetMetadata{"m"}
	case 8:
		return Configure{Config{MaxParticipants: 4}}
	case 9:
		if p.rarely() {
			return NegotiationFailed{ID: p.id()}
		}
	case 10:
		if p.rarely() && p.rarely() {
			return Close{SessionDeleted}
		}
	}
	return SubscriptionPaused{Subscriber: p.id(), Publication: p.publication(), Paused: p.flag()}
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
