package media

import (
	"math"
	"time"
)

// Periods of what the ticker does.
const (
	tickPeriod     = 20 * time.Millisecond // while media comes in
	idlePeriod     = time.Second           // look at a quiet leg again
	feedbackPeriod = 100e6                 // ns, transport-wide feedback: what browsers and pion use
	reportPeriod   = 1e9                   // ns, receiver reports
	measurePeriod  = 100e6                 // ns, which layers flow
	senderPeriod   = 3e9                   // ns, sender reports (livekit.md section 8)
	senderRetry    = 200e6                 // ns, until a publisher's first report made one possible
	passSpacing    = 2 * time.Millisecond  // between two looks at all legs, however often somebody wakes us
	quietAfter     = 2e9                   // ns without input after which a leg needs no ticks
)

// tick is the engine's goroutine. It sleeps until the first deadline of any leg, or until something wakes it.
func (e *Engine) tick(out *Burst) {
	timer := time.NewTimer(idlePeriod)
	defer timer.Stop()
	last := int64(math.MinInt64 / 2)
	for {
		select {
		case <-e.done:
			return
		case <-e.kick:
			if wait := last + int64(passSpacing) - e.now(); wait > 0 {
				timer.Reset(time.Duration(wait))
				continue
			}
		case <-timer.C:
		}
		last = e.now()
		next := e.pass(last, out)
		timer.Reset(time.Duration(slot(next, last) - last))
	}
}

// slot moves a deadline on to a multiple of the tick period: the legs of a large call are looked at together, and the
// process wakes up once for all that are due about then.
func slot(next, now int64) int64 {
	return (max(next, now+int64(passSpacing)) + int64(tickPeriod) - 1) / int64(tickPeriod) * int64(tickPeriod)
}

// pass ticks the legs that are due or were woken, and returns when the next one is due.
func (e *Engine) pass(now int64, out *Burst) int64 {
	next := now + int64(time.Hour) // no transports: only add wakes us
	for _, l := range *e.legs.Load() {
		if l.urgent.Swap(false) || now >= l.next {
			l.next = l.tick(now, out)
		}
		next = min(next, l.next)
	}
	out.Flush()
	return next
}

// tick does what is due and returns when to come again.
func (l *Leg) tick(now int64, out *Burst) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now-l.lastIn > quietAfter {
		l.quiet = true
	}
	l.begin(now, out)
	next := now + int64(idlePeriod)
	if !l.quiet && len(l.pubs) > 0 {
		next = now + int64(tickPeriod)
		l.askAgain(now, out)
		l.report(now, out)
	}
	if l.requestKeyframes(now, out) {
		next = min(next, now+int64(tickPeriod))
	}
	return min(next, l.reportSending(now, out))
}

// report sends the feedback that a publisher needs. Under the lock.
func (l *Leg) report(now int64, out *Burst) {
	if l.arrivals.pending() && now >= l.due.feedback {
		l.due.feedback = now + feedbackPeriod
		for l.arrivals.pending() {
			l.packet = l.arrivals.appendFeedback(l.packet[:0], l.ssrc, l.anySSRC())
			l.sendRTCP(out, l.packet)
		}
	}
	if now >= l.due.measure {
		l.due.measure = now + measurePeriod
		for _, p := range l.pubs {
			p.measure(now)
		}
	}
	if now >= l.due.report {
		l.due.report = now + reportPeriod
		l.lookUpRTT()
		l.reportReception(now, out)
	}
}

// anySSRC is a media source for feedback about the whole transport, as libwebrtc fills it in.
func (l *Leg) anySSRC() uint32 {
	for _, p := range l.pubs {
		for _, st := range p.streams {
			return st.ssrc
		}
	}
	return 0
}

// reportReception sends receiver reports on every stream that came lately (RFC 3550 section 6.4.2).
func (l *Leg) reportReception(now int64, out *Burst) {
	var blocks [maxReportBlocks]reportBlock
	n := 0
	flush := func() {
		if n == 0 {
			return
		}
		l.packet = appendReceiverReport(l.packet[:0], l.ssrc, n)
		for i := range n {
			l.packet = appendReportBlock(l.packet, &blocks[i])
		}
		l.sendRTCP(out, l.packet)
		n = 0
	}
	for _, p := range l.pubs {
		for _, st := range p.streams {
			if st.reception.received == 0 || now-st.recent > 5*reportPeriod {
				continue
			}
			b := &blocks[n]
			*b = reportBlock{ssrc: st.ssrc}
			st.reception.report(b)
			if c := st.sync(); c.at != 0 {
				b.lastSR = ntpMiddle(c.ntp)
				b.delay = ticks(now-c.at, 65536)
			}
			if n++; n == maxReportBlocks {
				flush()
			}
		}
	}
	flush()
}

// requestKeyframes sends what the throttle lets through, and reports whether something waits. Under the lock.
func (l *Leg) requestKeyframes(now int64, out *Burst) (waiting bool) {
	l.packet = l.packet[:0]
	for _, p := range l.pubs {
		if p.wanted.Load() == 0 {
			continue
		}
		if p.muted.Load() {
			p.wanted.Store(0)
			continue
		}
		l.packet = p.appendRequests(l.packet, now)
		waiting = waiting || p.wanted.Load() != 0
		if len(l.packet) > maxRTCPLen {
			l.sendRTCP(out, l.packet)
			l.packet = l.packet[:0]
		}
	}
	l.sendRTCP(out, l.packet)
	return waiting
}

// askAgain requests what is missing from the publisher (RFC 4585 section 6.2.1). Under the lock.
func (l *Leg) askAgain(now int64, out *Burst) {
	rtt := l.rtt()
	l.packet = l.packet[:0]
	for _, p := range l.pubs {
		if p.muted.Load() {
			continue
		}
		for _, st := range p.streams {
			if st.missing == nil {
				continue
			}
			l.missing = st.missing.Due(now, rtt, l.missing[:0])
			l.packet = appendNACK(l.packet, l.ssrc, st.ssrc, l.missing)
			if len(l.packet) > maxRTCPLen/2 {
				l.sendRTCP(out, l.packet)
				l.packet = l.packet[:0]
			}
		}
	}
	l.sendRTCP(out, l.packet)
}
