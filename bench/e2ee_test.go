package bench

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/session"
	"weir/sfu/sfutest"
)

// numbered is a Feed whose frames differ, look right where a focus may look, and end in their own checksum.
type numbered struct {
	codec sfu.Codec
	size  int
	count uint32
	frame []byte
}

const numberedTail = 8 // number and CRC-32

func (n *numbered) Frame(keyframe bool) ([]byte, bool) {
	size := n.size + int(n.count*37%uint32(n.size))
	if keyframe {
		size *= 3
	}
	n.frame = n.frame[:0]
	for i := range size {
		n.frame = append(n.frame, byte(uint32(i)*n.count))
	}
	switch f := n.frame; n.codec {
	case sfu.Opus:
		f[0] = 31 << 3
	case sfu.VP8:
		if f[0] = 0x11; keyframe {
			copy(f, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0})
		}
	case sfu.H264: // an IDR slice behind parameter sets, or another slice; the rest is full of what looks like start codes
		if keyframe {
			copy(f, []byte{0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80, 0, 0, 0, 1, 0x65, 0x88})
		} else {
			copy(f, []byte{0, 0, 0, 1, 0x41, 0x9a})
		}
	}
	n.frame = binary.BigEndian.AppendUint32(n.frame, n.count)
	n.frame = binary.BigEndian.AppendUint32(n.frame, crc32.ChecksumIEEE(n.frame))
	n.count++
	return n.frame, keyframe
}

// intact says that a frame is as numbered made it.
func intact(f []byte) bool {
	return len(f) > numberedTail && crc32.ChecksumIEEE(f[:len(f)-4]) == binary.BigEndian.Uint32(f[len(f)-4:])
}

func numberedCamera(c sfu.Codec, layers int) Publication {
	p := Publication{CID: "camera-" + c.String(), Codec: c, Source: sfu.Camera, AnnexB: c == sfu.H264}
	for i := range layers {
		st := Stream{Width: 320 << i, Height: 180 << i, Bitrate: 100_000 << i, Every: 40 * time.Millisecond, Feed: &numbered{codec: c, size: 300 << i}}
		if layers > 1 {
			st.RID = rids[i]
		}
		p.Streams = append(p.Streams, st)
	}
	return p
}

func numberedVoice() Publication {
	return Publication{CID: "voice", Codec: sfu.Opus, Source: sfu.Microphone, Level: 30, Streams: []Stream{{
		Every: 20 * time.Millisecond, Feed: &numbered{codec: sfu.Opus, size: 60},
	}}}
}

// ledger counts what a bot opened. Its lock is a leaf.
type ledger struct {
	mu               sync.Mutex
	opened           map[sfu.Codec]int
	altered, refused int
	indices          map[byte]int // of keys
	first            error
}

func (l *ledger) note(r *Received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.Err != nil:
		l.refused++
		if l.first == nil {
			l.first = r.Err
		}
	case !r.Encrypted || bytes.Equal(r.Sealed, r.Frame) || !intact(r.Frame):
		l.altered++
	default:
		l.opened[r.Codec]++
		l.indices[r.Sealed[len(r.Sealed)-1]]++
	}
}

func newLedger() *ledger { return &ledger{opened: map[sfu.Codec]int{}, indices: map[byte]int{}} }

func (l *ledger) total() (n int) {
	for _, c := range l.opened {
		n += c
	}
	return n
}

// TestTenThousandFrames: through a focus that switches layers, over a network that loses and reorders, every frame whose
// packets all came opens, and none is altered, while the key is ratcheted and rotated.
func TestTenThousandFrames(t *testing.T) {
	const goal = 10_000
	key := func(fill byte) keyring.Key {
		k, err := keyring.FromMaterial(bytes.Repeat([]byte{fill}, 16))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	opt := keyring.PerParticipant
	opt.Memory = 512 // a frame that comes twice is refused: the focus makes no copies either
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.network.Impair(sfutest.Impairment{Loss: .02, Delay: 20 * time.Millisecond, Jitter: 12 * time.Millisecond})
		speaks, hears := NewKeychain(opt, false), NewKeychain(opt, false)
		for i := range byte(4) {
			speaks.SetOwn(i, key(i))
			hears.Set("speaker", i, key(i))
		}
		book := newLedger()
		speaker := h.bot("speaker", "hall", BotConfig{
			Publish: []Publication{numberedCamera(sfu.VP8, 3), numberedCamera(sfu.H264, 1), numberedVoice()}, Keys: speaks,
		})
		viewer := h.bot("viewer", "hall", BotConfig{Subscribe: true, Quality: sfu.High, Keys: hears, OnFrame: book.note})
		h.awaitStreams(viewer, 3)
		qualities := []sfu.Quality{sfu.Low, sfu.High, sfu.Medium}
		for round := 0; ; round++ {
			book.mu.Lock()
			n := book.total()
			book.mu.Unlock()
			if n >= goal {
				break
			}
			if round == 600 {
				t.Fatalf("%d frames after %d s", n, round)
			}
			for id, r := range viewer.Snapshot().Remote {
				if r.View.Kind == sfu.Video {
					viewer.Request(session.TrackSetting{Publications: []sfu.PublicationID{id}, Quality: qualities[round%3]})
				}
			}
			switch round % 20 {
			case 7:
				if err := speaks.Ratchet(); err != nil {
					t.Fatal(err)
				}
			case 17:
				speaks.UseOwn(uint8(round/20) % 4)
			}
			time.Sleep(1500 * time.Millisecond)
		}
		s := viewer.Snapshot()
		s.Latency = Histogram{}
		t.Logf("opened %v, %d altered, %d refused; indices %v; repaired %d, lost %d of %d packets, twice %d",
			book.opened, book.altered, book.refused, book.indices, s.Repaired, s.Lost, s.PacketsIn, s.Duplicate)
		if book.altered != 0 || book.refused != 0 {
			t.Errorf("%d altered, %d refused, the first for: %v", book.altered, book.refused, book.first)
		}
		if s.Repaired == 0 || s.Missed == 0 || len(book.indices) < 3 || book.opened[sfu.H264] < 1000 {
			t.Errorf("the call was too easy: %+v", s)
		}
		speaker.Leave()
		viewer.Leave()
		h.noSessions()
		h.close()
	})
}

// TestKeysOfOthers: who has the wrong key, or none, opens nothing, and says why.
func TestKeysOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		right, _ := keyring.FromMaterial(bytes.Repeat([]byte{1}, 16))
		wrong, _ := keyring.FromMaterial(bytes.Repeat([]byte{2}, 16))
		chain := func() *Keychain { return NewKeychain(keyring.PerParticipant, false) }
		speaks, none, bad := chain(), chain(), chain()
		speaks.SetOwn(0, right)
		bad.Set("speaker", 0, wrong)
		none.Set("viewer", 0, right) // somebody else's
		speaker := h.bot("speaker", "hall", BotConfig{Publish: []Publication{numberedVoice()}, Keys: speaks})
		var viewers []*Bot
		for name, keys := range map[string]*Keychain{"none": none, "bad": bad} {
			viewers = append(viewers, h.bot(name, "hall", BotConfig{Subscribe: true, Keys: keys}))
		}
		for _, b := range viewers {
			h.awaitStreams(b, 1)
		}
		time.Sleep(2 * time.Second)
		for _, b := range viewers {
			s := b.Snapshot()
			if s.Opened != 0 || s.Unopened < 50 || len(s.Streams[0].Refused) == 0 {
				t.Errorf("%d opened, %d not: %v", s.Opened, s.Unopened, s.Streams[0].Refused)
			}
			b.Leave()
		}
		speaker.Leave()
		h.noSessions()
		h.close()
	})
}
