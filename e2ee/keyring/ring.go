package keyring

import (
	"errors"
	"fmt"

	"weir/e2ee/frame"
	"weir/sfu"
)

// Errors of Open, wrapped with the index.
var (
	ErrNoKey   = errors.New("keyring: no key at this index")
	ErrInvalid = errors.New("keyring: the key failed too often and is out of use until it is set again")
	ErrOpen    = errors.New("keyring: no key opens the frame")
)

// Options of a Ring.
type Options struct {
	Size      int // keys; an index is taken modulo Size
	Window    int // how often a key is ratcheted in search of one that opens a frame
	Tolerance int // failures in a row until a key is out of use; -1: no end
}

// Element Call's settings.
var (
	PerParticipant = Options{Size: 256, Window: 10, Tolerance: 10}
	Shared         = Options{Size: 16, Window: 0, Tolerance: -1}
)

// Ring holds the keys of one participant by index. One goroutine owns it.
type Ring struct {
	opt     Options
	slots   []slot
	current uint8
	scratch []byte
}

type slot struct {
	key      Key
	failures int
}

// NewRing makes an empty ring.
func NewRing(opt Options) *Ring {
	return &Ring{opt: opt, slots: make([]slot, opt.Size)}
}

func (r *Ring) slot(index uint8) *slot { return &r.slots[int(index)%len(r.slots)] }

// Set puts a key at an index and forgets the failures of the one before.
func (r *Ring) Set(index uint8, k Key) { *r.slot(index) = slot{key: k} }

// Use makes an index the one that frames are sealed with.
func (r *Ring) Use(index uint8) { r.current = index }

// Current is the index that frames are sealed with.
func (r *Ring) Current() uint8 { return r.current }

// Open decrypts an encrypted frame and appends the clear one to dst. Empty frames stay empty. The ring ratchets a key
// forward, within its window, when only a later one opens the frame.
func (r *Ring) Open(dst []byte, c sfu.Codec, f []byte) ([]byte, error) {
	if len(f) == 0 {
		return dst, nil
	}
	var p frame.Parts
	var err error
	p, r.scratch, err = frame.Split(c, f, r.scratch)
	if err != nil {
		return dst, err
	}
	s := r.slot(p.KeyIndex)
	switch {
	case !s.key.Set():
		return dst, fmt.Errorf("%w: %d", ErrNoKey, p.KeyIndex)
	case r.opt.Tolerance >= 0 && s.failures > r.opt.Tolerance:
		return dst, fmt.Errorf("%w: %d", ErrInvalid, p.KeyIndex)
	}
	from := len(dst)
	dst = append(dst, p.Clear...)
	k := s.key
	for range r.opt.Window + 1 {
		if out, err := k.aead.Open(dst, p.IV, p.Sealed, p.Clear); err == nil {
			s.key, s.failures = k, 0
			return out, nil
		}
		if r.opt.Window == 0 {
			break
		}
		if k, err = k.Ratchet(); err != nil {
			return dst[:from], err
		}
	}
	s.failures++
	return dst[:from], fmt.Errorf("%w: index %d", ErrOpen, p.KeyIndex)
}
