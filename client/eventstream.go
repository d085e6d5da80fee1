package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// errTooLarge says that an event is larger than the client may hold.
var errTooLarge = errors.New("an event or answer is larger than MaxEventBytes")

// sseEvent is one event of a text/event-stream.
type sseEvent struct {
	kind string // "message" where the stream names none
	id   string // the last one that the stream gave, with this event or before
	data []byte // owned by the parser until its next call
}

// sseParser reads a text/event-stream as the HTML standard (9.2.6) says: lines
// end in CR, LF or CRLF, a byte order mark may come first, comments and unknown
// fields are skipped, an event that the end of the stream cuts is none. Bytes
// are passed on as they are, also where they are not UTF-8.
//
// Between events it holds smallBuffer bytes: a large event borrows its buffer,
// and is in there once.
type sseParser struct {
	r      io.Reader
	limit  int          // of a line and of an event's data
	within *atomic.Bool // if not nil, told whether an event began when more is read

	small    []byte
	buf      []byte // small, or a larger one while an event needs it
	data     int    // buf[:data] are the event's data lines so far
	from, to int    // buf[from:to] was read, and is not a part of any line yet

	begun  bool // the first bytes were looked at for a byte order mark
	skipLF bool // the last line ended in CR: a LF that follows belongs to it

	kind   []byte
	lastID string        // of the last event that had one
	retry  time.Duration // the server's pace for reconnects; 0 until told
}

const smallBuffer = 4 << 10

func newSSEParser(r io.Reader, limit int) *sseParser {
	small := make([]byte, smallBuffer)
	return &sseParser{r: r, limit: limit, small: small, buf: small}
}

// next returns the next whole event. At the end of the stream it is io.EOF,
// whatever was left.
func (p *sseParser) next() (sseEvent, error) {
	p.data, p.kind = 0, p.kind[:0]
	p.shrink()
	for {
		line, err := p.readLine()
		if err != nil {
			return sseEvent{}, err
		}
		if len(line) > 0 {
			if err := p.field(line); err != nil {
				return sseEvent{}, err
			}
			continue
		}
		if p.data == 0 {
			p.kind = p.kind[:0]
			continue
		}
		e := sseEvent{kind: string(p.kind), id: p.lastID, data: p.buf[:p.data-1]}
		if e.kind == "" {
			e.kind = "message"
		}
		return e, nil
	}
}

// field takes one line that is not empty.
func (p *sseParser) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) { // a comment has an empty name
	case "data":
		if p.data+len(value) >= p.limit {
			return fmt.Errorf("%w (%d)", errTooLarge, p.limit)
		}
		// The line stands further on and is longer: it has the field's name.
		p.data += copy(p.buf[p.data:], value)
		p.buf[p.data] = '\n'
		p.data++
	case "event":
		p.kind = append(p.kind[:0], value...)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			p.lastID = string(value)
		}
	case "retry":
		if n, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			p.retry = time.Duration(n) * time.Millisecond //nolint:gosec // 31 bits
		}
	}
	return nil
}

// readLine returns the next line without its end, valid until the next call. A
// line that the end of the stream cuts is io.EOF.
func (p *sseParser) readLine() ([]byte, error) {
	for seen := 0; ; { // bytes of the line that have no end among them
		b := p.buf[p.from:p.to]
		if p.skipLF && len(b) > 0 {
			if p.skipLF = false; b[0] == '\n' {
				p.from++
				continue
			}
		}
		if p.begun || p.begin(b) {
			b = p.buf[p.from:p.to]
			if end := lineEnd(b[seen:]); end >= 0 {
				end += seen
				p.skipLF = b[end] == '\r'
				p.from += end + 1
				return b[:end], nil
			}
			if seen = len(b); seen > p.limit+maxFieldName {
				return nil, fmt.Errorf("%w (%d)", errTooLarge, p.limit)
			}
		}
		if err := p.fill(); err != nil {
			return nil, err
		}
	}
}

// maxFieldName is how much longer than its value a line of a field may be.
const maxFieldName = 16

const mark = "\xEF\xBB\xBF" // UTF-8's byte order mark

// begin skips a byte order mark. It is false while more bytes are needed to tell.
func (p *sseParser) begin(b []byte) bool {
	if len(b) < len(mark) && strings.HasPrefix(mark, string(b)) {
		return false
	}
	p.begun = true
	if bytes.HasPrefix(b, []byte(mark)) {
		p.from += len(mark)
	}
	return true
}

// fill reads more, and makes room for it first.
func (p *sseParser) fill() error {
	if p.to == len(p.buf) || p.from == p.to {
		p.to = p.data + copy(p.buf[p.data:], p.buf[p.from:p.to])
		p.from = p.data
	}
	if p.to == len(p.buf) {
		larger := takeBuffer(2 * len(p.buf))
		copy(larger, p.buf)
		p.use(larger)
	}
	if p.within != nil {
		p.within.Store(p.data > 0 || len(p.kind) > 0 || p.to > p.from)
	}
	n, err := p.r.Read(p.buf[p.to:])
	if p.to += n; n > 0 {
		return nil // an error comes again
	}
	return err
}

// shrink gives a large buffer back when what is left fits into the small one.
// There is no event under way.
func (p *sseParser) shrink() {
	if len(p.buf) == smallBuffer || p.to-p.from > smallBuffer {
		return
	}
	p.to = copy(p.small, p.buf[p.from:p.to])
	p.from = 0
	p.use(p.small)
}

func (p *sseParser) use(buf []byte) {
	if len(p.buf) > smallBuffer {
		giveBuffer(p.buf)
	}
	p.buf = buf
}

// lineEnd is where the first line in b ends, or -1.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}
