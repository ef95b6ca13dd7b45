package codec

import (
	"encoding/binary"
	"errors"

	"weir/sfu"
)

// ErrVersion means that the first two bits are not 2 (RFC 3550 section 5.1).
var ErrVersion = errors.New("codec: not RTP version 2")

// ErrPadding means that the padding count does not fit (RFC 3550 section 5.1).
var ErrPadding = errors.New("codec: bad RTP padding")

const fixedHeader = 12 // RFC 3550 section 5.1

// Parse reads the RTP header of b into p. Raw borrows b without its padding, and the padding bit in b is cleared, so that
// Raw is a whole packet again. Seq gets the 16 bits of the header: the caller puts the extended number in its place.
func Parse(p *sfu.Packet, b []byte) error {
	if len(b) < fixedHeader {
		return ErrShort
	}
	if b[0]>>6 != 2 {
		return ErrVersion
	}
	n := fixedHeader + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 { // X: RFC 3550 section 5.3.1
		if len(b) < n+4 {
			return ErrShort
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	if len(b) < n {
		return ErrShort
	}
	var pad uint8
	if b[0]&0x20 != 0 { // P
		pad = b[len(b)-1]
		if pad == 0 || int(pad) > len(b)-n {
			return ErrPadding
		}
		b[0] &^= 0x20
	}
	p.Raw = b[:len(b)-int(pad)]
	p.HeaderLen = n
	p.PaddingLen = pad
	p.Marker = b[1]&0x80 != 0
	p.PayloadType = b[1] & 0x7f
	p.Seq = sfu.ExtSeq(binary.BigEndian.Uint16(b[2:]))
	p.Timestamp = binary.BigEndian.Uint32(b[4:])
	p.SSRC = binary.BigEndian.Uint32(b[8:])
	return nil
}

// Header is the fixed part of an outgoing packet. It has no CSRCs: one sender, one source.
type Header struct {
	PayloadType uint8
	Marker      bool
	Seq         sfu.Seq
	Timestamp   uint32
	SSRC        uint32
}

// Writer appends one RTP header with its extensions: Start, any number of Add or Reserve, Finish. It is a value that can
// live on the stack, and starts again with the next Start.
type Writer struct {
	b     []byte
	start int // of the RTP header in b
	ext   int // of the extension elements in b; 0: none yet
	two   bool
}

// Start begins a header behind what dst holds.
func (w *Writer) Start(dst []byte, h Header) {
	*w = Writer{start: len(dst)}
	second := h.PayloadType & 0x7f
	if h.Marker {
		second |= 0x80
	}
	w.b = append(dst, 0x80, second, byte(h.Seq>>8), byte(h.Seq),
		byte(h.Timestamp>>24), byte(h.Timestamp>>16), byte(h.Timestamp>>8), byte(h.Timestamp),
		byte(h.SSRC>>24), byte(h.SSRC>>16), byte(h.SSRC>>8), byte(h.SSRC))
}

// Add appends one element; id 0 is ignored, and so is a value above 255 bytes.
func (w *Writer) Add(id uint8, value []byte) {
	copy(w.Reserve(id, len(value)), value)
}

// Reserve appends an element of n bytes and returns the room for its value, valid until the next call.
// The block is written with one-byte headers until an element needs two (RFC 8285 section 4.1).
func (w *Writer) Reserve(id uint8, n int) []byte {
	if id == 0 || n > 255 {
		return nil
	}
	if w.ext == 0 {
		w.b[w.start] |= 0x10
		w.b = append(w.b, 0xbe, 0xde, 0, 0)
		w.ext = len(w.b)
	}
	if !w.two && (id > 14 || n > 16 || n == 0) {
		w.widen()
	}
	if w.two {
		w.b = append(w.b, id, byte(n))
	} else {
		w.b = append(w.b, id<<4|byte(n-1))
	}
	at := len(w.b)
	for range n {
		w.b = append(w.b, 0)
	}
	return w.b[at:]
}

// widen turns the one-byte headers written so far into two-byte headers (RFC 8285 section 4.3).
func (w *Writer) widen() {
	w.two = true
	w.b[w.ext-4], w.b[w.ext-3] = 0x10, 0x00
	for i := w.ext; i < len(w.b); {
		id, n := w.b[i]>>4, int(w.b[i]&0x0f)+1
		w.b = append(w.b, 0)
		copy(w.b[i+1:], w.b[i:])
		w.b[i], w.b[i+1] = id, byte(n)
		i += 2 + n
	}
}

// Finish pads the extension block to a whole word and returns the slice with the header at its end.
func (w *Writer) Finish() []byte {
	if w.ext != 0 {
		for (len(w.b)-w.ext)%4 != 0 {
			w.b = append(w.b, 0)
		}
		binary.BigEndian.PutUint16(w.b[w.ext-2:], uint16((len(w.b)-w.ext)/4))
	}
	return w.b
}

// ExtensionReader walks the header extension elements of one packet (RFC 8285).
type ExtensionReader struct {
	b   []byte
	two bool
}

// Extensions starts a walk; a packet with no extension, or one of another profile, has no elements.
func Extensions(p *sfu.Packet) ExtensionReader {
	if p.Raw[0]&0x10 == 0 {
		return ExtensionReader{}
	}
	at := fixedHeader + 4*int(p.Raw[0]&0x0f)
	profile := binary.BigEndian.Uint16(p.Raw[at:])
	switch {
	case profile == 0xbede:
		return ExtensionReader{b: p.Raw[at+4 : p.HeaderLen]}
	case profile>>4 == 0x100:
		return ExtensionReader{b: p.Raw[at+4 : p.HeaderLen], two: true}
	}
	return ExtensionReader{}
}

// Next returns the next element; the value borrows the packet.
func (r *ExtensionReader) Next() (id uint8, value []byte, ok bool) {
	for len(r.b) > 0 {
		if r.b[0] == 0 { // padding byte
			r.b = r.b[1:]
			continue
		}
		var n, head int
		if r.two {
			if len(r.b) < 2 {
				break
			}
			id, n, head = r.b[0], int(r.b[1]), 2
		} else {
			id, n, head = r.b[0]>>4, int(r.b[0]&0x0f)+1, 1
			if id == 0 || id == 15 { // RFC 8285 section 4.2: stop here
				break
			}
		}
		if len(r.b) < head+n {
			break
		}
		value, r.b = r.b[head:head+n:head+n], r.b[head+n:]
		return id, value, true
	}
	r.b = nil
	return 0, nil, false
}

// Extension finds one element; nil if the packet has none with that id (which 0 never has).
func Extension(p *sfu.Packet, id uint8) []byte {
	if id == 0 {
		return nil
	}
	r := Extensions(p)
	for {
		got, value, ok := r.Next()
		if !ok {
			return nil
		}
		if got == id {
			return value
		}
	}
}
