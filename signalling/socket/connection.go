package socket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"weir/sfu"
	"weir/sfu/session"
	"weir/signalling/client"
	"weir/signalling/wire"
)

const (
	// writeTimeout bounds one frame: a client that takes longer is behind, and shall resume.
	writeTimeout = 5 * time.Second
	// flushTimeout bounds what is written after the end was decided (livekit.md section 2).
	flushTimeout = 250 * time.Millisecond
	// inboxLimit is how many messages may wait while one frame is written: a join of a large call tells everybody
	// of everybody, in one go.
	inboxLimit = 2048
	// compressFrom is the size below which permessage-deflate costs more than it saves.
	compressFrom = 512
)

// connection is one signalling WebSocket. Its loop has a goroutine of its own and owns the machine and
// all writes; a second goroutine reads. It is the session's Sink.
type connection struct {
	session   sfu.SessionID
	ws        *websocket.Conn
	sessions  Registry
	machine   *client.Machine
	malformed func() // counts
	log       *slog.Logger

	inbox *inbox
	alive chan struct{} // a pong came
	stop  <-chan struct{}

	// Loop only.
	effects []client.Effect
	told    []session.Message
	refused error // a Post that failed, until the machine hears of it
	why     client.Why
	broken  bool // a write failed
	closing bool
	flushBy time.Time // set when closing
}

// received is what the reading goroutine hands to the loop: a frame, or the end.
type received struct {
	data []byte
	text bool
	end  error
}

// errTooBig ends a connection whose frame inflates over the limit.
var errTooBig = errors.New("frame inflates over the limit")

// Tell implements session.Sink. When the inbox is full the loop may be stuck in a write: closing the socket frees it,
// and whatever it writes next. Below TLS, because closing that one would wait for an alert to be written.
func (c *connection) Tell(m session.Message) {
	if c.inbox.put(m) {
		return
	}
	raw := c.ws.NetConn()
	if t, ok := raw.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn()
	}
	_ = raw.Close() // the loop is told by the inbox
}

// run lives as long as the connection.
func (c *connection) run() client.Why {
	frames := make(chan received)
	done := make(chan struct{})
	go c.read(frames, done)
	defer c.inbox.close()
	defer c.ws.Close()
	defer close(done)

	timer := time.NewTimer(0)
	defer timer.Stop()
	c.handle(client.Begin{})
	c.settle()
	for !c.closing {
		now := time.Now()
		wake := c.machine.Deadline()
		in := frames
		if after := c.machine.ReadAfter(); after.After(now) {
			in = nil // over its budget: TCP tells the client
			if after.Before(wake) {
				wake = after
			}
		}
		timer.Reset(wake.Sub(now))
		c.next(in, timer.C)
		c.settle()
	}
	c.linger(frames)
	return c.why
}

// linger waits for the client to take what was written and to answer the closing handshake. A socket closed at once,
// with bytes of the client unread, is reset by the kernel, and a leave still on its way is lost with it.
func (c *connection) linger(frames <-chan received) {
	if c.why == client.Dropped || c.why == client.Behind {
		return
	}
	timer := time.NewTimer(time.Until(c.flushBy))
	defer timer.Stop()
	for {
		select {
		case f := <-frames:
			if f.end != nil {
				return
			}
		case <-timer.C:
			return
		}
	}
}

// next waits for one thing to happen and lets the machine handle it.
func (c *connection) next(frames <-chan received, timer <-chan time.Time) {
	select {
	case f := <-frames:
		c.receive(f)
	case <-c.inbox.ready:
		c.drain()
	case <-c.inbox.full:
		c.handle(client.Lost{Why: client.Behind})
	case <-c.alive:
		c.handle(client.Alive{})
	case <-timer:
		c.handle(client.Tick{})
	case <-c.stop:
		c.drain()
		c.handle(client.Lost{Why: client.Stopping})
	}
}

func (c *connection) receive(f received) {
	switch {
	case f.end == nil:
		c.handle(client.Frame{Data: f.data, Text: f.text})
	case errors.Is(f.end, errTooBig), errors.Is(f.end, websocket.ErrReadLimit):
		c.log.Debug("frame over the limit", "err", f.end)
		c.handle(client.Lost{Why: client.TooBig})
	case c.inbox.overflowed():
		c.handle(client.Lost{Why: client.Behind})
	default:
		c.log.Debug("signalling socket ended", "err", f.end)
		c.handle(client.Lost{Why: client.Dropped})
	}
}

// drain hands the machine all that the session has told so far.
func (c *connection) drain() {
	c.told = c.inbox.take(c.told)
	for _, m := range c.told {
		c.handle(client.Told{Message: m})
	}
}

// handle lets an event happen, and what follows from it.
func (c *connection) handle(ev client.Event) {
	c.effects = c.machine.Handle(time.Now(), ev, c.effects[:0])
	for _, eff := range c.effects {
		c.do(eff)
	}
	clear(c.effects)
}

// settle tells the machine of a post that failed. What the session said before it went comes first: it may be the reason.
func (c *connection) settle() {
	for c.refused != nil && !c.closing {
		err := c.refused
		c.refused = nil
		c.drain()
		c.handle(client.Refused{Err: err})
	}
}

func (c *connection) do(eff client.Effect) {
	switch eff := eff.(type) {
	case client.Post:
		if err := c.sessions.Post(c.session, eff.Event); err != nil && c.refused == nil {
			c.refused = err
		}
	case client.Write:
		c.write(eff)
	case client.Pause:
		time.Sleep(eff.For)
	case client.Ping:
		_ = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout)) // a broken socket shows in the reader
	case client.Malformed:
		c.malformed()
		c.log.Debug("malformed frame", "err", eff.Err)
	case client.Unsaid:
		c.log.Error("message could not be encoded", "err", eff.Err)
	case client.Close:
		c.why = eff.Why
		c.closing = true
		c.farewell(eff.Why)
	}
}

// write sends one frame. A failure is not handled here: it breaks the socket, and the reader reports it, after what the
// client had said before. One that leaves often closes its end while we write, and would stay as a ghost if its leave
// were not read.
func (c *connection) write(w client.Write) {
	kind := websocket.BinaryMessage
	if w.Text {
		kind = websocket.TextMessage
	}
	c.ws.EnableWriteCompression(len(w.Data) >= compressFrom)
	_ = c.ws.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := c.ws.WriteMessage(kind, w.Data); err != nil {
		if c.broken {
			return
		}
		c.broken = true
		c.log.Debug("write failed", "err", err)
		_ = c.ws.NetConn().SetReadDeadline(time.Now().Add(flushTimeout))
	}
}

// farewell starts the closing handshake (RFC 6455 section 7.1.2). What was written before is with the kernel already;
// the client gets flushTimeout to take it and to answer.
func (c *connection) farewell(why client.Why) {
	c.flushBy = time.Now().Add(flushTimeout)
	msg := websocket.FormatCloseMessage(why.Status(), why.String())
	_ = c.ws.WriteControl(websocket.CloseMessage, msg, c.flushBy)
}

// read is the reading goroutine. It ends with the socket, or when the loop has ended.
func (c *connection) read(frames chan<- received, done <-chan struct{}) {
	c.ws.SetReadLimit(wire.MaxFrame)
	answer := c.ws.PingHandler()
	c.ws.SetPingHandler(func(data string) error { c.sign(); return answer(data) })
	c.ws.SetPongHandler(func(string) error { c.sign(); return nil })
	for {
		f := c.readFrame()
		select {
		case frames <- f:
		case <-done:
			return
		}
		if f.end != nil {
			return
		}
	}
}

// sign notes a sign of life; one is enough.
func (c *connection) sign() {
	select {
	case c.alive <- struct{}{}:
	default:
	}
}

func (c *connection) readFrame() received {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return received{end: fmt.Errorf("reading a frame: %w", err)}
	}
	var b bytes.Buffer
	// SetReadLimit counts bytes on the wire; a deflated frame must stay below the limit inflated too.
	n, err := b.ReadFrom(io.LimitReader(r, wire.MaxFrame+1))
	if err != nil {
		return received{end: fmt.Errorf("reading a frame: %w", err)}
	}
	if n > wire.MaxFrame {
		return received{end: errTooBig}
	}
	return received{data: b.Bytes(), text: kind == websocket.TextMessage}
}
