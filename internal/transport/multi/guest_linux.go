package multi

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"twohop"
	"twohop/internal/park"
	"twohop/internal/wire"
	"twohop/internal/wire/websocket"
)

// Take takes over the connection of a request that came on a loop, if it can be
// answered there. What it refuses is refused again by ServeHTTP, which says why.
// The slices hold during the call only: rest is what came after the request,
// fields are header lines that every answer has. The host gets the connection
// back for further requests, with what came meanwhile, if it is kept: a WebSocket
// is one for good.
func (h *Handler) Take(c *park.Conn, r *wire.Request, body, rest []byte, fields string, host park.Host) (taken, keepsHost bool) {
	if string(r.Path) == socketPath {
		return h.takeSocket(c, r, rest, fields), false
	}
	post := string(r.Method) == http.MethodPost
	if post && !twohop.IsJSON(field(r, "content-type")) || !post && (string(r.Method) != http.MethodGet || len(body) > 0) {
		return false, false
	}
	q, err := h.parse(post, string(r.Query), body, field(r, "last-event-id"))
	if err != nil {
		return false, false
	}
	n := h.loopNode(c)
	if n == nil {
		return false, false
	}
	terms := termsOf(q.Subs)
	t := &track{h: h, n: n, c: c, host: host, lines: fields + terms.lines(), in: append([]byte(nil), rest...), close: r.Close}
	c.State = t
	c.SetDue(0)
	t.s = n.newStream(parked{c}, t, q, !r.Proxied())
	t.s.start(q)
	return true, true
}

// field is the value of a header field.
func field(r *wire.Request, lower string) string {
	for i := range r.Fields[:r.N] {
		if f := &r.Fields[i]; f.Is(lower) {
			return string(f.Value)
		}
	}
	return ""
}

// loops are the nodes of loops.
type loops struct {
	mu    sync.Mutex // guards nodes
	nodes map[*park.Loop]*node
}

// loopNode is the node of a connection's loop.
func (h *Handler) loopNode(c *park.Conn) *node {
	h.loops.mu.Lock()
	n := h.loops.nodes[c.Loop()]
	h.loops.mu.Unlock()
	if n != nil {
		return n
	}
	n = newNode(h, onLoop{c.Loop()})
	if !h.register(n) {
		return nil
	}
	h.loops.mu.Lock()
	defer h.loops.mu.Unlock()
	if h.loops.nodes == nil {
		h.loops.nodes = map[*park.Loop]*node{}
	}
	h.loops.nodes[c.Loop()] = n
	return n
}

// onLoop is a loop as a runner.
type onLoop struct{ *park.Loop }

// Post implements runner.
func (l onLoop) Post(t task) { l.Loop.Post(t) }

// PostFanOut implements runner.
func (l onLoop) PostFanOut(g *group) { l.Loop.PostFanOut(g) }

// parked is a connection of a loop as a port.
type parked struct{ *park.Conn }

// Flush implements port.
func (p parked) Flush() { p.Conn.Flush() }

func (h *Handler) takeSocket(c *park.Conn, r *wire.Request, rest []byte, fields string) bool {
	o := websocket.OfferIn(r)
	a, refusal := o.Agree()
	if refusal != nil {
		return false
	}
	n := h.loopNode(c)
	if n == nil {
		return false
	}
	h.opts.Answered(false, http.StatusSwitchingProtocols, 0)
	heartbeat := h.opts.heartbeat(!r.Proxied())
	s := n.newSocket(parked{c}, &a, heartbeat)
	c.State = s // so that it hears of it if the connection breaks at once
	s.start(&a, fields, heartbeat)
	if len(rest) > 0 {
		s.came(rest)
	}
	return true
}

// Readable implements the loop's handler.
func (s *socket) Readable(c *park.Conn) {
	if s.paused { // it broke
		c.Close()
		return
	}
	if s.stopped() {
		s.stop()
		return
	}
	b, ok := c.Read()
	switch {
	case !ok:
		c.Close()
	case len(b) > 0:
		s.came(b)
	}
}

// Writable implements the loop's handler.
func (s *socket) Writable(*park.Conn) { s.room() }

// Due implements the loop's handler.
func (s *socket) Due(*park.Conn) { s.due() }

// Closed implements the loop's handler.
func (s *socket) Closed(*park.Conn) { s.gone() }

// track is a stream on a loop.
type track struct {
	h      *Handler
	n      *node
	s      *stream
	c      *park.Conn
	lines  string // of the header, that every answer has
	host   park.Host
	in     []byte // came meanwhile: the next requests
	close  bool   // after the answer
	ending bool   // closes when all is sent
}

const maxWaiting = 64 << 10 // bytes of requests that wait for their turn; more wait with the kernel

// Readable implements the loop's handler.
func (t *track) Readable(c *park.Conn) {
	if c.Paused() { // it broke
		c.Close()
		return
	}
	if len(t.in) >= maxWaiting {
		c.Pause(true)
		return
	}
	b, ok := c.Read()
	switch {
	case !ok && c.HalfClosed() && t.s.halfClosed():
		c.Pause(true)
	case !ok:
		c.Close()
	case !t.close: // else nothing is served after the answer
		t.in = append(t.in, b...)
	}
}

// Writable implements the loop's handler.
func (t *track) Writable(c *park.Conn) {
	if t.ending {
		c.Close()
		return
	}
	t.s.room()
}

// Due implements the loop's handler.
func (t *track) Due(c *park.Conn) {
	if t.ending {
		c.Close()
		return
	}
	t.s.due()
}

// Closed implements the loop's handler.
func (t *track) Closed(*park.Conn) { t.s.gone() }

// begin implements carrier.
func (t *track) begin(heartbeat time.Duration) {
	b := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n" +
		"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nStream-Heartbeat: " + heartbeat.String() + "\r\n")
	b = append(append(b, t.lines...), "\r\n"...)
	t.close = true
	t.h.opts.Answered(false, http.StatusOK, 0)
	t.c.Queue(wire.AppendChunk(b, func(dst []byte) []byte { return wire.SSEOpen(dst, t.h.opts.Retry) }))
}

// event implements carrier.
func (t *track) event(size int, pieces [][]byte) {
	if len(pieces) == 1 {
		t.c.Queue(wire.AppendChunk(make([]byte, 0, size+16), func(dst []byte) []byte { return append(dst, pieces[0]...) }))
		return
	}
	t.c.Queue(append(strconv.AppendInt(nil, int64(size), 16), "\r\n"...))
	for _, b := range pieces {
		t.c.Queue(b)
	}
	t.c.Queue(chunkEnd)
}

var (
	chunkEnd  = []byte("\r\n")
	lastChunk = []byte("0\r\n\r\n")
)

// finish implements carrier.
func (t *track) finish() {
	t.c.Queue(lastChunk)
	t.end()
}

// end closes the connection when all is sent, or after the time that an SSE
// response can take.
func (t *track) end() {
	if !t.c.Flush() {
		return
	}
	if !t.c.Blocked() {
		t.c.Close()
		return
	}
	t.ending = true
	t.c.SetDue(t.h.opts.MaxAge)
}

// answer implements carrier.
func (t *track) answer(status int, token []byte, size int, pieces [][]byte) {
	b := append(make([]byte, 0, 1024+len(token)), "HTTP/1.1 "...)
	b = append(append(strconv.AppendInt(b, int64(status), 10), ' '), http.StatusText(status)...)
	b = append(b, "\r\nCache-Control: no-store\r\n"...)
	if token != nil {
		b = append(append(append(b, "Stream-Resume: "...), token...), "\r\n"...)
	}
	b = append(b, t.lines...)
	if status == http.StatusOK {
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = append(strconv.AppendInt(b, int64(size), 10), "\r\n"...)
	}
	if t.close = t.close || t.n.leaves; t.close {
		b = append(b, "Connection: close\r\n"...)
	}
	t.c.Queue(append(b, "\r\n"...))
	for _, p := range pieces {
		t.c.Queue(p)
	}
	t.h.opts.Answered(false, status, 0)
	if t.close {
		t.end()
		return
	}
	if t.c.Flush() {
		t.n.run.Post(back{t})
	}
}

// back gives a connection back, with what came meanwhile.
type back struct{ t *track }

// Turn implements task.
func (b back) Turn() bool {
	if t := b.t; t.c.Open() {
		t.c.Pause(false)
		t.host.Back(t.in)
	}
	return false
}
