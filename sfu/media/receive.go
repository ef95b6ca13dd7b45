package media

import (
	"bytes"

	"weir/sfu"
)

// takeRTP decrypts one packet and hands it on.
func (t *Transport) takeRTP(now int64, b []byte, r *reader) error {
	t.rx.Lock()
	defer t.rx.Unlock()
	if t.in == nil {
		return t.hold(b)
	}
	plain, index, err := t.in.openRTP(b)
	if err != nil {
		return err
	}
	t.owe(r)
	t.handler.HandleRTP(now, plain, index)
	return nil
}

func (t *Transport) takeRTCP(now int64, b []byte, r *reader) error {
	t.rx.Lock()
	defer t.rx.Unlock()
	if t.in == nil {
		return t.hold(b)
	}
	plain, err := t.in.openRTCP(b)
	if err != nil {
		return err
	}
	t.owe(r)
	t.handler.HandleRTCP(now, plain)
	return nil
}

// Bounds of what is held for the keys.
const (
	maxEarly       = 128
	maxEarlyOctets = 96 << 10
)

// early is what came before the keys. The side that ends the handshake may send at once, and datagrams overtake each other:
// without its first packets a keyframe is lost, and with it the time to ask for another.
type early struct {
	packets [][]byte
	octets  int
}

// hold keeps a packet for the keys; rx is held.
func (t *Transport) hold(b []byte) error {
	e := &t.early
	if t.closed.Load() || len(e.packets) >= maxEarly || e.octets+len(b) > maxEarlyOctets {
		return errNoKeys
	}
	e.packets = append(e.packets, bytes.Clone(b))
	e.octets += len(b)
	return nil
}

// unlock takes the keys into use, and what came before them.
func (t *Transport) unlock(in *inbound) {
	t.rx.Lock()
	defer t.rx.Unlock()
	t.in = in
	held := t.early.packets
	t.early = early{}
	if len(held) == 0 {
		return
	}
	now := t.endpoint.Now()
	for _, b := range held {
		if isRTCP(b) {
			if plain, err := in.openRTCP(b); err == nil {
				t.handler.HandleRTCP(now, plain)
			}
		} else if plain, index, err := in.openRTP(b); err == nil {
			t.handler.HandleRTP(now, plain, index)
		}
	}
	out := t.endpoint.NewBurst()
	t.handler.Flush(now, out)
	out.Flush()
}

// isRTCP tells RTCP from RTP on one port: it has payload types 64 to 95 (RFC 5761 section 4).
func isRTCP(b []byte) bool {
	kind := b[1] & 0x7f
	return kind >= 64 && kind <= 95
}

// owe notes that a reader has to Flush; rx is held.
func (t *Transport) owe(r *reader) {
	if t.dirty&r.bit == 0 {
		t.dirty |= r.bit
		r.dirty = append(r.dirty, t)
	}
}

func (t *Transport) flush(now int64, r *reader) {
	t.rx.Lock()
	defer t.rx.Unlock()
	t.dirty &^= r.bit
	t.handler.Flush(now, r.out)
}

// deaf is the handler of a transport without media.
type deaf struct{}

func (deaf) HandleRTP(int64, []byte, sfu.ExtSeq) {}
func (deaf) HandleRTCP(int64, []byte)            {}
func (deaf) Flush(int64, *Burst)                 {}
