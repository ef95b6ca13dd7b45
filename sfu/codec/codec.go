// Package codec says what a packet is, from the bytes that end-to-end encryption leaves readable: is it the start of
// a keyframe, which layer does it belong to, which picture and frame numbers does it carry. It also writes those
// numbers back, in place. It is pure; nothing on the packet path allocates.
//
// What is readable (media.md section 2): the RTP header with all extensions, the VP8 and VP9 payload descriptors, the
// first byte of an Opus frame, 10 bytes of a VP8 keyframe and 3 of a delta frame, the NAL headers of H.264 and H.265 up
// to and including the first slice's header byte and one more, the aggregation header of AV1. Nothing else is read.
package codec

import (
	"errors"

	"weir/sfu"
)

// ErrShort means that a header or descriptor ends before its last field.
var ErrShort = errors.New("codec: descriptor is cut short")

// Fields is the set of numbers that a packet carries.
type Fields uint8

const (
	HasPictureID  Fields = 1 << iota
	WidePictureID        // 15 bits instead of 7
	HasTL0
	HasKeyIndex
	HasFrame // a dependency descriptor
)

// Numbers are the counters inside the payload descriptor and the dependency descriptor that have to stay continuous
// for the receiver.
type Numbers struct {
	PictureID uint16 // VP8, VP9: 7 or 15 bits
	Frame     uint16 // dependency descriptor: frame_number
	TL0       uint8  // VP8, VP9: TL0PICIDX
	KeyIndex  uint8  // VP8: KEYIDX, 5 bits
	Has       Fields
}

// Description is what one packet tells about its frame.
type Description struct {
	Numbers
	Layer sfu.Layer // spatial is 0 where the stream itself is the spatial layer

	StartOfFrame bool // first packet of its frame (of its layer frame in SVC)
	EndOfFrame   bool // last packet of its frame (of its layer frame in SVC)
	Keyframe     bool // a keyframe starts with this packet; always true for audio
	SwitchUp     bool // VP8 Y, VP9 U: higher temporal layers may start here
	Discardable  bool // no frame refers to this one

	InterPicture bool // VP9 P: refers to earlier pictures
	InterLayer   bool // VP9 D: refers to the next lower spatial layer of its picture
	NotRefAbove  bool // VP9 Z: no higher spatial layer of the picture refers to it

	Width, Height uint16 // of the largest layer, if the packet says so

	Dependency Dependency // meaningful if its Structure is not nil
}

// Reader describes the packets of one stream in order of arrival. The stream owns it.
type Reader struct {
	dd        ddState
	seen      bool
	lastSeq   sfu.ExtSeq
	timestamp uint32
}

// Describe fills d from the packet; dd is the value of the dependency descriptor extension, nil if there is none.
// A packet without payload (padding) is described as neither start nor end of a frame. A dependency descriptor that
// cannot be read, or whose structure was lost, is left out.
func (r *Reader) Describe(c sfu.Codec, p *sfu.Packet, dd []byte, d *Description) error {
	*d = Description{}
	payload := p.Payload()
	if len(payload) == 0 {
		return nil
	}
	var err error
	switch c {
	case sfu.VP8:
		err = describeVP8(payload, p.Marker, d)
	case sfu.VP9:
		err = describeVP9(payload, d)
	case sfu.H264:
		d.StartOfFrame, d.EndOfFrame = r.firstOfTimestamp(p), p.Marker
		err = describeH264(payload, d)
	case sfu.H265:
		d.StartOfFrame, d.EndOfFrame = r.firstOfTimestamp(p), p.Marker
		err = describeH265(payload, d)
	case sfu.AV1:
		d.EndOfFrame = p.Marker
		describeAV1(payload, d)
	default: // audio: each packet is a frame that needs no other
		d.StartOfFrame, d.EndOfFrame, d.Keyframe, d.SwitchUp = true, true, true, true
	}
	if err != nil {
		return err
	}
	if dd != nil && c.Kind() == sfu.Video {
		r.applyDependency(c, p, dd, d)
	}
	return nil
}

func (r *Reader) applyDependency(c sfu.Codec, p *sfu.Packet, dd []byte, d *Description) {
	if !r.dd.read(dd, p.Seq, d) {
		return
	}
	dep := &d.Dependency
	t := &dep.Structure.Template[dep.Template]
	d.Layer = t.Layer
	d.StartOfFrame = dd[0]&0x80 != 0
	d.EndOfFrame = dd[0]&0x40 != 0
	d.Discardable = dep.discardable()
	if c == sfu.AV1 {
		// A keyframe starts a coded video sequence, whose first packet carries the structure (AV1 RTP A.8.3).
		d.Keyframe = d.StartOfFrame && dep.Attached && dep.FdiffCount == 0
	}
	if d.Keyframe && dep.Structure.HasResolutions {
		top := dep.Structure.Resolution[dep.Structure.Spatials-1]
		d.Width, d.Height = top.Width, top.Height
	}
}

// firstOfTimestamp serves the formats that do not mark the start of a frame: it is where the timestamp changes.
func (r *Reader) firstOfTimestamp(p *sfu.Packet) bool {
	if r.seen && p.Seq <= r.lastSeq {
		return false
	}
	first := !r.seen || p.Timestamp != r.timestamp
	r.seen, r.lastSeq, r.timestamp = true, p.Seq, p.Timestamp
	return first
}

// Again is a reader for packets of the stream that were described before. Its descriptions share what r learned, so that
// those of r may follow them.
func (r *Reader) Again() Reader {
	again := Reader{dd: r.dd}
	again.dd.scratch = nil
	return again
}

// ReadNumbers reads the numbers alone; unlike Describe it needs no state, so it serves retransmissions.
func ReadNumbers(c sfu.Codec, payload, dd []byte) Numbers {
	var d Description
	switch c {
	case sfu.VP8:
		if describeVP8(payload, false, &d) != nil {
			d = Description{}
		}
	case sfu.VP9:
		if describeVP9(payload, &d) != nil {
			d = Description{}
		}
	}
	if len(dd) >= 3 {
		d.Frame = uint16(dd[1])<<8 | uint16(dd[2])
		d.Has |= HasFrame
	}
	return d.Numbers
}

// Patch writes n into dst, which begins like payload and is payload itself or a copy of its first PatchSpace bytes, and
// returns how many bytes at the front may differ from the original. Zero: nothing was changed. Only fields that the payload
// descriptor has are written.
func Patch(c sfu.Codec, dst, payload []byte, n Numbers) int {
	switch c {
	case sfu.VP8:
		return patchVP8(dst, payload, n)
	case sfu.VP9:
		return patchVP9(dst, payload, n)
	}
	return 0
}

// PatchSpace is the most that Patch changes: enough to copy for it.
const PatchSpace = 6

// AudioLevel reads the client-to-mixer audio level (RFC 6464 section 3): −dBov, 127 is silence.
func AudioLevel(value []byte) (level uint8, voice, ok bool) {
	if len(value) < 1 {
		return 127, false, false
	}
	return value[0] & 0x7f, value[0]&0x80 != 0, true
}
