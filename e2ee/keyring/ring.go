package keyring

import (
	"errors"
	"fmt"

	"weir/e2ee/frame"
	"weir/sfu"
)

// Errors of Open, wrapped with the index.
var (
	ErrNoKey    = errors.New("keyring: no key at this index")
	ErrInvalid  = errors.New("keyring: the key failed too often and is out of use until it is set again")
	ErrOpen     = errors.New("keyring: no key opens the frame")
	ErrReplayed = errors.New("keyring: the frame came before, or is too old to tell")
)

// Options of a Ring.
type Options struct {
	Size      int // keys, 1 to 256; frames that name an index beyond are refused
	Window    int // how often a key is ratcheted in search of one that opens a frame
	Tolerance int // failures in a row until a key is out of use; -1: no end
	Memory    int // frames of each stream remembered against replay; 0: replays open, as in livekit-client
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
	parts   frame.Parts
	seen    replays
}

type slot struct {
	key      Key
	before   Key // what key was ratcheted from, for frames that were overtaken
	failures int
}

// NewRing makes an empty ring.
func NewRing(opt Options) *Ring {
	return &Ring{opt: opt, slots: make([]slot, opt.Size), seen: replays{size: opt.Memory}}
}

// place is where a key with an index is put: livekit-client takes the index modulo the ring's size when a key is set
// and when it is used, but not when a frame names it.
func (r *Ring) place(index uint8) uint8 { return uint8(int(index) % len(r.slots)) }

// Set puts a key at an index and forgets the failures of the one before.
func (r *Ring) Set(index uint8, k Key) { r.slots[r.place(index)] = slot{key: k} }

// Use makes an index the one that frames are sealed with.
func (r *Ring) Use(index uint8) { r.current = r.place(index) }

// Current is the index that frames are sealed with.
func (r *Ring) Current() uint8 { return r.current }

// Ratchet puts the key that follows in the place of the one at index. Receivers find out by themselves, livekit-client
// only if it has seen a frame of every step: each of its tries ratchets the key that it holds once.
func (r *Ring) Ratchet(index uint8) error {
	s := &r.slots[r.place(index)]
	if !s.key.Set() {
		return fmt.Errorf("%w: %d", ErrNoKey, index)
	}
	next, err := s.key.Ratchet()
	if err != nil {
		return err
	}
	*s = slot{key: next, before: s.key}
	return nil
}

// Open decrypts an encrypted frame and appends the clear one to dst. Empty frames stay empty. The ring ratchets a key
// forward, within its window, when only a later one opens the frame; the key before stays good for frames that were
// overtaken. On an error dst is as it was.
func (r *Ring) Open(dst []byte, c sfu.Codec, f []byte) ([]byte, error) {
	if len(f) == 0 {
		return dst, nil
	}
	p := &r.parts
	if err := p.Split(c, f); err != nil {
		return dst, err
	}
	if int(p.KeyIndex) >= len(r.slots) || !r.slots[p.KeyIndex].key.Set() {
		return dst, fmt.Errorf("%w: %d", ErrNoKey, p.KeyIndex)
	}
	s := &r.slots[p.KeyIndex]
	if r.opt.Tolerance >= 0 && s.failures > r.opt.Tolerance {
		return dst, fmt.Errorf("%w: %d", ErrInvalid, p.KeyIndex)
	}
	from := len(dst)
	dst = append(dst, p.Clear...)
	out, err := s.key.aead.Open(dst, p.IV, p.Sealed, p.Clear)
	if err != nil {
		out, err = r.search(dst, s, p)
	}
	if err != nil {
		s.failures++
		return dst[:from], err
	}
	s.failures = 0
	if !r.seen.fresh(p.KeyIndex, p.IV) { // only of frames that are authentic: others must not fill the memory
		return dst[:from], fmt.Errorf("%w: index %d", ErrReplayed, p.KeyIndex)
	}
	return out, nil
}

// search tries the key before the one that did not open a frame, and those that follow.
func (r *Ring) search(dst []byte, s *slot, p *frame.Parts) ([]byte, error) {
	if s.before.Set() {
		if out, err := s.before.aead.Open(dst, p.IV, p.Sealed, p.Clear); err == nil {
			return out, nil
		}
	}
	k := s.key
	for range r.opt.Window {
		next, err := k.Ratchet()
		if err != nil {
			return dst, err
		}
		if out, err := next.aead.Open(dst, p.IV, p.Sealed, p.Clear); err == nil {
			s.key, s.before = next, k
			return out, nil
		}
		k = next
	}
	return dst, fmt.Errorf("%w: index %d", ErrOpen, p.KeyIndex)
}
