package media

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"

	"weir/sfu"
)

// profile is an SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
type profile uint16

const (
	profileCM80   profile = 0x0001 // SRTP_AES128_CM_HMAC_SHA1_80
	profileGCM128 profile = 0x0007 // SRTP_AEAD_AES_128_GCM
	profileGCM256 profile = 0x0008 // SRTP_AEAD_AES_256_GCM
)

func (p profile) String() string {
	switch p {
	case profileCM80:
		return "AES128_CM_SHA1_80"
	case profileGCM128:
		return "AEAD_AES_128_GCM"
	case profileGCM256:
		return "AEAD_AES_256_GCM"
	}
	return "unknown"
}

func (p profile) keyLen() int {
	if p == profileGCM256 {
		return 32
	}
	return 16
}

func (p profile) saltLen() int {
	if p == profileCM80 {
		return 14
	}
	return 12
}

// Labels of the key derivation (RFC 3711 section 4.3.2).
const (
	labelRTPKey   = 0
	labelRTPAuth  = 1
	labelRTPSalt  = 2
	labelRTCPKey  = 3
	labelRTCPAuth = 4
	labelRTCPSalt = 5
)

// derive makes a session key of n bytes (RFC 3711 section 4.3.1 with a derivation rate of 0). A 12-byte salt counts as
// padded with zeros on the right (RFC 7714 section 11).
func derive(master cipher.Block, salt []byte, label byte, n int) []byte {
	var x [aes.BlockSize]byte
	copy(x[:14], salt)
	x[7] ^= label
	out := make([]byte, 0, n+aes.BlockSize)
	for i := uint16(0); len(out) < n; i++ {
		binary.BigEndian.PutUint16(x[14:], i)
		var block [aes.BlockSize]byte
		master.Encrypt(block[:], x[:])
		out = append(out, block[:]...)
	}
	return out[:n]
}

// protections derives the keys of one direction from its master key and salt.
func protections(p profile, key, salt []byte) (rtp, rtcp *protection, err error) {
	master, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, fmt.Errorf("SRTP master key: %w", err)
	}
	rtp, err = newProtection(p, derive(master, salt, labelRTPKey, p.keyLen()),
		derive(master, salt, labelRTPSalt, p.saltLen()), derive(master, salt, labelRTPAuth, sha1.Size))
	if err != nil {
		return nil, nil, err
	}
	rtcp, err = newProtection(p, derive(master, salt, labelRTCPKey, p.keyLen()),
		derive(master, salt, labelRTCPSalt, p.saltLen()), derive(master, salt, labelRTCPAuth, sha1.Size))
	return rtp, rtcp, err
}

// protection seals or opens the RTP or the RTCP of one direction. It has one user at a time: the scratch fields are
// there because an array on the stack would escape through the cipher's interface.
type protection struct {
	aead  cipher.AEAD  // nil: counter mode
	cm    *counterMode // nil: GCM
	nonce [12]byte
	aad   [12]byte

	saltHigh uint64
	saltLow  uint32
}

// keyed says whether it has a key; the zero value has none.
func (p *protection) keyed() bool { return p.aead != nil || p.cm != nil }

func newProtection(p profile, key, salt, auth []byte) (*protection, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("SRTP session key: %w", err)
	}
	if p == profileCM80 {
		cm := &counterMode{block: block, mac: hmac.New(sha1.New, auth)}
		copy(cm.salt[:], salt)
		return &protection{cm: cm}, nil
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("SRTP cipher: %w", err)
	}
	return &protection{aead: aead, saltHigh: binary.BigEndian.Uint64(salt), saltLow: binary.BigEndian.Uint32(salt[8:])}, nil
}

const (
	gcmTag   = 16
	cmTag    = 10
	rtcpWord = 4 // E bit and 31-bit index
)

// rtpNonce: two zero bytes, SSRC, rollover count, sequence number; all XOR salt (RFC 7714 section 8.1).
func (p *protection) rtpNonce(ssrc uint32, index sfu.ExtSeq) {
	p.setNonce(uint64(ssrc)<<16|uint64(index.Rollover()>>16), index.Rollover()<<16|uint32(index.Seq()))
}

// rtcpNonce: two zero bytes, SSRC, two zero bytes, 31-bit index; all XOR salt (RFC 7714 section 9.1).
func (p *protection) rtcpNonce(ssrc, index uint32) {
	p.setNonce(uint64(ssrc)<<16, index)
}

func (p *protection) setNonce(high uint64, low uint32) {
	binary.BigEndian.PutUint64(p.nonce[:], high^p.saltHigh)
	binary.BigEndian.PutUint32(p.nonce[8:], low^p.saltLow)
}

// sealRTP appends the encrypted payload and tag to dst, whose bytes from start on are the header. payload is apart from
// dst or directly behind it.
func (p *protection) sealRTP(dst []byte, start int, payload []byte, ssrc uint32, index sfu.ExtSeq) []byte {
	if p.cm != nil {
		return p.cm.sealRTP(dst, start, payload, ssrc, index)
	}
	p.rtpNonce(ssrc, index)
	return p.aead.Seal(dst, p.nonce[:], payload, dst[start:])
}

// openRTP decrypts in place and gives header and payload.
func (p *protection) openRTP(b []byte, header int, ssrc uint32, index sfu.ExtSeq) ([]byte, error) {
	if p.cm != nil {
		return p.cm.openRTP(b, header, ssrc, index)
	}
	if len(b) < header+gcmTag {
		return nil, errMalformed
	}
	p.rtpNonce(ssrc, index)
	out, err := p.aead.Open(b[header:header], p.nonce[:], b[header:], b[:header])
	if err != nil {
		return nil, errForged
	}
	return b[:header+len(out)], nil
}

// sealRTCP appends header, ciphertext, tag, and E bit with index (RFC 7714 section 9.2).
func (p *protection) sealRTCP(dst, packet []byte, index uint32) []byte {
	ssrc := binary.BigEndian.Uint32(packet[4:])
	if p.cm != nil {
		return p.cm.sealRTCP(dst, packet, ssrc, index)
	}
	p.rtcpNonce(ssrc, index)
	copy(p.aad[:rtcpHeaderLen], packet)
	binary.BigEndian.PutUint32(p.aad[rtcpHeaderLen:], 1<<31|index)
	dst = append(dst, packet[:rtcpHeaderLen]...)
	dst = p.aead.Seal(dst, p.nonce[:], packet[rtcpHeaderLen:], p.aad[:])
	return binary.BigEndian.AppendUint32(dst, 1<<31|index)
}

// openRTCP decrypts in place.
func (p *protection) openRTCP(b []byte) ([]byte, error) {
	if p.cm != nil {
		return p.cm.openRTCP(b)
	}
	if len(b) < rtcpHeaderLen+gcmTag+rtcpWord || b[0]>>6 != 2 {
		return nil, errMalformed
	}
	end := len(b) - rtcpWord
	word := binary.BigEndian.Uint32(b[end:])
	p.rtcpNonce(binary.BigEndian.Uint32(b[4:]), word&^(1<<31))
	if word>>31 == 0 { // authenticated only: all of it is associated data (RFC 7714 section 9.3)
		aad := append(append(make([]byte, 0, len(b)), b[:end-gcmTag]...), b[end:]...)
		if _, err := p.aead.Open(nil, p.nonce[:], b[end-gcmTag:end], aad); err != nil {
			return nil, errForged
		}
		return b[:end-gcmTag], nil
	}
	copy(p.aad[:rtcpHeaderLen], b)
	copy(p.aad[rtcpHeaderLen:], b[end:])
	out, err := p.aead.Open(b[rtcpHeaderLen:rtcpHeaderLen], p.nonce[:], b[rtcpHeaderLen:end], p.aad[:])
	if err != nil {
		return nil, errForged
	}
	return b[:rtcpHeaderLen+len(out)], nil
}

// counterMode is AES-128 in counter mode with HMAC-SHA1-80 (RFC 3711 sections 4.1.1 and 4.2.1), for clients without GCM.
type counterMode struct {
	block cipher.Block
	mac   hash.Hash
	salt  [14]byte
	iv    [aes.BlockSize]byte
	ks    [aes.BlockSize]byte
	word  [4]byte
	sum   [sha1.Size]byte
}

// xor encrypts or decrypts src to dst, which may be the same memory. index48 is the packet index.
func (c *counterMode) xor(dst, src []byte, ssrc uint32, index48 uint64) {
	// IV = salt·2^16 XOR SSRC·2^64 XOR index·2^16
	c.iv = [aes.BlockSize]byte{}
	binary.BigEndian.PutUint32(c.iv[4:], ssrc)
	binary.BigEndian.PutUint64(c.iv[8:], index48<<16)
	subtle.XORBytes(c.iv[:14], c.iv[:14], c.salt[:])
	for i := uint16(0); len(src) > 0; i++ {
		binary.BigEndian.PutUint16(c.iv[14:], i)
		c.block.Encrypt(c.ks[:], c.iv[:])
		n := subtle.XORBytes(dst, src, c.ks[:])
		dst, src = dst[n:], src[n:]
	}
}

func (c *counterMode) tag(b []byte, word uint32) []byte {
	binary.BigEndian.PutUint32(c.word[:], word)
	c.mac.Reset()
	c.mac.Write(b)
	c.mac.Write(c.word[:])
	return c.mac.Sum(c.sum[:0])[:cmTag]
}

func rtpIndex48(index sfu.ExtSeq) uint64 {
	return uint64(index.Rollover())<<16 | uint64(index.Seq())
}

func (c *counterMode) sealRTP(dst []byte, start int, payload []byte, ssrc uint32, index sfu.ExtSeq) []byte {
	body := len(dst)
	dst = append(dst, payload...) // a no-op move if payload stands there already
	c.xor(dst[body:], dst[body:], ssrc, rtpIndex48(index))
	return append(dst, c.tag(dst[start:], index.Rollover())...)
}

func (c *counterMode) openRTP(b []byte, header int, ssrc uint32, index sfu.ExtSeq) ([]byte, error) {
	end := len(b) - cmTag
	if end < header {
		return nil, errMalformed
	}
	if subtle.ConstantTimeCompare(c.tag(b[:end], index.Rollover()), b[end:]) != 1 {
		return nil, errForged
	}
	c.xor(b[header:end], b[header:end], ssrc, rtpIndex48(index))
	return b[:end], nil
}

func (c *counterMode) sealRTCP(dst, packet []byte, ssrc, index uint32) []byte {
	start := len(dst)
	dst = append(dst, packet...)
	body := dst[start+rtcpHeaderLen:]
	c.xor(body, body, ssrc, uint64(index))
	t := c.tag(dst[start:], 1<<31|index)
	return append(binary.BigEndian.AppendUint32(dst, 1<<31|index), t...)
}

func (c *counterMode) openRTCP(b []byte) ([]byte, error) {
	if len(b) < rtcpHeaderLen+rtcpWord+cmTag || b[0]>>6 != 2 {
		return nil, errMalformed
	}
	end := len(b) - cmTag - rtcpWord
	word := binary.BigEndian.Uint32(b[end:])
	if subtle.ConstantTimeCompare(c.tag(b[:end], word), b[end+rtcpWord:]) != 1 {
		return nil, errForged
	}
	if word>>31 == 1 {
		c.xor(b[rtcpHeaderLen:end], b[rtcpHeaderLen:end], binary.BigEndian.Uint32(b[4:]), uint64(word&^(1<<31)))
	}
	return b[:end], nil
}
