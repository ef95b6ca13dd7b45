package media

import (
	"encoding/binary"
	"errors"

	"weir/sfu"
)

// extension is what an RTP header extension element carries (RFC 8285).
type extension uint8

const (
	extNone         extension = iota
	extMID                    // urn:ietf:params:rtp-hdrext:sdes:mid (RFC 9143)
	extRID                    // …:rtp-stream-id (RFC 8852)
	extRepairedRID            // …:repaired-rtp-stream-id (RFC 8852)
	extTransportCC            // draft-holmer-rmcat-transport-wide-cc-extensions-01
	extAbsSendTime            // 24 bit, 6.18 fixed point seconds
	extAudioLevel             // RFC 6464
	extDependency             // AV1 RTP specification, appendix A
	extCaptureTime            // abs-capture-time
	extPlayoutDelay           // read by nobody; never forwarded
	extKinds
)

// extensionMap tells what the ids of one transport mean. Ids are per bundle group (RFC 9143 section 9),
// so there is one map per transport.
type extensionMap [256]extension

// extensionIDs are the ids of one direction by kind; 0: not negotiated.
type extensionIDs [extKinds]uint8

// element is where an extension's bytes are in a packet.
type element struct{ at, n uint16 }

// elements are the extensions of one packet by kind; n 0: absent.
type elements [extKinds]element

func (e *elements) bytes(k extension, raw []byte) []byte {
	x := e[k]
	if x.n == 0 {
		return nil
	}
	return raw[x.at : x.at+x.n]
}

var (
	errRTPVersion   = errors.New("rtp: version is not 2")
	errRTPShort     = errors.New("rtp: shorter than its header")
	errRTPPadding   = errors.New("rtp: padding longer than the payload")
	errRTPExtension = errors.New("rtp: extension longer than the packet")
)

const (
	profileOneByte    = 0xBEDE // RFC 8285 section 4.2
	profileTwoByte    = 0x1000 // RFC 8285 section 4.3; the low four bits are free
	maxOneByteElement = 16
)

// parseRTP reads the header of b (RFC 3550 section 5.1) into p and finds its extensions. Padding is cut off:
// p.Raw ends with the payload. p.Seq and p.Arrival are left to the caller.
func parseRTP(b []byte, m *extensionMap, p *sfu.Packet, e *elements) error {
	if len(b) < rtpHeaderLen {
		return errRTPShort
	}
	if b[0]>>6 != 2 {
		return errRTPVersion
	}
	p.Marker = b[1]&0x80 != 0
	p.PayloadType = b[1] & 0x7f
	p.Timestamp = binary.BigEndian.Uint32(b[4:])
	p.SSRC = binary.BigEndian.Uint32(b[8:])
	n := rtpHeaderLen + 4*int(b[0]&0x0f)
	*e = elements{}
	if b[0]&0x10 != 0 {
		if len(b) < n+4 {
			return errRTPShort
		}
		profile := binary.BigEndian.Uint16(b[n:])
		end := n + 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
		if end > len(b) {
			return errRTPExtension
		}
		if err := parseElements(b, n+4, end, profile, m, e); err != nil {
			return err
		}
		n = end
	}
	if n > len(b) {
		return errRTPShort
	}
	p.PaddingLen = 0
	if b[0]&0x20 != 0 {
		if n == len(b) {
			return errRTPPadding
		}
		pad := int(b[len(b)-1])
		if pad == 0 || n+pad > len(b) {
			return errRTPPadding
		}
		p.PaddingLen = uint8(pad)
		b = b[:len(b)-pad]
	}
	p.Raw, p.HeaderLen = b, n
	return nil
}

func parseElements(b []byte, at, end int, profile uint16, m *extensionMap, e *elements) error {
	two := profile&0xfff0 == profileTwoByte
	if !two && profile != profileOneByte {
		return nil // RFC 3550 section 5.3.1: an extension nobody knows is skipped
	}
	for at < end {
		if b[at] == 0 { // padding byte
			at++
			continue
		}
		var id, n int
		if two {
			if at+1 >= end {
				return errRTPExtension
			}
			id, n = int(b[at]), int(b[at+1])
			at += 2
		} else {
			id, n = int(b[at]>>4), int(b[at]&0x0f)+1
			if id == 15 { // RFC 8285 section 4.2: stop, and keep what came before
				return nil
			}
			at++
		}
		if at+n > end {
			return errRTPExtension
		}
		if k := m[id]; k != extNone && n > 0 {
			e[k] = element{uint16(at), uint16(n)}
		}
		at += n
	}
	return nil
}

// headerWriter builds the header of an outgoing packet in a buffer of its own. The zero value is ready.
// Nothing else than what is put into it leaves: the publisher's header is never copied.
type headerWriter struct {
	buf [rtpHeaderLen + 4 + 255 + 2 + 64]byte
	n   int
	two bool
}

// begin starts a packet. wide asks for two-byte elements (RFC 8285 section 4.3): needed if one is over 16 bytes.
func (w *headerWriter) begin(pt uint8, marker bool, seq sfu.ExtSeq, timestamp, ssrc uint32, wide bool) {
	w.buf[0] = 0x80
	w.buf[1] = pt & 0x7f
	if marker {
		w.buf[1] |= 0x80
	}
	binary.BigEndian.PutUint16(w.buf[2:], uint16(seq))
	binary.BigEndian.PutUint32(w.buf[4:], timestamp)
	binary.BigEndian.PutUint32(w.buf[8:], ssrc)
	w.n = rtpHeaderLen + 4
	w.two = wide
}

// room makes place for an element and returns it; nil if it does not fit or was not negotiated.
func (w *headerWriter) room(id uint8, n int) []byte {
	if id == 0 || n == 0 || w.n+2+n+3 > len(w.buf) {
		return nil
	}
	if w.two {
		w.buf[w.n], w.buf[w.n+1] = id, uint8(n)
		w.n += 2
	} else {
		if id > 14 || n > maxOneByteElement {
			return nil
		}
		w.buf[w.n] = id<<4 | uint8(n-1)
		w.n++
	}
	at := w.n
	w.n += n
	return w.buf[at:w.n]
}

func (w *headerWriter) put(id uint8, b []byte) { copy(w.room(id, len(b)), b) }

// put16 writes a transport-wide sequence number.
func (w *headerWriter) put16(id uint8, v uint16) {
	if b := w.room(id, 2); b != nil {
		b[0], b[1] = byte(v>>8), byte(v)
	}
}

// put24 writes an absolute send time.
func (w *headerWriter) put24(id uint8, v uint32) {
	if b := w.room(id, 3); b != nil {
		b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v)
	}
}

// end closes the extension block and returns the header, valid until the next begin.
func (w *headerWriter) end() []byte {
	if w.n == rtpHeaderLen+4 {
		return w.buf[:rtpHeaderLen]
	}
	for w.n&3 != 0 {
		w.buf[w.n] = 0
		w.n++
	}
	profile := uint16(profileOneByte)
	if w.two {
		profile = profileTwoByte
	}
	w.buf[0] |= 0x10
	binary.BigEndian.PutUint16(w.buf[rtpHeaderLen:], profile)
	binary.BigEndian.PutUint16(w.buf[rtpHeaderLen+2:], uint16((w.n-rtpHeaderLen-4)/4))
	return w.buf[:w.n]
}

// absSendTime is now as 24 bits of 6.18 fixed point seconds.
func absSendTime(now int64) uint32 {
	sec, frac := now/1e9, now%1e9
	return uint32(sec<<18|(frac<<18)/1e9) & 0xffffff
}
