package socket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/wire"
)

// Limits of remote procedure calls (livekit.md section 7).
const (
	rpcMaxPayload = 15360           // bytes
	rpcAckTimeout = 7 * time.Second // for the participant to say that it heard
	rpcTimeout    = 15 * time.Second
	rpcMaxTimeout = time.Minute
	rpcMaxPending = 1024 // of the node
)

// calls are the remote procedure calls from outside that wait for participants.
type calls struct {
	mu      sync.Mutex
	pending map[string]*pendingCall // by request id
}

// pendingCall is one of them. replies has room for the ack and the response: whoever hands them over never waits.
type pendingCall struct {
	session sfu.SessionID
	callee  sfu.Identity
	replies chan []byte
}

func (c *calls) add(id string, p *pendingCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) >= rpcMaxPending {
		return false
	}
	if c.pending == nil {
		c.pending = make(map[string]*pendingCall)
	}
	c.pending[id] = p
	return true
}

func (c *calls) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// Replied takes what a participant answered to a call from outside. It never blocks; the session loops call it.
// An answer from anybody but the callee is not an answer.
func (s *Server) Replied(id sfu.SessionID, r session.RPCReplied) {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	p := s.calls.pending[r.RequestID]
	if p == nil || p.session != id || p.callee != r.From {
		return
	}
	select {
	case p.replies <- r.Packet:
	default: // more than an ack and a response: the first two count
	}
}

// performRPC calls a method of a participant, as if a participant named like the request had called it.
func (s *Server) performRPC(ctx context.Context, asked wire.PerformRPC) (wire.Reply, error) {
	switch {
	case asked.Identity == "":
		return nil, unnamed
	case len(asked.Payload) > rpcMaxPayload:
		return nil, wire.Fault{Code: wire.InvalidArgument, Text: "payload too large"}
	}
	timeout := min(asked.Timeout, rpcMaxTimeout)
	if timeout <= 0 {
		timeout = rpcTimeout
	}
	id := newID("RPC_")
	p := &pendingCall{session: asked.Session, callee: asked.Identity, replies: make(chan []byte, 2)}
	if !s.calls.add(id, p) {
		return nil, wire.Fault{Code: wire.ResourceExhausted, Text: "too many calls"}
	}
	defer s.calls.remove(id)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := s.focus.Call(ctx, asked.Session, session.Send{
		Packet: wire.RPCRequest(id, asked.Method, asked.Payload, timeout), Reliable: true,
		To: []sfu.Identity{asked.Identity}, RequestID: id,
	})
	if err != nil {
		return nil, err
	}
	return p.wait(ctx)
}

// wait for the response; without an ack, not for long.
func (p *pendingCall) wait(ctx context.Context) (wire.Reply, error) {
	ack := time.NewTimer(rpcAckTimeout)
	defer ack.Stop()
	for {
		select {
		case packet := <-p.replies:
			reply, err := wire.DecodeRPCReply(packet)
			if errors.Is(err, wire.ErrUnknown) { // the ack
				ack.Stop()
				continue
			}
			if err != nil {
				return nil, wire.Fault{Code: wire.Unavailable, Text: "the response could not be read"}
			}
			if e := reply.Err; e != nil {
				return nil, wire.Fault{Code: wire.FailedPrecondition, Text: fmt.Sprintf("rpc error %d: %s", e.Code, e.Message)}
			}
			return wire.RPCResult{Payload: reply.Payload}, nil
		case <-ack.C:
			return nil, wire.Fault{Code: wire.Unavailable, Text: "the participant did not acknowledge the call"}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
