package media

import (
	"context"
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// loop owns one session: it takes events from the inbox, and does the effects. All fields but inbox and gate belong to its goroutine.
type loop struct {
	focus   *Focus
	id      sfu.SessionID
	session *session.Session
	inbox   *inbox
	gate    *gate

	stays    map[sfu.ParticipantID]*stay
	pubs     map[sfu.PublicationID]published
	pending  []session.Event // that came from doing effects; handled before the next item
	effects  []session.Effect
	result   error // of the event at hand
	observed time.Time
	ended    bool
}

// published is a publication of the session and who publishes it.
type published struct {
	media *Publication
	owner *stay
}

func newLoop(f *Focus, id sfu.SessionID, s *session.Session) *loop {
	in := newInbox()
	return &loop{
		focus: f, id: id, session: s, inbox: in, gate: newGate(in),
		stays: map[sfu.ParticipantID]*stay{}, pubs: map[sfu.PublicationID]published{},
	}
}

func (l *loop) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var items []item
	for !l.ended {
		select {
		case <-l.inbox.wake:
		case <-timer.C:
		}
		items = l.inbox.take(items)
		for i := range items {
			l.serve(items[i])
			items[i] = item{}
		}
		now := time.Now()
		l.handle(session.Tick{})
		l.observe(now)
		l.settle(now)
		timer.Reset(time.Until(l.deadline(now)))
	}
	l.focus.remove(l)
	for _, s := range l.stays {
		s.close()
	}
	for _, it := range l.inbox.close() {
		it.refuse()
	}
}

// idleTick wakes a loop that has no deadline: nothing is due, but a clock that jumped is noticed.
const idleTick = time.Minute

func (l *loop) deadline(now time.Time) time.Time {
	d := now.Add(idleTick)
	if next := l.session.Deadline(); !next.IsZero() && next.Before(d) {
		d = next
	}
	if len(l.stays) > 0 {
		if next := l.observed.Add(session.ObservePeriod); next.Before(d) {
			d = next
		}
	}
	for _, s := range l.stays {
		if next := s.deadline(); !next.IsZero() && next.Before(d) {
			d = next
		}
	}
	return d
}

func (l *loop) serve(it item) {
	if it.snapshot != nil {
		it.snapshot <- l.session.Snapshot()
		return
	}
	l.result = nil
	l.handle(it.event)
	if it.reply != nil {
		it.reply <- l.result
	}
}

func (it item) refuse() {
	if it.reply != nil {
		it.reply <- session.ErrNoSession
	}
	if it.snapshot != nil {
		close(it.snapshot)
	}
}

// handle gives one event to the session and does what comes of it, to the end.
func (l *loop) handle(ev session.Event) {
	for {
		l.effects = l.session.Handle(time.Now(), ev, l.effects[:0])
		for i, eff := range l.effects {
			l.do(eff)
			l.effects[i] = nil
		}
		if len(l.pending) == 0 || l.ended {
			return
		}
		ev = l.pending[0]
		l.pending = l.pending[1:]
	}
}

// post queues an event that came from doing an effect.
func (l *loop) post(ev session.Event) { l.pending = append(l.pending, ev) }

func (l *loop) do(eff session.Effect) {
	switch e := eff.(type) {
	case session.Tell:
		e.Sink.Tell(e.Message)
	case session.Result:
		l.result = e.Err
	case session.SendData:
		l.sendData(e)
	case session.Notify:
		if l.focus.cfg.Notice != nil {
			l.focus.cfg.Notice(e.Notice)
		}
	case session.RPCReplied:
		if l.focus.cfg.Replied != nil {
			l.focus.cfg.Replied(l.id, e)
		}
	case session.Ended:
		l.ended = true
	default:
		l.doMedia(eff)
	}
}

func (l *loop) sendData(e session.SendData) {
	for _, id := range e.To {
		if s := l.stays[id]; s != nil {
			s.sendData(e.Channel, e.Payload)
		}
	}
}

func (l *loop) call(ctx context.Context, ev session.Event) error {
	reply := make(chan error, 1)
	if err := l.inbox.put(item{event: ev, reply: reply}); err != nil {
		return err
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *loop) snapshot(ctx context.Context) (session.Snapshot, error) {
	reply := make(chan session.Snapshot, 1)
	if err := l.inbox.put(item{snapshot: reply}); err != nil {
		return session.Snapshot{}, err
	}
	select {
	case s, ok := <-reply:
		if !ok {
			return s, session.ErrNoSession
		}
		return s, nil
	case <-ctx.Done():
		return session.Snapshot{}, ctx.Err()
	}
}
