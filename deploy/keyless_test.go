package deploy

import (
	"strings"
	"testing"
)

// TestFocusReachesNoKeys follows the imports of the focus's binary to their ends: code that derives or uses media keys is
// not among them. The same walk from the load tester finds it, which shows that the walk would.
func TestFocusReachesNoKeys(t *testing.T) {
	_, all := sources(t)
	imports := map[string][]string{}
	for _, s := range all {
		if s.test {
			continue
		}
		for _, imp := range s.imports {
			if ours, ok := strings.CutPrefix(imp, "weir/"); ok {
				imports[s.pkg] = append(imports[s.pkg], ours)
			}
		}
	}
	way := func(from, to string) []string {
		before := map[string]string{from: from}
		for next := []string{from}; len(next) > 0; next = next[1:] {
			at := next[0]
			if at == to {
				path := []string{at}
				for at != from {
					at = before[at]
					path = append([]string{at}, path...)
				}
				return path
			}
			for _, imp := range imports[at] {
				if _, seen := before[imp]; !seen {
					before[imp] = at
					next = append(next, imp)
				}
			}
		}
		return nil
	}
	if path := way("cmd/weir", "e2ee/keyring"); path != nil {
		t.Errorf("the focus reaches media keys: %s", strings.Join(path, " → "))
	}
	if way("cmd/weir-bench", "e2ee/keyring") == nil || way("cmd/weir", "sfu/media") == nil {
		t.Error("the walk finds nothing: it looks in the wrong place")
	}
}
