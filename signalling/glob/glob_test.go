package glob

import (
	"path"
	"strings"
	"testing"
)

// FuzzMatch: it agrees with the definition, and with path.Match where both speak the same language.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"", ""}, {"*", ""}, {"*.example", "a.example"}, {"?a*b?c", "xaybbzc"}, {"***", "x"}, {"a*b*c", "abbbcbc"}, {"é?", "éa"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 100 {
			return
		}
		got := Match(pattern, text)
		if got != naive(pattern, text) {
			t.Fatalf("Match(%q, %q) = %v", pattern, text, got)
		}
		if !strings.ContainsAny(pattern, "*?") && got != (pattern == text) {
			t.Fatalf("Match(%q, %q) = %v", pattern, text, got)
		}
		ascii := strings.IndexFunc(pattern+text, func(r rune) bool { return r >= 0x80 }) < 0
		if ascii && !strings.ContainsAny(pattern+text, `[]\/`) {
			if want, err := path.Match(pattern, text); err == nil && want != got {
				t.Fatalf("Match(%q, %q) = %v, path.Match says %v", pattern, text, got, want)
			}
		}
	})
}

// naive is the definition: row by row over the pattern, which of text's prefixes it matches.
func naive(pattern, text string) bool {
	row := make([]bool, len(text)+1)
	row[0] = true
	for i := range len(pattern) {
		next := make([]bool, len(text)+1)
		for j := range next {
			switch {
			case pattern[i] == '*':
				next[j] = row[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = row[j-1] && (pattern[i] == '?' || pattern[i] == text[j-1])
			}
		}
		row = next
	}
	return row[len(text)]
}
