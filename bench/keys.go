package bench

import (
	"errors"
	"fmt"
	"sync"

	"weir/bench/assemble"
	"weir/e2ee/frame"
	"weir/e2ee/keyring"
	"weir/sfu"
)

// Keys seal what a bot sends and open what it receives. They are safe for concurrent use and never block.
type Keys interface {
	Seal(dst []byte, s *keyring.Sealer, c sfu.Codec, f []byte, timestamp uint32) ([]byte, error)
	Open(dst []byte, from sfu.Identity, c sfu.Codec, f []byte) ([]byte, error)
}

// Received is a whole frame that a bot received.
type Received struct {
	Publication sfu.PublicationID
	From        sfu.Identity
	Codec       sfu.Codec
	SSRC        uint32
	Timestamp   uint32
	Encrypted   bool   // the publication says so
	Injected    bool   // made by the focus, one of the known blanks
	Sealed      []byte // as it came
	Frame       []byte // as it was sent; nil: it could not be opened
	Err         error  // why not
}

// ErrStranger says that nobody is known to publish a stream.
var ErrStranger = errors.New("bench: frame of no known publication")

// Keychain is Keys by participant; the zero value is empty. With a shared ring everybody has the same keys.
type Keychain struct {
	mu     sync.Mutex // guards all below; a leaf
	opt    keyring.Options
	shared bool
	own    *keyring.Ring
	rings  map[sfu.Identity]*keyring.Ring
}

// NewKeychain makes an empty one. shared: keys belong to all, not to a participant.
func NewKeychain(opt keyring.Options, shared bool) *Keychain {
	return &Keychain{opt: opt, shared: shared, own: keyring.NewRing(opt), rings: map[sfu.Identity]*keyring.Ring{}}
}

// SetOwn puts a key into the ring that frames are sealed with; UseOwn makes it the one.
func (k *Keychain) SetOwn(index uint8, key keyring.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.own.Set(index, key)
}

// UseOwn seals with the key of an index from now on.
func (k *Keychain) UseOwn(index uint8) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.own.Use(index)
}

// Ratchet replaces our own key in use by the one that follows it.
func (k *Keychain) Ratchet() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.own.Ratchet(k.own.Current())
}

// Set puts a key into a participant's ring.
func (k *Keychain) Set(of sfu.Identity, index uint8, key keyring.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring(of).Set(index, key)
}

func (k *Keychain) ring(of sfu.Identity) *keyring.Ring {
	if k.shared {
		of = ""
	}
	r := k.rings[of]
	if r == nil {
		r = keyring.NewRing(k.opt)
		k.rings[of] = r
	}
	return r
}

// Seal implements Keys.
func (k *Keychain) Seal(dst []byte, s *keyring.Sealer, c sfu.Codec, f []byte, timestamp uint32) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return s.Seal(dst, k.own, c, f, timestamp)
}

// Open implements Keys.
func (k *Keychain) Open(dst []byte, from sfu.Identity, c sfu.Codec, f []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ring(from).Open(dst, c, f)
}

// checker assembles one stream and opens its frames. The leg's lock guards it.
type checker struct {
	bot     *Bot
	leg     *leg
	codec   sfu.Codec // of the last packet: that of a repaired one before it is not told
	stream  assemble.Stream
	plain   []byte
	opened  uint64
	failed  uint64
	refused map[string]uint64 // by reason
}

// add takes a packet, original or repaired, without what RTX put before it.
func (c *checker) add(in *incoming, seq sfu.ExtSeq, timestamp uint32, marker bool, payload []byte) {
	c.stream.Add(seq, c.codec, timestamp, marker, payload)
	for f, ok := c.stream.Next(); ok; f, ok = c.stream.Next() {
		c.check(in, f)
	}
}

func (c *checker) check(in *incoming, f assemble.Frame) {
	remote, ok := c.bot.remoteOf(in.publication)
	r := Received{
		Publication: in.publication, From: remote.Identity, Codec: f.Codec, SSRC: in.ssrc, Timestamp: f.Timestamp,
		Encrypted: remote.View.Encryption != sfu.NotEncrypted, Sealed: f.Data,
	}
	trailer := c.leg.trailer
	switch {
	case !ok:
		r.Err = fmt.Errorf("%w: SSRC %d", ErrStranger, in.ssrc)
	case !r.Encrypted || c.bot.cfg.Keys == nil:
		r.Frame = f.Data
	case frame.Injected(f.Data, trailer):
		r.Injected = true
		r.Frame, r.Err = frame.Blank(f.Codec, f.Data, trailer)
	default:
		if c.plain, r.Err = c.bot.cfg.Keys.Open(c.plain[:0], remote.Identity, f.Codec, f.Data); r.Err == nil {
			r.Frame = c.plain
		}
	}
	if r.Err != nil {
		c.failed++
		if c.refused == nil {
			c.refused = map[string]uint64{}
		}
		c.refused[reasonOf(r.Err)]++
	} else {
		c.opened++
	}
	if c.bot.cfg.OnFrame != nil {
		c.bot.cfg.OnFrame(&r)
	}
}

// reasonOf names an error without its details.
func reasonOf(err error) string {
	for _, known := range []error{
		keyring.ErrNoKey, keyring.ErrInvalid, keyring.ErrOpen, keyring.ErrReplayed, frame.ErrTruncated, frame.ErrTrailer,
		frame.ErrUnsupported, frame.ErrNoSlice, frame.ErrInjected, ErrStranger,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}

func (b *Bot) remoteOf(id sfu.PublicationID) (Remote, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.remote[id]
	return r, ok
}

// AskKeyframe asks the server for a keyframe of a publication.
func (b *Bot) AskKeyframe(id sfu.PublicationID) {
	b.mu.Lock()
	legs := b.legs
	b.mu.Unlock()
	for _, l := range legs {
		l.mu.Lock()
		for ssrc, in := range l.streams {
			if in.publication == id && in.begun {
				l.wanted = append(l.wanted, ssrc)
			}
		}
		l.mu.Unlock()
	}
}

// checks says whether the bot looks at whole frames.
func (b *Bot) checks() bool { return b.cfg.Keys != nil || b.cfg.OnFrame != nil }

// Keyframe reads from a clear frame whether it is a keyframe.
func Keyframe(c sfu.Codec, f []byte) bool {
	if len(f) == 0 {
		return false
	}
	switch c {
	case sfu.VP8: // RFC 6386 section 9.1
		return f[0]&1 == 0
	case sfu.VP9: // VP9 bitstream section 6.2, profiles 0 to 2: show_existing_frame and frame_type are 0
		return f[0]&0x0c == 0
	case sfu.H264:
		for unit, rest := nextUnit(f); len(unit) > 0; unit, rest = nextUnit(rest) {
			if unit[0]&0x1f == 5 {
				return true
			}
		}
	}
	return false
}
