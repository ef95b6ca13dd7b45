package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// serverName is what the demo's homeserver calls itself.
const serverName = "demo.localhost"

// homeserverConfig is Dendrite's configuration: SQLite files in the working folder, no federation, no rate limit.
const homeserverConfig = `version: 2
global:
  server_name: ` + serverName + `
  private_key: signing.pem
  jetstream: {storage_path: ./, in_memory: true}
  cache: {max_size_estimated: 64mb, max_age: 1h}
client_api:
  registration_disabled: true
  registration_shared_secret: %q
  rate_limiting: {enabled: false}
room_server: {database: {connection_string: "file:rooms.db"}}
key_server: {database: {connection_string: "file:keys.db"}}
federation_api: {database: {connection_string: "file:federation.db"}}
relay_api: {database: {connection_string: "file:relay.db"}}
mscs: {database: {connection_string: "file:mscs.db"}}
user_api: {bcrypt_cost: 4, account_database: {connection_string: "file:accounts.db"}}
media_api: {base_path: ./media, database: {connection_string: "file:media.db"}}
sync_api: {search: {enabled: false}, database: {connection_string: "file:sync.db"}}
logging: [{type: std, level: warn}]
`

// startHomeserver starts Dendrite as a child and waits until it answers.
func (w *world) startHomeserver(ctx context.Context) error {
	seed := make([]byte, 32)
	fill(seed)
	key := pem.EncodeToMemory(&pem.Block{Type: "MATRIX PRIVATE KEY", Headers: map[string]string{"Key-ID": "ed25519:demo"}, Bytes: seed})
	for name, content := range map[string][]byte{
		"signing.pem":     key,
		"homeserver.yaml": fmt.Appendf(nil, homeserverConfig, w.secret),
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	addr := strings.TrimPrefix(w.server, "http://")
	c, err := start(w.dir, "homeserver", nil, filepath.Join(w.bin, "dendrite"),
		"-config", "homeserver.yaml", "-http-bind-address", addr)
	if err != nil {
		return err
	}
	w.children = append(w.children, c)
	return c.ready(ctx, w.server+"/_matrix/client/versions")
}

// randomText returns n random bytes in hex.
func randomText(n int) string {
	b := make([]byte, n)
	fill(b)
	return hex.EncodeToString(b)
}

func fill(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic("the system's random source failed: " + err.Error())
	}
}
