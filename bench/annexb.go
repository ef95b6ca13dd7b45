package bench

import "bytes"

// units packetises an access unit in Annex B (RFC 6184): a NAL unit a packet, in fragments if it is long. An encrypted one
// has no start code behind its first slice.
func (o *outgoing) units(now int64, timestamp uint32, frame []byte) {
	for unit, rest := nextUnit(frame); len(unit) > 0; unit, rest = nextUnit(rest) {
		last := len(rest) == 0
		if len(unit) <= packetMost {
			o.packet(now, timestamp, nil, unit, last)
			continue
		}
		body := unit[1:]
		count := (len(body) + packetMost - 1) / packetMost
		size := (len(body) + count - 1) / count
		var prefix [2]byte
		for i := range count {
			part := body[min(i*size, len(body)):min((i+1)*size, len(body))]
			o.packet(now, timestamp, fragment(prefix[:0], unit[0], i == 0, i == count-1), part, last && i == count-1)
		}
	}
}

// nextUnit cuts the first NAL unit off a stream that begins with a start code (H.264 annex B).
func nextUnit(b []byte) (unit, rest []byte) {
	start := []byte{0, 0, 1}
	i := bytes.Index(b, start)
	if i < 0 {
		return nil, nil
	}
	b = b[i+len(start):]
	if i = bytes.Index(b, start); i < 0 {
		return b, nil
	}
	end := i
	if end > 0 && b[end-1] == 0 { // the fourth byte of the next start code
		end--
	}
	return b[:end], b[i:]
}
