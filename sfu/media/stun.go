package media

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
)

// The little of STUN (RFC 8489) that routing needs: whose message is it, and is it true? pion/ice does the rest.

const (
	stunHeaderLen     = 20
	stunCookie        = 0x2112A442
	stunRequest       = 0x0001 // binding request
	stunUsername      = 0x0006
	stunIntegrity     = 0x0008
	stunIntegritySize = 24 // attribute header and HMAC-SHA1
)

// stunMessage borrows the datagram.
type stunMessage struct {
	raw       []byte
	kind      uint16 // message type
	username  []byte
	integrity int // offset of MESSAGE-INTEGRITY, 0: none
}

// parseSTUN checks the frame of the whole message (RFC 8489 section 5) and finds the two attributes.
func parseSTUN(b []byte) (stunMessage, bool) {
	if len(b) < stunHeaderLen || b[0]>>6 != 0 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return stunMessage{}, false
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n%4 != 0 || n != len(b)-stunHeaderLen {
		return stunMessage{}, false
	}
	m := stunMessage{raw: b, kind: binary.BigEndian.Uint16(b)}
	for at := stunHeaderLen; at < len(b); {
		if len(b)-at < 4 {
			return stunMessage{}, false
		}
		kind, n := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		end := at + 4 + n
		if end > len(b) {
			return stunMessage{}, false
		}
		// What follows MESSAGE-INTEGRITY is not protected and says nothing (RFC 8489 section 14.5).
		if m.integrity == 0 {
			switch kind {
			case stunUsername:
				m.username = b[at+4 : end]
			case stunIntegrity:
				if n != sha1.Size {
					return stunMessage{}, false
				}
				m.integrity = at
			}
		}
		at = end + (4-n%4)%4
	}
	return m, true
}

// localUfrag is the part of USERNAME that names the receiver (RFC 8445 section 7.2.2).
func (m *stunMessage) localUfrag() []byte {
	for i, c := range m.username {
		if c == ':' {
			return m.username[:i]
		}
	}
	return nil
}

// authentic checks MESSAGE-INTEGRITY with the short-term password: HMAC-SHA1 over all before the attribute, with the
// length field as if the message ended behind it (RFC 8489 section 14.5).
func (m *stunMessage) authentic(password string) bool {
	if m.integrity == 0 {
		return false
	}
	mac := hmac.New(sha1.New, []byte(password))
	var head [4]byte
	copy(head[:], m.raw[:2])
	binary.BigEndian.PutUint16(head[2:], uint16(m.integrity+stunIntegritySize-stunHeaderLen))
	mac.Write(head[:])
	mac.Write(m.raw[4:m.integrity])
	return hmac.Equal(mac.Sum(nil), m.raw[m.integrity+4:m.integrity+4+sha1.Size])
}
