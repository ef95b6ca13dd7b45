package bench

import (
	"weir/e2ee/keyring"
	"weir/sfu"
)

// opener puts the frames of one stream together and opens them. It gives a frame up when a packet comes out of order:
// it measures, it does not play.
type opener struct {
	codec  sfu.Codec
	next   sfu.ExtSeq
	whole  bool // all packets of the frame so far are in frame
	frame  []byte
	plain  []byte
	opened uint64
	failed uint64
}

// add takes a packet and gives the stamp of the frame that it ends; false: it ends none, or one that does not open.
func (o *opener) add(r *keyring.Ring, seq sfu.ExtSeq, p *sfu.Packet) (int64, bool) {
	payload := p.Payload()
	n := descriptorLen(o.codec, payload)
	if n < 0 {
		return 0, false
	}
	switch {
	case startsFrame(o.codec, payload):
		o.frame, o.whole = o.frame[:0], true
	case seq != o.next:
		o.whole = false
	}
	o.next = seq + 1
	if !o.whole {
		return 0, false
	}
	o.frame = append(o.frame, payload[n:]...)
	if !p.Marker && o.codec.Kind() == sfu.Video {
		return 0, false
	}
	o.whole = false
	var err error
	if o.plain, err = r.Open(o.plain[:0], o.codec, o.frame); err != nil {
		o.failed++
		return 0, false
	}
	o.opened++
	return readStamp(o.plain)
}
