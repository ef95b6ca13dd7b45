package media

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/sctp"
)

// This file reads data channels. pion's streams block their readers and tell nobody when there is something to read; a
// goroutine for each would be a quarter of those of a participant, nearly always idle. Here a stream whose read deadline
// has passed is read without waiting, after each packet that came for the association; a goroutine lives while there is
// something to hand on, so that a slow session holds up the one channel only.

// watched is the connection below the association: when it comes for the next packet, the one before is in the streams.
type watched struct {
	*dtls.Conn
	d *channels
}

func (w *watched) Read(b []byte) (int, error) {
	w.d.look()
	return w.Conn.Read(b)
}

// look starts reading what can be read.
func (d *channels) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.streams {
		if c.reading {
			c.more = true
			continue
		}
		if _, _, err := c.stream.ReadSCTP(nil); errors.Is(err, sctp.ErrReadDeadlineExceeded) {
			continue // nothing came, and it has not ended
		}
		d.start(c)
	}
}

// start is called with mu held.
func (d *channels) start(c *channel) {
	c.reading = true
	d.t.tasks.Go(func() { d.read(c) })
}

// serve begins to read a stream; false: there are too many. The first reader waits for the deadline to pass, alone; after
// it nobody waits.
func (d *channels) serve(c *channel) bool {
	_ = c.stream.SetReadDeadline(time.Unix(1, 0)) // it cannot fail
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.streams) >= maxStreams {
		return false
	}
	d.streams = append(d.streams, c)
	d.start(c)
	return true
}

// read handles messages until there are no more.
func (d *channels) read(c *channel) {
	for {
		if !d.readAll(c) {
			d.end(c)
			return
		}
		d.mu.Lock()
		c.reading, c.more = c.more, false
		again := c.reading
		d.mu.Unlock()
		if !again {
			return
		}
	}
}

// end takes a channel away that its far side closed, or that broke a rule.
func (d *channels) end(c *channel) {
	_ = c.stream.Close() // a reset is answered by a reset (RFC 8831 section 6.7)
	d.mu.Lock()
	d.streams = slices.DeleteFunc(d.streams, func(o *channel) bool { return o == c })
	last := c.known && c.label == "" && d.open[c.kind] == c
	if last {
		d.open[c.kind] = nil
	}
	d.mu.Unlock()
	if last {
		d.t.tell(ChannelClosed{c.kind})
	}
}

// readAll handles the messages that are there; false: the stream ended, or breaks a rule.
func (d *channels) readAll(c *channel) bool {
	for {
		// The length first, then a buffer of that length: an idle channel holds none.
		n, _, err := c.stream.ReadSCTP(nil)
		if errors.Is(err, sctp.ErrReadDeadlineExceeded) {
			return true
		}
		if !errors.Is(err, io.ErrShortBuffer) || n > MaxMessageSize {
			return false
		}
		b := make([]byte, n)
		n, ppid, err := c.stream.ReadSCTP(b)
		if err != nil || !d.message(c, b[:n], ppid) {
			return false
		}
	}
}

// message handles one; false: it breaks a rule.
func (d *channels) message(c *channel, b []byte, ppid sctp.PayloadProtocolIdentifier) bool {
	if ppid == sctp.PayloadTypeWebRTCDCEP {
		return d.control(c, b)
	}
	if !c.known && !d.adopt(c) {
		return false
	}
	switch ppid {
	case sctp.PayloadTypeWebRTCBinaryEmpty, sctp.PayloadTypeWebRTCStringEmpty:
		b = b[:0] // stands for nothing (RFC 8831 section 6.6)
	}
	d.received.Add(1)
	if d.t.cfg.Pace != nil { // not in tell: events of the transport, and whoever holds them up, go on
		d.t.cfg.Pace(c.kind, len(b), d.t.ctx.Done())
	}
	d.t.tell(DataReceived{
		Channel: c.kind, Label: c.label, Payload: b,
		Text: ppid == sctp.PayloadTypeWebRTCString || ppid == sctp.PayloadTypeWebRTCStringEmpty,
	})
	return true
}
