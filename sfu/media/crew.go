package media

import (
	"sync"
	"sync/atomic"
)

// A publisher's packets come on one goroutine. Where they go to very many receivers it is the crew that serves them, on as
// many cores as are idle: else one core bounds the audience of one publisher, and the last of them waits for all the others.

const (
	// crewLeast is how many receivers are worth waking a worker up for; two workers want twice as many. What is served by two
	// cores in turn costs a tenth more: fewer receivers are served soon enough without.
	crewLeast = 200
	// crewPiece is how many receivers are taken at a time. Whoever is done waits no longer than for one piece of each worker.
	crewPiece = 8
)

// audience is receivers that all get something of the same packets.
type audience interface {
	// serve sends what receiver i gets. Several goroutines serve different receivers at the same time.
	serve(now int64, i int, out *Burst, header []byte)
}

// crew is the workers of an endpoint. Any reader calls them.
type crew struct {
	workers []*worker
	running sync.WaitGroup
}

// worker is a goroutine that serves a part of an audience.
type worker struct {
	task   atomic.Pointer[task] // nil: it has nothing to do; begun: it serves; else what it shall do, which may be taken back
	wake   chan struct{}
	out    *Burst
	header [512]byte
}

// begun stands for a task that cannot be taken back any more.
var begun task

// task is one audience being served. Its caller owns it.
type task struct {
	audience  audience
	receivers int
	now       int64
	taken     atomic.Int64   // receivers that are served, or being served
	called    sync.WaitGroup // workers that have the task
}

// add starts a worker that sends to a socket.
func (c *crew) add(to Writer, sent *sentCounters) {
	w := &worker{wake: make(chan struct{}, 1), out: newBurst(to, sent)}
	w.out.shared = true
	c.workers = append(c.workers, w)
	c.running.Go(w.run)
}

// close ends the workers. Nobody calls them any more.
func (c *crew) close() {
	for _, w := range c.workers {
		close(w.wake)
	}
	c.running.Wait()
}

func (w *worker) run() {
	for range w.wake {
		t := w.task.Load()
		if t == nil || !w.task.CompareAndSwap(t, &begun) {
			continue
		}
		t.serve(w.out, w.header[:0])
		w.out.Flush()
		w.task.Store(nil)
		t.called.Done()
	}
}

// serve takes pieces of the audience until none is left.
func (t *task) serve(out *Burst, header []byte) {
	for {
		end := int(t.taken.Add(crewPiece))
		if end-crewPiece >= t.receivers {
			return
		}
		for i := end - crewPiece; i < min(end, t.receivers); i++ {
			t.audience.serve(t.now, i, out, header)
		}
	}
}

// call gives the task to n workers that have nothing to do.
func (c *crew) call(t *task, n int) {
	for _, w := range c.workers {
		if n == 0 {
			return
		}
		t.called.Add(1)
		if !w.task.CompareAndSwap(nil, t) {
			t.called.Done()
			continue
		}
		n--
		select {
		case w.wake <- struct{}{}:
		default: // it is about to look
		}
	}
}

// dismiss waits for the workers that began, and takes the task back from those that did not.
func (c *crew) dismiss(t *task) {
	for _, w := range c.workers {
		if w.task.CompareAndSwap(t, nil) {
			t.called.Done()
		}
	}
	t.called.Wait()
}

// serve sends to an audience, together with workers if it is large; what they sent has left when it returns. What one
// receiver gets leaves in order. header is scratch space.
func (b *Burst) serve(now int64, a audience, receivers int, header []byte) {
	if b.crew == nil || len(b.crew.workers) == 0 || receivers < crewLeast {
		for i := range receivers {
			a.serve(now, i, b, header)
		}
		return
	}
	b.Flush() // what waits here leaves before what workers send
	t := &b.task
	t.audience, t.receivers, t.now = a, receivers, now
	t.taken.Store(0)
	b.shared = true
	b.crew.call(t, receivers/crewLeast)
	t.serve(b, header)
	b.crew.dismiss(t)
	b.shared = false
	t.audience = nil
}
