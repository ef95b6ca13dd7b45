package media

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// Participant is the media of one participant: its one or two transports, what it publishes and what it receives.
// The session's loop owns it and makes all calls; none of them waits for the network.
type Participant struct {
	id     sfu.ParticipantID
	engine *Engine
	post   func(session.Event) // never blocks; called from the packet path
	up     *Leg                // of the publisher's transport
	down   *Leg                // of the subscriber's transport; the same in single mode

	pubs map[sfu.PublicationID]*Publication
	subs map[sfu.PublicationID]*Subscription
}

// NewParticipant makes the media of a participant with one transport, or with two of them. post takes StreamSeen events;
// it must not block and must not call back.
func (e *Engine) NewParticipant(id sfu.ParticipantID, dual bool, post func(session.Event)) *Participant {
	p := &Participant{
		id: id, engine: e, post: post,
		pubs: make(map[sfu.PublicationID]*Publication), subs: make(map[sfu.PublicationID]*Subscription),
	}
	p.up = newLeg(e, p)
	p.down = p.up
	if dual {
		p.down = newLeg(e, p)
	}
	return p
}

// Leg is the handler for the transport of that target: give it to Endpoint.NewTransport, then call Attach.
func (p *Participant) Leg(t session.Target) *Leg {
	if t == session.Subscriber {
		return p.down
	}
	return p.up
}

// carrier is what a leg needs of its transport.
type carrier interface {
	Outbound() *Outbound
	RTT() time.Duration
	ObserveRTT(time.Duration)
}

// Attach tells the transport that the leg sends on. Call it before the transport is started.
func (l *Leg) Attach(t carrier) {
	l.transport, l.out = t, t.Outbound()
	l.engine.add(l)
}

func (p *Participant) tell(ev session.Event) {
	if p.post != nil {
		p.post(ev)
	}
}

// AddPublication starts accepting media for a publication. Its streams are found by ApplyReceives.
func (p *Participant) AddPublication(v session.PublicationView) *Publication {
	if pub := p.pubs[v.ID]; pub != nil {
		return pub
	}
	pub := &Publication{id: v.ID, kind: v.Kind, leg: p.up, layers: slices.Clone(v.Layers), patience: layerSilence, encrypted: v.Encryption != sfu.NotEncrypted}
	for _, c := range v.Codecs {
		if len(pub.layers) == 0 {
			pub.layers = slices.Clone(c.Layers)
		}
	}
	if v.Source == sfu.Screen {
		pub.patience = layerSilenceScreen
	}
	pub.muted.Store(v.Muted)
	p.pubs[v.ID] = pub
	p.up.addPublication(pub)
	return pub
}

// Publication finds one of the participant's publications; nil if there is none.
func (p *Participant) Publication(id sfu.PublicationID) *Publication { return p.pubs[id] }

// ClosePublication ends a publication. The subscriptions of it are closed by their owners.
func (p *Participant) ClosePublication(id sfu.PublicationID) {
	pub := p.pubs[id]
	if pub == nil {
		return
	}
	delete(p.pubs, id)
	p.up.closePublication(pub)
}

// Subscribe begins to forward a publication to this participant, in the section that send describes. Called again for
// the same place it takes over what was negotiated anew.
func (p *Participant) Subscribe(pub *Publication, send negotiate.Send, target sfu.Layer, paused bool) *Subscription {
	if s := p.subs[pub.id]; s != nil {
		if s.pub == pub && s.ssrc == send.SSRC {
			p.down.reapply(s, send)
			return s
		}
		p.CloseSubscription(pub.id)
	}
	if s := (*p.down.sends.Load())[send.SSRC]; s != nil {
		p.CloseSubscription(s.pub.id) // its place was given away
	}
	s := p.down.subscribe(pub, send)
	p.subs[pub.id] = s
	s.SetTarget(target, paused)
	pub.addSubscription(s)
	pub.start()
	return s
}

// Subscription finds one of the participant's subscriptions; nil if there is none.
func (p *Participant) Subscription(id sfu.PublicationID) *Subscription { return p.subs[id] }

// CloseSubscription stops forwarding a publication to this participant.
func (p *Participant) CloseSubscription(id sfu.PublicationID) {
	s := p.subs[id]
	if s == nil {
		return
	}
	delete(p.subs, id)
	s.pub.dropSubscription(s)
	s.close()
	p.down.unsubscribe(s)
}

// Close ends all publications and subscriptions and takes the participant out of the engine. Close its transports too.
func (p *Participant) Close() {
	for id := range p.subs {
		p.CloseSubscription(id)
	}
	for id := range p.pubs {
		p.ClosePublication(id)
	}
	p.engine.remove(p.up)
	p.engine.remove(p.down)
}

// Observe appends what was measured since the last call: audio levels of each publication, and the state of the link.
func (p *Participant) Observe(now int64, o *session.Observed) {
	for id, pub := range p.pubs {
		if pub.kind == sfu.Audio {
			if levels := pub.drainLevels(nil); len(levels) > 0 {
				o.Audio = append(o.Audio, session.AudioObserved{Publication: id, Levels: levels})
			}
		}
	}
	link := session.LinkObserved{ID: p.id}
	p.up.observe(now, &link)
	if p.down != p.up {
		p.down.observe(now, &link)
	}
	o.Participants = append(o.Participants, link)
}

// Engine drives the media of all participants: it holds what they share and two goroutines. The ticker does what no packet
// causes: reports, feedback, requests that wait for their time. The other sends gathered audio.
type Engine struct {
	now   func() int64
	drops [mediaDrops]atomic.Uint64
	kick  chan struct{}
	ids   atomic.Uint32
	done  chan struct{} // closed to stop
	wg    sync.WaitGroup

	gather *gather // nil: nothing waits

	mu   sync.Mutex // under it: changes of legs
	legs atomic.Pointer[[]*Leg]
}

// NewEngine starts the goroutines. now is the clock of HandleRTP and burst what the ticker sends into: Endpoint.Now and
// Endpoint.NewBurst. An audio packet may wait audioWait for others to the same listeners, in larger calls; 0: none does.
func NewEngine(now func() int64, burst *Burst, audioWait time.Duration) *Engine {
	e := newEngine(now)
	e.wg.Go(func() { e.tick(burst) })
	if audioWait > 0 {
		e.gather = newGather(audioWait)
		audio := newBurst(burst.w, burst.sent)
		e.wg.Go(func() { e.gather.work(now, audio, e.done) })
	}
	return e
}

func newEngine(now func() int64) *Engine {
	e := &Engine{now: now, kick: make(chan struct{}, 1), done: make(chan struct{})}
	e.legs.Store(new([]*Leg))
	return e
}

// Close stops its goroutines and waits for them.
func (e *Engine) Close() {
	close(e.done)
	e.wg.Wait()
}

func (e *Engine) add(l *Leg) {
	e.mu.Lock()
	legs := append(slices.Clone(*e.legs.Load()), l)
	e.legs.Store(&legs)
	e.mu.Unlock()
	e.wake()
}

func (e *Engine) remove(l *Leg) {
	e.mu.Lock()
	defer e.mu.Unlock()
	legs := slices.DeleteFunc(slices.Clone(*e.legs.Load()), func(o *Leg) bool { return o == l })
	e.legs.Store(&legs)
}

// wake runs the ticker now. It never blocks.
func (e *Engine) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// streamID numbers streams. Rewriting outlives publications where an SSRC is used again, so the numbers of one engine are
// spread out; among the streams of one publication they differ.
func (e *Engine) streamID(p *Publication) uint8 {
	for {
		id := uint8(e.ids.Add(1))
		if !slices.ContainsFunc(p.streams, func(st *stream) bool { return st.id == id }) {
			return id
		}
	}
}
