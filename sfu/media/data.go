package media

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/sctp"

	"weir/sfu/session"
)

const (
	// MaxMessageSize is the longest data message we take: what the SDP announces (RFC 8841 section 6).
	MaxMessageSize = 65_536
	// reliableQueue is how much a slow reader may leave unread of one reliable channel.
	reliableQueue = 2 << 20
	// lossyQueue is what a lossy channel may always have waiting, and lossyStale how old its messages may become.
	lossyQueue = 8 << 10
	lossyStale = 100 * time.Millisecond
	// maxStreams bounds the channels that a far side may have open, maxAccepted those that it opens over time: SCTP
	// remembers a stream until both sides have closed it. A client has three, and a few more if it loses some.
	maxStreams  = 32
	maxAccepted = 1024
	maxLabel    = 256
)

var (
	// ErrNoChannel says that the channel is not open.
	ErrNoChannel = errors.New("data channel is not open")
	// ErrTooLong says that the message is longer than the far side takes.
	ErrTooLong = errors.New("data message is too long")
	// ErrDropped says that a message was dropped because the far side does not keep up.
	ErrDropped = errors.New("data message dropped: receiver too slow")
)

// Labels and negotiated ids of the three channels.
var (
	channelLabels = [...]string{session.Reliable: "_reliable", session.Lossy: "_lossy", session.DataTracks: "_data_track"}
	channelIDs    = [...]uint16{session.Reliable: 100, session.Lossy: 101, session.DataTracks: 102}
)

// channels are the data channels of one transport.
type channels struct {
	t *Transport

	sent, received, dropped, overflowed atomic.Uint64
	queued                              atomic.Uint64 // bytes of reliable data, of all time

	mu      sync.Mutex
	assoc   *sctp.Association
	open    [len(channelLabels)]*channel // the newest of each; nil: not open
	streams []*channel                   // all that are read
	most    uint32
}

// channel is one SCTP stream both ways. Whoever reads it owns it, SendData borrows the stream.
type channel struct {
	stream *sctp.Stream
	kind   session.DataChannel
	label  string // "": one of the three
	known  bool   // the far side may be told data: DCEP is done or was not needed
	jammed atomic.Bool

	// under the lock of channels
	reading bool // a goroutine reads it
	more    bool // and something came meanwhile
}

// run makes the association and serves it until it ends.
func (d *channels) run(conn *dtls.Conn, dtlsClient bool, maxMessage uint32) {
	if maxMessage == 0 {
		maxMessage = MaxMessageSize
	}
	assoc, err := sctp.ClientWithOptions( // both sides start (RFC 8832 section 4)
		sctp.WithNetConn(&watched{Conn: conn, d: d}),
		sctp.WithLoggerFactory(d.t.endpoint.quiet),
		sctp.WithMaxMessageSize(min(maxMessage, 1<<20)),
		sctp.WithEnableZeroChecksum(d.t.cfg.ZeroChecksum),
		sctp.WithEnableInterleaving(false), // browsers do not, and its queues cost memory
	)
	if err != nil {
		if d.t.ctx.Err() == nil {
			d.t.endpoint.log.Debug("SCTP failed", "error", err)
		}
		return
	}
	d.mu.Lock()
	d.assoc, d.most = assoc, maxMessage
	d.mu.Unlock()
	defer func() {
		_ = assoc.Close()
		d.look() // at the ends of the streams
	}()
	if d.t.ctx.Err() != nil {
		return
	}
	if err := d.openOurs(assoc, dtlsClient); err != nil {
		d.t.endpoint.log.Debug("data channels failed", "error", err)
		return
	}
	for range maxAccepted {
		s, err := assoc.AcceptStream()
		if err != nil {
			return
		}
		if !d.serve(&channel{stream: s}) {
			break
		}
	}
	d.t.endpoint.log.Debug("too many data channels")
}

// openOurs opens the three channels as the mode wants.
func (d *channels) openOurs(assoc *sctp.Association, dtlsClient bool) error {
	mode := d.t.cfg.Channels
	if mode == AcceptChannels {
		return nil
	}
	for kind, label := range channelLabels {
		kind := session.DataChannel(kind)
		id := channelIDs[kind]
		if mode == OpenChannels {
			id = 2 * uint16(kind) // even for the DTLS client, odd for the server (RFC 8832 section 6)
			if !dtlsClient {
				id++
			}
		}
		s, err := assoc.OpenStream(id, sctp.PayloadTypeWebRTCBinary)
		if err != nil {
			return fmt.Errorf("data channel %s: %w", label, err)
		}
		c := &channel{stream: s, kind: kind}
		if mode == NegotiatedChannels {
			d.establish(c)
		} else if _, err := s.WriteSCTP(appendOpen(nil, kind, label), sctp.PayloadTypeWebRTCDCEP); err != nil {
			return fmt.Errorf("data channel %s: %w", label, err)
		}
		d.serve(c)
	}
	return nil
}

// establish makes a channel the one to send on and tells the owner.
func (d *channels) establish(c *channel) {
	c.known = true
	if c.label != "" {
		return
	}
	c.stream.SetReliabilityParams(reliability(c.kind))
	d.mu.Lock()
	d.open[c.kind] = c
	d.mu.Unlock()
	d.t.tell(ChannelOpened{c.kind})
}

// reliability of our three channels: data tracks and lossy data come late or never.
func reliability(kind session.DataChannel) (unordered bool, how byte, value uint32) {
	if kind == session.Reliable {
		return false, sctp.ReliabilityTypeReliable, 0
	}
	return true, sctp.ReliabilityTypeRexmit, 0
}

// adopt makes a stream without DCEP a channel: it is ours before its acknowledgement, or a negotiated id.
func (d *channels) adopt(c *channel) bool {
	if d.t.cfg.Channels == OpenChannels {
		d.establish(c) // data is as good as an acknowledgement (RFC 8832 section 6)
		return true
	}
	for kind, id := range channelIDs {
		if c.stream.StreamIdentifier() == id {
			c.kind = session.DataChannel(kind)
			d.establish(c)
			return true
		}
	}
	return false
}

// control handles a DCEP message (RFC 8832 section 5).
func (d *channels) control(c *channel, b []byte) bool {
	if len(b) > 0 && b[0] == dcepAck { // one byte (RFC 8832 section 5.2); pion pads it to four
		if !c.known && d.t.cfg.Channels == OpenChannels {
			d.establish(c)
		}
		return true
	}
	o, ok := parseOpen(b)
	if !ok || c.known {
		return false
	}
	if _, err := c.stream.WriteSCTP([]byte{dcepAck}, sctp.PayloadTypeWebRTCDCEP); err != nil {
		return false
	}
	c.kind = session.Reliable
	if o.lossy {
		c.kind = session.Lossy
	}
	c.label = o.label
	for kind, label := range channelLabels {
		if o.label == label {
			c.kind, c.label = session.DataChannel(kind), ""
		}
	}
	d.establish(c)
	return true
}

// SendData queues one message; it never blocks. Lossy channels drop what would come too late; a reliable channel whose
// reader is too slow refuses and tells DataOverflow once per jam. payload is not kept.
func (t *Transport) SendData(kind session.DataChannel, payload []byte) error {
	return t.data.send(kind, payload, sctp.PayloadTypeWebRTCBinary)
}

func (d *channels) send(kind session.DataChannel, payload []byte, ppid sctp.PayloadProtocolIdentifier) error {
	if int(kind) >= len(channelLabels) || d.t.closed.Load() {
		return ErrNoChannel
	}
	d.mu.Lock()
	c, assoc, most := d.open[kind], d.assoc, d.most
	d.mu.Unlock()
	if c == nil {
		return ErrNoChannel
	}
	if len(payload) > int(most) {
		return ErrTooLong
	}
	waiting := c.stream.BufferedAmount()
	if kind != session.Reliable {
		if waiting > lossyRoom(assoc) {
			d.dropped.Add(1)
			return ErrDropped
		}
	} else if waiting+uint64(len(payload)) > reliableQueue {
		d.overflowed.Add(1)
		if !c.jammed.Swap(true) {
			d.t.tell(DataOverflow{kind})
		}
		return ErrDropped
	} else if waiting < reliableQueue/2 {
		c.jammed.Store(false)
	}
	if len(payload) == 0 {
		payload, ppid = []byte{0}, sctp.PayloadTypeWebRTCBinaryEmpty
	}
	if _, err := c.stream.WriteSCTP(payload, ppid); err != nil {
		return fmt.Errorf("data channel %s: %w", channelLabels[kind], err)
	}
	d.sent.Add(1)
	if kind == session.Reliable {
		d.queued.Add(uint64(len(payload)))
	}
	return nil
}

// lossyRoom is what the link carries in lossyStale, by SCTP's own estimate of window and round trip; at least lossyQueue.
func lossyRoom(a *sctp.Association) uint64 {
	rtt := a.SRTT() // ms; 0 before the first sample
	if rtt == 0 {
		return lossyQueue
	}
	return max(lossyQueue, uint64(float64(a.CWND())*float64(lossyStale.Milliseconds())/max(rtt, 1)))
}

func (d *channels) rtt() time.Duration {
	d.mu.Lock()
	a := d.assoc
	d.mu.Unlock()
	if a == nil {
		return 0
	}
	return time.Duration(a.SRTT() * float64(time.Millisecond))
}

func (d *channels) close() {
	d.mu.Lock()
	a := d.assoc
	d.mu.Unlock()
	if a != nil {
		_ = a.Close()
	}
}

// DataSnapshot is for metrics and /debug.
type DataSnapshot struct {
	Open                                map[string]bool
	Streams                             int
	Sent, Received, Dropped, Overflowed uint64
}

func (d *channels) snapshot() DataSnapshot {
	s := DataSnapshot{
		Open: make(map[string]bool), Sent: d.sent.Load(), Received: d.received.Load(), Dropped: d.dropped.Load(),
		Overflowed: d.overflowed.Load(),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Streams = len(d.streams)
	for kind, label := range channelLabels {
		s.Open[label] = d.open[kind] != nil
	}
	return s
}
