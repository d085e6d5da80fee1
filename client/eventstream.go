package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
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
type sseParser struct {
	r     *bufio.Reader
	limit int // of a line and of an event's data

	begun  bool // the first bytes were looked at for a byte order mark
	skipLF bool // the last line ended in CR: a LF that follows belongs to it

	line []byte
	data []byte
	kind []byte

	lastID string        // of the last event that had one
	retry  time.Duration // the server's pace for reconnects; 0 until told
}

func newSSEParser(r io.Reader, limit int) *sseParser {
	return &sseParser{r: bufio.NewReaderSize(r, 32<<10), limit: limit}
}

// next returns the next whole event. At the end of the stream it is io.EOF,
// whatever was left.
func (p *sseParser) next() (sseEvent, error) {
	p.data, p.kind = p.data[:0], p.kind[:0]
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
		if len(p.data) == 0 {
			p.kind = p.kind[:0]
			continue
		}
		e := sseEvent{kind: string(p.kind), id: p.lastID, data: p.data[:len(p.data)-1]}
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
		if len(p.data)+len(value) >= p.limit {
			return fmt.Errorf("%w (%d)", errTooLarge, p.limit)
		}
		p.data = append(append(p.data, value...), '\n')
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
	p.line = p.line[:0]
	for {
		b, err := p.buffered()
		if err != nil {
			return nil, err
		}
		end := lineEnd(b)
		if end < 0 {
			if len(p.line)+len(b) > p.limit+maxFieldName {
				return nil, fmt.Errorf("%w (%d)", errTooLarge, p.limit)
			}
			p.line = append(p.line, b...)
			p.discard(len(b))
			continue
		}
		p.skipLF = b[end] == '\r'
		line := b[:end]
		if len(p.line) > 0 {
			p.line = append(p.line, line...)
			line = p.line
		}
		p.discard(end + 1)
		return line, nil
	}
}

// maxFieldName is how much longer than its value a line of a field may be.
const maxFieldName = 16

const mark = "\xEF\xBB\xBF" // UTF-8's byte order mark

// buffered waits for bytes and returns all that are there, without those that
// are no part of any line.
func (p *sseParser) buffered() ([]byte, error) {
	if !p.begun {
		p.begun = true
		if b, _ := p.r.Peek(1); len(b) > 0 && b[0] == mark[0] { // wait for more only if more can matter
			if b, _ := p.r.Peek(len(mark)); string(b) == mark {
				p.discard(len(mark))
			}
		}
	}
	for {
		if _, err := p.r.Peek(1); err != nil {
			return nil, err
		}
		b, _ := p.r.Peek(p.r.Buffered())
		if !p.skipLF {
			return b, nil
		}
		p.skipLF = false
		if b[0] != '\n' {
			return b, nil
		}
		p.discard(1)
	}
}

// discard drops bytes that were peeked at.
func (p *sseParser) discard(n int) { _, _ = p.r.Discard(n) }

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
