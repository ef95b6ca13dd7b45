package wire

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"
)

// UserPacket makes a data packet with a payload of the user's.
func UserPacket(payload []byte, topic *string, nonce []byte) []byte {
	return packet(&livekit.DataPacket{Value: &livekit.DataPacket_User{
		User: &livekit.UserPacket{Payload: payload, Topic: topic, Nonce: nonce},
	}})
}

// RPCRequest makes a data packet that calls a method.
func RPCRequest(id, method, payload string, timeout time.Duration) []byte {
	return packet(&livekit.DataPacket{Value: &livekit.DataPacket_RpcRequest{RpcRequest: &livekit.RpcRequest{
		Id: id, Method: method, Payload: payload, ResponseTimeoutMs: u32(int(timeout.Milliseconds())), Version: 1,
	}}})
}

// packet writes a packet of our own making; what is not UTF-8 in it cannot be written, and becomes nil.
func packet(p *livekit.DataPacket) []byte {
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return nil
	}
	return out
}

// RPCReply is the answer to an RPCRequest.
type RPCReply struct {
	RequestID string
	Payload   string
	Err       *RPCError // nil: success
}

// RPCError is what a method call failed with.
type RPCError struct {
	Code    uint32
	Message string
	Data    string
}

// DecodeRPCReply reads an RPC response packet; ErrUnknown for any other.
func DecodeRPCReply(packet []byte) (RPCReply, error) {
	var p livekit.DataPacket
	if err := unmarshal(packet, Binary, &p, MaxFrame); err != nil {
		return RPCReply{}, err
	}
	r := p.GetRpcResponse()
	if r == nil {
		return RPCReply{}, fmt.Errorf("%w: not an RPC response", ErrUnknown)
	}
	out := RPCReply{RequestID: r.GetRequestId(), Payload: r.GetPayload()}
	if e := r.GetError(); e != nil {
		out.Err = &RPCError{Code: e.GetCode(), Message: e.GetMessage(), Data: e.GetData()}
	}
	return out, nil
}

// EncodeRPCReply makes the packet that answers a method call.
func EncodeRPCReply(r RPCReply) []byte {
	m := &livekit.RpcResponse{RequestId: r.RequestID, Value: &livekit.RpcResponse_Payload{Payload: r.Payload}}
	if r.Err != nil {
		m.Value = &livekit.RpcResponse_Error{Error: &livekit.RpcError{
			Code: r.Err.Code, Message: r.Err.Message, Data: r.Err.Data,
		}}
	}
	return packet(&livekit.DataPacket{Value: &livekit.DataPacket_RpcResponse{RpcResponse: m}})
}
