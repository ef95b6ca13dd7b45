//go:build system

package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/grant"
)

// marked is a Feed whose clear frames all hold the same secret bytes behind what stays readable.
type marked struct {
	codec  sfu.Codec
	secret []byte
}

func (m marked) Frame(keyframe bool) ([]byte, bool) {
	head := []byte{31 << 3}
	if m.codec == sfu.VP8 {
		if head = []byte{0x11, 0, 0}; keyframe {
			head = []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0}
		}
	}
	return append(head, m.secret...), keyframe
}

// needles are what a focus must never hold: all forms of a key, by name.
func needles(t *testing.T, password string, material []byte) map[string][]byte {
	t.Helper()
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const salt = "LKFrameEncryptionKey"
	derive := func(from []byte, n int) []byte {
		return must(hkdf.Key(sha256.New, from, []byte(salt), string(make([]byte, 128)), n))
	}
	out := map[string][]byte{"password": []byte(password), "material": material, "material in base64": []byte(base64.StdEncoding.EncodeToString(material))[:20]}
	ratcheted := derive(material, 32)
	for name, key := range map[string][]byte{
		"participant's key": derive(material, 16), "ratcheted key": derive(ratcheted, 16),
		"key of the password": must(pbkdf2.Key(sha256.New, password, []byte(salt), 100_000, 16)),
	} {
		out[name] = key // and the first words of the cipher's schedule, which are the key (FIPS 197 section 5.2)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		hash := make([]byte, 16)
		block.Encrypt(hash, hash)
		out[name+", GCM's hash key"] = hash
	}
	return out
}

// dump reads all memory of a process that can be written, where everything that it was ever told is.
func dump(t *testing.T, pid int, look func(region []byte)) (total int) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mem.Close() }()
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		const chunk, overlap = 1 << 24, 64 // what lies across a border is seen in the next chunk
		for at := from; at < to; at += chunk - overlap {
			b := make([]byte, min(chunk, to-at))
			n, _ := mem.ReadAt(b, at) // pages that were never touched may not be readable
			total += n
			look(b[:n])
			if at+chunk >= to {
				break
			}
		}
	}
	return total
}

// TestFocusHoldsNoKey looks at all memory of a focus in the middle of encrypted calls, one with per-participant keys and
// one with a password. The ciphertext of frames is there, and names are, so the tap sees what the focus holds; but no key
// in any form is, and none of the bytes that the frames hold in clear.
func TestFocusHoldsNoKey(t *testing.T) {
	p := startProcess(t)
	pid, url := p.pid, p.url
	material, clear := make([]byte, 16), make([]byte, 900)
	_, _ = rand.Read(material)
	_, _ = rand.Read(clear)
	password := "open " + base64.RawURLEncoding.EncodeToString(clear[:12])

	clock := NewClock()
	pump := NewPump(clock)
	defer pump.Close()
	var mu sync.Mutex
	var sealed [][]byte // the last of each
	clearOK, refused := 0, 0
	enough := make(chan struct{})
	note := func(r *Received) {
		mu.Lock()
		defer mu.Unlock()
		if r.Err != nil || !bytes.HasSuffix(r.Frame, clear) {
			refused++
			return
		}
		sealed = append(sealed, bytes.Clone(r.Sealed[:min(500, len(r.Sealed))]))
		sealed = sealed[max(0, len(sealed)-300):]
		if clearOK++; clearOK == 600 {
			close(enough)
		}
	}
	join := func(room, identity string, cfg BotConfig) *Bot {
		var err error
		cfg.URL = url
		if cfg.Token, err = grant.Mint(grant.Grant{
			Identity: sfu.Identity(identity), Session: sfu.SessionID(room), Join: true, Inside: session.Grant{Publish: true, Subscribe: true},
		}, grant.Key{ID: "devkey", Secret: "secret"}, time.Now(), time.Hour); err != nil {
			t.Fatal(err)
		}
		b := NewBot(cfg, clock, pump)
		t.Cleanup(b.Close)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := b.AwaitConnected(ctx); err != nil {
			t.Fatal(err)
		}
		return b
	}
	publish := func() []Publication {
		return []Publication{
			{CID: "v", Codec: sfu.VP8, Source: sfu.Camera, Streams: []Stream{{Width: 320, Height: 180, Bitrate: 300_000, Every: 25 * time.Millisecond, Feed: marked{sfu.VP8, clear}}}},
			{CID: "a", Codec: sfu.Opus, Source: sfu.Microphone, Streams: []Stream{{Every: 20 * time.Millisecond, Feed: marked{sfu.Opus, clear}}}},
		}
	}
	key, err := keyring.FromMaterial(material)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := keyring.FromPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	own := NewKeychain(keyring.PerParticipant, false)
	own.SetOwn(0, key)
	own.Set("speaker-of-proof", 0, key)
	common := NewKeychain(keyring.Shared, true)
	common.SetOwn(0, shared)
	common.Set("", 0, shared)
	for room, keys := range map[string]*Keychain{"proof-of-keys": own, "proof-of-password": common} {
		join(room, "viewer-of-proof", BotConfig{Subscribe: true, Quality: sfu.High, Keys: keys, OnFrame: note})
		join(room, "speaker-of-proof", BotConfig{Publish: publish(), Keys: keys})
	}
	select {
	case <-enough:
	case <-time.After(60 * time.Second):
		t.Fatalf("only %d frames opened, %d not", clearOK, refused)
	}
	if err := own.Ratchet(); err != nil { // while the dump is made
		t.Fatal(err)
	}
	forbidden := needles(t, password, material)
	for at := 0; at+32 <= len(clear); at += 50 {
		forbidden[fmt.Sprintf("clear bytes of frames from %d", at)] = clear[at : at+32]
	}
	found := map[string]bool{}
	ciphertext := 0
	total := dump(t, pid, func(region []byte) {
		for name, b := range forbidden {
			if bytes.Contains(region, b) {
				t.Errorf("the focus holds: %s", name)
			}
		}
		for _, name := range []string{"speaker-of-proof", "proof-of-password"} {
			found[name] = found[name] || bytes.Contains(region, []byte(name))
		}
		mu.Lock()
		defer mu.Unlock()
		for _, f := range sealed {
			if bytes.Contains(region, f[100:164]) {
				ciphertext++
			}
		}
	})
	t.Logf("%d MB of memory; %d copies of frames' ciphertext; %d frames opened by those who may", total>>20, ciphertext, clearOK)
	if ciphertext == 0 || len(found) != 2 || !found["speaker-of-proof"] || !found["proof-of-password"] {
		t.Errorf("the tap does not see what the focus holds: %d copies of ciphertext, names %v", ciphertext, found)
	}
	if refused != 0 {
		t.Errorf("%d frames were refused or altered", refused)
	}
}
