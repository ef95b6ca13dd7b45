package media

import (
	"encoding/binary"
	"errors"

	"weir/sfu"
)

// RTCP packet types (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611).
const (
	rtcpSenderReport           = 200
	rtcpReceiverReport         = 201
	rtcpSourceDescription      = 202
	rtcpGoodbye                = 203
	rtcpTransportFeedback      = 205
	rtcpPayloadFeedback        = 206
	rtcpExtendedReport         = 207
	fmtNACK                    = 1  // RFC 4585 section 6.2.1
	fmtTransportCC             = 15 // draft-holmer-rmcat-transport-wide-cc-extensions-01
	fmtPLI                     = 1  // RFC 4585 section 6.3.1
	fmtFIR                     = 4  // RFC 5104 section 4.3.1
	rtcpCommonLen              = 4
	reportBlockLen             = 24
	maxReportBlocks            = 31
	senderReportLen            = 28
	maxRTCPLen                 = 1200 // of one compound packet of ours: fits any path
	maxNACKSeqs                = 1024 // sequence numbers one compound packet may ask for
	sdesCNAME             byte = 1
)

var (
	errRTCPHeader = errors.New("rtcp: not a version 2 header")
	errRTCPLength = errors.New("rtcp: length beyond the packet")
)

// rtcpPacket is one packet of a compound.
type rtcpPacket struct {
	kind  uint8
	count uint8  // report count, source count or feedback format
	body  []byte // after the header; padding cut off
}

// nextRTCP takes the first packet off a compound (RFC 3550 section 6.1; reduced-size ones of RFC 5506 too).
func nextRTCP(b []byte) (p rtcpPacket, rest []byte, err error) {
	if len(b) < rtcpCommonLen || b[0]>>6 != 2 {
		return p, nil, errRTCPHeader
	}
	n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return p, nil, errRTCPLength
	}
	p.kind, p.count, p.body = b[1], b[0]&0x1f, b[4:n]
	if b[0]&0x20 != 0 {
		if len(p.body) == 0 {
			return p, nil, errRTCPLength
		}
		pad := int(p.body[len(p.body)-1])
		if pad == 0 || pad > len(p.body) {
			return p, nil, errRTCPLength
		}
		p.body = p.body[:len(p.body)-pad]
	}
	return p, b[n:], nil
}

// reportBlock is what a receiver says of one of our streams (RFC 3550 section 6.4.1).
type reportBlock struct {
	ssrc     uint32
	fraction uint8
	lost     int32 // 24 bit, signed
	highest  uint32
	jitter   uint32
	lastSR   uint32
	delay    uint32 // 1/65536 s since lastSR
}

func readReportBlock(b []byte) reportBlock {
	be := binary.BigEndian
	return reportBlock{
		ssrc:     be.Uint32(b),
		fraction: b[4],
		lost:     int32(be.Uint32(b[4:])<<8) >> 8,
		highest:  be.Uint32(b[8:]),
		jitter:   be.Uint32(b[12:]),
		lastSR:   be.Uint32(b[16:]),
		delay:    be.Uint32(b[20:]),
	}
}

func appendReportBlock(dst []byte, r *reportBlock) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, r.ssrc)
	dst = be.AppendUint32(dst, uint32(r.fraction)<<24|uint32(r.lost)&0xffffff)
	dst = be.AppendUint32(dst, r.highest)
	dst = be.AppendUint32(dst, r.jitter)
	dst = be.AppendUint32(dst, r.lastSR)
	return be.AppendUint32(dst, r.delay)
}

func appendRTCPHeader(dst []byte, count, kind uint8, bodyLen int) []byte {
	dst = append(dst, 0x80|count, kind)
	return binary.BigEndian.AppendUint16(dst, uint16(bodyLen/4))
}

// appendReceiverReport opens a receiver report of n blocks, which the caller appends.
func appendReceiverReport(dst []byte, sender uint32, n int) []byte {
	dst = appendRTCPHeader(dst, uint8(n), rtcpReceiverReport, 4+n*reportBlockLen)
	return binary.BigEndian.AppendUint32(dst, sender)
}

// appendSenderReport writes a sender report without blocks (RFC 3550 section 6.4.1).
func appendSenderReport(dst []byte, ssrc uint32, ntp uint64, timestamp, packets, octets uint32) []byte {
	be := binary.BigEndian
	dst = appendRTCPHeader(dst, 0, rtcpSenderReport, senderReportLen-4)
	dst = be.AppendUint32(dst, ssrc)
	dst = be.AppendUint64(dst, ntp)
	dst = be.AppendUint32(dst, timestamp)
	dst = be.AppendUint32(dst, packets)
	return be.AppendUint32(dst, octets)
}

// appendCNAME writes a source description of one chunk (RFC 3550 section 6.5.1).
func appendCNAME(dst []byte, ssrc uint32, cname string) []byte {
	cname = cname[:min(len(cname), 255)]
	n := 4 + 2 + len(cname) + 1
	n = (n + 3) &^ 3 // the list ends in one to four zero bytes
	dst = appendRTCPHeader(dst, 1, rtcpSourceDescription, n)
	end := len(dst) + n
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, sdesCNAME, byte(len(cname)))
	dst = append(dst, cname...)
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst
}

// appendGoodbye ends a stream (RFC 3550 section 6.6).
func appendGoodbye(dst []byte, ssrc uint32) []byte {
	dst = appendRTCPHeader(dst, 1, rtcpGoodbye, 4)
	return binary.BigEndian.AppendUint32(dst, ssrc)
}

// appendPLI asks for a keyframe (RFC 4585 section 6.3.1).
func appendPLI(dst []byte, sender, media uint32) []byte {
	dst = appendRTCPHeader(dst, fmtPLI, rtcpPayloadFeedback, 8)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	return binary.BigEndian.AppendUint32(dst, media)
}

// appendFIR asks for a keyframe of a publisher that knows no PLI (RFC 5104 section 4.3.1).
func appendFIR(dst []byte, sender, media uint32, command uint8) []byte {
	dst = appendRTCPHeader(dst, fmtFIR, rtcpPayloadFeedback, 16)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	dst = binary.BigEndian.AppendUint32(dst, 0) // section 4.3.1.2: media source SHALL be 0
	dst = binary.BigEndian.AppendUint32(dst, media)
	return append(dst, command, 0, 0, 0)
}

// appendNACK asks for packets again; seqs rise (RFC 4585 section 6.2.1).
func appendNACK(dst []byte, sender, media uint32, seqs []sfu.Seq) []byte {
	if len(seqs) == 0 {
		return dst
	}
	head := len(dst)
	dst = appendRTCPHeader(dst, fmtNACK, rtcpTransportFeedback, 0)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	dst = binary.BigEndian.AppendUint32(dst, media)
	for len(seqs) > 0 {
		first := seqs[0]
		seqs = seqs[1:]
		var mask uint16
		for len(seqs) > 0 && seqs[0].Minus(first) <= 16 {
			if d := seqs[0].Minus(first); d > 0 {
				mask |= 1 << (d - 1)
			}
			seqs = seqs[1:]
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(first))
		dst = binary.BigEndian.AppendUint16(dst, mask)
	}
	binary.BigEndian.PutUint16(dst[head+2:], uint16((len(dst)-head)/4-1))
	return dst
}

// ntpTime is a 64-bit NTP timestamp (RFC 5905 section 6); ntpMiddle is what LSR repeats of it.
func ntpMiddle(ntp uint64) uint32 { return uint32(ntp >> 16) }

// ntpAfter moves an NTP timestamp by d ns.
func ntpAfter(ntp uint64, d int64) uint64 {
	sec, frac := d/1e9, d%1e9
	if frac < 0 {
		sec, frac = sec-1, frac+1e9
	}
	return ntp + uint64(sec)<<32 + uint64(frac)<<32/1e9
}

// ntpNanos is an NTP timestamp in ns since its era began.
func ntpNanos(ntp uint64) int64 {
	return int64(ntp>>32)*1e9 + int64(ntp&0xffffffff*1e9>>32)
}

// ticks is d ns on an RTP clock.
func ticks(d int64, rate uint32) uint32 {
	sec, frac := d/1e9, d%1e9
	return uint32(sec*int64(rate) + frac*int64(rate)/1e9)
}
