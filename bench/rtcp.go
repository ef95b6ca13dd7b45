package bench

import (
	"encoding/binary"

	"weir/sfu"
)

// RTCP as a client reads and writes it (RFC 3550, RFC 4585, RFC 5104, and transport-wide feedback).
const (
	rtcpSR, rtcpRR, rtcpSDES, rtcpBYE = 200, 201, 202, 203
	rtcpTransport, rtcpPayload        = 205, 206
	fmtNACK, fmtTWCC                  = 1, 15 // of rtcpTransport
	fmtPLI, fmtFIR                    = 1, 4  // of rtcpPayload

	blockLen = 24
)

// report is one RTCP packet; body follows the common header.
type report struct {
	kind, count uint8
	body        []byte
}

// nextReport cuts the first packet off a compound; false: nothing readable is left.
func nextReport(b []byte) (r report, rest []byte, ok bool) {
	if len(b) < 4 || b[0]>>6 != 2 {
		return r, nil, false
	}
	n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return r, nil, false
	}
	return report{kind: b[1], count: b[0] & 0x1f, body: b[4:n]}, b[n:], true
}

// blocks of a sender or receiver report; fewer than it promises if it is cut.
func (r report) blocks() []byte {
	from := 4 // sender
	if r.kind == rtcpSR {
		from = 24
	}
	end := from + blockLen*int(r.count)
	if end > len(r.body) {
		return nil
	}
	return r.body[from:end]
}

// nacks calls f for each packet that a NACK asks for (RFC 4585 section 6.2.1).
func (r report) nacks(f func(ssrc uint32, seq sfu.Seq)) {
	if len(r.body) < 8 {
		return
	}
	be := binary.BigEndian
	ssrc := be.Uint32(r.body[4:])
	for b := r.body[8:]; len(b) >= 4; b = b[4:] {
		first, mask := sfu.Seq(be.Uint16(b)), be.Uint16(b[2:])
		f(ssrc, first)
		for i := sfu.Seq(1); mask != 0; i, mask = i+1, mask>>1 {
			if mask&1 != 0 {
				f(ssrc, first+i)
			}
		}
	}
}

func appendHead(dst []byte, count, kind uint8, words int) []byte {
	return append(dst, 0x80|count, kind, byte(words>>8), byte(words))
}

// appendSR writes a sender report without blocks (RFC 3550 section 6.4.1) and its CNAME.
func appendSR(dst []byte, ssrc uint32, ntp uint64, timestamp, packets, octets uint32, cname string) []byte {
	be := binary.BigEndian
	dst = appendHead(dst, 0, rtcpSR, 6)
	dst = be.AppendUint32(dst, ssrc)
	dst = be.AppendUint64(dst, ntp)
	dst = be.AppendUint32(dst, timestamp)
	dst = be.AppendUint32(dst, packets)
	dst = be.AppendUint32(dst, octets)

	cname = cname[:min(len(cname), 32)]
	n := (4 + 2 + len(cname) + 1 + 3) / 4
	end := len(dst) + 4 + 4*n
	dst = appendHead(dst, 1, rtcpSDES, n)
	dst = be.AppendUint32(dst, ssrc)
	dst = append(append(dst, 1, byte(len(cname))), cname...)
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst
}

// appendPLI asks for a keyframe.
func appendPLI(dst []byte, sender, media uint32) []byte {
	dst = appendHead(dst, fmtPLI, rtcpPayload, 2)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	return binary.BigEndian.AppendUint32(dst, media)
}

// appendNACK asks for packets again; seqs rise.
func appendNACK(dst []byte, sender, media uint32, seqs []sfu.Seq) []byte {
	be := binary.BigEndian
	head := len(dst)
	dst = appendHead(dst, fmtNACK, rtcpTransport, 0)
	dst = be.AppendUint32(dst, sender)
	dst = be.AppendUint32(dst, media)
	for len(seqs) > 0 {
		first := seqs[0]
		var mask uint16
		for seqs = seqs[1:]; len(seqs) > 0 && seqs[0].Minus(first) <= 16; seqs = seqs[1:] {
			mask |= 1 << (seqs[0].Minus(first) - 1)
		}
		dst = be.AppendUint16(dst, uint16(first))
		dst = be.AppendUint16(dst, mask)
	}
	be.PutUint16(dst[head+2:], uint16((len(dst)-head)/4-1))
	return dst
}

// ntp is an instant of the run's clock as an NTP timestamp: the era does not matter, only differences do.
func ntp(ns int64) uint64 {
	sec, frac := uint64(ns/1e9), uint64(ns%1e9)
	return (3_900_000_000+sec)<<32 | frac<<32/1e9
}

// arrival is a packet with a transport-wide number.
type arrival struct {
	seq sfu.ExtSeq
	at  int64 // ns
}

// arrivals collects what transport-wide feedback tells (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3).
type arrivals struct {
	list    []arrival
	highest sfu.ExtSeq
	begun   bool
	count   uint8 // of feedback packets
}

// maxSpan is how many numbers one feedback packet covers at most.
const maxSpan = 512

func (a *arrivals) add(seq sfu.Seq, at int64) {
	if !a.begun {
		a.begun, a.highest = true, 1<<16+sfu.ExtSeq(seq)
	}
	ext := seq.Extend(a.highest)
	a.highest = max(a.highest, ext)
	i := len(a.list)
	for i > 0 && a.list[i-1].seq > ext {
		i--
	}
	if i > 0 && a.list[i-1].seq == ext || len(a.list) == maxSpan {
		return
	}
	a.list = append(a.list, arrival{})
	copy(a.list[i+1:], a.list[i:])
	a.list[i] = arrival{ext, at}
}

// feedback appends one packet about all that was added since the last one, and forgets it.
func (a *arrivals) feedback(dst []byte, sender, media uint32) []byte {
	if len(a.list) == 0 {
		return dst
	}
	const tick = 250_000 // ns: the unit of the deltas
	be := binary.BigEndian
	first := a.list[0]
	for n := len(a.list); a.list[n-1].seq-first.seq >= maxSpan; n-- { // a jump: what is behind it is lost to feedback
		a.list = a.list[:n-1]
	}
	span := int(a.list[len(a.list)-1].seq-first.seq) + 1
	reference := first.at / 64e6
	head := len(dst)
	dst = appendHead(dst, fmtTWCC, rtcpTransport, 0)
	dst = be.AppendUint32(dst, sender)
	dst = be.AppendUint32(dst, media)
	dst = be.AppendUint16(dst, uint16(first.seq))
	dst = be.AppendUint16(dst, uint16(span))
	dst = append(dst, byte(reference>>16), byte(reference>>8), byte(reference), a.count)
	a.count++

	chunks := len(dst)
	for range (span + 6) / 7 { // status vectors of two bits
		dst = append(dst, 0xc0, 0)
	}
	last := reference * 64e6 / tick
	for _, p := range a.list {
		delta := p.at/tick - last
		last = p.at / tick
		at := int(p.seq - first.seq)
		symbol := uint16(1)
		if delta >= 0 && delta <= 255 {
			dst = append(dst, byte(delta))
		} else {
			symbol = 2
			delta = min(max(delta, -32768), 32767)
			dst = be.AppendUint16(dst, uint16(delta))
		}
		chunk := dst[chunks+2*(at/7):]
		be.PutUint16(chunk, be.Uint16(chunk)|symbol<<(12-2*(at%7)))
	}
	for (len(dst)-head)%4 != 0 {
		dst = append(dst, 0)
	}
	be.PutUint16(dst[head+2:], uint16((len(dst)-head)/4-1))
	a.list = a.list[:0]
	return dst
}
