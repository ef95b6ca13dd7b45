// Package keyring derives, ratchets, rotates and uses media keys. It is for clients (bots, tests, the load tester) and
// pure; a focus never imports it.
//
// A Ring opens what a participant sends, and with a Sealer seals what we send. A Rotation decides when our own key
// changes and who gets it; an Inbox decides which keys of others are taken. Carrying them is somebody else's work.
//
// A key is derived from material: 16 or 32 random bytes by HKDF (per participant), or a password by PBKDF2 (shared).
// Frames are AES-128-GCM in the form of package frame.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Derivation constants of LiveKit clients.
const (
	salt       = "LKFrameEncryptionKey"
	infoLen    = 128     // zero bytes
	iterations = 100_000 // PBKDF2
	keyLen     = 16      // AES-128
	ratchetLen = 32      // new material
)

// ErrMaterial says that key material has a length no client sends.
var ErrMaterial = errors.New("keyring: material is neither 16 nor 32 bytes")

// Key is one media key with the material it came from. It is a value; its cipher is safe for concurrent use.
type Key struct {
	material []byte
	password bool
	aead     cipher.AEAD
}

// FromMaterial derives the key of a participant from 16 bytes (Element Call) or 32 (MSC4143, and a ratcheted key).
func FromMaterial(material []byte) (Key, error) {
	if len(material) != keyLen && len(material) != ratchetLen {
		return Key{}, fmt.Errorf("%w: %d", ErrMaterial, len(material))
	}
	return newKey(append([]byte(nil), material...), false)
}

// FromPassword derives the key that all who know the password share. It is slow on purpose.
func FromPassword(password string) (Key, error) {
	return newKey([]byte(password), true)
}

func newKey(material []byte, password bool) (Key, error) {
	bits, err := derive(material, password, keyLen)
	if err != nil {
		return Key{}, err
	}
	block, err := aes.NewCipher(bits)
	if err != nil {
		return Key{}, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return Key{}, err
	}
	return Key{material: material, password: password, aead: aead}, nil
}

func derive(material []byte, password bool, n int) ([]byte, error) {
	var bits []byte
	var err error
	if password {
		bits, err = pbkdf2.Key(sha256.New, string(material), []byte(salt), iterations, n)
	} else {
		bits, err = hkdf.Key(sha256.New, material, []byte(salt), string(make([]byte, infoLen)), n)
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: derive: %w", err)
	}
	return bits, nil
}

// Ratchet is the key that follows this one: 256 bits derived from its material become the new material.
func (k Key) Ratchet() (Key, error) {
	next, err := derive(k.material, k.password, ratchetLen)
	if err != nil {
		return Key{}, err
	}
	return newKey(next, k.password)
}

// Set reports whether the key was derived at all.
func (k *Key) Set() bool { return k.aead != nil }
