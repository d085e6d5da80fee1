package multi

import (
	"math/rand/v2"
	"net/http"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// live is how a request to /v1/subscribe ends.
type live uint8

const (
	poll live = iota
	longPoll
	sse
)

// carrier is the HTTP around a stream.
type carrier interface {
	// begin begins an SSE response, with the pause after which silence is broken.
	begin(heartbeat time.Duration)
	// event sends an event of size bytes, in pieces that do not change.
	event(size int, pieces [][]byte)
	// finish ends the SSE response.
	finish()
	// answer answers a poll, with a token unless it is nil: the body has size bytes in pieces that do not change.
	answer(status int, token []byte, size int, pieces [][]byte)
}

// stream is a request to /v1/subscribe: an SSE response, a long poll or a poll.
type stream struct {
	conn
	http    carrier
	resume  wire.Resume
	frames  [][]byte // of the event or answer that is being made
	size    int      // of frames
	known   int      // of frames that tell what the token's last answer told
	owed    int      // bytes of events since the last id
	ends    ticks    // when an SSE response has had its age, or a long poll waited
	spoke   ticks
	live    live
	resumed bool // with a token
	opened  bool // all channels were
	over    bool // it has ended
	late    bool // an id is to follow the events
	waited  bool // a long poll has waited for long enough
	direct  bool // on a plain connection that shows no proxy
}

const (
	eventSize  = 64 << 10 // from which on an event is sent
	idEach     = 64       // channels up to which each event has an id
	idBytes    = 4        // that a channel takes in a token, about
	idLateness = time.Second
	maxToken   = 4 << 10 // in a header; proxies refuse longer ones
)

// newStream begins a request.
func (n *node) newStream(p port, c carrier, q *wire.Subscribe, direct bool) *stream {
	s := &stream{conn: conn{port: p, node: n}, http: c, direct: direct, resumed: q.Resume != ""}
	switch q.Live {
	case "sse":
		s.live = sse
	case "long-poll":
		s.live = longPoll
	}
	s.end = s
	n.time = now()
	s.spoke = n.time
	n.enter(&s.conn)
	s.count(1)
	return s
}

// start opens the channels.
func (s *stream) start(q *wire.Subscribe) {
	n, o := s.node, &s.node.h.opts
	switch s.live {
	case sse:
		s.ends = n.time + ticks((o.MaxAge*4/5+rand.N(o.MaxAge*2/5))/tick) //nolint:gosec // jitter, not a secret
		s.http.begin(o.heartbeat(s.direct))
		s.dueIn(o.heartbeat(s.direct))
	case longPoll:
		s.port.SetDue(o.LongPoll)
	case poll:
	}
	s.open(s, nil, q.Subs)
}

func (s *stream) count(d int64) {
	stats := &s.node.h.stats
	switch s.live {
	case sse:
		stats.SSE.Add(d)
	case longPoll:
		stats.LongPolls.Add(d)
	case poll:
		stats.Polls.Add(d)
	}
}

// follows implements opener. Who polls and named the place itself knows it.
func (s *stream) follows(_ *opening, f *wire.Follow, c *cursor, info *twohop.Info) {
	if s.live == sse || !s.resumed && f.From.Kind != twohop.FromOffset {
		s.own(appendSubscribed(s.node.scratch(), nil, c, f, info))
	}
}

// fails implements opener.
func (s *stream) fails(_ *opening, f *wire.Follow, err error) {
	s.own(wire.AppendError(s.node.scratch(), nil, s.node.h.asError(f.Channel, err)))
	s.repeated()
	s.hold(f) // for the token
}

// answered implements opener.
func (s *stream) answered(o *opening) {
	s.advise(o.list)
	s.begin()
}

// hold keeps the place in the list of a channel that cannot be followed.
func (s *stream) hold(f *wire.Follow) {
	c := &cursor{conn: &s.conn, name: f.Channel, state: gone}
	if f.From.Kind == twohop.FromOffset {
		c.at = f.From.Offset
	}
	s.cursors = append(s.cursors, c)
}

// begin is called when all channels have been opened.
func (s *stream) begin() {
	s.opened = true
	names, at := make([]string, len(s.cursors)), make([]twohop.Offset, len(s.cursors))
	for i, c := range s.cursors {
		names[i], at[i] = c.name, c.at
	}
	s.resume = wire.NewResume(names, at)
	if s.live == poll && s.last != nil && len(s.cursors) > 1 {
		for range rand.IntN(len(s.cursors)) { //nolint:gosec // so that the first ones do not fill each answer
			s.last = s.last.next
		}
	}
	if s.node.leaves {
		s.drain()
	}
}

// own implements ending.
func (s *stream) own(frame []byte) {
	s.node.out = frame
	s.take(append([]byte(nil), frame...))
}

func (s *stream) take(frame []byte) {
	s.frames = append(s.frames, frame)
	s.size += len(frame) + 1
}

// page implements ending.
func (s *stream) page(c *cursor, v *hub.View) {
	s.take(payload(c.dataFrame(v, false)))
	if len(v.Data) == 0 { // it is closed
		s.repeated()
	}
}

// repeated says that the client may know the last frame: it alone does not end
// the wait of a long poll that goes on from a token, which else would be asked
// again and again.
func (s *stream) repeated() {
	if s.resumed && s.live == longPoll {
		s.known++
	}
}

// full implements ending.
func (s *stream) full() bool {
	switch {
	case !s.opened || s.over:
		return true
	case s.live == sse:
		return s.size >= eventSize
	}
	return s.size >= s.node.h.opts.PageBytes
}

// dropped implements ending.
func (s *stream) dropped(*cursor) {}

// flush implements ending.
func (s *stream) flush() {
	switch {
	case !s.opened || s.over:
	case s.live == sse:
		if len(s.frames) > 0 {
			s.event()
		}
		if s.alive == 0 {
			s.finish()
		} else if s.last != nil && !s.reading && !s.port.Blocked() {
			s.node.enqueue(&s.conn)
		}
	case (s.last != nil || s.reading) && !s.full(): // more is at hand
	case len(s.frames) > s.known, s.live == poll, len(s.frames) > 0 && (s.waited || s.alive == 0):
		s.reply(http.StatusOK)
	case s.waited || s.alive == 0:
		s.reply(http.StatusNoContent)
	}
}

// token appends the resume token of where the client stands.
func (s *stream) token(dst []byte) []byte {
	return s.resume.AppendFrom(dst, len(s.cursors), func(i int) twohop.Offset { return s.cursors[i].at })
}

// event sends what was gathered. The token of a long list of channels follows
// later if it were most of what is sent.
func (s *stream) event() {
	var head []byte
	s.owed += s.size
	if len(s.cursors) <= idEach || s.owed >= idBytes*len(s.cursors) {
		head = append(s.token(append(head, "id: "...)), '\n')
		s.owed, s.late = 0, false
	} else if !s.late {
		s.late = true
		s.dueIn(idLateness)
	}
	head = append(head, "data:["...)
	size, pieces := s.join(head, "]\n\n")
	s.spoke = s.node.time
	s.http.event(size, pieces)
}

const joinBytes = 4 << 10 // up to which pieces are made one

// join makes one text of the frames, in as few pieces as pays.
func (s *stream) join(head []byte, tail string) (size int, pieces [][]byte) {
	size = len(head) + s.size + len(tail)
	if len(s.frames) > 0 {
		size-- // of the last comma
	}
	if size <= joinBytes {
		b := append(make([]byte, 0, size), head...)
		for i, f := range s.frames {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, f...)
		}
		pieces = [][]byte{append(b, tail...)}
	} else {
		pieces = append(make([][]byte, 0, 2*len(s.frames)+1), head)
		for i, f := range s.frames {
			if i > 0 {
				pieces = append(pieces, comma)
			}
			pieces = append(pieces, f)
		}
		pieces = append(pieces, []byte(tail))
	}
	s.frames, s.size = nil, 0
	return size, pieces
}

var comma = []byte{','}

// reply answers a poll.
func (s *stream) reply(status int) {
	token := s.token(nil)
	if len(token) > maxToken {
		token = nil
	}
	var size int
	var pieces [][]byte
	if status == http.StatusOK {
		size, pieces = s.join([]byte("["), "]\n")
	}
	s.conclude()
	s.http.answer(status, token, size, pieces)
}

// finish ends an SSE response cleanly.
func (s *stream) finish() {
	if s.over {
		return
	}
	if s.late {
		s.id()
	}
	s.conclude()
	s.http.finish()
}

// conclude lets go of the channels.
func (s *stream) conclude() {
	s.over = true
	s.port.SetDue(0)
	s.count(-1)
	s.release()
}

// id sends where the client stands, without an event.
func (s *stream) id() {
	b := append(s.token([]byte("id: ")), "\n\n"...)
	s.owed, s.late, s.spoke = 0, false, s.node.time
	s.http.event(len(b), [][]byte{b})
}

// drain implements ending.
func (s *stream) drain() {
	switch {
	case s.over || !s.opened: // begin looks again
	case s.live == sse:
		s.hasten()
		s.serveAlone()
		if s.over {
			return
		}
		s.own(wire.AppendDrain(s.node.scratch(), s.node.h.delay()))
		s.event()
		s.finish()
	default:
		s.timeUp()
	}
}

// room is called when all that was queued has been sent.
func (s *stream) room() {
	s.node.time = now()
	s.serveAlone()
}

// due looks after a request's time.
func (s *stream) due() {
	n := s.node
	n.time = now()
	if s.over {
		return
	}
	if s.live == longPoll {
		s.timeUp()
		return
	}
	if int32(n.time-s.ends) >= 0 { //nolint:gosec // of moments near each other
		s.hasten()
		s.serveAlone()
		s.finish()
		return
	}
	if s.late && !s.port.Blocked() {
		s.id()
	}
	next := n.h.opts.heartbeat(s.direct)
	if quiet := n.time.since(s.spoke); quiet < next {
		next -= quiet
	} else if !s.port.Blocked() {
		s.spoke = n.time
		s.http.event(len(heartbeat), [][]byte{heartbeat})
	}
	if s.late {
		next = idLateness
	}
	s.dueIn(next)
}

// dueIn has an SSE response looked after in a while, or when it has had its age.
func (s *stream) dueIn(d time.Duration) {
	left := time.Duration(int32(s.ends-s.node.time)) * tick //nolint:gosec // of moments near each other
	s.port.SetDue(min(d, max(left, tick)))
}

var heartbeat = []byte(wire.SSEHeartbeat)

// timeUp ends the wait of a poll.
func (s *stream) timeUp() {
	s.waited = true
	s.hasten()
	s.serveAlone()
}

// halfClosed tells that the client sends no more. It gets the answer that is due
// to it, but waits for none; if none is to come it returns false.
func (s *stream) halfClosed() bool {
	if !s.over && (s.live == sse || s.live == longPoll && s.opened && !s.reading) {
		return false
	}
	s.waited = true
	return true
}

// gone is called when the connection is closed.
func (s *stream) gone() {
	if !s.over {
		s.conclude()
	}
}
