package session

import (
	"time"

	"weir/sfu"
)

const (
	maxNonce    = 64               // bytes; the outside API uses 16
	nonceMemory = 256              // nonces remembered per sender
	callLife    = 25 * time.Second // of a remote procedure call: ack 7 s, response 15 s, and the way
	maxCalls    = 1000             // calls from outside at one time
)

// packets is what a session keeps of data packets.
type packets struct {
	count  uint64      // reliable packets so far: their order
	inside replayCache // sent by participants
	api    replayCache // sent from outside
	nonces nonces      // of the outside API
	calls  map[string]call
}

// call is a remote procedure call from outside that waits for its response.
type call struct {
	until time.Time
	to    map[sfu.Identity]struct{}
}

func newPackets() packets { return packets{calls: map[string]call{}} }

// inbound is what a sender's packets are checked against.
type inbound struct {
	last   uint32 // highest reliable sequence
	nonces nonces
}

// nonces remembers the last ones; the zero value is empty.
type nonces struct {
	seen map[string]struct{}
	ring []string
	next int
}

// fresh remembers n, and reports whether it was not known. No nonce is always fresh.
func (n *nonces) fresh(nonce string) bool {
	if nonce == "" {
		return true
	}
	if len(nonce) > maxNonce {
		return false
	}
	if _, ok := n.seen[nonce]; ok {
		return false
	}
	if n.seen == nil {
		n.seen = map[string]struct{}{}
	}
	if len(n.ring) < nonceMemory {
		n.ring = append(n.ring, nonce)
	} else {
		delete(n.seen, n.ring[n.next])
		n.ring[n.next] = nonce
		n.next = (n.next + 1) % nonceMemory
	}
	n.seen[nonce] = struct{}{}
	return true
}

// dataArrived forwards what a participant sent on a data channel (livekit.md section 7).
func (s *Session) dataArrived(ev DataArrived) {
	p := s.byID[ev.ID]
	if p == nil || !p.grant.PublishData {
		return
	}
	if ev.Channel == DataTracks {
		s.dataTrackPacket(p, ev.Payload)
		return
	}
	if s.codec == nil {
		return
	}
	d, err := s.codec.Decode(ev.Payload)
	if err != nil {
		return
	}
	d.Reliable = ev.Channel == Reliable
	if !s.maySend(p, &d) || s.replied(p, d, ev.Payload) {
		return
	}
	d.Sender, d.Identity = p.id, p.identity
	if p.hidden() {
		d.Sender, d.Identity = "", ""
	}
	b, err := s.codec.Stamp(ev.Payload, d)
	if err != nil {
		return
	}
	s.deliver(p, b, d, &s.packets.inside)
}

// maySend says whether p may send d, and has not sent it before.
func (s *Session) maySend(p *participant, d *Data) bool {
	switch {
	case d.Kind == DataUnknown:
		return false
	case d.Kind == DataTranscription && !p.grant.Agent && p.kind != Agent:
		return false
	case !d.Reliable:
		d.Sequence = 0 // clients take any sequence for a reliable one
	case d.Sequence != 0 && d.Sequence <= p.inbound.last:
		return false
	case d.Sequence != 0:
		p.inbound.last = d.Sequence
	}
	return p.inbound.nonces.fresh(d.Nonce)
}

// replied hands an ack or response to the caller outside, if it is for one.
func (s *Session) replied(p *participant, d Data, packet []byte) bool {
	if d.Kind != DataRPCAck && d.Kind != DataRPCResponse {
		return false
	}
	c, ok := s.packets.calls[d.RequestID]
	if _, callee := c.to[p.identity]; !ok || !callee {
		return false
	}
	if d.Kind == DataRPCResponse {
		delete(s.packets.calls, d.RequestID)
	}
	if s.now.Before(c.until) {
		s.do(RPCReplied{RequestID: d.RequestID, From: p.identity, Packet: packet})
	}
	return true
}

// addressed says whether d from p (nil: outside) is for q.
func addressed(p *participant, d *Data, q *participant) bool {
	if q == p || (d.Kind == DataMetrics && !q.grant.Metrics) {
		return false
	}
	if len(d.To) == 0 && len(d.ToSIDs) == 0 {
		return true
	}
	for _, id := range d.To {
		if id == q.identity {
			return true
		}
	}
	for _, id := range d.ToSIDs {
		if id == q.id {
			return true
		}
	}
	return false
}

// receivers are those here that d is for, each once.
func (s *Session) receivers(p *participant, d *Data) []*participant {
	if len(d.To) == 0 && len(d.ToSIDs) == 0 {
		list := make([]*participant, 0, len(s.order))
		for _, q := range s.order {
			if addressed(p, d, q) {
				list = append(list, q)
			}
		}
		return list
	}
	var list []*participant
	taken := map[*participant]bool{}
	take := func(q *participant) {
		if q != nil && !taken[q] && addressed(p, d, q) {
			taken[q] = true
			list = append(list, q)
		}
	}
	for _, id := range d.To {
		take(s.byIdentity[id])
	}
	for _, id := range d.ToSIDs {
		take(s.byID[id])
	}
	return list
}

// deliver sends a stamped packet to those who can take it now; reliable ones are kept for those who soon can.
func (s *Session) deliver(p *participant, packet []byte, d Data, cache *replayCache) {
	var to []sfu.ParticipantID
	for _, q := range s.receivers(p, &d) {
		if (d.Reliable && q.ready()) || (!d.Reliable && q.state == Active && q.outlet.lossy) {
			to = append(to, q.id)
		}
	}
	channel := Lossy
	if d.Reliable {
		channel = Reliable
		s.packets.count++
		cache.add(cached{order: s.packets.count, at: s.now, from: p, data: d, packet: packet})
	}
	if len(to) > 0 {
		s.do(SendData{To: to, Channel: channel, Payload: packet})
	}
}

// send delivers a packet from outside.
func (s *Session) send(ev Send) error {
	if s.codec == nil {
		return ErrBadPacket
	}
	d, err := s.codec.Decode(ev.Packet)
	if err != nil {
		return ErrBadPacket
	}
	d.Reliable, d.Sequence, d.Nonce = ev.Reliable, 0, ev.Nonce
	d.To, d.ToSIDs = ev.To, ev.ToSIDs
	d.Sender, d.Identity = "", sfu.Identity(ev.RequestID)
	if ev.RequestID != "" {
		if err := s.expectReply(ev); err != nil {
			return err
		}
	}
	if !s.packets.nonces.fresh(ev.Nonce) {
		return nil // it was delivered already
	}
	b, err := s.codec.Stamp(ev.Packet, d)
	if err != nil {
		return ErrBadPacket
	}
	s.deliver(nil, b, d, &s.packets.api)
	return nil
}

// expectReply opens a call from outside.
func (s *Session) expectReply(ev Send) error {
	c := call{until: s.now.Add(callLife), to: map[sfu.Identity]struct{}{}}
	for _, id := range ev.To {
		if s.byIdentity[id] == nil {
			return ErrNoParticipant
		}
		c.to[id] = struct{}{}
	}
	for id, old := range s.packets.calls {
		if !s.now.Before(old.until) {
			delete(s.packets.calls, id)
		}
	}
	if len(s.packets.calls) >= maxCalls {
		return ErrTooLarge
	}
	s.packets.calls[ev.RequestID] = c
	return nil
}
