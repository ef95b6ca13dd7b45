package bench

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"weir/e2ee/keyring"
	"weir/sfu"
	"weir/sfu/codec"
	"weir/sfu/media"
	"weir/sfu/negotiate"
)

const (
	packetMost   = 1100 // bytes of a frame in one packet: with headers it stays below any MTU
	historySlots = 256
	slotSize     = 1280
	reportEvery  = int64(time.Second)
	stampLen     = 12
)

// stampMagic stands before the time in a stamped payload.
var stampMagic = [4]byte{'W', 'b', 0xc1, 0xed}

func putStamp(b []byte, now int64) {
	copy(b, stampMagic[:])
	binary.BigEndian.PutUint64(b[4:], uint64(now))
}

// readStamp finds the stamp at the end of a payload.
func readStamp(b []byte) (int64, bool) {
	if len(b) < stampLen {
		return 0, false
	}
	b = b[len(b)-stampLen:]
	if [4]byte(b) != stampMagic {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b[4:])), true
}

// outgoing sends one RTP stream. The pump owns due, place and stopped, under its lock; the rest is guarded by the lock
// of the transport's Outbound.
type outgoing struct {
	due     int64
	place   int
	stopped bool

	leg         *leg
	publication *Publication
	stream      *Stream
	cname       string
	mid         string
	ids         negotiate.Extensions
	pt, rtxPT   uint8
	ssrc, rtx   uint32

	seq, rtxSeq sfu.ExtSeq
	base        uint32 // RTP timestamp at the run's beginning
	pictureID   uint16
	known       atomic.Bool // the far side has reported on the SSRC: mid and rid are not repeated any more
	keyframe    atomic.Bool // asked for
	muted       atomic.Bool
	reported    int64
	packets     uint32
	octets      uint32
	frames      uint64
	keyframes   uint64
	repaired    uint64
	sealer      *keyring.Sealer
	ring        *keyring.Ring
	keys        Keys // instead of ring
	sealed      []byte
	scratch     []byte
	head        []byte
	history     []byte // historySlots slots: length and number (2 each), marker (1), at 8 the timestamp, at 12 the payload
}

// send sends the next frame at now; false: nothing could be sent.
func (o *outgoing) send(now int64) bool {
	out := o.leg.transport.Outbound()
	if !out.Ready() || o.muted.Load() {
		return false
	}
	out.Lock()
	defer out.Unlock()
	frame, key := o.stream.Feed.Frame(o.keyframe.Swap(false))
	if frame == nil {
		return false
	}
	o.frames++
	if key {
		o.keyframes++
	}
	clock := o.publication.Codec.ClockRate()
	// Whole seconds apart, so that the product fits: the timestamp follows the time the frame was due.
	timestamp := o.base + uint32(o.due/1e9*int64(clock)+o.due%1e9*int64(clock)/1e9)
	if o.sealer != nil {
		if o.publication.Stamped {
			o.scratch = append(o.scratch[:0], frame...)
			putStamp(o.scratch[len(o.scratch)-stampLen:], now)
			frame = o.scratch
		}
		var err error
		if o.keys != nil {
			o.sealed, err = o.keys.Seal(o.sealed[:0], o.sealer, o.publication.Codec, frame, timestamp)
		} else {
			o.sealed, err = o.sealer.Seal(o.sealed[:0], o.ring, o.publication.Codec, frame, timestamp)
		}
		if err != nil {
			return false
		}
		frame = o.sealed
	}
	o.packetise(now, timestamp, frame, key)
	if now-o.reported >= reportEvery {
		o.reported = now
		o.head = appendSR(o.head[:0], o.ssrc, ntp(now), timestamp, o.packets, o.octets, o.cname)
		o.leg.burst.SendRTCP(out, o.head)
	}
	return true
}

// packetise cuts the frame into packets of about equal size.
func (o *outgoing) packetise(now int64, timestamp uint32, frame []byte, key bool) {
	if o.publication.AnnexB {
		o.units(now, timestamp, frame)
		return
	}
	if o.publication.Codec == sfu.H264 {
		o.packetiseNAL(now, timestamp, frame, key)
		return
	}
	count := max(1, (len(frame)+packetMost-1)/packetMost)
	size := (len(frame) + count - 1) / count
	o.pictureID = (o.pictureID + 1) & 0x7fff
	var prefix [8]byte
	for i := range count {
		part := frame[min(i*size, len(frame)):min((i+1)*size, len(frame))]
		p := descriptor(prefix[:0], o.publication.Codec, o.pictureID, i == 0, i == count-1, key)
		o.packet(now, timestamp, p, part, i == count-1)
	}
}

// packetiseNAL cuts a frame of one NAL unit, behind its parameter sets if it is an IDR picture.
func (o *outgoing) packetiseNAL(now int64, timestamp uint32, nal []byte, key bool) {
	if key {
		o.packet(now, timestamp, nil, parameterSets, false)
	}
	if len(nal) <= packetMost {
		o.packet(now, timestamp, nil, nal, true)
		return
	}
	body := nal[1:]
	count := (len(body) + packetMost - 1) / packetMost
	size := (len(body) + count - 1) / count
	var prefix [2]byte
	for i := range count {
		part := body[min(i*size, len(body)):min((i+1)*size, len(body))]
		o.packet(now, timestamp, fragment(prefix[:0], nal[0], i == 0, i == count-1), part, i == count-1)
	}
}

func (o *outgoing) packet(now int64, timestamp uint32, prefix, part []byte, marker bool) {
	if o.publication.Stamped && o.sealer == nil {
		o.scratch = append(o.scratch[:0], part...)
		if len(part) > 2*stampLen { // not the parameter sets
			putStamp(o.scratch[len(part)-stampLen:], now)
		}
		part = o.scratch
	}
	if o.publication.Codec.Kind() == sfu.Audio {
		marker = o.packets == 0 // RFC 3551 section 4.1: of a talk spurt
	}
	var w codec.Writer
	w.Start(o.head[:0], codec.Header{PayloadType: o.pt, Marker: marker, Seq: o.seq.Seq(), Timestamp: timestamp, SSRC: o.ssrc})
	o.extensions(&w, now, o.ids.RID)
	o.head = w.Finish()
	o.remember(prefix, part)
	o.leg.burst.SendRTP(o.leg.transport.Outbound(), o.head, prefix, part, o.seq)
	o.seq++
	o.packets++
	o.octets += uint32(len(prefix) + len(part))
	o.leg.sent.Add(1)
}

// extensions writes what a browser writes; rid is the id of the rid or of the repaired-rid.
func (o *outgoing) extensions(w *codec.Writer, now int64, rid uint8) {
	if o.ids.TransportCC != 0 {
		b := w.Reserve(o.ids.TransportCC, 2)
		binary.BigEndian.PutUint16(b, o.leg.wide)
		o.leg.wide++
	}
	if o.ids.AbsSendTime != 0 && o.publication.Codec.Kind() == sfu.Video { // 6.18 fixed point seconds
		v := uint32(now/1e9%64)<<18 | uint32(now%1e9<<18/1e9)
		copy(w.Reserve(o.ids.AbsSendTime, 3), []byte{byte(v >> 16), byte(v >> 8), byte(v)})
	}
	if o.ids.AudioLevel != 0 && o.publication.Codec.Kind() == sfu.Audio {
		v := o.publication.Level // RFC 6464: V and the level
		if v < 127 {
			v |= 0x80
		}
		w.Reserve(o.ids.AudioLevel, 1)[0] = v
	}
	if !o.known.Load() {
		add(w, o.ids.Mid, o.mid)
		if o.stream.RID != "" {
			add(w, rid, o.stream.RID)
		}
	}
}

func add(w *codec.Writer, id uint8, text string) {
	if id != 0 {
		copy(w.Reserve(id, len(text)), text)
	}
}

// remember keeps the packet for retransmission. Without RTX there is none: the same index for other bytes would repeat a
// nonce.
func (o *outgoing) remember(prefix, part []byte) {
	n := len(prefix) + len(part)
	if o.rtxPT == 0 || 12+n > slotSize {
		return
	}
	if o.history == nil {
		o.history = make([]byte, historySlots*slotSize)
	}
	slot := o.slot(o.seq)
	binary.BigEndian.PutUint16(slot, uint16(n))
	binary.BigEndian.PutUint16(slot[2:], uint16(o.seq))
	slot[4] = o.head[1] // marker
	copy(slot[8:], o.head[4:8])
	copy(slot[12:], prefix)
	copy(slot[12+len(prefix):], part)
}

func (o *outgoing) slot(seq sfu.ExtSeq) []byte {
	at := int(seq%historySlots) * slotSize
	return o.history[at : at+slotSize]
}

// repair answers a NACK into b with an RTX packet (RFC 4588).
func (o *outgoing) repair(now int64, seq sfu.Seq, b *media.Burst) {
	ext := seq.Extend(o.seq)
	if o.history == nil || ext >= o.seq || ext+historySlots <= o.seq {
		return
	}
	slot := o.slot(ext)
	if binary.BigEndian.Uint16(slot[2:]) != uint16(seq) {
		return
	}
	payload := slot[12 : 12+int(binary.BigEndian.Uint16(slot))]
	var w codec.Writer
	w.Start(o.head[:0], codec.Header{
		PayloadType: o.rtxPT, Marker: slot[4]&0x80 != 0, Seq: o.rtxSeq.Seq(),
		Timestamp: binary.BigEndian.Uint32(slot[8:]), SSRC: o.rtx,
	})
	o.extensions(&w, now, o.ids.RepairedRID)
	o.head = w.Finish()
	osn := [2]byte{byte(seq >> 8), byte(seq)}
	b.SendRTP(o.leg.transport.Outbound(), o.head, osn[:], payload, o.rtxSeq)
	o.rtxSeq++
	o.repaired++
}
