package grant

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// b64 is the strict alphabet of RFC 7515 section 2: without padding, and with no spare bits set, so that a token has
// exactly one spelling.
var b64 = base64.RawURLEncoding.Strict()

// header is the only JOSE header we write; {"alg":"HS256","typ":"JWT"}.
var header = b64.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

// Verify checks a token's form, algorithm, key, signature and times, in that order.
func Verify(token string, keys Keys, now time.Time) (Token, error) {
	payload, key, err := open(token, keys)
	if err != nil {
		return Token{}, err
	}
	var c claims
	if json.Unmarshal(payload, &c) != nil {
		return Token{}, ErrMalformed
	}
	exp, err := checkTimes(&c, now)
	if err != nil {
		return Token{}, err
	}
	return Token{Grant: c.grant(), Key: key, Expires: exp}, nil
}

// Mint signs a token that lives from now for ttl, in whole seconds.
func Mint(g Grant, key Key, now time.Time, ttl time.Duration) (string, error) {
	c := claimsOf(g)
	c.Issuer = key.ID
	nbf, exp := date(now.Unix()), date(now.Add(ttl).Unix())
	c.NotBefore, c.Expires = &nbf, &exp
	return seal(c, key)
}

// Refresh mints a token with the same grant that lives as long as the one before it, and at least MinRefresh.
func Refresh(t Token, key Key, now time.Time) (string, error) {
	return Mint(t.Grant, key, now, max(MinRefresh, t.Expires.Sub(now)))
}

// MintWebhook signs a webhook body.
func MintWebhook(body []byte, key Key, now time.Time) (string, error) {
	return Mint(Grant{SHA256: digest(body)}, key, now, WebhookTTL)
}

// VerifyWebhook checks that token was signed for body.
func VerifyWebhook(token string, body []byte, keys Keys, now time.Time) error {
	t, err := Verify(token, keys, now)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(t.SHA256), []byte(digest(body))) != 1 {
		return ErrDigest
	}
	return nil
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// open returns the payload of a token whose signature holds, and the key that made it.
func open(token string, keys Keys) (payload []byte, key string, err error) {
	if len(token) > MaxToken || strings.ContainsAny(token, "\r\n") { // base64 would skip line ends
		return nil, "", ErrMalformed
	}
	head, rest, ok := strings.Cut(token, ".")
	if !ok {
		return nil, "", ErrMalformed
	}
	body, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return nil, "", ErrMalformed
	}
	if err := checkHeader(head); err != nil {
		return nil, "", err
	}
	payload, err = b64.DecodeString(body)
	if err != nil {
		return nil, "", ErrMalformed
	}
	got, err := b64.DecodeString(signature)
	if err != nil {
		return nil, "", ErrMalformed
	}
	// The issuer must be read before anything is proven: it names the key. Nothing else of the payload is.
	var who struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &who) != nil {
		return nil, "", ErrMalformed
	}
	secret := keys[who.Issuer]
	if who.Issuer == "" || secret == "" {
		return nil, "", ErrUnknownKey
	}
	if !hmac.Equal(got, sign(token[:len(head)+1+len(body)], secret)) {
		return nil, "", ErrSignature
	}
	return payload, who.Issuer, nil
}

// checkHeader admits HS256 and nothing else; a critical extension is one we do not know (RFC 7515 section 4.1.11).
func checkHeader(head string) error {
	raw, err := b64.DecodeString(head)
	if err != nil {
		return ErrMalformed
	}
	var h struct {
		Algorithm string          `json:"alg"`
		Critical  json.RawMessage `json:"crit"`
	}
	if json.Unmarshal(raw, &h) != nil {
		return ErrMalformed
	}
	if h.Algorithm != "HS256" || h.Critical != nil {
		return ErrAlgorithm
	}
	return nil
}

func checkTimes(c *claims, now time.Time) (time.Time, error) {
	if c.Expires == nil {
		return time.Time{}, ErrNoExpiry
	}
	exp := c.Expires.time()
	if now.Add(-Leeway).After(exp) {
		return time.Time{}, ErrExpired
	}
	if c.NotBefore != nil && now.Add(Leeway).Before(c.NotBefore.time()) {
		return time.Time{}, ErrNotYet
	}
	return exp, nil
}

func seal(c *claims, key Key) (string, error) {
	if key.ID == "" || key.Secret == "" {
		return "", ErrNoSecret
	}
	if !c.utf8() {
		return "", ErrNotUTF8
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("grant: writing the claims: %w", err)
	}
	text := header + "." + b64.EncodeToString(plain(payload))
	return text + "." + b64.EncodeToString(sign(text, key.Secret)), nil
}

func sign(text, secret string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// plain rewrites JSON so that its base64url has neither "-" nor "_": Element Call reads the payload with atob, which
// throws on both (matrixrtc.md section 2.4). Of ASCII only > ? ~ and DEL end in six bits above 61; they and all that is
// not ASCII occur in JSON inside strings only, where an escape says the same.
func plain(doc []byte) []byte {
	out := make([]byte, 0, len(doc)+16)
	for i := 0; i < len(doc); {
		if b := doc[i]; b < utf8.RuneSelf {
			i++
			if b&0x3f >= 62 {
				out = fmt.Appendf(out, `\u%04x`, b)
				continue
			}
			out = append(out, b)
			continue
		}
		r, n := utf8.DecodeRune(doc[i:])
		i += n
		if r > 0xffff { // RFC 8259 section 7: a surrogate pair
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		out = fmt.Appendf(out, `\u%04x`, r)
	}
	return out
}

// date is a NumericDate (RFC 7519 section 2): seconds since 1970, which may have a fraction. It is cut to seconds.
type date int64

func (d date) time() time.Time { return time.Unix(int64(d), 0).UTC() }

func (d *date) UnmarshalJSON(doc []byte) error {
	var f float64
	if err := json.Unmarshal(doc, &f); err != nil {
		return ErrMalformed
	}
	if math.Abs(f) > 1<<40 { // year 36,000; more would not fit into time.Time arithmetic
		return ErrMalformed
	}
	*d = date(f)
	return nil
}
