package multi

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
	"twohop/internal/wire/websocket"
)

const (
	maxPublishing = 64              // publishes under way on one connection
	socketIdle    = 3 * time.Minute // that nothing is followed or published
	closeWait     = 5 * time.Second // for the client's end of a close
	closeBytes    = 1 << 20         // that the client may still send meanwhile
)

// socket is a WebSocket.
type socket struct {
	conn
	in         *[]byte // came while it could not be served; nil if nothing did
	read       websocket.Reader
	beat       ticks // after which silence is broken
	heard      ticks // when something came
	spoke      ticks // when something was sent
	asked      ticks // when a sign of life was asked for
	did        ticks // when something was followed or published
	begun      ticks // when the message that is not complete began
	stuck      int32 // bytes unsent when they were looked at
	late       int32 // bytes that came after the close
	publishing int16
	paused     bool // is not read from
	yields     bool // what arrived waits for a turn
	pinged     bool // the peer owes a sign of life
	publishes  bool // has published
	lone       bool // was told that SSE were enough
}

// newSocket makes a WebSocket, which says nothing yet.
func (n *node) newSocket(p port, a *websocket.Agreement, heartbeat time.Duration) *socket {
	s := &socket{conn: conn{port: p, node: n}, beat: ticks(heartbeat / tick)} //nolint:gosec // at most minutes
	s.end = s
	s.read.Deflate = a.Deflate
	n.time = now()
	s.heard, s.did = n.time, n.time
	n.enter(&s.conn)
	n.h.stats.WebSockets.Add(1)
	return s
}

// start answers the handshake. The connection may be gone afterwards.
func (s *socket) start(a *websocket.Agreement, fields string, heartbeat time.Duration) {
	n, o := s.node, &s.node.h.opts
	n.out = websocket.AppendTextFrom(a.Append(n.scratch(), fields), func(dst []byte) []byte {
		return wire.AppendWelcome(dst, heartbeat, o.Channels, o.MessageBytes)
	})
	s.spoke = n.time
	s.port.QueueCopy(n.out)
	s.port.SetDue(heartbeat)
	if n.leaves {
		s.drain()
	}
}

// queue sends bytes that do not change.
func (s *socket) queue(b []byte) {
	if len(b) > 0 {
		s.spoke = s.node.time
		s.port.Queue(b)
	}
}

// own implements ending.
func (s *socket) own(frame []byte) {
	n := s.node
	n.out = frame
	s.spoke = n.time
	s.port.QueueCopy(websocket.AppendTextHeader(n.head[:0], len(frame), false))
	s.port.QueueCopy(frame)
}

// The framings of views; those up to hub.OwnFramings are the transports' of
// single channels.
const (
	plainFrame    = hub.ManyFramings // and 1 for base64
	deflatedFrame = plainFrame + 2   // and 1 for base64
)

// around is what a data frame takes around the records and the channel's name,
// roughly.
const around = 160

// dataFrame is a view as a message of a WebSocket.
func (c *cursor) dataFrame(v *hub.View, deflated bool) []byte {
	framing := plainFrame
	if c.base64 {
		framing++
	}
	plain := func(dst []byte) []byte {
		return websocket.AppendTextFrom(dst, func(dst []byte) []byte {
			enc := wire.EncodingOf(c.g.ch.Info().ContentType)
			if c.base64 && enc == wire.EncodeText {
				enc = wire.EncodeBase64
			}
			return wire.AppendData(dst, c.name, enc, v.Data, v.Next, v.UpToDate, v.Closed)
		})
	}
	if !deflated {
		return v.Frame(framing, hub.FrameKey{}, around+len(c.name), plain)
	}
	return v.Frame(framing+deflatedFrame-plainFrame, hub.FrameKey{}, around+len(c.name), func(dst []byte) []byte {
		return websocket.AppendDeflated(dst, payload(v.Frame(framing, hub.FrameKey{}, around+len(c.name), plain)))
	})
}

// payload is what follows the header of a server's frame.
func payload(frame []byte) []byte {
	switch frame[1] {
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	}
	return frame[2:]
}

// page implements ending.
func (s *socket) page(c *cursor, v *hub.View) { s.queue(c.dataFrame(v, s.read.Deflate)) }

// full implements ending.
func (s *socket) full() bool { return false }

// flush implements ending.
func (s *socket) flush() {}

// dropped implements ending.
func (s *socket) dropped(c *cursor) {
	s.shrink(c)
	s.did = s.node.time
}

// drain implements ending.
func (s *socket) drain() {
	if s.closed {
		return
	}
	s.hasten()
	s.serveAlone()
	s.own(wire.AppendDrain(s.node.scratch(), s.node.h.delay()))
	s.bye(websocket.CodeRestart, "the node leaves")
}

// delay is how long a client should wait before it goes elsewhere: not all at
// once.
func (h *Handler) delay() time.Duration { return rand.N(5*h.opts.Retry + 1) } //nolint:gosec // jitter, not a secret

// bye closes the connection: it says so, and lets the client close it, so that
// what was said arrives before the kernel learns of what was not read.
func (s *socket) bye(code uint16, reason string) {
	s.queue(websocket.AppendClose(nil, code, reason))
	s.leave()
	s.port.SetDue(closeWait)
	s.port.CloseWrite()
}

// leave lets go of all that the connection has, but itself.
func (s *socket) leave() {
	s.release()
	s.in, s.read = nil, websocket.Reader{}
	s.resume()
}

// gone is called once, when the connection is closed.
func (s *socket) gone() {
	s.node.h.stats.WebSockets.Add(-1)
	if !s.closed {
		s.release()
	}
}

// stopped reports whether the client is not to be read from now.
func (s *socket) stopped() bool {
	return !s.closed && (s.busy || s.yields || s.publishing >= maxPublishing || s.port.Blocked())
}

// stop leaves what arrives with the peer, for as long as the socket is stopped.
func (s *socket) stop() {
	s.paused = true
	s.port.Pause(true)
}

// resume goes on with what arrived.
func (s *socket) resume() {
	if s.in != nil && !s.stopped() && !s.closed {
		b := *s.in
		s.in = nil
		s.feed(b)
	}
	if s.paused && !s.stopped() {
		s.paused = false
		s.node.time = now()
		s.asked, s.begun = s.node.time, s.node.time // until now nothing was read
		s.port.Pause(false)
	}
}

// yield leaves the rest of what arrived to a turn, so that others have theirs.
func (s *socket) yield() {
	s.yields = true
	s.node.run.Post(s)
}

// Turn implements task.
func (s *socket) Turn() bool {
	s.yields = false
	s.node.time = now()
	s.resume()
	return false
}

// room is called when all that was queued has been sent.
func (s *socket) room() {
	s.stuck = 0
	if s.closed {
		s.port.CloseWrite()
		return
	}
	s.node.time = now()
	s.serveAlone()
	s.resume()
}

// came takes bytes of the client, which are overwritten afterwards.
func (s *socket) came(b []byte) {
	s.node.time = now()
	if s.closed {
		if s.late += int32(len(b)); s.late > closeBytes { //nolint:gosec // a buffer
			s.port.Close()
		}
		return
	}
	s.heard, s.pinged = s.node.time, false
	if s.in != nil { // can only be while it is stopped
		*s.in = append(*s.in, b...)
		return
	}
	s.feed(b)
}

// feedBytes is from which size on messages are enough for one turn: what arrived
// at once may inflate to a thousand times as much.
const feedBytes = 256 << 10

// feed serves messages. Only the last of several pings is answered.
func (s *socket) feed(b []byte) {
	var pong []byte
	idle := s.read.Idle()
	for served := 0; len(b) > 0 && !s.closed; {
		if served >= feedBytes {
			s.yield()
		}
		if s.stopped() {
			rest := bytes.Clone(b)
			s.in = &rest
			break
		}
		m, n, err := s.read.Next(b, s.node.h.opts.MessageBytes)
		b = b[n:]
		if err != nil {
			s.broke(err)
			return
		}
		idle = idle || m.Kind == websocket.Text
		switch m.Kind {
		case websocket.Text:
			served += len(m.Payload)
			s.message(m.Payload)
		case websocket.Ping:
			pong = websocket.AppendPong(pong[:0], m.Payload)
		case websocket.Close:
			s.queue(pong)
			s.queue(websocket.AppendClose(nil, m.Code, ""))
			s.leave()
			s.port.Close()
			return
		case websocket.None, websocket.Pong:
		}
	}
	if s.closed {
		return
	}
	s.queue(pong)
	if idle && !s.read.Idle() {
		s.begun = s.node.time
	}
}

// broke closes a connection whose bytes are not RFC 6455's.
func (s *socket) broke(err error) {
	e, ok := errors.AsType[*websocket.Error](err)
	if !ok {
		e = &websocket.Error{Code: websocket.CodeProtocol, Reason: err.Error()}
	}
	s.bye(e.Code, e.Reason)
}

// message carries out a frame.
func (s *socket) message(text []byte) {
	n := s.node
	f := &n.frame
	defer n.trim()
	if err := wire.ParseClientFrame(text, f, n.h.opts.Channels); err != nil {
		e := n.h.asError("", err)
		s.own(wire.AppendError(n.scratch(), f.ID, e))
		if e.Code == wire.CodeInvalidFrame {
			s.bye(websocket.CodeNoFrame, e.Message)
		}
		return
	}
	switch f.Type {
	case wire.FrameSubscribe:
		s.subscribe(f)
	case wire.FrameUnsubscribe:
		s.unsubscribe(f)
	case wire.FramePublish:
		s.publish(f)
	case wire.FrameToken: // there is no authentication: it holds for ever
		s.own(wire.AppendToken(n.scratch(), f.ID, 0))
	case wire.FramePing:
		s.own(wire.AppendPong(n.scratch(), f.ID))
	case wire.FramePong, wire.FrameNone:
	}
}

func (s *socket) subscribe(f *wire.ClientFrame) {
	n := s.node
	limit := n.h.opts.Channels
	if int(s.alive)+len(f.Subs) > limit {
		s.own(wire.AppendError(n.scratch(), f.ID, wire.TooManyChannels(limit)))
		return
	}
	list := f.Subs
	budgetsInForce(list)
	f.Subs = nil // it is not to be used again before all are answered
	s.did = n.time
	if s.open(s, f.ID, list) {
		clear(list)
		f.Subs = list[:0]
	}
}

// follows implements opener.
func (s *socket) follows(o *opening, f *wire.Follow, c *cursor, info *twohop.Info) {
	s.own(appendSubscribed(s.node.scratch(), o.id, c, f, info))
	s.advise(c, f, o.coming())
}

// fails implements opener.
func (s *socket) fails(o *opening, f *wire.Follow, err error) {
	s.own(wire.AppendError(s.node.scratch(), o.id, s.node.h.asError(f.Channel, err)))
}

// answered implements opener.
func (s *socket) answered(*opening) {
	s.settle()
	s.resume()
}

// appendSubscribed says from where on a cursor follows its channel; info is nil
// if it awaits it, and then there is nothing that it lacks.
func appendSubscribed(dst, id []byte, c *cursor, f *wire.Follow, info *twohop.Info) []byte {
	sub := wire.Subscribed{Offset: c.at, Budget: f.Budget, UpToDate: true, Waiting: info == nil}
	if info != nil {
		sub.ContentType, sub.Start, sub.UpToDate = info.ContentType, info.Start, c.at == info.Tail
	}
	return wire.AppendSubscribed(dst, id, c.name, &sub)
}

func (s *socket) unsubscribe(f *wire.ClientFrame) {
	n := s.node
	for _, name := range f.Names {
		c := s.find(name)
		if c == nil {
			s.own(wire.AppendError(n.scratch(), f.ID, &twohop.Error{Code: wire.CodeNotSubscribed, Channel: name,
				Message: "the connection does not follow the channel", Hint: "names are those of subscribed frames"}))
			continue
		}
		at := c.at
		s.drop(c)
		s.own(wire.AppendUnsubscribed(n.scratch(), f.ID, name, at))
	}
}

// due looks after a connection's time.
func (s *socket) due() {
	n, o := s.node, &s.node.h.opts
	n.time = now()
	beat := time.Duration(s.beat) * tick
	if s.closed {
		s.port.Close() // the client did not answer
		return
	}
	next := beat
	switch quiet := n.time.since(latest(n.time, s.heard, s.spoke)); {
	case s.port.Blocked():
		unsent := s.port.Unsent() // none of what has only just been queued
		if unsent > 0 && unsent == int(s.stuck) {
			s.port.Close() // it takes nothing: no close frame would arrive
			return
		}
		s.stuck, next = int32(unsent), 2*beat //nolint:gosec // some pages
	case s.pinged && s.paused: // what it answered may be there, unread
	case s.pinged && n.time.since(s.asked) >= 2*beat:
		s.bye(websocket.CodeIdle, "no answer to a ping")
		return
	case s.pinged:
		next = 2*beat - n.time.since(s.asked)
	case quiet >= beat:
		s.pinged, s.asked = true, n.time
		s.queue(pingFrame)
	default:
		next -= quiet
	}
	if s.alive == 0 && s.publishing == 0 && !s.busy {
		idle := n.time.since(s.did)
		if idle >= socketIdle {
			s.bye(websocket.CodeIdle, "nothing followed and nothing published for 3 minutes")
			return
		}
		next = min(next, socketIdle-idle)
	}
	if !s.read.Idle() && !s.paused && !s.stopped() {
		took := n.time.since(s.begun)
		if took >= o.MessageTime {
			s.bye(websocket.CodeIdle, "a message took too long to arrive")
			return
		}
		next = min(next, o.MessageTime-took)
	}
	s.port.SetDue(next)
}

// latest is the later one of two moments before t.
func latest(t, a, b ticks) ticks {
	if t-a < t-b {
		return a
	}
	return b
}

var pingFrame = websocket.AppendText(nil, []byte(wire.FramePingText))
