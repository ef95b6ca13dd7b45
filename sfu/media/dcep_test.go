package media

import (
	"encoding/binary"
	"testing"

	"weir/sfu/session"
)

func TestOpenMessages(t *testing.T) {
	for kind, label := range channelLabels {
		o, ok := parseOpen(appendOpen(nil, session.DataChannel(kind), label))
		if !ok || o.label != label || o.lossy != (session.DataChannel(kind) != session.Reliable) {
			t.Errorf("%s: got %+v, %v", label, o, ok)
		}
	}
	for name, b := range map[string][]byte{
		"empty":         {},
		"ack":           {dcepAck},
		"short":         make([]byte, 11),
		"other type":    append([]byte{0x02, 0}, make([]byte, 10)...),
		"unknown kind":  append([]byte{0x03, 0x03}, make([]byte, 10)...),
		"label missing": {3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0},
		"trailing byte": {3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
	} {
		if o, ok := parseOpen(b); ok {
			t.Errorf("%s: took %+v", name, o)
		}
	}
}

// FuzzOpen: what is taken has a bounded label that lies in the message, and all of the message is accounted for.
func FuzzOpen(f *testing.F) {
	f.Add(appendOpen(nil, session.Lossy, "_lossy"))
	f.Add([]byte{3, 0x82, 0, 0, 0, 0, 0, 9, 0, 2, 0, 1, 'a', 'b', 'p'})
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, ok := parseOpen(b)
		if !ok {
			return
		}
		protocol := int(binary.BigEndian.Uint16(b[10:]))
		if len(o.label) > maxLabel || dcepOpenLen+len(o.label)+protocol != len(b) || string(b[dcepOpenLen:dcepOpenLen+len(o.label)]) != o.label {
			t.Fatalf("%x gave %+v", b, o)
		}
	})
}
