package rewrite

import "time"

// window is how long the packet with the least delay counts. Shorter, and a queue looks like a slow clock; longer, and the
// drift between the clocks shows.
const window = int64(5 * time.Second)

// point ties an RTP timestamp to a time in ns.
type point struct {
	ts uint32
	at int64
	ok bool
}

// Clock ties the RTP timestamps of one stream to time: by the sender's reports, which all streams of a sender share, and,
// until they come, by arrival. The stream owns it.
type Clock struct {
	rate   int64
	report point // NTP time of the last sender report
	least  point // the packet with the least delay in this window
	before point // the same of the window before
	began  int64 // start of this window
}

// NewClock makes the clock of a stream with the given RTP clock rate in Hz.
func NewClock(rate uint32) *Clock { return &Clock{rate: int64(max(rate, 1))} }

// Observe takes a packet: its timestamp and when it arrived (ns, monotonic).
func (c *Clock) Observe(ts uint32, arrival int64) {
	p := point{ts, arrival, true}
	if !c.least.ok {
		c.least, c.began = p, arrival
		return
	}
	if arrival-c.began > window {
		c.before, c.least, c.began = c.least, p, arrival
		return
	}
	if arrival < c.time(c.least, ts) {
		c.least = p
	}
}

// Report takes a sender report (RFC 3550 section 6.4.1): NTP time in ns and its RTP timestamp.
func (c *Clock) Report(ntp int64, ts uint32) { c.report = point{ts, ntp, true} }

// NTP is the sender's time at which ts was sampled; false before the first report.
func (c *Clock) NTP(ts uint32) (int64, bool) {
	if !c.report.ok {
		return 0, false
	}
	return c.time(c.report, ts), true
}

// Local is about when ts would arrive without delay (ns, monotonic); false before the first packet.
func (c *Clock) Local(ts uint32) (int64, bool) {
	if !c.least.ok {
		return 0, false
	}
	return c.time(c.reference(ts), ts), true
}

// reference is the point with less delay of this window and the one before.
func (c *Clock) reference(ts uint32) point {
	if c.before.ok && c.time(c.before, ts) < c.time(c.least, ts) {
		return c.before
	}
	return c.least
}

// time of ts on the line through p.
func (c *Clock) time(p point, ts uint32) int64 {
	return p.at + int64(int32(ts-p.ts))*int64(time.Second)/c.rate
}

// ticks is a span of time on the RTP clock.
func (c *Clock) ticks(d int64) uint32 {
	const second = int64(time.Second)
	return uint32(d/second*c.rate + d%second*c.rate/second)
}

// translate gives the timestamp on c of the instant at which ts was sampled on the other stream.
func (c *Clock) translate(other *Clock, ts uint32) (uint32, bool) {
	if t, ok := other.NTP(ts); ok && c.report.ok {
		return c.report.ts + c.ticks(t-c.report.at), true
	}
	t, ok := other.Local(ts)
	if !ok || !c.least.ok {
		return 0, false
	}
	p := c.reference(c.least.ts)
	return p.ts + c.ticks(t-p.at), true
}
