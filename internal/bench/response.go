package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// response reads HTTP/1.1 responses to GET and POST from bytes that come in any
// pieces. The zero value waits for the first one.
type response struct {
	phase  phase
	status int
	close  bool   // the server ends the connection after this response
	left   int64  // of the body or the chunk
	head   []byte // of a head or a line that came in pieces
}

type phase uint8

const (
	inHead phase = iota
	inBody
	inChunkLine // the line with a chunk's length
	inChunk
	afterChunk // the line break after a chunk
	inTrailer
	untilClose // a body that the end of the connection ends
)

// A message gets what is in a response. Bytes are valid during the call only.
type message interface {
	gotHead(status int, head []byte)
	gotBody(piece []byte)
}

// maxHead bounds what is kept of a head that does not end.
const maxHead = 64 << 10

var (
	errHeadTooLong = errors.New("the head of the response does not end")
	errChunk       = errors.New("malformed chunk in the response")
	headEnd        = []byte("\r\n\r\n")
)

// feed takes bytes up to the end of the present response. rest is what follows
// it; done tells that it ended.
func (r *response) feed(p []byte, m message) (rest []byte, done bool, err error) {
	for len(p) > 0 {
		switch r.phase {
		case inHead:
			head, after, ok := r.until(p, headEnd)
			if !ok {
				return nil, false, r.tooLong()
			}
			p = after
			if done, err = r.begin(head, m); err != nil || done {
				return p, done, err
			}
		case inBody, inChunk:
			n := min(int64(len(p)), r.left)
			m.gotBody(p[:n])
			p, r.left = p[n:], r.left-n
			if r.left > 0 {
				return nil, false, nil
			}
			if r.phase == inBody {
				return p, r.end(), nil
			}
			r.phase = afterChunk
		case untilClose:
			m.gotBody(p)
			return nil, false, nil
		case inChunkLine, afterChunk, inTrailer:
			line, after, ok := r.until(p, headEnd[:2])
			if !ok {
				return nil, false, r.tooLong()
			}
			p = after
			if done, err = r.chunkLine(line); err != nil || done {
				return p, done, err
			}
		}
	}
	return nil, false, nil
}

func (r *response) end() bool {
	r.phase = inHead
	return true
}

func (r *response) tooLong() error {
	if len(r.head) > maxHead {
		return errHeadTooLong
	}
	return nil
}

// until takes bytes up to an end mark, which is not part of what it returns. It
// keeps them if the mark has not come yet.
func (r *response) until(p, end []byte) (taken, after []byte, ok bool) {
	if len(r.head) == 0 {
		if taken, after, ok = bytes.Cut(p, end); ok {
			return taken, after, true
		}
	}
	kept := len(r.head)
	r.head = append(r.head, p...)
	from := max(0, kept-len(end)+1)
	i := bytes.Index(r.head[from:], end)
	if i < 0 {
		return nil, nil, false
	}
	i += from
	taken, r.head = r.head[:i], r.head[:0]
	return taken, p[i+len(end)-kept:], true
}

// begin takes a whole head. done tells that the response has no body.
func (r *response) begin(head []byte, m message) (done bool, err error) {
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return false, fmt.Errorf("not an HTTP/1.1 response: %.40q", head)
	}
	if r.status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return false, fmt.Errorf("not an HTTP status: %.40q", head)
	}
	if r.status < 200 && r.status != 101 {
		return false, nil // the final response follows
	}
	r.close = bytes.EqualFold(header(head, "Connection"), []byte("close"))
	m.gotHead(r.status, head)
	if r.status == 101 || r.status == 204 || r.status == 304 {
		return r.end(), nil
	}
	if bytes.EqualFold(header(head, "Transfer-Encoding"), []byte("chunked")) {
		r.phase = inChunkLine
		return false, nil
	}
	length := header(head, "Content-Length")
	if length == nil {
		r.phase, r.close = untilClose, true
		return false, nil
	}
	if r.left, err = strconv.ParseInt(string(length), 10, 64); err != nil || r.left < 0 {
		return false, fmt.Errorf("malformed Content-Length: %.40q", length)
	}
	if r.left == 0 {
		return r.end(), nil
	}
	r.phase = inBody
	return false, nil
}

func (r *response) chunkLine(line []byte) (done bool, err error) {
	switch r.phase {
	case afterChunk:
		if len(line) > 0 {
			return false, errChunk
		}
		r.phase = inChunkLine
	case inTrailer:
		if len(line) == 0 {
			return r.end(), nil
		}
	default:
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		if err != nil || n < 0 {
			return false, errChunk
		}
		r.left, r.phase = n, inChunk
		if n == 0 {
			r.phase = inTrailer
		}
	}
	return false, nil
}

// header is the value of a header line, nil if there is none.
func header(head []byte, name string) []byte {
	for {
		i := bytes.IndexByte(head, '\n')
		if i < 0 {
			return nil
		}
		head = head[i+1:]
		if len(head) <= len(name) || head[len(name)] != ':' || !equalFold(head[:len(name)], name) {
			continue
		}
		value := head[len(name)+1:]
		if end := bytes.IndexByte(value, '\r'); end >= 0 {
			value = value[:end]
		}
		return bytes.TrimSpace(value)
	}
}

// equalFold compares the names of headers, which are ASCII.
func equalFold(p []byte, name string) bool {
	for i, c := range p {
		if c|0x20 != name[i]|0x20 {
			return false
		}
	}
	return true
}
