package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxElements bounds the fields of a message, those of messages in it included. An empty message takes two bytes on the
// wire and some hundred in memory: a frame full of them would cost fifty times its length before it is looked at.
// A wish for every publication of the largest call has a tenth of it.
const maxElements = 1 << 15

// maxNested is how deep messages may lie in each other: far more than LiveKit's do.
const maxNested = 32

// tooMany says that a message has more elements than we read. What is malformed is left to the parser.
func tooMany(frame []byte, enc Encoding, d protoreflect.MessageDescriptor) bool {
	if enc == Text {
		return elementsOfText(frame) > maxElements
	}
	left := maxElements
	return !within(frame, d, &left, maxNested)
}

// within counts the fields of b down from left; false: there are more, or they lie too deep.
func within(b []byte, d protoreflect.MessageDescriptor, left *int, depth int) bool {
	if depth == 0 {
		return false
	}
	for len(b) > 0 {
		if *left--; *left < 0 {
			return false
		}
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return true
		}
		field := d.Fields().ByNumber(number)
		if field != nil && field.Message() != nil && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(b)
			if !within(inner, field.Message(), left, depth-1) {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

// elementsOfText is an upper bound of the values in a JSON text: each follows one of three characters.
func elementsOfText(b []byte) int {
	count, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			count++
		}
	}
	return count
}
