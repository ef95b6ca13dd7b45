package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"
)

// newLog makes the log. salt keeps hashed user ids from being guessed, and the same over restarts.
func newLog(w io.Writer, c loggingSection, salt []byte) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // it was checked; unset is info
	s := scrubber{redact: c.Redact, salt: salt}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: s.attr}
	format := c.Format
	if format == "auto" || format == "" {
		format = "logfmt"
		if terminal(w) {
			format = "text"
		}
	}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options))
	case "text":
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
			}
			return s.attr(groups, a)
		}
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// terminal says whether a person is reading.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// scrubber takes out of log lines what does not belong there. Tokens and passwords never do, whatever is configured.
type scrubber struct {
	redact string // none, mxid or all
	salt   []byte
}

const gone = "[redacted]"

var (
	tokenText = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*`)
	tokenPair = regexp.MustCompile(`(?i)((?:access_token|join_request|password|secret|pwd|jwt|authorization)["']?[=:]\s*["']?(?:bearer )?)[^&\s"']+`)
	userID    = regexp.MustCompile(`@[^:@\s"]{0,255}:[A-Za-z0-9.\-\[\]]+(?::[0-9]{1,5})?`)
	address   = regexp.MustCompile(`\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|\[?\b[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{0,4}){2,7}\b\]?`)
)

func (s scrubber) attr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.SourceKey) {
		return a
	}
	switch a.Key {
	case "token", "access_token", "jwt", "secret", "password", "pwd", "authorization", "delay_id":
		return slog.String(a.Key, gone)
	}
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, s.text(v.String()))
	case slog.KindAny:
		if t, ok := v.Any().(time.Time); ok {
			return slog.Time(a.Key, t)
		}
		return slog.String(a.Key, s.text(fmt.Sprint(v.Any())))
	}
	return a
}

func (s scrubber) text(t string) string {
	if strings.Contains(t, "eyJ") {
		t = tokenText.ReplaceAllString(t, gone)
	}
	t = tokenPair.ReplaceAllString(t, "${1}"+gone)
	if s.redact == "none" {
		return t
	}
	if strings.Contains(t, "@") {
		t = userID.ReplaceAllStringFunc(t, s.user)
	}
	if s.redact == "all" {
		t = address.ReplaceAllString(t, gone)
	}
	return t
}

// user stands for a user id: the same everywhere in this installation's logs, and nothing elsewhere.
func (s scrubber) user(id string) string {
	m := hmac.New(sha256.New, s.salt)
	m.Write([]byte(id))
	return "user-" + hex.EncodeToString(m.Sum(nil)[:6])
}
