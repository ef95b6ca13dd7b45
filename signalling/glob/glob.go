// Package glob matches the globs of m.room.server_acl, which the policy's rules use too. It is pure.
package glob

import "strings"

// Any reports whether one of the patterns matches the whole text.
func Any(patterns []string, text string) bool {
	for _, p := range patterns {
		if Match(p, text) {
			return true
		}
	}
	return false
}

// Match knows * (any text) and ? (any one byte); it matches the whole text. It backs up to the last star only,
// so it takes at most len(pattern)*len(text) steps.
func Match(pattern, text string) bool {
	p, s, star, mark := 0, 0, -1, 0
	for s < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, s
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[s]):
			p++
			s++
		case star >= 0:
			mark++
			p, s = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
