package media

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"weir/sfu"
)

// Secure RTP (RFC 3711) with explicit packet indices. Replay protection is off: browsers probe with old packets, and a
// repeated packet is dropped by the stream's history anyway.

var (
	errMalformed = errors.New("malformed packet")
	errForged    = errors.New("packet does not authenticate")
	errSources   = errors.New("too many SSRCs")
)

const (
	// maxSources bounds the SSRCs that one far side may send: simulcast, RTX and FEC of some dozen publications.
	maxSources = 512
	// maxPacket is the longest packet that is sealed: an Ethernet frame's payload.
	maxPacket = 1500
	// maxOverhead is the longest authentication tag and trailer.
	maxOverhead = 20
)

// Outbound is the SRTP sender of one transport. The caller of the sealing methods holds its lock, once per burst.
type Outbound struct {
	ready atomic.Bool
	addr  atomic.Pointer[netip.AddrPort]

	sync.Mutex
	// Guarded by the lock.
	audit     func(ssrc uint32, index sfu.ExtSeq, header, payload []byte)
	rtp, rtcp protection
	rtcpIndex uint32 // one count for all SSRCs: each (key, SSRC, index) is still used once
}

// Ready reports whether there are keys and an address to send to. No lock needed.
func (o *Outbound) Ready() bool { return o.ready.Load() && o.addr.Load() != nil }

// Addr is where packets go now; it follows the far side.
func (o *Outbound) Addr() (netip.AddrPort, bool) {
	if a := o.addr.Load(); a != nil {
		return *a, true
	}
	return netip.AddrPort{}, false
}

func (o *Outbound) install(rtp, rtcp *protection) {
	o.Lock()
	o.rtp, o.rtcp = *rtp, *rtcp
	o.Unlock()
	o.ready.Store(true)
}

// SealRTP appends the protected packet to dst and returns it, or nil if there are no keys. The packet is header, then
// prefix (the bytes of the payload that were rewritten; may be empty), then payload, which may be shared memory and is
// only read. index is the extended sequence number, which began at 1<<16 + first; the header's number is made to agree,
// so that a nonce can only repeat if the index does.
func (o *Outbound) SealRTP(dst, header, prefix, payload []byte, index sfu.ExtSeq) []byte {
	if !o.rtp.keyed() || len(header) < rtpHeaderLen {
		return nil
	}
	start := len(dst)
	dst = append(dst, header...)
	h := dst[start:]
	binary.BigEndian.PutUint16(h[2:], uint16(index.Seq()))
	ssrc := binary.BigEndian.Uint32(h[8:])
	if o.audit != nil {
		o.audit(ssrc, index, h, append(append([]byte(nil), prefix...), payload...))
	}
	if len(prefix) == 0 {
		return o.rtp.sealRTP(dst, start, payload, ssrc, index)
	}
	// A rewritten prefix has to stand before the rest in one piece: copy both behind the header and seal in place.
	body := len(dst)
	dst = append(append(dst, prefix...), payload...)
	return o.rtp.sealRTP(dst[:body], start, dst[body:], ssrc, index)
}

// SealRTCP appends the protected compound packet to dst and returns it, or nil if there are no keys.
func (o *Outbound) SealRTCP(dst, packet []byte) []byte {
	if !o.rtcp.keyed() || len(packet) < rtcpHeaderLen || o.rtcpIndex == 1<<31-1 {
		return nil // 2^31 SRTCP packets end the key's life (RFC 3711 section 9.2)
	}
	o.rtcpIndex++
	return o.rtcp.sealRTCP(dst, packet, o.rtcpIndex)
}

// inbound is the SRTP receiver of one transport; Transport.rx guards it.
type inbound struct {
	rtp, rtcp *protection
	sources   map[uint32]*source
	last      *source // the source of the packet before
}

type source struct {
	ssrc   uint32
	newest sfu.ExtSeq
}

func newInbound(rtp, rtcp *protection) *inbound {
	return &inbound{rtp: rtp, rtcp: rtcp, sources: make(map[uint32]*source)}
}

// openRTP decrypts b in place and gives the packet and its index. State changes only after authentication.
func (in *inbound) openRTP(b []byte) ([]byte, sfu.ExtSeq, error) {
	n, ok := headerLen(b)
	if !ok {
		return nil, 0, errMalformed
	}
	seq, ssrc := sfu.Seq(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[8:])
	src := in.last
	if src == nil || src.ssrc != ssrc {
		src = in.sources[ssrc]
	}
	var index sfu.ExtSeq
	switch {
	case src != nil:
		index = seq.Extend(src.newest)
		if index < 1<<16 {
			return nil, 0, errMalformed // before the first packet's rollover count of 0
		}
	case len(in.sources) >= maxSources:
		return nil, 0, errSources
	default:
		index = 1<<16 + sfu.ExtSeq(seq)
	}
	plain, err := in.rtp.openRTP(b, n, ssrc, index)
	if err != nil {
		return nil, 0, err
	}
	if src == nil {
		src = &source{ssrc: ssrc, newest: index}
		in.sources[ssrc] = src
	} else if index > src.newest {
		src.newest = index
	}
	in.last = src
	return plain, index, nil
}

// openRTCP decrypts b in place.
func (in *inbound) openRTCP(b []byte) ([]byte, error) { return in.rtcp.openRTCP(b) }

const (
	rtpHeaderLen  = 12
	rtcpHeaderLen = 8
)

// headerLen is the length of an RTP header with contributing sources and extension (RFC 3550 section 5.1).
func headerLen(b []byte) (int, bool) {
	if len(b) < rtpHeaderLen || b[0]>>6 != 2 {
		return 0, false
	}
	n := rtpHeaderLen + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < n+4 {
			return 0, false
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	return n, n <= len(b)
}
