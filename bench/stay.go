package bench

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/media"
	"weir/sfu/negotiate"
	"weir/sfu/session"
	"weir/signalling/wire"
)

// stay is a bot's life in a session, from join to leave: a resume goes on with it, a full reconnect begins a new one.
// The bot's loop owns it.
type stay struct {
	bot      *Bot
	up, down *talk // the same with a single transport
	self     sfu.ParticipantID
	welcomed bool
	sids     map[string]sfu.PublicationID // by CID; "" while the server has not named it
	sending  map[string][]*outgoing       // by CID
	random   *rand.Rand
	phases   *rand.Rand // the same whenever it joins
	ring     *keyring.Ring
}

// talk is the negotiation about one transport.
type talk struct {
	*leg
	client  *negotiate.Client
	id      uint32 // of the last offer
	waiting bool   // for an answer
	again   bool   // offer once more when it is here
	restart bool   // the next offer renews ICE
	last    *session.Description
	changes []func(*negotiate.Client) // for the next offer: an answer has to fit the offer that is out
}

var keys sync.Map // password → keyring.Key: the derivation is made to be slow

func sharedKey(password string) (keyring.Key, error) {
	if k, ok := keys.Load(password); ok {
		return k.(keyring.Key), nil
	}
	k, err := keyring.FromPassword(password)
	if err == nil {
		keys.Store(password, k)
	}
	return k, err
}

func (b *Bot) newStay() (*stay, error) {
	s := &stay{
		bot: b, sids: map[string]sfu.PublicationID{}, sending: map[string][]*outgoing{}, ring: b.ring(),
		random: rand.New(rand.NewPCG(b.cfg.Seed, uint64(b.marks.began.Load()))),
		phases: rand.New(rand.NewPCG(b.cfg.Seed, 0)),
	}
	var err error
	if s.up, err = s.newTalk(session.Publisher, !b.cfg.NoData); err != nil {
		return nil, err
	}
	s.down = s.up
	if b.cfg.Dual {
		if s.down, err = s.newTalk(session.Subscriber, false); err != nil {
			_ = s.up.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *stay) newTalk(target session.Target, data bool) (*talk, error) {
	b := s.bot
	socket, err := b.cfg.Listen()
	if err != nil {
		return nil, err
	}
	l := &leg{
		target: target, streams: map[uint32]*incoming{}, repairs: map[uint32]*incoming{}, outgoing: map[uint32]*outgoing{},
		report: s.random.Uint32() | 1, ring: b.ring(), // a ring of its own: sealing has another goroutine
	}
	if l.endpoint, err = media.NewEndpoint(media.EndpointConfig{Certificate: b.cfg.Certificate}, []media.Socket{socket}, b.log); err != nil {
		_ = socket.Close()
		return nil, err
	}
	l.offset = b.clock.Now() - l.endpoint.Now()
	l.burst = l.endpoint.NewBurst()
	cfg := media.TransportConfig{Controlling: true, DTLSClient: true, Events: func(ev media.TransportEvent) { s.event(l, ev) }}
	if data {
		cfg.Channels = media.OpenChannels
	}
	if l.transport, err = l.endpoint.NewTransport(cfg, l); err != nil {
		_ = l.endpoint.Close()
		return nil, err
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(s.random.Uint32())
	}
	b.mu.Lock()
	b.legs = append(b.legs, l)
	b.mu.Unlock()
	return &talk{leg: l, client: negotiate.NewClient(negotiate.ClientConfig{Seed: seed, Data: data})}, nil
}

// event runs on the transport's goroutines.
func (s *stay) event(l *leg, ev media.TransportEvent) {
	b := s.bot
	switch ev := ev.(type) {
	case media.StateChanged:
		b.post(func() { s.transportChanged(l, ev.State) })
	case media.DataReceived:
		b.mu.Lock()
		b.dataIn++
		b.dataBytes += uint64(len(ev.Payload))
		b.mu.Unlock()
		if b.cfg.OnData != nil {
			b.cfg.OnData(b, ev.Channel, ev.Payload, b.clock.Now())
		}
	case media.ChannelOpened, media.ChannelClosed:
		b.post(b.notify)
	}
}

func (s *stay) transportChanged(l *leg, state media.State) {
	b := s.bot
	if b.stay != s {
		return
	}
	switch state {
	case media.Connected:
		if l == s.down.leg {
			b.marks.connected.CompareAndSwap(0, b.clock.Now())
			b.setState(Connected)
		}
	case media.Failed:
		b.fail(fmt.Errorf("bench: transport failed"))
	}
	b.notify()
}

// begin starts what a publication's section agreed on.
func (s *stay) begin(t *talk, send negotiate.Send) {
	if s.sending[send.Track] != nil {
		return
	}
	p := s.bot.publication(send.Track)
	if p == nil {
		return
	}
	var format *negotiate.Format
	for i := range send.Formats {
		if send.Formats[i].Codec == p.Codec {
			format = &send.Formats[i]
			break
		}
	}
	if format == nil {
		s.bot.fail(fmt.Errorf("bench: the server does not take %s", p.Codec))
		return
	}
	due := s.bot.clock.Now()
	if spread := int64(s.bot.cfg.PhaseSpread); spread > 0 {
		due += (s.phases.Int64N(spread) - due%spread + spread) % spread
	}
	for _, layer := range send.Layers {
		for i := range p.Streams {
			if p.Streams[i].RID != layer.RID && len(send.Layers) > 1 {
				continue
			}
			o := s.newOutgoing(t, p, &p.Streams[i], send, layer, format)
			s.sending[p.CID] = append(s.sending[p.CID], o)
			s.bot.pump.add(o, due)
			break
		}
	}
	s.bot.marks.published.CompareAndSwap(0, s.bot.clock.Now())
	s.bot.notify()
}

func (s *stay) newOutgoing(t *talk, p *Publication, st *Stream, send negotiate.Send, layer negotiate.Stream, f *negotiate.Format) *outgoing {
	o := &outgoing{
		place: -1, leg: t.leg, publication: p, stream: st, cname: send.CNAME, mid: send.Mid, ids: send.Extensions,
		pt: f.PT, rtxPT: f.RTX, ssrc: layer.SSRC, rtx: layer.RTX,
		// Numbers begin at random (RFC 3550 section 5.1), in the lower half: an early rollover is its own test.
		seq: 1<<16 + sfu.ExtSeq(s.random.Uint32()&0x7fff), rtxSeq: 1<<16 + sfu.ExtSeq(s.random.Uint32()&0x7fff),
		base: s.random.Uint32(), pictureID: uint16(s.random.Uint32() & 0x7fff),
	}
	if o.rtx == 0 {
		o.rtxPT = 0
	}
	if s.bot.cfg.Keys != nil {
		o.keys, o.sealer = s.bot.cfg.Keys, keyring.NewSealer(layer.SSRC, s.random.Uint32())
	} else if s.ring != nil {
		o.ring, o.sealer = s.ring, keyring.NewSealer(layer.SSRC, s.random.Uint32())
	}
	o.keyframe.Store(true)
	t.mu.Lock()
	t.outgoing[layer.SSRC] = o
	t.mu.Unlock()
	return o
}

// publish announces all publications that are not yet.
func (s *stay) publish() {
	for i := range s.bot.cfg.Publish {
		p := &s.bot.cfg.Publish[i]
		if _, done := s.sids[p.CID]; done {
			continue
		}
		s.sids[p.CID] = ""
		s.bot.request(p.request(s.ring != nil || s.bot.cfg.Keys != nil))
	}
}

// published takes the server's word for a publication; the offer goes out when it has named all.
func (s *stay) published(m session.Published) {
	if id, asked := s.sids[m.CID]; !asked || id != "" {
		return
	}
	s.sids[m.CID] = m.Track.ID
	p := s.bot.publication(m.CID)
	s.up.changes = append(s.up.changes, func(c *negotiate.Client) {
		c.Publish(negotiate.Publishing{CID: p.CID, Kind: p.Codec.Kind(), Codecs: []sfu.Codec{p.Codec}, RIDs: p.rids()})
	})
	for _, id := range s.sids {
		if id == "" {
			return
		}
	}
	s.offer()
}

// mute stops or resumes what is sent of a publication.
func (s *stay) mute(id sfu.PublicationID, muted bool) {
	for cid, sid := range s.sids {
		if sid != id {
			continue
		}
		for _, o := range s.sending[cid] {
			o.muted.Store(muted)
		}
		s.bot.request(session.Mute{Publication: id, Muted: muted})
	}
}

// resumed goes on after the server took the bot back (livekit.md section 3).
func (s *stay) resumed() {
	sync := session.Sync{}
	if s.up.last != nil {
		sync.Offer = s.up.last
	}
	for cid, id := range s.sids {
		if id != "" {
			sync.Publications = append(sync.Publications, session.SyncPublication{CID: cid, Publication: id})
		}
	}
	sync.Subscription = &session.Subscribe{On: !s.bot.cfg.Subscribe || s.bot.cfg.Choose, Publications: s.bot.taken}
	s.bot.request(sync)
	s.up.waiting = false // an answer that was on its way is lost
	if s.up.transport.Started() {
		s.up.restart = true
		s.offer()
	}
	s.publish()
}

func (s *stay) end() {
	for _, list := range s.sending {
		for _, o := range list {
			s.bot.pump.remove(o)
		}
	}
	for _, t := range s.talks() {
		_ = t.close()
	}
}

func (s *stay) talks() []*talk {
	if s.down == s.up {
		return []*talk{s.up}
	}
	return []*talk{s.up, s.down}
}

// endStay closes the stay and keeps its numbers.
func (b *Bot) endStay() {
	if b.stay == nil {
		return
	}
	b.stay.end()
	b.stay = nil
	b.mu.Lock()
	b.ended = append(b.ended, b.legs...)
	b.legs = nil
	clear(b.remote)
	b.mu.Unlock()
}

// joinRequest is what the bot asks for when it dials.
func (b *Bot) joinRequest() (wire.JoinRequest, error) {
	j := wire.JoinRequest{
		Settings: session.Settings{Dual: b.cfg.Dual, AutoSubscribe: b.cfg.Subscribe && !b.cfg.Choose, AdaptiveStream: true},
		Software: b.cfg.Software,
	}
	if s := b.stay; s != nil && s.welcomed {
		j.Resume, j.Participant, j.Reason = true, s.self, wire.SignalLost
		return j, nil
	}
	if b.stay == nil {
		var err error
		if b.stay, err = b.newStay(); err != nil {
			return j, err
		}
	}
	var err error
	j.Offer, err = b.stay.firstOffer()
	return j, err
}

const (
	retries    = 5
	retryAfter = 300 * time.Millisecond
)
