package member

import (
	"net/netip"
	"strings"

	"weir/signalling/glob"
)

// ACL is a room's m.room.server_acl. Nil allows everybody.
type ACL struct {
	allow, deny  []string // globs, lower case
	denyLiterals bool
}

// ReadACL reads the content of m.room.server_acl. What is of the wrong type counts as absent, as with homeservers: then
// there is nothing in allow, and everybody is denied.
func ReadACL(content []byte) *ACL {
	a := &ACL{}
	v, ok := parse(content)
	if !ok {
		return a
	}
	for key, field := range v.fields() {
		switch string(key) {
		case "allow":
			a.allow = readGlobs(field)
		case "deny":
			a.deny = readGlobs(field)
		case "allow_ip_literals":
			may, ok := field.boolean()
			a.denyLiterals = ok && !may
		}
	}
	return a
}

func readGlobs(list value) []string {
	var globs []string
	for item := range list.items() {
		if g, ok := item.text(maxID); ok {
			globs = append(globs, strings.ToLower(g))
		}
	}
	return globs
}

// Allows says whether a server may take part (Matrix specification, m.room.server_acl; matrixrtc.md section 9).
func (a *ACL) Allows(server string) bool {
	if a == nil {
		return true
	}
	host := strings.ToLower(withoutPort(server))
	if a.denyLiterals && literal(host) {
		return false
	}
	return !glob.Any(a.deny, host) && glob.Any(a.allow, host)
}

// ServerOf is the server name in a user id.
func ServerOf(user string) string {
	_, server, _ := strings.Cut(user, ":")
	return server
}

// withoutPort cuts ":8448" off; the colons within an IPv6 literal stay.
func withoutPort(server string) string {
	i := strings.LastIndexByte(server, ':')
	if i < 0 || strings.HasSuffix(server, "]") {
		return server
	}
	for _, c := range server[i+1:] {
		if c < '0' || c > '9' {
			return server
		}
	}
	return server[:i]
}

func literal(host string) bool {
	if strings.HasPrefix(host, "[") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is4()
}
