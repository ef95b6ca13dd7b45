package session

import (
	"fmt"
	"time"

	"weir/sfu"
)

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
		if p.rarely() && p.flag() {
			return Close{SessionDeleted}
		}
	case 11:
		if p.rarely() {
			return Withhold{p.identity(), p.flag()}
		}
	}
	return SubscriptionPaused{Subscriber: p.id(), Publication: p.publication(), Paused: p.flag()}
}
