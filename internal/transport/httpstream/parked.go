//go:build linux

package httpstream

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/park"
	"twohop/internal/wire"
)

// Parked serves connections on loops. It answers the plain requests itself:
// reads of all kinds and publishes, written as nearly every client writes them.
// Every other request, and every one that is to be refused, goes with its
// connection to a full HTTP server, which sees it as if it had been the first.
type Parked struct {
	hub      *hub.Hub
	loops    []*parkedLoop
	listener *park.Listener
	over     *park.Handover
	closing  chan struct{} // closed by Close
	running  sync.WaitGroup
	once     sync.Once
	log      *slog.Logger
	told     atomic.Int64 // when it last told that it is full, Unix nanoseconds
}

// fanOutLag is how late readers without a budget may be while a loop is busy
// without a pause: what people still take for at once.
const fanOutLag = 100 * time.Millisecond

// Park takes over a listener, for at most limit connections at a time (0 is any
// number). Serve what Handover accepts with net/http and the same handler.
func (h *Handler) Park(l *net.TCPListener, loops, limit int) (*Parked, error) {
	pl, err := park.Listen(l, limit)
	if err != nil {
		return nil, err
	}
	p := &Parked{hub: h.hub, listener: pl, over: park.NewHandover(pl.Addr()), closing: make(chan struct{}), log: h.opts.Logger}
	precision := min(2*time.Second, max(park.TickEvery, min(h.opts.LongPoll, h.opts.Heartbeat, h.opts.MaxAge)/8))
	for range loops {
		loop, err := park.NewLoop(pl, park.Options{Precision: precision, FanOutLag: fanOutLag, Full: p.full})
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		pl := newParkedLoop(h, loop, p.over)
		p.loops = append(p.loops, pl)
		if len(p.loops) == 1 {
			h.hub.MoveIn(loop)
		}
		p.running.Go(loop.Run)
	}
	p.running.Go(func() {
		select {
		case <-p.closing:
			return
		case <-h.draining:
		}
		for _, l := range p.loops {
			l.loop.Post(drainTask{l})
		}
	})
	return p, nil
}

// full tells, now and then, that connections wait to be accepted.
func (p *Parked) full(err error) {
	now := time.Now().UnixNano()
	if last := p.told.Load(); last != 0 && now-last < int64(time.Minute) || !p.told.CompareAndSwap(last, now) {
		return
	}
	if err == nil {
		p.log.Warn("as many connections are open as limits.connections or the limit of open files allows; further ones have to wait")
		return
	}
	p.log.Warn("the system has no means for another connection; those that come have to wait", "error", err)
}

// Handover is the listener of the connections that loops do not serve.
func (p *Parked) Handover() net.Listener { return p.over }

// Close ends the loops and all connections on them.
func (p *Parked) Close() (err error) {
	p.once.Do(func() {
		close(p.closing)
		p.hub.MoveOut()
		for _, l := range p.loops {
			l.loop.Stop()
		}
		p.running.Wait()
		err = errors.Join(p.listener.Close(), p.over.Close())
	})
	return err
}

// parkedLoop is what is served on one loop; all of it is used on the loop only.
type parkedLoop struct {
	h       *Handler
	loop    *park.Loop
	over    *park.Handover
	groups  map[groupKey]*group
	req     wire.Request
	out     []byte // for answers that are sent before the next is made
	spare   []byte // room for a request that arrives in part
	unused  *reader
	nothing hub.View // the empty page that is being answered
	asked   struct { // the last simple query
		raw   []byte
		query query
	}
	last     bool   // nothing has come behind the request
	host     string // the last one that was known
	draining bool
	finishes bool // takes on no more requests
	date     []byte
	dated    int64

	allFields string // header lines of all answers,
	fieldsOf  int64  // made in this second
}

func newParkedLoop(h *Handler, loop *park.Loop, over *park.Handover) *parkedLoop {
	p := &parkedLoop{h: h, loop: loop, over: over, groups: map[groupKey]*group{}}
	loop.Handle(p)
	return p
}

// state is what a connection on a loop does now.
type state uint8

const (
	idle     state = iota // between requests, or before the first
	partial               // part of a request is there
	busy                  // something is done for it elsewhere
	waiting               // in a group
	catching              // reading towards the tail
	ending                // closes when all is sent
)

// reader is a connection on a loop.
type reader struct {
	c      *park.Conn
	p      *parkedLoop
	g      *group        // while waiting or catching
	at     twohop.Offset // what it was given, or asks for
	token  uint64        // of a long poll: the one it echoed
	in     []byte        // bytes that arrived and are not served yet
	pubs   []*publish    // whose answers are due, in order
	cors   string        // of a long poll: header lines for a page of another origin
	budget tolerance     // of a poll or long poll
	beat   time.Duration // of SSE: between heartbeats
	ix     int32         // in its group, while waiting
	need   int32         // of a request that arrived in part: its bytes, or 0 if its header tells no more. After the last one: bytes dropped
	ends   uint32        // of SSE: when it has had its age, in seconds since the process began
	state  state
	live   live
	enc    wire.Encoding
	json   bool // of SSE
	eof    bool // the peer sends no more
	reset  bool // of SSE: knows reset events
	now    bool // of a long poll: from the tail, so not to be cached
	close  bool // after the answer
	last   bool // of SSE that ends: the end of the response is still to be told
}

const (
	partialWait = 500 * time.Millisecond // then a full HTTP server takes the request
	maxPartial  = 1 << 20                // a larger one it takes at once
	maxPipeline = 64                     // publishes under way on one connection
	maxHeld     = 64 << 10               // of requests that wait for earlier answers
	maxDropped  = 1 << 20                // of what comes after the last request
	dropWait    = 5 * time.Second        // for a peer to hear that its request was not read
	idleWait    = 3 * time.Minute        // between requests
	catchWait   = time.Second            // for what a long poll reads when its time has come
)

// Opened implements park.Handler.
func (p *parkedLoop) Opened(c *park.Conn) { c.SetDue(idleWait) }

// Closed implements park.Handler.
func (p *parkedLoop) Closed(c *park.Conn) {
	switch s := c.State.(type) {
	case *reader:
		s.leave()
	case hosted:
		s.Closed(c)
	}
}

// Readable implements park.Handler.
func (p *parkedLoop) Readable(c *park.Conn) {
	r, ok := c.State.(*reader)
	if g, yes := c.State.(hosted); !ok && yes {
		g.Readable(c)
		return
	}
	if p.finishes {
		leaveUnread(c)
		return
	}
	b, ok := c.Read()
	switch {
	case !ok && r != nil && c.HalfClosed() && !r.eof && r.state != waiting && r.state != catching:
		r.eof = true // it may want its answers still; who waits for news is taken for gone, as by net/http
		c.Pause(true)
		r.again()
		return
	case !ok:
		c.Close()
		return
	case len(b) == 0:
		return
	case r == nil:
		r = p.newReader(c)
	case r.held():
		r.hold(b)
		return
	}
	switch r.state {
	case idle, partial:
		if len(r.in) == 0 {
			r.feed(b)
			return
		}
		if r.in = append(r.in, b...); len(r.in) < int(r.need) {
			return
		}
		b, r.in, r.need = r.in, nil, 0
		r.feed(b)
		p.spare = b[:0] // like what Read returns, it is used no more
	case busy, waiting, catching, ending:
		r.later(b)
	}
}

// later keeps what comes while a request is answered.
func (r *reader) later(b []byte) {
	if r.deaf() {
		r.drop(b)
		return
	}
	if r.in = append(r.in, b...); len(r.in) >= maxHeld && r.live == longPoll && r.state == waiting {
		r.nothing() // if it went on without being read, its end would not be seen
	}
	if r.state == waiting && len(r.in) > maxPartial {
		r.c.Close() // behind it are others that wait
		return
	}
	r.readOn()
}

// deaf reports whether the last request has come. One that is looked into may yet
// be handed over, with all that came behind it.
func (r *reader) deaf() bool { return r.close && r.state != busy }

// drop drops what comes after the last request.
func (r *reader) drop(b []byte) {
	if r.need += int32(len(b)); r.need > maxDropped { //nolint:gosec // a buffer
		r.c.Close()
	}
}

// held reports whether requests have to wait for earlier answers.
func (r *reader) held() bool {
	return r.state <= partial && (len(r.pubs) >= maxPipeline || len(r.pubs) > 0 && len(r.in) >= maxHeld || r.c.Blocked() || r.close)
}

// full reports whether the rest of what arrives is left with the kernel. A long
// poll that waits is read, so that its end is seen.
func (r *reader) full() bool {
	return len(r.in) >= maxHeld && (r.held() || r.state > partial && r.state != waiting)
}

// hold keeps what arrives meanwhile. What is more stays with the kernel, and so
// with the peer.
func (r *reader) hold(b []byte) {
	if r.close {
		r.drop(b)
		return
	}
	r.in = append(r.in, b...)
	if r.state == partial && len(r.in) >= int(r.need) {
		r.state, r.need = idle, 0 // it may be whole
		r.c.SetDue(idleWait)
	}
	if len(r.in) >= maxHeld {
		r.c.Pause(true)
	}
}

// newReader makes a connection's reader when something comes on it.
func (p *parkedLoop) newReader(c *park.Conn) *reader {
	r := p.unused
	if p.unused = nil; r == nil {
		r = &reader{}
	}
	*r = reader{c: c, p: p}
	c.State = r
	return r
}

// Writable implements park.Handler.
func (p *parkedLoop) Writable(c *park.Conn) {
	r, ok := c.State.(*reader)
	if g, yes := c.State.(hosted); !ok && yes {
		g.Writable(c)
	}
	if !ok {
		return
	}
	switch r.state {
	case ending:
		if r.last {
			r.last = false
			if !c.Write(lastChunk) || c.Blocked() {
				return
			}
		}
		c.Close()
	case waiting:
		r.catchUp()
	case idle:
		r.flush()
	case partial:
		r.readOn()
	case busy, catching:
	}
}

// Due implements park.Handler.
func (p *parkedLoop) Due(c *park.Conn) {
	r, ok := c.State.(*reader)
	if g, yes := c.State.(hosted); !ok && yes {
		g.Due(c)
		return
	}
	switch {
	case !ok || r.state == idle || r.state == ending:
		c.Close()
	case r.state == partial && !headComplete(r.in):
		r.abort(&twohop.Error{Code: twohop.CodeTimeout, Message: fmt.Sprintf("the header did not arrive within %v", p.h.opts.HeaderTime),
			Hint: "send it faster; limits.header_time sets the time"})
	case r.state == partial:
		r.handOver(r.in)
	case r.live == longPoll && r.state == waiting:
		r.nothing()
	case r.live == longPoll && r.state == catching:
		c.SetDue(catchWait)
	case r.live == sse && (r.state == waiting || r.state == catching):
		r.heartbeat()
	}
}

// feed serves the requests at the start of b, as far as they can be served now.
func (r *reader) feed(b []byte) {
	for len(b) > 0 && r.state <= partial && r.c.Open() {
		if r.held() {
			r.keep(b)
			return
		}
		if b = skipEmptyLines(b); len(b) == 0 {
			r.rest()
			return
		}
		n, verdict := wire.ParseRequest(b, &r.p.req)
		size := n + r.p.req.ContentLength
		whole := (verdict == wire.Plain || verdict == wire.Upgrade) && len(b) >= size
		many := whole && manyPath(string(r.p.req.Path))
		whole = whole && (verdict == wire.Plain || many)
		post := whole && !many && string(r.p.req.Method) == http.MethodPost
		switch {
		case len(r.pubs) > 0 && !post:
			r.keep(b) // until they are answered
			return
		case !headComplete(b[:min(len(b), r.p.h.opts.HeaderBytes)]):
			r.header(b)
			return
		case verdict == wire.Plain && !whole && size <= maxPartial:
			r.in, r.p.spare = append(r.p.spare, b...), nil
			r.state, r.need = partial, int32(size) //nolint:gosec // at most maxPartial
			r.c.SetDue(partialWait)
			return
		case !whole:
			r.handOver(b)
			return
		}
		r.state = idle
		r.p.last = len(b) == size
		if many {
			r.invite(b, n, size)
			return
		}
		if post && !r.post(b[n:size], b) || !post && r.get(b) {
			return
		}
		b = b[size:]
	}
	if len(b) > 0 && r.c.Open() {
		r.keep(b)
	}
}

// skipEmptyLines drops empty lines before a request: some clients end a body with
// one (RFC 9112 2.2).
func skipEmptyLines(b []byte) []byte {
	for len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
		b = b[2:]
	}
	return b
}

// headComplete reports whether the header of the request at the start of b is
// there wholly, with line ends of either form.
func headComplete(b []byte) bool {
	return bytes.Contains(b, []byte("\n\r\n")) || bytes.Contains(b, []byte("\n\n"))
}

// header waits for the rest of a header, within limits.
func (r *reader) header(b []byte) {
	if limit := r.p.h.opts.HeaderBytes; len(b) > limit {
		r.abort(&twohop.Error{Code: twohop.CodeHeaderTooLarge, Message: fmt.Sprintf("the header has more than %d bytes", limit),
			Hint: "send fewer or shorter header fields; limits.header_bytes sets the limit"})
		return
	}
	r.keep(b)
	if r.state == idle {
		r.state = partial
		r.c.SetDue(r.p.h.opts.HeaderTime)
	}
}

// abort answers an error and ends the connection. What the peer still sends is
// dropped: closing at once would let the kernel reset the connection, and the
// answer with it.
func (r *reader) abort(err error) {
	r.in, r.need, r.close, r.cors = nil, 0, true, ""
	r.send(r.p.errorBytes(nil, "", "", r.lines(), err, 0))
	r.c.CloseWrite()
	if r.c.Blocked() {
		r.end()
		return
	}
	r.state = ending
	r.c.SetDue(dropWait)
}

// keep keeps bytes for later.
func (r *reader) keep(b []byte) {
	r.in, r.need = nil, 0
	if !r.deaf() {
		r.in = append(r.in, b...)
	}
}

// closes is whether the connection ends with the request: its peer wants that, or
// is to go elsewhere.
func (p *parkedLoop) closes() bool { return p.req.Close || p.draining && p.last }

// lines are header lines of an answer of this reader's own.
func (r *reader) lines() string {
	if r.close {
		return r.cors + closeLine
	}
	return r.cors
}

const closeLine = "Connection: close\r\n"

// rest is how a connection stands between requests.
func (r *reader) rest() {
	r.state = idle
	if len(r.pubs) > 0 {
		return
	}
	if r.close {
		r.end()
		return
	}
	r.c.SetDue(idleWait)
}

// end closes the connection once all is sent.
func (r *reader) end() {
	if !r.c.Flush() {
		return
	}
	if !r.c.Blocked() {
		r.c.Close()
		return
	}
	if r.state != ending {
		r.state = ending
		r.c.SetDue(wire.AnswerTime)
	}
}

// again serves what arrived while the connection was busy.
func (r *reader) again() {
	if b := r.in; len(b) > 0 && r.c.Open() && r.state == idle && !r.c.Blocked() {
		r.in = nil
		r.feed(b)
	}
	r.readOn()
}

// readOn reads on if there is room, or ends with the peer.
func (r *reader) readOn() {
	switch {
	case !r.c.Open() || r.c.State != any(r): // it is a guest's, or closed
	case !r.eof:
		r.c.Pause(r.full())
	case r.state <= partial && len(r.pubs) == 0 && !r.c.Blocked():
		r.end()
	}
}

// handOver gives the connection, and what it sent, to the full HTTP server.
func (r *reader) handOver(b []byte) {
	if len(r.pubs) > 0 {
		r.postpone(b)
		return
	}
	nc, err := r.c.Detach(b)
	switch {
	case err == nil:
		r.in = nil
		r.p.over.Give(nc)
	case errors.Is(err, park.ErrBlocked):
		r.postpone(b)
	}
}

// postpone keeps requests until the answers before them have been sent. They
// are looked at anew then, as if they came only now.
func (r *reader) postpone(b []byte) {
	r.close = false // is a matter of the first of them
	r.keep(b)
	r.rest()
}

// send sends bytes that are not kept by anyone else.
func (r *reader) send(b []byte) { r.c.QueueCopy(b) }

// count counts a live reader in or out.
func (r *reader) count(n int32) {
	switch r.live {
	case sse:
		r.p.h.stats.SSE.Add(int64(n))
	case longPoll:
		r.p.h.stats.LongPolls.Add(int64(n))
	case poll:
	}
}

// drainTask ends all live responses of a loop.
type drainTask struct{ p *parkedLoop }

func (d drainTask) Turn() bool {
	d.p.draining = true
	for _, g := range d.p.groups {
		for g.Len() > 0 {
			g.Last().conclude()
		}
	}
	return false
}
