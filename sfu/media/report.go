package media

import (
	"math"
)

// reportSending sends goodbyes and, when due, the sender reports of all subscriptions. It returns when to come again.
// Under the lock.
func (l *Leg) reportSending(now int64, out *Burst) int64 {
	l.packet = l.packet[:0]
	for _, ssrc := range l.goodbyes {
		l.packet = appendReceiverReport(l.packet, l.ssrc, 0)
		l.packet = appendGoodbye(l.packet, ssrc)
		l.spill(out)
	}
	l.goodbyes = l.goodbyes[:0]
	sends := *l.sends.Load()
	if len(sends) == 0 || l.out == nil {
		l.sendRTCP(out, l.packet)
		return now + int64(idlePeriod)
	}
	all := now >= l.due.sender
	if (all || now >= l.due.first || l.hurry.Swap(false)) && l.out.Ready() {
		l.due.first = math.MaxInt64
		for ssrc, s := range sends {
			if ssrc != s.ssrc || !all && s.reported() {
				continue
			}
			var ok bool
			if l.packet, ok = s.appendSenderReport(l.packet, now); ok {
				l.spill(out)
			} else if !s.reported() {
				l.due.first = now + senderRetry
			}
		}
		if all {
			l.due.sender = now + senderPeriod
		}
	}
	l.sendRTCP(out, l.packet)
	return max(min(l.due.sender, l.due.first), now+int64(tickPeriod))
}

// spill sends the compound packet being written once it is long.
func (l *Leg) spill(out *Burst) {
	if len(l.packet) > maxRTCPLen-300 { // the next report and its CNAME have to fit
		l.sendRTCP(out, l.packet)
		l.packet = l.packet[:0]
	}
}

// reported tells whether a sender report was ever sent.
func (s *Subscription) reported() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports[0].at != 0
}

// appendSenderReport tells the receiver the publisher's NTP time of a timestamp in the subscription's own space, so that
// audio and video of one publisher can be aligned; false: it cannot be known yet.
func (s *Subscription) appendSenderReport(dst []byte, now int64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.in == nil {
		return dst, false
	}
	st := s.pub.stream(s.space.mapper.Snapshot().Stream)
	if st == nil {
		return dst, false
	}
	c := st.sync()
	if c.at == 0 || now-c.at > 10*senderPeriod {
		return dst, false
	}
	since := now - c.at
	timestamp, ok := s.space.mapper.Timestamp(st.id, c.timestamp+ticks(since, s.in.Codec.ClockRate()))
	if !ok {
		return dst, false
	}
	ntp := ntpAfter(c.ntp, since)
	s.reports[1] = s.reports[0]
	s.reports[0] = sentReport{middle: ntpMiddle(ntp), at: now}
	dst = appendSenderReport(dst, s.ssrc, ntp, timestamp, s.space.packets, s.space.octets)
	return appendCNAME(dst, s.ssrc, s.send.CNAME), true
}
