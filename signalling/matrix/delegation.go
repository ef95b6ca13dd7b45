package matrix

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/sfu/session"
	"weir/signalling/delayed"
)

// DelegationConfig is what a Delegation works with.
type DelegationConfig struct {
	// Homes are the own homeservers, each with the token of the application service if Assert is set, else with none: then
	// the delay id alone is the right to restart and to send (MSC4140 as Synapse has it).
	Homes []Home
	// File is where leaves are kept while this focus is not running; empty: nowhere, a restart loses them.
	File string
}

// Delegation looks after the leaves that clients handed over: package delayed decides, this asks the homeserver and
// remembers. Safe for use by many goroutines.
//
// Goroutines: one that owns the jobs, and a short one for each request to the homeserver.
type Delegation struct {
	cfg     DelegationConfig
	log     *slog.Logger
	metrics *leaveMetrics
	places  chan struct{} // one for each request in flight

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards the rest
	inbox  []message  // bounded by what happens to participants and by the requests in flight; nothing of it may be lost
	wake   chan struct{}
	closed bool

	// Owned by run.
	jobs    *delayed.Jobs
	journal *journal
	kept    map[delayed.Key]delayed.Leave
}

// message is one thing that happened. reply, if there is one, has room for the answer.
type message struct {
	event delayed.Event
	reply chan error
}

// requestsAtOnce bounds what the homeserver is asked at the same time.
const requestsAtOnce = 16

var errEnded = errors.New("leaves are not looked after any more")

// OpenDelegation takes up the leaves that were kept. Close ends it; it sends nothing for that.
func OpenDelegation(c DelegationConfig, log *slog.Logger, reg prometheus.Registerer) (*Delegation, error) {
	var j *journal
	var kept []delayed.Leave
	if c.File != "" {
		var err error
		if j, kept, err = openJournal(c.File, log); err != nil {
			return nil, err
		}
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	ctx, cancel := context.WithCancel(context.Background())
	d := &Delegation{
		cfg: c, log: log, metrics: newLeaveMetrics(reg), places: make(chan struct{}, requestsAtOnce), ctx: ctx, cancel: cancel,
		wake: make(chan struct{}, 1), jobs: delayed.New(seed), journal: j, kept: map[delayed.Key]delayed.Leave{},
	}
	for _, l := range kept {
		d.kept[l.Key] = l
	}
	d.put(message{event: delayed.Loaded{Leaves: kept}})
	d.wg.Go(d.run)
	return d, nil
}

// Close stops looking after leaves. They stay in the file.
func (d *Delegation) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
	if err := d.journal.close(); err != nil {
		d.log.Error("kept leaves", "code", "leaves_unkept", "err", err)
	}
	for _, h := range d.cfg.Homes {
		h.API.Close()
	}
}

// Accept implements Leaves. When it returns the leave is in the file; where it cannot be, it is looked after all the same.
func (d *Delegation) Accept(l delayed.Leave) error {
	m := message{event: delayed.Accepted{Leave: l}, reply: make(chan error, 1)}
	if !d.put(m) {
		return errEnded
	}
	select {
	case err := <-m.reply:
		return err
	case <-d.ctx.Done():
		return errEnded
	}
}

// Notice is told what happens in sessions; it never blocks.
func (d *Delegation) Notice(n session.Notice) {
	if n.Participant == nil {
		return
	}
	k := delayed.Key{Session: n.Session.ID, Identity: n.Participant.Identity}
	replaced := n.Reason == session.DuplicateIdentity
	switch n.Kind {
	case session.ParticipantJoined:
		d.put(message{event: delayed.Arrived{Key: k, Participant: n.Participant.ID}})
	case session.ParticipantLeft:
		d.put(message{event: delayed.Left{Key: k, Participant: n.Participant.ID, Replaced: replaced}})
	case session.ParticipantAborted:
		d.put(message{event: delayed.Failed{Key: k, Replaced: replaced}})
	}
}

// Withdrawn is told that a user may not be in a room any more: leaves taken over until then are void.
func (d *Delegation) Withdrawn(room, user string, until time.Time) {
	d.put(message{event: delayed.Withdrawn{Room: room, User: user, Before: until}})
}

func (d *Delegation) put(m message) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.inbox = append(d.inbox, m)
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return true
}

func (d *Delegation) take() []message {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.inbox
	d.inbox = nil
	return all
}

// run owns the jobs.
func (d *Delegation) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var out []delayed.Effect
	for {
		select {
		case <-d.wake:
		case <-timer.C:
			out = d.handle(message{event: delayed.Tick{}}, out)
		case <-d.ctx.Done():
			return
		}
		for _, m := range d.take() {
			out = d.handle(m, out)
		}
		d.tidy()
		d.metrics.count(d.jobs.Count())
		if at := d.jobs.Deadline(); !at.IsZero() {
			timer.Reset(max(time.Until(at), 0))
		} else {
			timer.Stop()
		}
	}
}

func (d *Delegation) handle(m message, out []delayed.Effect) []delayed.Effect {
	out = d.jobs.Handle(time.Now(), m.event, out[:0])
	for _, e := range out {
		d.do(e)
	}
	if m.reply != nil {
		var err error
		if len(out) == 0 {
			err = delayed.ErrFull
		}
		m.reply <- err
	}
	return out
}

func (d *Delegation) do(e delayed.Effect) {
	switch e := e.(type) {
	case delayed.Request:
		d.wg.Go(func() { d.request(e) })
	case delayed.Keep:
		d.kept[e.Leave.Key] = e.Leave
		d.note(d.journal.keep(e.Leave))
	case delayed.Ended:
		delete(d.kept, e.Leave.Key)
		d.note(d.journal.forget(e.Leave.Key))
		d.metrics.ends.WithLabelValues(e.End.String()).Inc()
		level := slog.LevelInfo
		if e.End == delayed.Denied || e.End == delayed.Expired {
			level = slog.LevelWarn // a ghost, until the homeserver's own timer ends it
		}
		d.log.Log(d.ctx, level, "delayed leave ended", "code", "leave_"+e.End.String(), "user", e.Leave.User, "room_id", e.Leave.Room,
			"slot", e.Leave.Slot, "participant", string(e.Leave.Identity))
	}
}

func (d *Delegation) note(err error) {
	if err != nil {
		d.log.Error("a leave is not kept in case of a restart", "code", "leaves_unkept", "err", err)
	}
}

// tidy begins the file anew when most of it is history.
func (d *Delegation) tidy() {
	if !d.journal.long(len(d.kept)) {
		return
	}
	all := make([]delayed.Leave, 0, len(d.kept))
	for _, l := range d.kept {
		all = append(all, l)
	}
	d.note(d.journal.rewrite(all))
}
