package clip

import (
	"encoding/binary"
	"fmt"
)

// Audio is a whole clip in memory: Opus packets of 20 ms.
type Audio struct {
	Channels int
	Packets  [][]byte
}

const (
	oggHeaderLen = 27
	oggContinued = 1 // header type: the page begins in the middle of a packet
	maxPacket    = 1 << 16
)

// ReadOgg reads an Ogg Opus file with one logical stream: pages of RFC 3533, the two header packets of RFC 7845.
func ReadOgg(b []byte) (Audio, error) {
	var packets [][]byte
	var open []byte // a packet that goes on in the next page
	for page := 0; len(b) > 0; page++ {
		if len(b) < oggHeaderLen || string(b[:4]) != "OggS" || b[4] != 0 {
			return Audio{}, fmt.Errorf("%w: no Ogg page %d", ErrFormat, page)
		}
		segments := int(b[26])
		if len(b) < oggHeaderLen+segments {
			return Audio{}, fmt.Errorf("%w: segment table of page %d", ErrTruncated, page)
		}
		if continued := b[5]&oggContinued != 0; continued != (open != nil) {
			return Audio{}, fmt.Errorf("%w: page %d does not go on where the last one ended", ErrFormat, page)
		}
		table := b[oggHeaderLen : oggHeaderLen+segments]
		b = b[oggHeaderLen+segments:]
		for _, lace := range table { // RFC 3533 section 5: a lace below 255 ends the packet
			n := int(lace)
			if n > len(b) {
				return Audio{}, fmt.Errorf("%w: page %d", ErrTruncated, page)
			}
			if open == nil {
				open = []byte{}
			}
			if open = append(open, b[:n]...); len(open) > maxPacket {
				return Audio{}, fmt.Errorf("%w: packet of more than %d bytes", ErrFormat, maxPacket)
			}
			b = b[n:]
			if lace < 255 {
				packets = append(packets, open)
				open = nil
			}
		}
	}
	if open != nil {
		return Audio{}, fmt.Errorf("%w: last packet", ErrTruncated)
	}
	return opus(packets)
}

// opus takes the identification and comment headers off (RFC 7845 section 5).
func opus(packets [][]byte) (Audio, error) {
	if len(packets) < 2 || len(packets[0]) < 19 || string(packets[0][:8]) != "OpusHead" || len(packets[1]) < 8 ||
		string(packets[1][:8]) != "OpusTags" {
		return Audio{}, fmt.Errorf("%w: no Opus headers", ErrFormat)
	}
	if rate := binary.LittleEndian.Uint32(packets[0][12:]); rate == 0 {
		return Audio{}, fmt.Errorf("%w: sample rate 0", ErrFormat)
	}
	return Audio{Channels: int(packets[0][9]), Packets: packets[2:]}, nil
}
