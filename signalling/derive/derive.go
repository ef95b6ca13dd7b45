// Package derive computes the names a MatrixRTC call goes by on a focus: the alias of a session and the identity of a
// participant (MSC4195; matrixrtc.md section 3). It is pure. Everybody who joins the call computes the same names, so a
// change here is a change of protocol: it gets a version, and the older one stays.
package derive

import (
	"crypto/sha256"
	"encoding/base64"
	"unicode/utf8"

	"weir/sfu"
)

// Slot is the slot that doors without one mean.
const Slot = "m.call#ROOM"

// Alias names the session of a slot in a room. salt, if not empty, is the third string of MSC4195: it keeps the alias of
// one call from being computed by whoever knows the room.
func Alias(roomID, slotID, salt string) sfu.SessionID {
	if salt == "" {
		return sfu.SessionID(hash(roomID, slotID))
	}
	return sfu.SessionID(hash(roomID, slotID, salt))
}

// Version is a way to derive an identity. Clients choose it by the door they knock at.
type Version uint8

const (
	// Legacy is "user:device": door 1, and state memberships.
	Legacy Version = iota + 1
	// Hash3 hashes user, device and member id: door 2, and sticky memberships (MSC4195).
	Hash3
	// Hash2 hashes user and member id, for bodies that carry no device. No client has shipped it; the array is what its
	// next version is understood to use.
	Hash2
)

// Claim is who a caller says it is. User is verified, the rest is its own word.
type Claim struct{ User, Device, Member string }

// Identity names a participant.
func Identity(v Version, c Claim) sfu.Identity {
	switch v {
	case Legacy:
		return sfu.Identity(c.User + ":" + c.Device)
	case Hash3:
		return sfu.Identity(hash(c.User, c.Device, c.Member))
	case Hash2:
		return sfu.Identity(hash(c.User, c.Member))
	}
	panic("derive: an identity of no known version")
}

// hash is the unpadded standard base64 of the SHA-256 of the strings as a canonical JSON array.
func hash(parts ...string) string {
	b := []byte{'['}
	for i, p := range parts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, p)
	}
	sum := sha256.Sum256(append(b, ']'))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// appendString writes s as canonical JSON does (Matrix specification, appendix "Canonical JSON"): the shortest form, so
// only the quote, the backslash and control characters are escaped. encoding/json also escapes < > & and U+2028, which
// gives another hash than every other implementation's.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r) // bytes that are no UTF-8 become U+FFFD, as in every JSON encoder
		}
	}
	return append(b, '"')
}
