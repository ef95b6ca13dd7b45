package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"

	"weir/sfu"
	"weir/sfu/session"
)

var _ session.DataCodec = DataCodec{}

func bytesOf(t testing.TB, p *livekit.DataPacket) []byte {
	t.Helper()
	raw, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func user(u *livekit.UserPacket) *livekit.DataPacket_User { return &livekit.DataPacket_User{User: u} }

func TestDataDecode(t *testing.T) {
	for name, c := range map[string]struct {
		packet *livekit.DataPacket
		want   session.Data
	}{
		"empty": {&livekit.DataPacket{}, session.Data{Kind: session.DataUnknown, Reliable: true}},
		"user": {
			&livekit.DataPacket{
				Sequence: 65535, ParticipantSid: "PA_lie", ParticipantIdentity: "lie", DestinationIdentities: []string{"a", "b"},
				Value: user(&livekit.UserPacket{
					Payload: []byte("p"), Nonce: []byte{0, 1}, DestinationIdentities: []string{"c"}, DestinationSids: []string{"PA_d"},
				}),
			},
			session.Data{
				Sender: "PA_lie", Identity: "lie", To: []sfu.Identity{"a", "b"}, ToSIDs: []sfu.ParticipantID{"PA_d"},
				Sequence: 65535, Nonce: "\x00\x01", Reliable: true,
			},
		},
		"old destinations": {
			&livekit.DataPacket{Kind: livekit.DataPacket_LOSSY, Value: user(&livekit.UserPacket{DestinationIdentities: []string{"c"}})},
			session.Data{To: []sfu.Identity{"c"}},
		},
		"transcription": {
			&livekit.DataPacket{Value: &livekit.DataPacket_Transcription{Transcription: &livekit.Transcription{}}},
			session.Data{Kind: session.DataTranscription, Reliable: true},
		},
		"metrics": {
			&livekit.DataPacket{Value: &livekit.DataPacket_Metrics{Metrics: &livekit.MetricsBatch{}}},
			session.Data{Kind: session.DataMetrics, Reliable: true},
		},
		"speakers": {
			&livekit.DataPacket{Value: &livekit.DataPacket_Speaker{Speaker: &livekit.ActiveSpeakerUpdate{}}},
			session.Data{Kind: session.DataUnknown, Reliable: true},
		},
		"ack": {
			&livekit.DataPacket{Value: &livekit.DataPacket_RpcAck{RpcAck: &livekit.RpcAck{RequestId: "r1"}}},
			session.Data{Kind: session.DataRPCAck, RequestID: "r1", Reliable: true},
		},
		"response": {
			&livekit.DataPacket{Value: &livekit.DataPacket_RpcResponse{RpcResponse: &livekit.RpcResponse{
				RequestId: "r2", Value: &livekit.RpcResponse_Payload{Payload: "x"},
			}}},
			session.Data{Kind: session.DataRPCResponse, RequestID: "r2", Reliable: true},
		},
		"encrypted": {
			&livekit.DataPacket{Value: &livekit.DataPacket_EncryptedPacket{EncryptedPacket: &livekit.EncryptedPacket{}}},
			session.Data{Reliable: true},
		},
		"chunk": {
			&livekit.DataPacket{Value: &livekit.DataPacket_StreamChunk{StreamChunk: &livekit.DataStream_Chunk{StreamId: "s"}}},
			session.Data{Reliable: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DataCodec{}.Decode(bytesOf(t, c.packet))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestDataRefused(t *testing.T) {
	tag := protowire.AppendTag
	for name, packet := range map[string][]byte{
		"cut":               bytesOf(t, &livekit.DataPacket{Value: user(&livekit.UserPacket{Payload: []byte("payload")})})[:4],
		"sender not UTF-8":  protowire.AppendString(tag(nil, fieldSender, protowire.BytesType), "\xff"),
		"sender a number":   protowire.AppendVarint(tag(nil, fieldSender, protowire.VarintType), 1),
		"sequence a string": protowire.AppendString(tag(nil, fieldSequence, protowire.BytesType), "1"),
		"user a number":     protowire.AppendVarint(tag(nil, fieldUser, protowire.VarintType), 1),
		"two values": append(UserPacket([]byte("a"), nil, nil),
			bytesOf(t, &livekit.DataPacket{Value: &livekit.DataPacket_Transcription{Transcription: &livekit.Transcription{}}})...),
		"user twice": append(UserPacket([]byte("a"), nil, nil), UserPacket([]byte("b"), nil, nil)...),
		"garbage":    {0x07},
	} {
		if got, err := (DataCodec{}).Decode(packet); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestDataStamp(t *testing.T) {
	topic := "topic"
	packet := bytesOf(t, &livekit.DataPacket{
		Kind: livekit.DataPacket_LOSSY, ParticipantSid: "PA_lie", ParticipantIdentity: "lie", DestinationIdentities: []string{"me"},
		Sequence: 7, Value: user(&livekit.UserPacket{
			ParticipantSid: "PA_lie", ParticipantIdentity: "lie", Payload: []byte("payload"), Topic: &topic, Nonce: []byte("n"),
			DestinationIdentities: []string{"me"}, DestinationSids: []string{"PA_me"},
		}),
	})
	unknown := protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "from the future")
	packet = append(packet, unknown...)
	d := session.Data{
		Sender: "PA_true", Identity: "true", To: []sfu.Identity{"x", "y"}, ToSIDs: []sfu.ParticipantID{"PA_x"}, Sequence: 32768, Reliable: true,
	}
	out, err := DataCodec{}.Stamp(packet, d)
	if err != nil {
		t.Fatal(err)
	}
	var got livekit.DataPacket
	if err := proto.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	want := &livekit.DataPacket{
		ParticipantSid: "PA_true", ParticipantIdentity: "true", DestinationIdentities: []string{"x", "y"}, Sequence: 32768,
		Value: user(&livekit.UserPacket{
			ParticipantSid: "PA_true", ParticipantIdentity: "true", Payload: []byte("payload"), Topic: &topic, Nonce: []byte("n"),
			DestinationIdentities: []string{"x", "y"}, DestinationSids: []string{"PA_x"},
		}),
	}
	want.ProtoReflect().SetUnknown(unknown)
	if !proto.Equal(&got, want) {
		t.Errorf("\n got %v\nwant %v", &got, want)
	}

	hidden, err := DataCodec{}.Stamp(packet, session.Data{})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(hidden, []byte("lie")) || bytes.Contains(hidden, []byte("PA_")) {
		t.Error("what the sender said of itself stayed")
	}
}

func TestRPCPackets(t *testing.T) {
	d, err := DataCodec{}.Decode(RPCRequest("id", "greet", "hello", 15*time.Second))
	if err != nil || d.Kind != session.DataUser || !d.Reliable {
		t.Errorf("a call is an ordinary reliable packet: %+v %v", d, err)
	}
	for _, want := range []RPCReply{
		{RequestID: "id", Payload: "hi"}, {RequestID: "id"}, {RequestID: "id", Err: &RPCError{Code: 1500, Message: "m", Data: "d"}},
	} {
		got, err := DecodeRPCReply(EncodeRPCReply(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := DecodeRPCReply(UserPacket(nil, nil, nil)); !errors.Is(err, ErrUnknown) {
		t.Errorf("not a reply: %v", err)
	}
}

// A packet passes through the codec for each message on a data channel: two allocations to stamp, one per text read.
func TestDataAllocations(t *testing.T) {
	packet := UserPacket(make([]byte, 1000), nil, nil)
	stamp := session.Data{Sender: "PA_0123456789ab", Identity: "@alice:example.org:DEVICE", Sequence: 1, Reliable: true}
	if n := testing.AllocsPerRun(100, func() { _, _ = DataCodec{}.Decode(packet) }); n > 0 {
		t.Errorf("decoding a plain packet allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = DataCodec{}.Stamp(packet, stamp) }); n > 2 {
		t.Errorf("stamping allocates %v times", n)
	}
}

func BenchmarkDataStamp(b *testing.B) {
	packet := UserPacket(make([]byte, 1000), nil, nil)
	stamp := session.Data{Sender: "PA_0123456789ab", Identity: "@alice:example.org:DEVICE", Sequence: 1, Reliable: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (DataCodec{}).Stamp(packet, stamp); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzData: what Decode takes can be stamped; a stamped packet says exactly what the stamp says, and stamping it again
// changes nothing.
func FuzzData(f *testing.F) {
	topic := "t"
	for _, p := range []*livekit.DataPacket{
		{},
		{Kind: livekit.DataPacket_LOSSY, Value: user(&livekit.UserPacket{Payload: []byte("x"), Topic: &topic, DestinationSids: []string{"PA"}})},
		{Sequence: 65535, DestinationIdentities: []string{"a"}, Value: &livekit.DataPacket_RpcAck{RpcAck: &livekit.RpcAck{RequestId: "r"}}},
		{Value: &livekit.DataPacket_StreamHeader{StreamHeader: &livekit.DataStream_Header{StreamId: "s"}}},
	} {
		f.Add(bytesOf(f, p), "PA_x", "x", "y", uint32(1), true)
	}
	f.Fuzz(func(t *testing.T, packet []byte, sender, identity, to string, sequence uint32, reliable bool) {
		d, err := DataCodec{}.Decode(packet)
		if err != nil {
			typed(t, err)
			return
		}
		stamp := session.Data{
			Sender: sfu.ParticipantID(sender), Identity: sfu.Identity(identity), Sequence: sequence, Reliable: reliable,
			Kind: d.Kind, Nonce: d.Nonce, RequestID: d.RequestID,
		}
		if to != "" {
			stamp.To = []sfu.Identity{sfu.Identity(to)}
		}
		out, err := DataCodec{}.Stamp(packet, stamp)
		if err != nil {
			t.Fatalf("what was read cannot be stamped: %v", err)
		}
		got, err := DataCodec{}.Decode(out)
		if err != nil {
			for _, text := range []string{sender, identity, to} {
				if !validText(text) {
					return // never ours: identities come from tokens and are UTF-8
				}
			}
			t.Fatalf("what was stamped cannot be read: %v", err)
		}
		if !reflect.DeepEqual(got, stamp) {
			t.Fatalf("\n got %+v\nwant %+v", got, stamp)
		}
		again, err := DataCodec{}.Stamp(out, stamp)
		if err != nil || !bytes.Equal(out, again) {
			t.Fatalf("stamping twice differs: %v", err)
		}
	})
}

func validText(s string) bool { return bytes.Equal([]byte(s), bytes.ToValidUTF8([]byte(s), nil)) }
