package main

import (
	"fmt"
	"strings"
)

// minSecret is LiveKit's: a shorter one can be guessed from any token it signed.
const minSecret = 32

// parseKeys reads LiveKit's key file.
func parseKeys(text string) (map[string]string, error) {
	keys := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, secret, _ := strings.Cut(line, ":")
		id, secret = strings.TrimSpace(id), strings.TrimSpace(secret)
		if id == "" || secret == "" {
			return nil, fmt.Errorf("line %d is not of the form key: secret", i+1)
		}
		if len(secret) < minSecret {
			return nil, fmt.Errorf("line %d: the secret has %d characters: %d at least", i+1, len(secret), minSecret)
		}
		if _, twice := keys[id]; twice {
			return nil, fmt.Errorf("line %d: %s is given twice", i+1, id)
		}
		keys[id] = secret
	}
	return keys, nil
}
