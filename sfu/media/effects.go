package media

import (
	"errors"
	"time"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// doMedia does the effects that concern transports and media.
func (l *loop) doMedia(eff session.Effect) {
	switch e := eff.(type) {
	case session.OpenTransports:
		l.openTransports(e)
	case session.CloseTransports:
		l.closeTransports(e.ID)
	case session.ApplyOffer:
		if s := l.stays[e.ID]; s != nil {
			s.applyOffer(e)
		}
	case session.ApplyAnswer:
		if s := l.stays[e.ID]; s != nil {
			s.applyAnswer(e.Answer)
		}
	case session.ApplyCandidate:
		l.applyCandidate(e)
	case session.RestartICE:
		if s := l.stays[e.ID]; s != nil {
			s.restartICE(e.Sink)
		}
	case session.OpenPublication:
		if s := l.stays[e.ID]; s != nil {
			l.pubs[e.Track.ID] = published{s.media.AddPublication(e.Track), s}
			s.media.ApplyReceives(s.receives) // the offer that carried it came first
		}
	case session.MuteMedia:
		if p := l.pubs[e.Publication].media; p != nil {
			p.SetMuted(e.Muted)
		}
	case session.ClosePublication:
		l.closePublication(e.Publication)
	case session.RequestKeyframe:
		if p := l.pubs[e.Publication].media; p != nil {
			p.RequestKeyframe()
		}
	case session.OpenSubscription:
		if s := l.stays[e.Subscriber]; s != nil {
			s.openSubscription(e)
		}
	case session.SetTarget:
		if s := l.stays[e.Subscriber]; s != nil {
			s.setTarget(e)
		}
	case session.CloseSubscription:
		if s := l.stays[e.Subscriber]; s != nil {
			s.closeSubscription(e.Publication, e.Revoked)
		}
	case session.Simulated:
		// All that the media plane would have to act is done by the session.
	}
}

func (l *loop) openTransports(e session.OpenTransports) {
	s, err := newStay(l, e)
	if err != nil {
		l.focus.log.Error("no transports for a participant", "session", l.id, "participant", e.ID, "err", err)
		l.post(session.NegotiationFailed{ID: e.ID, Err: err.Error()})
		return
	}
	l.stays[e.ID] = s
	if len(l.stays) == 1 {
		l.observed = time.Now()
	}
}

func (l *loop) closeTransports(id sfu.ParticipantID) {
	s := l.stays[id]
	if s == nil {
		return
	}
	delete(l.stays, id)
	for pub, p := range l.pubs {
		if p.owner == s {
			delete(l.pubs, pub)
		}
	}
	s.close()
}

func (l *loop) closePublication(id sfu.PublicationID) {
	p, ok := l.pubs[id]
	if !ok {
		return
	}
	delete(l.pubs, id)
	delete(p.owner.up.received, id)
	p.owner.up.peer.Unbind(id)
	p.owner.media.ClosePublication(id)
}

func (l *loop) applyCandidate(e session.ApplyCandidate) {
	s := l.stays[e.ID]
	if s == nil || e.Candidate.Init == "" {
		return
	}
	if err := s.of(e.Candidate.Target).transport.AddRemoteCandidate(e.Candidate.Init); err != nil {
		l.focus.log.Debug("unusable candidate", "session", l.id, "participant", e.ID, "err", err)
	}
}

func (s *stay) applyOffer(e session.ApplyOffer) {
	s.sink = e.Sink
	g := s.up
	pending := make([]negotiate.Pending, 0, len(e.Pending))
	for _, p := range e.Pending {
		pending = append(pending, negotiate.Pending{
			Publication: p.Publication, CID: p.CID, Kind: p.Kind, Codecs: p.Codecs,
			Stereo: p.Stereo, DisableDTX: p.DisableDTX, DisableRED: p.DisableRED, Mid: p.Mid,
		})
	}
	r, err := g.answer(e.Offer, pending)
	if err != nil {
		s.fail("offer", err)
		return
	}
	s.tell(session.Answered{Description: session.Description{SDP: r.SDP, ID: e.Offer.ID, Mids: r.Mids}})
	s.receives = r.Receives
	s.media.ApplyReceives(s.receives)
	s.negotiated(g, r)
	if !s.dual() {
		g.answered(r)
		s.place(r)
	}
}

func (s *stay) applyAnswer(a session.Description) {
	r, err := s.down.accept(a)
	switch {
	case errors.Is(err, errStaleAnswer):
	case err != nil:
		s.fail("answer", err)
	default:
		s.place(r)
	}
}

// negotiated tells the session which publications the offer carried, and which it carries no more.
func (s *stay) negotiated(g *negotiation, r negotiate.Result) {
	n := session.Negotiated{ID: s.id}
	for _, b := range r.Bound {
		n.Bound = append(n.Bound, session.Bound{
			Publication: b.Publication, Codec: b.Codec, Codecs: b.Codecs, Mid: b.Mid, SDPCID: b.SDPCID,
		})
	}
	now := map[sfu.PublicationID]bool{}
	for _, in := range r.Receives {
		if in.Publication != "" {
			now[in.Publication] = true
		}
	}
	for id := range g.received {
		if !now[id] {
			n.Ended = append(n.Ended, id)
		}
	}
	g.received = now
	if len(n.Bound)+len(n.Ended) > 0 {
		s.loop.post(n)
	}
}

// place begins to forward what found a place in a description.
func (s *stay) place(r negotiate.Result) {
	for _, send := range r.Sends {
		sub, pub := s.subs[send.Publication], s.loop.pubs[send.Publication].media
		if sub == nil || pub == nil {
			continue
		}
		s.media.Subscribe(pub, send, sub.target, sub.paused)
		if !sub.bound {
			sub.bound = true
			bound := session.SubscriptionBound{Subscriber: s.id, Publication: send.Publication}
			if len(send.Formats) > 0 {
				bound.Codec = send.Formats[0].Codec
			}
			s.loop.post(bound)
		}
	}
	for _, id := range r.Refused {
		s.loop.post(session.SubscriptionRefused{Subscriber: s.id, Publication: id, Unsupported: true})
	}
}

func (s *stay) openSubscription(e session.OpenSubscription) {
	if s.subs[e.Track.ID] != nil {
		return
	}
	s.subs[e.Track.ID] = &subscribed{target: e.Target, paused: e.Paused}
	w := negotiate.Wanted{Publisher: e.Publisher, Publication: e.Track.ID, Kind: e.Track.Kind, Stereo: e.Track.Stereo}
	for _, c := range e.Track.Codecs {
		if codec := sfu.ParseCodec(c.Mime); codec != sfu.NoCodec {
			w.Codecs = append(w.Codecs, codec)
		}
	}
	if len(w.Codecs) == 0 && e.Track.Mime != "" {
		w.Codecs = []sfu.Codec{sfu.ParseCodec(e.Track.Mime)}
	}
	if e.SyncStream {
		w.Stream = e.Track.Stream
	}
	s.down.want(w)
}

func (s *stay) setTarget(e session.SetTarget) {
	sub := s.subs[e.Publication]
	if sub == nil {
		return
	}
	sub.target, sub.paused = e.Target, e.Paused
	if media := s.media.Subscription(e.Publication); media != nil {
		media.SetTarget(e.Target, e.Paused)
	}
}

// closeSubscription stops forwarding. One that was revoked goes from the description too: a client with a single
// transport is asked for an offer, or its application would keep a track that stands still.
func (s *stay) closeSubscription(id sfu.PublicationID, revoked bool) {
	if s.subs[id] == nil {
		return
	}
	delete(s.subs, id)
	s.media.CloseSubscription(id)
	if revoked && s.down.placed[id] {
		s.down.again = true
	}
	s.down.unwant(id)
}

// restartICE says where messages go after a resume, and makes a dual participant's subscriber transport start over.
func (s *stay) restartICE(sink session.Sink) {
	s.sink = sink
	// What a lost connection was asked for may never have arrived; the answer to the offer that follows asks again.
	clear(s.down.asked)
	if s.dual() { // also when the first offer is still unanswered: it may be lost
		s.offer(time.Now(), true)
	}
}

// settle does what waited for the end of the loop's turn: one offer, or one request for sections, for all changes.
func (l *loop) settle(now time.Time) {
	for _, s := range l.stays {
		s.settle(now)
	}
	for len(l.pending) > 0 && !l.ended {
		ev := l.pending[0]
		l.pending = l.pending[1:]
		l.handle(ev)
	}
}

func (s *stay) settle(now time.Time) {
	g := s.down
	switch {
	case g.overdue(now):
		g.offered = time.Time{}
		s.loop.focus.log.Debug("offer not answered", "session", s.loop.id, "participant", s.id)
		s.loop.post(session.NegotiationFailed{ID: s.id, Err: "the client does not answer our offer", Unanswered: true})
	case !g.dirty:
	case s.dual():
		if g.offered.IsZero() {
			s.offer(now, false)
		}
	case g.transport.Started(): // before, its first offer is on the way
		if audios, videos, offer := g.ask(); offer {
			s.tell(session.SectionsNeeded{Audios: audios, Videos: videos})
		}
	}
}

func (s *stay) offer(now time.Time, restart bool) {
	d, err := s.down.offer(now, restart)
	if err != nil {
		s.fail("offer", err)
		return
	}
	s.tell(session.Offered{Description: d})
}

// observe reports to the session what the media plane measured, when it is time.
func (l *loop) observe(now time.Time) {
	if len(l.stays) == 0 || now.Sub(l.observed) < session.ObservePeriod {
		return
	}
	at := l.focus.endpoint.Now()
	// On the ticker's beat: a hundred sessions wake the process up no more often than it does.
	l.observed = now.Add(-time.Duration(at % int64(tickPeriod)))
	var o session.Observed
	for _, s := range l.stays {
		s.media.Observe(at, &o)
	}
	l.handle(o)
}
