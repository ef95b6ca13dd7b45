package member

import (
	"encoding/json"
	"iter"
	"math"
	"strconv"
	"unicode/utf8"
)

// value is one JSON value (RFC 8259) whose syntax has been checked. encoding/json is not used for reading events: it
// takes keys in any case, gives up at the first field of another type, and costs four times the time.
type value []byte

// parse checks that b is one JSON value of bounded depth.
func parse(b []byte) (value, bool) {
	i := blank(b, 0)
	end, ok := skip(b, i, 0)
	if !ok || blank(b, end) != len(b) {
		return nil, false
	}
	return value(b[i:end]), true
}

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skip returns where the value that begins at i ends.
func skip(b []byte, i, depth int) (int, bool) {
	if i >= len(b) || depth > maxNesting {
		return 0, false
	}
	switch b[i] {
	case '{':
		return skipList(b, i, '}', true, depth)
	case '[':
		return skipList(b, i, ']', false, depth)
	case '"':
		return skipString(b, i)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipWord(b []byte, i int, word string) (int, bool) {
	end := i + len(word)
	return end, end <= len(b) && string(b[i:end]) == word
}

// skipList passes an array, or an object if keyed.
func skipList(b []byte, i int, closing byte, keyed bool, depth int) (int, bool) {
	ok := true
	i = blank(b, i+1)
	if i < len(b) && b[i] == closing {
		return i + 1, true
	}
	for {
		if keyed {
			if i >= len(b) || b[i] != '"' {
				return 0, false
			}
			if i, ok = skipString(b, i); !ok {
				return 0, false
			}
			if i = blank(b, i); i >= len(b) || b[i] != ':' {
				return 0, false
			}
			i = blank(b, i+1)
		}
		if i, ok = skip(b, i, depth+1); !ok {
			return 0, false
		}
		if i = blank(b, i); i >= len(b) {
			return 0, false
		}
		switch b[i] {
		case closing:
			return i + 1, true
		case ',':
			i = blank(b, i+1)
		default:
			return 0, false
		}
	}
}

// ordinary are the bytes that stand for themselves in a string.
var ordinary = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf
	}
	return t
}()

func skipString(b []byte, i int) (int, bool) {
	for i++; i < len(b); i++ {
		if ordinary[b[i]] {
			continue
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, true
		case c < 0x20:
			return 0, false
		case c == '\\':
			if i++; i >= len(b) {
				return 0, false
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(b) || !hexadecimal(b[i]) {
						return 0, false
					}
				}
			default:
				return 0, false
			}
		}
	}
	return 0, false
}

func hexadecimal(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// skipNumber follows RFC 8259 section 6.
func skipNumber(b []byte, i int) (int, bool) {
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return 0, false
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return 0, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return 0, false
		}
	}
	return i, true
}

func (v value) is(first byte) bool { return len(v) > 0 && v[0] == first }

// fields goes through an object; of anything else there are none. A key that was escaped is given unescaped.
func (v value) fields() iter.Seq2[[]byte, value] {
	return func(yield func([]byte, value) bool) {
		if !v.is('{') {
			return
		}
		for i := blank(v, 1); v[i] != '}'; {
			end, _ := skipString(v, i)
			key := []byte(v[i+1 : end-1])
			if !plain(key) {
				key = []byte(unescape(v[i:end]))
			}
			i = blank(v, blank(v, end)+1)
			end, _ = skip(v, i, 0)
			if !yield(key, v[i:end]) {
				return
			}
			if i = blank(v, end); v[i] == ',' {
				i = blank(v, i+1)
			}
		}
	}
}

// walk goes through an object that has not been checked, once. Afterwards ok says whether all of it was one, of bounded
// depth; what was read before means nothing if it was not.
func walk(b []byte, ok *bool) iter.Seq2[[]byte, value] {
	return func(yield func([]byte, value) bool) {
		*ok = false
		i := blank(b, 0)
		if i >= len(b) || b[i] != '{' {
			return
		}
		i = blank(b, i+1)
		for more := i >= len(b) || b[i] != '}'; more; {
			if i >= len(b) || b[i] != '"' {
				return
			}
			end, good := skipString(b, i)
			if !good {
				return
			}
			key := b[i+1 : end-1]
			if !plain(key) {
				key = []byte(unescape(b[i:end]))
			}
			if i = blank(b, end); i >= len(b) || b[i] != ':' {
				return
			}
			i = blank(b, i+1)
			if end, good = skip(b, i, 1); !good || !yield(key, value(b[i:end])) {
				return
			}
			if i = blank(b, end); i >= len(b) || b[i] != ',' {
				break
			}
			i = blank(b, i+1)
		}
		*ok = i < len(b) && b[i] == '}' && blank(b, i+1) == len(b)
	}
}

// items goes through an array; of anything else there are none.
func (v value) items() iter.Seq[value] {
	return func(yield func(value) bool) {
		if !v.is('[') {
			return
		}
		for i := blank(v, 1); v[i] != ']'; {
			end, _ := skip(v, i, 0)
			if !yield(v[i:end]) {
				return
			}
			if i = blank(v, end); v[i] == ',' {
				i = blank(v, i+1)
			}
		}
	}
}

// get is the field of that name, the last one if there are several, as in the JSON readers of homeservers.
func (v value) get(name string) (found value) {
	for key, field := range v.fields() {
		if string(key) == name {
			found = field
		}
	}
	return found
}

// plain says that what stands between the quotes is the text itself.
func plain(b []byte) bool {
	for _, c := range b {
		if !ordinary[c] {
			return false
		}
	}
	return true
}

func unescape(quoted []byte) string {
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic("member: a checked string does not decode: " + err.Error())
	}
	return s
}

// text is the string, if it is one of at most limit bytes; else it is empty.
func (v value) text(limit int) (string, bool) {
	if !v.is('"') || len(v) > 6*limit+2 { // six bytes write one at most
		return "", false
	}
	var s string
	if inner := v[1 : len(v)-1]; plain(inner) {
		s = known(inner)
	} else {
		s = unescape(v)
	}
	if len(s) > limit {
		return "", false
	}
	return s, true
}

// known spares a copy of the texts that almost every membership holds.
func known(b []byte) string {
	switch string(b) {
	case "m.call":
		return "m.call"
	case "m.call#ROOM":
		return "m.call#ROOM"
	case "livekit":
		return "livekit"
	case "video":
		return "video"
	case "audio":
		return "audio"
	}
	return string(b)
}

// integer is the number, if it is one that JavaScript holds exactly; a fraction is cut off.
func (v value) integer() (int64, bool) {
	const exact = 1 << 53
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, -exact <= n && n <= exact
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.Abs(f) > exact {
		return 0, false
	}
	return int64(f), true
}

// boolean is the truth value, if it is one.
func (v value) boolean() (is, ok bool) {
	switch string(v) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// isNull says that nothing was given, or null.
func (v value) isNull() bool { return len(v) == 0 || v[0] == 'n' }
