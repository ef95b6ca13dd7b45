package device

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// canonical is an object's canonical JSON (Matrix v1.16 appendix 3.1): sorted, compact, nothing escaped that need not be.
func canonical(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("canonical JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// verify checks that a device has signed an object, its own keys or a one-time key.
func verify(raw json.RawMessage, p Peer) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return fmt.Errorf("%w: %s %s: %w", ErrPeer, p.User, p.ID, err)
	}
	all, _ := object["signatures"].(map[string]any)
	ours, _ := all[p.User].(map[string]any)
	text, _ := ours["ed25519:"+p.ID].(string)
	signature, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || text == "" {
		return fmt.Errorf("%w: %s %s: not signed", ErrPeer, p.User, p.ID)
	}
	key, err := base64.RawStdEncoding.DecodeString(p.Ed)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: %s %s: no key", ErrPeer, p.User, p.ID)
	}
	delete(object, "signatures")
	delete(object, "unsigned")
	signed, err := canonical(object)
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, signed, signature) {
		return fmt.Errorf("%w: %s %s: signature", ErrPeer, p.User, p.ID)
	}
	return nil
}
