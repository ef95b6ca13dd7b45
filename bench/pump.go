package bench

import (
	"container/heap"
	"sync"
	"time"
)

// Pump sends for all bots of a run, on one goroutine.
type Pump struct {
	clock Clock
	alarm alarm
	end   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	queue  dueQueue
	late   Histogram // how long after its time a frame left
	closed bool
}

// slack joins what is due within it into one wake-up. Publishers that nobody synchronised are what a server gets: frames
// that left together because the pump was late would wait for each other there.
const slack = int64(50 * time.Microsecond)

// NewPump starts a pump. Close ends it.
func NewPump(c Clock) *Pump { return newPump(c, newAlarm()) }

func newPump(c Clock, a alarm) *Pump {
	p := &Pump{clock: c, alarm: a}
	p.end.Go(p.run)
	return p
}

// Close ends the pump.
func (p *Pump) Close() {
	p.mu.Lock()
	p.closed = true
	p.alarm.set(0)
	p.mu.Unlock()
	p.end.Wait()
	p.alarm.close()
}

// Late is how late frames left so far.
func (p *Pump) Late() Histogram {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late
}

// add lets o send from due on.
func (p *Pump) add(o *outgoing, due int64) {
	p.mu.Lock()
	o.due = due
	heap.Push(&p.queue, o)
	if p.queue[0] == o {
		p.alarm.set(0)
	}
	p.mu.Unlock()
}

// remove takes o out; it sends nothing after that.
func (p *Pump) remove(o *outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o.stopped = true
	if o.place >= 0 && o.place < len(p.queue) && p.queue[o.place] == o {
		heap.Remove(&p.queue, o.place)
	}
}

func (p *Pump) run() {
	var batch []*outgoing
	for {
		var open bool
		if batch, open = p.take(batch[:0]); !open {
			return
		}
		for _, o := range batch {
			if o.send(p.clock.Now()) {
				o.leg.burst.Flush() // at once: a frame that waits for other bots' would seem late at the far end
			}
		}
		p.back(batch)
		if len(batch) == 0 {
			p.alarm.wait()
		}
	}
}

// take gives what is due now, in order; if nothing is, the alarm rings when something is, or came. open is false after Close.
func (p *Pump) take(batch []*outgoing) (due []*outgoing, open bool) {
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 && p.queue[0].due <= now+slack {
		o := heap.Pop(&p.queue).(*outgoing)
		p.late.Add(max(now-o.due, 0))
		batch = append(batch, o)
	}
	if len(batch) == 0 && len(p.queue) > 0 && !p.closed {
		p.alarm.set(time.Duration(p.queue[0].due - now))
	}
	return batch, !p.closed
}

// back queues again what was sent. A stream that fell behind by a second skips what it missed.
func (p *Pump) back(batch []*outgoing) {
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range batch {
		if o.stopped {
			continue
		}
		if o.due += int64(o.stream.Every); o.due < now-int64(time.Second) {
			o.due = now
		}
		heap.Push(&p.queue, o)
	}
}

// dueQueue is a heap by due time.
type dueQueue []*outgoing

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *dueQueue) Push(x any) {
	o := x.(*outgoing)
	o.place = len(*q)
	*q = append(*q, o)
}

func (q *dueQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	last.place = -1
	return last
}
