package wire

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"weir/sfu"
	"weir/sfu/session"
)

// Field numbers of LiveKit's DataPacket and UserPacket (livekit_models.proto). A packet is read and stamped field by
// field, not through the generated types: payloads are not copied more than once, and what we do not know passes.
const (
	fieldKind                 = 1
	fieldUser                 = 2
	fieldSpeaker              = 3
	fieldIdentity             = 4
	fieldTo                   = 5
	fieldDTMF                 = 6
	fieldTranscription        = 7
	fieldMetrics              = 8
	fieldChat                 = 9
	fieldRPCRequest           = 10
	fieldRPCAck               = 11
	fieldRPCResponse          = 12
	fieldStreamHeader         = 13
	fieldStreamChunk          = 14
	fieldStreamTrailer        = 15
	fieldSequence             = 16
	fieldSender               = 17
	fieldEncrypted            = 18
	userSender                = 1
	userPayload               = 2
	userToSIDs                = 3
	userTopic                 = 4
	userIdentity              = 5
	userTo                    = 6
	userID                    = 8
	userNonce                 = 11
	requestIDField            = 1 // in RpcAck and RpcResponse
	maxDestinations           = 10_000
	reliableKind       uint64 = 0
	lossyKind          uint64 = 1
)

// DataCodec reads and stamps LiveKit's data packets. It implements session.DataCodec and has no state.
type DataCodec struct{}

// field is one field of a message; raw is all of it, tag included.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  []byte // of BytesType
	varint uint64 // of VarintType
	raw    []byte
}

// next cuts the first field off a message.
func next(msg []byte) (f field, rest []byte, err error) {
	number, kind, tag := protowire.ConsumeTag(msg)
	if tag < 0 {
		return field{}, nil, fmt.Errorf("%w data packet", ErrMalformed)
	}
	size := protowire.ConsumeFieldValue(number, kind, msg[tag:])
	if size < 0 {
		return field{}, nil, fmt.Errorf("%w data packet", ErrMalformed)
	}
	f = field{number: number, kind: kind, raw: msg[:tag+size]}
	switch kind {
	case protowire.BytesType:
		f.value, _ = protowire.ConsumeBytes(msg[tag:])
	case protowire.VarintType:
		f.varint, _ = protowire.ConsumeVarint(msg[tag:])
	}
	return f, msg[tag+size:], nil
}

// text is the value of a string field. Such a field of another type, or that is not UTF-8, would make some receivers
// drop the packet and others not: it is refused.
func (f *field) text() (string, error) {
	if f.kind != protowire.BytesType || !utf8.Valid(f.value) {
		return "", fmt.Errorf("%w field %d of a data packet", ErrMalformed, f.number)
	}
	return string(f.value), nil
}

// Decode implements session.DataCodec.
func (DataCodec) Decode(packet []byte) (session.Data, error) {
	d := session.Data{Kind: session.DataUnknown, Reliable: true}
	var userDestinations []sfu.Identity
	values := 0
	for len(packet) > 0 {
		f, rest, err := next(packet)
		if err != nil {
			return session.Data{}, err
		}
		packet = rest
		if err := decodeField(&d, &userDestinations, &f); err != nil {
			return session.Data{}, err
		}
		// No encoder writes two members of a oneof; readers would differ on which one counts.
		if _, known := valueKind(f.number); known {
			values++
		}
	}
	if values > 1 {
		return session.Data{}, fmt.Errorf("%w data packet: %d values", ErrMalformed, values)
	}
	if len(d.To) == 0 { // older clients name them in the user packet
		d.To = userDestinations
	}
	if len(d.To) > maxDestinations || len(d.ToSIDs) > maxDestinations {
		return session.Data{}, fmt.Errorf("%w: more than %d destinations", ErrTooLarge, maxDestinations)
	}
	return d, nil
}

func decodeField(d *session.Data, userDestinations *[]sfu.Identity, f *field) (err error) {
	var s string
	switch f.number {
	case fieldKind, fieldSequence:
		if f.kind != protowire.VarintType {
			return fmt.Errorf("%w field %d of a data packet", ErrMalformed, f.number)
		}
		if f.number == fieldKind {
			d.Reliable = f.varint == reliableKind
		} else {
			d.Sequence = uint32(f.varint)
		}
	case fieldIdentity:
		s, err = f.text()
		d.Identity = sfu.Identity(s)
	case fieldSender:
		s, err = f.text()
		d.Sender = sfu.ParticipantID(s)
	case fieldTo:
		if s, err = f.text(); err == nil {
			d.To = append(d.To, sfu.Identity(s))
		}
	default:
		kind, known := valueKind(f.number)
		if !known {
			return nil
		}
		if f.kind != protowire.BytesType {
			return fmt.Errorf("%w field %d of a data packet", ErrMalformed, f.number)
		}
		d.Kind = kind
		switch f.number {
		case fieldUser:
			return decodeUser(d, userDestinations, f.value)
		case fieldRPCAck, fieldRPCResponse:
			d.RequestID, err = textField(f.value, requestIDField)
		}
	}
	return err
}

// valueKind tells what a member of the oneof is.
func valueKind(n protowire.Number) (kind session.DataKind, known bool) {
	switch n {
	case fieldUser, fieldDTMF, fieldChat, fieldRPCRequest, fieldStreamHeader, fieldStreamChunk, fieldStreamTrailer, fieldEncrypted:
		return session.DataUser, true
	case fieldTranscription:
		return session.DataTranscription, true
	case fieldMetrics:
		return session.DataMetrics, true
	case fieldRPCAck:
		return session.DataRPCAck, true
	case fieldRPCResponse:
		return session.DataRPCResponse, true
	case fieldSpeaker:
		return session.DataUnknown, true
	}
	return session.DataUnknown, false
}

func decodeUser(d *session.Data, to *[]sfu.Identity, user []byte) error {
	for len(user) > 0 {
		f, rest, err := next(user)
		if err != nil {
			return err
		}
		user = rest
		var s string
		switch f.number {
		case userSender, userIdentity, userTopic, userID:
			_, err = f.text()
		case userToSIDs:
			if s, err = f.text(); err == nil {
				d.ToSIDs = append(d.ToSIDs, sfu.ParticipantID(s))
			}
		case userTo:
			if s, err = f.text(); err == nil {
				*to = append(*to, sfu.Identity(s))
			}
		case userPayload, userNonce:
			if f.kind != protowire.BytesType {
				return fmt.Errorf("%w field %d of a user packet", ErrMalformed, f.number)
			}
			if f.number == userNonce {
				d.Nonce = string(f.value)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// textField is the last string of that number in a message; "" if there is none.
func textField(msg []byte, number protowire.Number) (string, error) {
	var out string
	for len(msg) > 0 {
		f, rest, err := next(msg)
		if err != nil {
			return "", err
		}
		msg = rest
		if f.number == number {
			if out, err = f.text(); err != nil {
				return "", err
			}
		}
	}
	return out, nil
}

// Stamp implements session.DataCodec. Kind, sender, destinations and sequence become those of d, in the packet and, for
// older receivers, in its user packet; every other field keeps its place, known or not.
func (DataCodec) Stamp(packet []byte, d session.Data) ([]byte, error) {
	room := len(packet) + 2*(len(d.Sender)+len(d.Identity)) + 64
	for _, id := range d.To {
		room += 2 * (len(id) + 4)
	}
	out := make([]byte, 0, room)
	for len(packet) > 0 {
		f, rest, err := next(packet)
		if err != nil {
			return nil, err
		}
		packet = rest
		switch f.number {
		case fieldKind, fieldSequence, fieldIdentity, fieldSender, fieldTo:
		case fieldUser:
			if out, err = stampUser(out, &f, d); err != nil {
				return nil, err
			}
		default:
			out = append(out, f.raw...)
		}
	}
	return stampFields(out, d), nil
}

func stampFields(out []byte, d session.Data) []byte {
	if !d.Reliable {
		out = protowire.AppendTag(out, fieldKind, protowire.VarintType)
		out = protowire.AppendVarint(out, lossyKind)
	}
	out = appendText(out, fieldIdentity, string(d.Identity))
	for _, id := range d.To {
		out = protowire.AppendTag(out, fieldTo, protowire.BytesType)
		out = protowire.AppendString(out, string(id))
	}
	if d.Sequence != 0 {
		out = protowire.AppendTag(out, fieldSequence, protowire.VarintType)
		out = protowire.AppendVarint(out, uint64(d.Sequence))
	}
	return appendText(out, fieldSender, string(d.Sender))
}

// stampUser writes the user packet anew, straight into out: its length stands before it, so it is counted first.
func stampUser(out []byte, f *field, d session.Data) ([]byte, error) {
	if f.kind != protowire.BytesType {
		return nil, fmt.Errorf("%w field %d of a data packet", ErrMalformed, f.number)
	}
	size := 0
	for user := f.value; len(user) > 0; {
		inner, rest, err := next(user)
		if err != nil {
			return nil, err
		}
		if user = rest; !stamped(inner.number) {
			size += len(inner.raw)
		}
	}
	stamp := stampUserFields(make([]byte, 0, 128), d)
	out = protowire.AppendTag(out, fieldUser, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(size+len(stamp)))
	for user := f.value; len(user) > 0; {
		inner, rest, err := next(user)
		if err != nil {
			return nil, err
		}
		if user = rest; !stamped(inner.number) {
			out = append(out, inner.raw...)
		}
	}
	return append(out, stamp...), nil
}

// stamped tells the fields of a user packet that the focus writes.
func stamped(n protowire.Number) bool {
	return n == userSender || n == userIdentity || n == userTo || n == userToSIDs
}

func stampUserFields(out []byte, d session.Data) []byte {
	out = appendText(out, userSender, string(d.Sender))
	for _, sid := range d.ToSIDs {
		out = protowire.AppendTag(out, userToSIDs, protowire.BytesType)
		out = protowire.AppendString(out, string(sid))
	}
	out = appendText(out, userIdentity, string(d.Identity))
	for _, id := range d.To {
		out = protowire.AppendTag(out, userTo, protowire.BytesType)
		out = protowire.AppendString(out, string(id))
	}
	return out
}

// appendText leaves an empty text out, as proto3 does.
func appendText(out []byte, n protowire.Number, text string) []byte {
	if text == "" {
		return out
	}
	out = protowire.AppendTag(out, n, protowire.BytesType)
	return protowire.AppendString(out, text)
}
