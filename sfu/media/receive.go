package media

import "weir/sfu"

// takeRTP decrypts one packet and hands it on.
func (t *Transport) takeRTP(now int64, b []byte, r *reader) error {
	t.rx.Lock()
	defer t.rx.Unlock()
	if t.in == nil {
		return errNoKeys
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
		return errNoKeys
	}
	plain, err := t.in.openRTCP(b)
	if err != nil {
		return err
	}
	t.owe(r)
	t.handler.HandleRTCP(now, plain)
	return nil
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
