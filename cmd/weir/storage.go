package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"weir/cmd/weir/settings"
	"weir/signalling/grant"
)

// installation is what makes this focus this one: a secret that is made at the first start and kept.
type installation struct {
	secret string
	kept   error // why it is not kept; nil: it is
}

// openInstallation reads or makes the secret. A focus whose folder cannot be written works all the same: its clients
// just have to join anew after a restart.
func openInstallation(dir string) (installation, error) {
	if dir == "" {
		return installation{secret: rand.Text() + rand.Text(), kept: errors.New("storage.dir is empty")}, nil
	}
	name := filepath.Join(dir, "installation.secret")
	secret, err := settings.ReadSecret(name)
	if err == nil {
		if len(secret) < minSecret {
			return installation{}, fmt.Errorf("%s: shorter than %d characters", name, minSecret)
		}
		return installation{secret: secret}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return installation{}, fmt.Errorf("installation secret: %w", err)
	}
	secret = rand.Text() + rand.Text()
	return installation{secret: secret, kept: keep(name, secret)}, nil
}

// keep writes the secret so that it is there whole or not at all.
func keep(name, secret string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".installation-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), name) // never over one that another process made meanwhile
}

// derive makes a secret for one purpose.
func (i installation) derive(purpose string) string {
	m := hmac.New(sha256.New, []byte(i.secret))
	m.Write([]byte(purpose))
	return hex.EncodeToString(m.Sum(nil))
}

// key signs the tokens of the doors. It is nobody's API key, so its name begins as none may.
func (i installation) key() grant.Key {
	return grant.Key{ID: "_weir", Secret: i.derive("tokens of the doors")}
}
