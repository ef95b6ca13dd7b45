package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Secret is a text that is never printed. A field x of this type may be given as x, as the name of a file in x_file, or
// in the directory that systemd names in CREDENTIALS_DIRECTORY, under its path with underscores.
type Secret struct {
	Value string
	File  string
}

// String hides the secret from whatever formats it.
func (s Secret) String() string { return "hidden" }

// GoString hides it from %#v.
func (s Secret) GoString() string { return "hidden" }

// maxSecret bounds a secret's file.
const maxSecret = 64 << 10

// secrets fills in what stands in files.
func (r *Reader) secrets(v reflect.Value, path string) {
	for key, i := range fields(v.Type()) {
		f, below := v.Field(i), join(path, key)
		if f.Type() == secretType {
			r.secret(f.Addr().Interface().(*Secret), below)
		} else if f.Kind() == reflect.Struct && composite(f) {
			r.secrets(f, below)
		}
	}
}

func (r *Reader) secret(s *Secret, path string) {
	switch {
	case s.File != "" && s.Value != "":
		r.Reject(path+"_file", fmt.Sprintf("%s is set too: only one of them may be", path))
	case s.File != "":
		value, err := ReadSecret(s.File)
		if err != nil {
			r.Reject(path+"_file", err.Error())
		}
		s.Value = value
	case s.Value == "":
		dir := lookup(r.Environment, "CREDENTIALS_DIRECTORY")
		if dir == "" {
			return
		}
		// Their mode is systemd's business, and they need not exist.
		if text, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(path, ".", "_"))); err == nil {
			s.Value = strings.TrimRight(string(text), "\r\n")
		}
	}
}

func lookup(environment []string, name string) string {
	for _, v := range environment {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// ReadSecret reads a file that only its owner and group may read. A trailing line break is dropped.
func ReadSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot be read: %w", err)
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file", name)
	case st.Size() == 0:
		return "", fmt.Errorf("%s is empty", name)
	case st.Size() > maxSecret:
		return "", fmt.Errorf("%s is over %d bytes", name, maxSecret)
	case st.Mode().Perm()&0o004 != 0:
		return "", fmt.Errorf("%s can be read by everybody: chmod o-rwx it", name)
	}
	text := make([]byte, st.Size())
	if n, err := f.Read(text); err != nil || n != len(text) {
		return "", errors.Join(fmt.Errorf("%s cannot be read", name), err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
