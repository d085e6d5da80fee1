package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"twohop/internal/budget"
)

// Transport is a way to read.
type Transport = budget.Transport

// The transports.
const (
	SSE       = budget.SSE
	WebSocket = budget.WebSocket
	LongPoll  = budget.LongPoll
	Poll      = budget.Poll
)

// channel is a channel of the bench's own.
type channel struct {
	number    uint32
	name      string
	tail      string // where it began
	published uint64 // records so far; owned by whoever publishes
}

// group is readers that read in the same way and are counted together.
type group struct {
	transport Transport
	budget    time.Duration // asked of the server on live reads
	interval  time.Duration // between polls at the tail
	again     bool          // ask for the same page for ever
	validate  bool          // ask only whether the page has changed
	small     bool          // keep the system's receive buffer small
	more      []*channel    // that each reader follows as well, by WebSocket

	get     string // how requests begin, up to the channel's name
	headers string // how they end, with the host

	tally
}

// reader is a cursor and the state of its connection, without the I/O.
type reader struct {
	group   *group
	id      int
	channel *channel

	offset  string // all before it has come
	next    string // the one after the present response
	etag    string
	due     uint64              // number of the record that must come next
	missing map[uint64]struct{} // those that were skipped, which may come late
	page    [2]uint64           // first and last record of the page that is asked for again and again

	// A response that broke off may have brought records beyond the offset.
	// These come once more.
	safe     uint64 // number of the record after the offset
	repeat   uint64
	repeated uint64 // the first that is new

	goal  uint64 // of a reader that resumes: the last record it missed
	since int64  // when it was told to resume

	ready  bool  // the server has answered or, to a long poll, been asked
	failed error // it gave up
	tries  int   // connections in a row that brought nothing

	response response
	scanner  scanner
	socket   webSocket
	line     [128]byte // how the present line of an SSE response, or frame, begins
	lineLen  int
	now      int64 // of the read that is being taken in
	asked    int64 // when the last request was sent
	askAt    int64 // when the next one is due
	upToDate bool
	conn
}

// What a driver does after it fed a reader.
type step uint8

const (
	readOn  step = iota
	askNext      // send request() at askAt
	reopen       // connect again at askAt
	giveUp       // failed says why
)

// request appends what the reader has to say next.
func (r *reader) request(dst []byte) []byte {
	g := r.group
	switch {
	case r.socket.open:
		dst = append(dst, r.socket.out...)
		r.socket.out = nil
		return dst
	case g.transport == WebSocket:
		return r.handshake(dst)
	}
	dst = append(dst, g.get...)
	dst = append(dst, r.channel.name...)
	dst = append(dst, "?offset="...)
	dst = append(dst, r.offset...)
	switch g.transport {
	case SSE:
		dst = append(dst, "&live=sse"...)
	case LongPoll:
		dst = append(dst, "&live=long-poll"...)
	case Poll, WebSocket:
	}
	if g.budget > 0 && g.transport != Poll {
		dst = append(dst, "&budget="...)
		dst = append(dst, g.budget.String()...)
	}
	dst = append(dst, " HTTP/1.1\r\n"...)
	if r.etag != "" && (g.transport == Poll && !g.again || g.validate) {
		dst = append(dst, "If-None-Match: "...)
		dst = append(dst, r.etag...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, g.headers...)
}

// sent notes that a request went out.
func (r *reader) sent(now int64) {
	r.asked = now
	if r.socket.open {
		return // what comes goes on
	}
	r.scanner.reset()
	r.lineLen, r.next = 0, ""
	if r.group.again {
		r.due = r.page[0]
	}
	if r.group.transport == LongPoll {
		r.ready = true
	}
}

// feed takes what came from the server.
func (r *reader) feed(now int64, p []byte) step {
	r.now = now
	r.group.bytes += int64(len(p))
	if r.socket.open {
		return r.feedFrames(p)
	}
	rest, done, err := r.response.feed(p, r)
	switch {
	case r.failed != nil:
		return giveUp
	case err != nil:
		return r.fail(err)
	case !done:
		return readOn
	case r.group.transport == WebSocket:
		r.opened()
		return r.feedFrames(rest)
	}
	return r.answered()
}

// answered is at the end of a response.
func (r *reader) answered() step {
	g := r.group
	g.responses++
	observe(g.response, r.now-r.asked)
	r.tries = 0
	if r.next != "" {
		r.offset, r.safe = r.next, r.due
	}
	if g.again && r.response.status == 200 && r.due <= r.page[1] {
		g.faults.Lost += int64(r.page[1] + 1 - r.due) //nolint:gosec // a count
		g.faults.note("%s asked for records %d to %d and never got those from %d", r, r.page[0], r.page[1], r.due)
	}
	r.askAt = r.now
	if g.transport == Poll && g.interval > 0 && (r.upToDate || r.response.status == 304) {
		wait := int64(g.interval)
		if !r.ready { // spread them
			wait = rand.Int64N(wait) //nolint:gosec // no secret
		}
		r.askAt += wait
	}
	r.ready = true
	if r.response.close {
		return reopen
	}
	return askNext
}

// resumes prepares a reader for a new connection.
func (r *reader) resumes() {
	r.response, r.socket, r.ready = response{}, webSocket{}, false
	r.repeat, r.repeated = r.safe, r.due
}

// ended is at the end of the connection.
func (r *reader) ended(now int64, err error) step {
	if r.response.phase == untilClose {
		r.now, r.response.phase = now, inHead
		r.answered()
		return reopen
	}
	r.resumes()
	r.group.reconnects++
	r.tries++
	if r.tries > 5 {
		return r.fail(err)
	}
	r.askAt = now + int64(r.tries-1)*int64(200*time.Millisecond)
	return reopen
}

func (r *reader) fail(err error) step {
	r.failed = err
	return giveUp
}

func (r *reader) gotHead(status int, head []byte) {
	webSocket := r.group.transport == WebSocket
	switch {
	case webSocket && status == 101:
		r.failed = r.checkAccept(head)
		return
	case !webSocket && (status == 200 || status == 204 || status == 304):
	default:
		reason := ""
		if v := header(head, "Stream-Reset"); v != nil {
			reason = ", a reset: " + string(v)
		}
		r.failed = fmt.Errorf("the server answered %d%s", status, reason)
		return
	}
	if r.group.transport == SSE {
		r.ready, r.tries = true, 0
		return
	}
	if status == 304 {
		return
	}
	r.upToDate = header(head, "Stream-Up-To-Date") != nil
	if v := header(head, "ETag"); v != nil && r.group.transport == Poll {
		r.etag = string(v)
	}
	if v := header(head, "Stream-Next-Offset"); v != nil && !r.group.again && string(v) != r.offset {
		r.next = string(v)
	}
}

func (r *reader) gotBody(p []byte) {
	if r.failed != nil {
		return
	}
	if r.group.transport == SSE {
		r.lines(p)
	} else {
		r.scanner.scan(p, r.record)
	}
}

// lines takes lines of an SSE response: the records in them, and how they begin.
func (r *reader) lines(p []byte) {
	for {
		end := bytes.IndexByte(p, '\n')
		line := p
		if end >= 0 {
			line = p[:end]
		}
		r.scanner.scan(line, r.record)
		if end >= 0 && r.lineLen == 0 {
			r.sseLine(line)
		} else {
			r.lineLen += copy(r.line[r.lineLen:], line)
			if end >= 0 {
				r.sseLine(r.line[:r.lineLen])
				r.lineLen = 0
			}
		}
		if end < 0 {
			return
		}
		p = p[end+1:]
	}
}

var (
	controlLine = []byte(`data:{"streamNextOffset":"`)
	resetLine   = []byte("event: reset")
)

func (r *reader) sseLine(line []byte) {
	if after, ok := bytes.CutPrefix(line, controlLine); ok {
		if end := bytes.IndexByte(after, '"'); end > 0 {
			r.offset, r.safe = string(after[:end]), r.due
		}
	} else if bytes.HasPrefix(line, resetLine) {
		r.failed = fmt.Errorf("the server sent a reset after %s", r.offset)
	}
}

// record takes a record that was delivered.
func (r *reader) record(m mark) {
	g := r.group
	switch {
	case r.repeat < r.repeated && m.seq == r.repeat:
		r.repeat++
		return
	case m.channel != r.channel.number:
		g.faults.Misplaced++
		g.faults.note("%s got %s of channel %d", r, m, m.channel)
		return
	case m.seq == r.due:
		r.due++
	case m.seq > r.due:
		r.skipTo(m.seq)
		r.due = m.seq + 1
	default:
		if _, late := r.missing[m.seq]; !late {
			g.faults.Doubled++
			g.faults.note("%s got %s twice", r, m)
			return
		}
		delete(r.missing, m.seq)
		g.faults.Disordered++
		g.faults.note("%s got %s after %d", r, m, r.due-1)
	}
	if r.goal > 0 && r.due > r.goal {
		observe(g.caughtUp, r.now-r.since)
		r.goal = 0
	}
	g.delivered++
	g.last = r.now
	observe(g.latency, r.now-m.at)
}

// maxMissing bounds what a reader remembers of the records that were skipped.
const maxMissing = 10_000

func (r *reader) skipTo(seq uint64) {
	if r.missing == nil {
		r.missing = map[uint64]struct{}{}
	}
	for s := r.due; s < seq && len(r.missing) < maxMissing; s++ {
		r.missing[s] = struct{}{}
	}
}

// complete reports whether the reader has every record up to a number.
func (r *reader) complete(published uint64) bool { return r.failed != nil || r.due > published }

// settle counts what never came, once nothing more is to come. It reports
// whether the reader has every record up to a number.
func (r *reader) settle(published uint64) (whole bool) {
	f := &r.group.faults
	if r.failed != nil {
		f.Unread++
		f.note("%s gave up: %v", r, r.failed)
		return false
	}
	whole = len(r.missing) == 0 && r.due > published
	for s := range r.missing {
		f.Lost++
		f.note("%s never got record %d", r, s)
	}
	if r.due <= published {
		f.Lost += int64(published + 1 - r.due) //nolint:gosec // a count
		f.note("%s never got records %d to %d", r, r.due, published)
	}
	r.missing, r.due, r.safe = nil, published+1, published+1
	return whole
}

func (r *reader) String() string {
	return "reader " + strconv.Itoa(r.id) + " of " + r.channel.name + " (" + string(r.group.transport) + ")"
}
