package media

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// The little of STUN (RFC 8489) that routing and a lite agent need: whose message is it, is it true, and what is the answer?

const (
	stunHeaderLen     = 20
	stunCookie        = 0x2112A442
	stunRequest       = 0x0001 // binding request
	stunSuccess       = 0x0101
	stunError         = 0x0111
	stunUsername      = 0x0006
	stunIntegrity     = 0x0008
	stunErrorCode     = 0x0009
	stunXORMapped     = 0x0020
	stunPriority      = 0x0024
	stunUseCandidate  = 0x0025
	stunFingerprint   = 0x8028
	stunControlled    = 0x8029
	stunIntegritySize = 24 // attribute header and HMAC-SHA1
)

// stunMessage borrows the datagram.
type stunMessage struct {
	raw       []byte
	kind      uint16 // message type
	username  []byte
	nominates bool // USE-CANDIDATE
	obeys     bool // ICE-CONTROLLED: the sender believes that we control
	integrity int  // offset of MESSAGE-INTEGRITY, 0: none
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
			case stunUseCandidate:
				m.nominates = true
			case stunControlled:
				m.obeys = true
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

// ufrags are the parts of USERNAME: the receiver's and the sender's (RFC 8445 section 7.2.2).
func (m *stunMessage) ufrags() (local, remote []byte) {
	local, remote, ok := bytes.Cut(m.username, []byte{':'})
	if !ok {
		return nil, nil
	}
	return local, remote
}

// authentic checks MESSAGE-INTEGRITY with the short-term password.
func (m *stunMessage) authentic(password string) bool {
	if m.integrity == 0 {
		return false
	}
	return hmac.Equal(stunMAC(m.raw[:m.integrity], password), m.raw[m.integrity+4:m.integrity+4+sha1.Size])
}

// stunMAC is HMAC-SHA1 over all before MESSAGE-INTEGRITY, with the length field as if the message ended behind it
// (RFC 8489 section 14.5).
func stunMAC(before []byte, password string) []byte {
	mac := hmac.New(sha1.New, []byte(password))
	var head [4]byte
	copy(head[:], before[:2])
	binary.BigEndian.PutUint16(head[2:], uint16(len(before)+stunIntegritySize-stunHeaderLen))
	mac.Write(head[:])
	mac.Write(before[4:])
	return mac.Sum(nil)
}

// appendSuccess answers a binding request that came from an address (RFC 8445 section 7.3.1.3).
func appendSuccess(dst []byte, m *stunMessage, from netip.AddrPort, password string) []byte {
	start := len(dst)
	dst = appendStunHeader(dst, stunSuccess, m)
	ip := from.Addr().AsSlice()
	family := byte(1)
	if len(ip) == 16 {
		family = 2
	}
	dst = append(dst, 0, stunXORMapped, 0, byte(4+len(ip)), 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^stunCookie>>16)
	for i, b := range ip { // XOR with cookie and transaction id (RFC 8489 section 14.2)
		dst = append(dst, b^m.raw[4+i])
	}
	return appendStunEnd(dst, start, password)
}

// appendRequest writes a check of a controlled agent (RFC 8445 section 7.2.2).
func appendRequest(dst []byte, id [12]byte, user string, tiebreaker []byte, password string) []byte {
	start := len(dst)
	dst = append(dst, 0, stunRequest, 0, 0)
	dst = append(binary.BigEndian.AppendUint32(dst, stunCookie), id[:]...)
	dst = append(dst, 0, stunUsername, byte(len(user)>>8), byte(len(user)))
	dst = append(append(dst, user...), make([]byte, (4-len(user)%4)%4)...)
	dst = append(dst, 0, stunPriority, 0, 4, 110, 255, 255, 255) // peer-reflexive (RFC 8445 section 7.1.1)
	dst = append(dst, stunControlled>>8, stunControlled&0xff, 0, 8)
	return appendStunEnd(append(dst, tiebreaker[:8]...), start, password)
}

// appendRoleConflict tells the sender to take the controlling role (RFC 8445 section 7.3.1.1).
func appendRoleConflict(dst []byte, m *stunMessage, password string) []byte {
	start := len(dst)
	dst = appendStunHeader(dst, stunError, m)
	dst = append(dst, 0, stunErrorCode, 0, 4, 0, 0, 4, 87) // 487, no reason phrase
	return appendStunEnd(dst, start, password)
}

func appendStunHeader(dst []byte, kind uint16, m *stunMessage) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	return append(append(dst, 0, 0), m.raw[4:stunHeaderLen]...)
}

// appendStunEnd adds MESSAGE-INTEGRITY and FINGERPRINT and sets the length.
func appendStunEnd(dst []byte, start int, password string) []byte {
	mac := stunMAC(dst[start:], password)
	dst = append(append(dst, 0, stunIntegrity, 0, sha1.Size), mac...)
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-stunHeaderLen+8))
	sum := crc32.ChecksumIEEE(dst[start:]) ^ 0x5354554e // RFC 8489 section 14.7
	dst = append(dst, stunFingerprint>>8, stunFingerprint&0xff, 0, 4)
	return binary.BigEndian.AppendUint32(dst, sum)
}
