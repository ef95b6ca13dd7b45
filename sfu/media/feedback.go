package media

import "encoding/binary"

// arrivals records when transport-wide numbered packets came, and writes the feedback a publisher's bandwidth
// estimator lives on (draft-holmer-rmcat-transport-wide-cc-extensions-01). The owner locks. It allocates once.
type arrivals struct {
	ring  *[arrivalWindow]int64 // ns of arrival by number; 0: not seen
	next  uint64                // the first number not reported yet, extended
	high  uint64                // the highest seen, extended
	fresh bool                  // something came since the last report
	count uint8                 // feedback packet count
}

const (
	arrivalWindow = 2048 // numbers: over 2 s at 1,000 packets/s
	// feedbackSpan bounds one report: 400 × (2 B delta + ¼ B status) stays under one MTU.
	feedbackSpan = 400
	// feedbackReach is how far back a late number may reopen what was already reported as lost.
	feedbackReach = 256

	tickUnit    = 250_000        // ns of one delta tick
	refTimeUnit = 64 * 1_000_000 // ns of one reference time step
	maxSmall    = 255            // ticks a one-byte delta holds
	maxLarge    = 1<<15 - 1      // ticks a two-byte delta holds
	minLarge    = -1 << 15       //
	symLost     = 0              // packet status symbols, section 3.1.1
	symSmall    = 1              //
	symLarge    = 2              //
	maxRun      = 1<<13 - 1      // section 3.1.3
	vectorTwo   = 0xC000         // section 3.1.4: status vector of seven two-bit symbols
	vectorOne   = 0x8000         // section 3.1.4: status vector of fourteen one-bit symbols
	twccHeader  = 20             // bytes before the first chunk
)

// received notes that number seq came at now. now is never 0 in a living process.
func (a *arrivals) received(seq uint16, now int64) {
	if a.ring == nil {
		a.ring = new([arrivalWindow]int64)
		a.high = 1<<16 + uint64(seq)
		a.next = a.high
		a.set(a.high, now)
		return
	}
	ext := uint64(int64(a.high) + int64(int16(seq-uint16(a.high))))
	switch {
	case ext > a.high:
		if ext-a.high >= arrivalWindow { // a jump this long is a new start
			*a.ring = [arrivalWindow]int64{}
			a.next = ext
		} else {
			for n := a.high + 1; n <= ext; n++ {
				a.ring[n%arrivalWindow] = 0
			}
		}
		a.high = ext
		if a.high-a.next >= arrivalWindow {
			a.next = a.high - arrivalWindow + 1
		}
	case a.high-ext >= arrivalWindow || (ext < a.next && a.next-ext > feedbackReach):
		return // too late to matter to an estimator
	case ext < a.next:
		a.next = ext
	}
	if a.ring[ext%arrivalWindow] != 0 {
		return // a copy: the first arrival counts
	}
	a.set(ext, now)
}

func (a *arrivals) set(ext uint64, now int64) {
	a.ring[ext%arrivalWindow] = now
	a.fresh = true
}

// pending reports whether a report has something new to say.
func (a *arrivals) pending() bool { return a.fresh }

// appendFeedback appends one feedback packet to dst; call it until pending is false. sender is our SSRC and
// media one of the publisher's.
func (a *arrivals) appendFeedback(dst []byte, sender, media uint32) []byte {
	for a.next <= a.high && a.ring[a.next%arrivalWindow] == 0 {
		a.next++ // a report begins with a packet that came, so that the reference time is its own
	}
	if a.next > a.high {
		a.fresh = false
		return dst
	}
	head := len(dst)
	first := a.ring[a.next%arrivalWindow]
	ref := first / refTimeUnit
	dst = append(dst, 0x8f, rtcpTransportFeedback, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	dst = binary.BigEndian.AppendUint32(dst, media)
	dst = binary.BigEndian.AppendUint16(dst, uint16(a.next))
	dst = append(dst, 0, 0, byte(ref>>16), byte(ref>>8), byte(ref), a.count)
	a.count++

	var symbols [feedbackSpan]uint8
	var deltas [feedbackSpan]int16
	n := a.classify(ref*refTimeUnit, &symbols, &deltas)
	binary.BigEndian.PutUint16(dst[head+14:], uint16(n))
	dst = appendChunks(dst, symbols[:n])
	for i := range n {
		switch symbols[i] {
		case symSmall:
			dst = append(dst, byte(deltas[i]))
		case symLarge:
			dst = binary.BigEndian.AppendUint16(dst, uint16(deltas[i]))
		}
	}
	if pad := -(len(dst) - head) & 3; pad > 0 {
		dst[head] |= 0x20 // RFC 3550 section 6.4.1: the last byte counts the padding
		for range pad - 1 {
			dst = append(dst, 0)
		}
		dst = append(dst, byte(pad))
	}
	binary.BigEndian.PutUint16(dst[head+2:], uint16((len(dst)-head)/4-1))
	a.next += uint64(n)
	a.fresh = a.next <= a.high
	return dst
}

// classify fills the status and delta of each number from next on, and returns how many fit one report.
func (a *arrivals) classify(from int64, symbols *[feedbackSpan]uint8, deltas *[feedbackSpan]int16) int {
	last := from / tickUnit
	n, seen := 0, 0
	for ext := a.next; ext <= a.high && n < feedbackSpan; ext++ {
		t := a.ring[ext%arrivalWindow]
		if t == 0 {
			symbols[n] = symLost
			n++
			continue
		}
		d := t/tickUnit - last
		if d > maxLarge || d < minLarge {
			break // needs a reference time of its own
		}
		symbols[n] = symLarge
		if d >= 0 && d <= maxSmall {
			symbols[n] = symSmall
		}
		deltas[n] = int16(d)
		last += d
		n++
		seen = n
	}
	return seen // numbers lost at the end wait for the next report: they may be on their way
}

// appendChunks writes packet status chunks (section 3.1.2): a run where seven or more are equal, else a vector.
func appendChunks(dst []byte, symbols []uint8) []byte {
	for len(symbols) > 0 {
		run := 1
		for run < len(symbols) && run < maxRun && symbols[run] == symbols[0] {
			run++
		}
		var n int
		var chunk uint16
		switch {
		case run >= 14 || run == len(symbols) || (run >= 7 && symbols[0] == symLarge):
			chunk, n = uint16(symbols[0])<<13|uint16(run), run
		case narrow(symbols):
			n = min(14, len(symbols))
			chunk = vectorOne
			for i := range n {
				chunk |= uint16(symbols[i]) << (13 - i)
			}
		default:
			n = min(7, len(symbols))
			chunk = vectorTwo
			for i := range n {
				chunk |= uint16(symbols[i]) << (12 - 2*i)
			}
		}
		dst = binary.BigEndian.AppendUint16(dst, chunk)
		symbols = symbols[n:]
	}
	return dst
}

// narrow reports whether the next fourteen symbols fit one bit each.
func narrow(symbols []uint8) bool {
	for _, s := range symbols[:min(14, len(symbols))] {
		if s == symLarge {
			return false
		}
	}
	return true
}
