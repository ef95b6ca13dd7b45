package media

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// stay is a participant as its session's loop sees it: media, and the negotiation about each transport.
type stay struct {
	loop  *loop
	id    sfu.ParticipantID
	media *Participant
	up    *negotiation // of the publisher's transport
	down  *negotiation // of the subscriber's; the same in single mode
	sink  session.Sink
	share share // of the inbox
	subs  map[sfu.PublicationID]*subscribed

	receives []negotiate.Receive // as of the last offer
}

// subscribed is a subscription the session opened, placed or not.
type subscribed struct {
	target sfu.Layer
	paused bool
	bound  bool // the session knows that it has a place
}

// newStay makes the transports of a participant; nothing is sent before the client's description is here.
func newStay(l *loop, e session.OpenTransports) (*stay, error) {
	f := l.focus
	s := &stay{loop: l, id: e.ID, sink: e.Sink, subs: map[sfu.PublicationID]*subscribed{}}
	s.media = f.forward.NewParticipant(e.ID, e.Settings.Dual, func(ev session.Event) {
		// From the packet path: what does not fit is told again with the next stream.
		l.inbox.offer(item{event: ev})
	})
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	config := negotiate.Config{Software: e.Software, Seed: seed, REMB: f.cfg.REMB}
	transport := TransportConfig{
		Lite:         !f.cfg.FullICE && !e.Settings.DisableICELite && negotiate.MayBeLite(e.Software),
		ZeroChecksum: zeroChecksum(e.Software),
	}
	if !e.Settings.Dual && e.Software.Protocol > 17 {
		transport.Channels = NegotiatedChannels
	}
	var err error
	if s.up, err = s.negotiation(session.Publisher, transport, config, !e.Settings.Dual); err != nil {
		return nil, err
	}
	s.down = s.up
	if e.Settings.Dual {
		transport.Channels = OpenChannels
		config.Data = true
		config.Seed[0]++
		if s.down, err = s.negotiation(session.Subscriber, transport, config, true); err != nil {
			s.up.transport.Close()
			return nil, err
		}
		s.down.dirty = true // the client waits for this transport, with or without publications on it
		s.down.nextOffer = 1 + uint32(binary.LittleEndian.Uint16(seed[:]))%256
	}
	return s, nil
}

func (s *stay) negotiation(t session.Target, cfg TransportConfig, peer negotiate.Config, sends bool) (*negotiation, error) {
	cfg.Events = func(ev TransportEvent) { s.transportEvent(t, sends, ev) }
	cfg.Pace = s.pace
	leg := s.media.Leg(t)
	transport, err := s.loop.focus.endpoint.NewTransport(cfg, leg)
	if err != nil {
		return nil, fmt.Errorf("open a transport: %w", err)
	}
	leg.Attach(transport)
	return newNegotiation(t, transport, negotiate.NewPeer(peer)), nil
}

// zeroChecksum tells whether a client's SCTP can do without checksums (livekit.md section 4).
func zeroChecksum(sw sfu.Software) bool { return sw.SDK != "" && sw.SDK != "go" }

// transportEvent runs on the transport's goroutines: it only posts. sends says that our data leaves by this transport.
func (s *stay) transportEvent(t session.Target, sends bool, ev TransportEvent) {
	in := s.loop.inbox
	switch ev := ev.(type) {
	case StateChanged:
		state, ok := map[State]session.TransportState{
			Connected: session.TransportConnected, Disconnected: session.TransportDisconnected, Failed: session.TransportFailed,
		}[ev.State]
		if ev.State == Connected {
			s.media.Leg(t).ready()
		}
		if ok {
			in.insist(item{event: session.TransportChanged{ID: s.id, Target: t, State: state}})
		}
	case ChannelOpened:
		if sends {
			in.insist(item{event: session.DataOpen{ID: s.id, Channel: ev.Channel}})
		}
	case DataReceived:
		s.dataReceived(ev)
	case DataOverflow:
		in.insist(item{event: session.NegotiationFailed{ID: s.id, Err: "the client does not read its reliable data"}})
	}
}

// dataReceived hands a message to the session; a reliable one found room by pace.
func (s *stay) dataReceived(ev DataReceived) {
	payload := ev.Payload
	if ev.Label != "" {
		if s.loop.focus.cfg.WrapRaw == nil {
			return
		}
		payload = s.loop.focus.cfg.WrapRaw(payload)
	}
	it := item{event: session.DataArrived{ID: s.id, Channel: ev.Channel, Payload: payload}, from: &s.share}
	if ev.Channel != session.Reliable {
		s.loop.inbox.offer(it)
		return
	}
	if s.loop.inbox.put(it) == ErrBusy {
		// A reliable message may not be lost in silence: the sender starts over.
		s.loop.inbox.insist(item{event: session.NegotiationFailed{ID: s.id, Err: "the session does not keep up with reliable data"}})
	}
}

// pace holds back a channel's reader before it hands on a reliable message.
func (s *stay) pace(c session.DataChannel, n int, done <-chan struct{}) {
	if c == session.Reliable {
		s.loop.gate.wait(&s.share, n, done)
	}
}

func (s *stay) negotiations() []*negotiation {
	if s.down == s.up {
		return []*negotiation{s.up}
	}
	return []*negotiation{s.up, s.down}
}

func (s *stay) of(t session.Target) *negotiation {
	if t == session.Subscriber {
		return s.down
	}
	return s.up
}

func (s *stay) dual() bool { return s.up != s.down }

func (s *stay) sendData(c session.DataChannel, payload []byte) {
	// An error is a closed or jammed channel; the transport tells of a jam by an event.
	_ = s.down.transport.SendData(c, payload)
	if c == session.Reliable {
		s.loop.gate.sent(time.Now(), &s.down.transport.data)
	}
}

func (s *stay) close() {
	s.media.Close()
	s.loop.gate.forget(&s.down.transport.data)
	for _, g := range s.negotiations() {
		g.transport.Close()
	}
}

func (s *stay) deadline() time.Time { return s.down.deadline() }

func (s *stay) tell(m session.Message) {
	if s.sink != nil {
		s.sink.Tell(m)
	}
}

func (s *stay) fail(what string, err error) {
	s.loop.focus.log.Info("negotiation failed", "session", s.loop.id, "participant", s.id, "what", what, "err", err)
	s.loop.post(session.NegotiationFailed{ID: s.id, Err: err.Error()})
}
