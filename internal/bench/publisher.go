package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// publisher sends requests over one connection, which answers them in order.
// Where the server ends it with an answer, another one takes its place, and what
// was not answered goes out again.
type publisher struct {
	target   *target
	ctx      context.Context // of its connections
	deadline time.Time       // of their reads and writes; zero is none
	conn     net.Conn        // nil after the server ended it
	stop     func() bool

	out      []byte // requests, until all of them are answered
	ends     []int  // where each of them ends
	answered int    // how many of them
	sent     int    // how much of out, on this connection
	broken   error  // why the last write broke off
	in       []byte
	rest     []byte // of in: what is not taken yet

	response
	offset     string // Stream-Next-Offset of the last answer
	durability string
	body       []byte
}

func (t *target) publisher(ctx context.Context) (*publisher, error) {
	p := &publisher{target: t, ctx: ctx, in: make([]byte, 32<<10)}
	return p, p.dial()
}

func (p *publisher) dial() error {
	c, err := p.target.dial(p.ctx)
	if err != nil {
		return fmt.Errorf("no connection to the server: %w", err)
	}
	p.use(c)
	return nil
}

// use makes c the connection.
func (p *publisher) use(c net.Conn) {
	_ = c.SetDeadline(p.deadline) // of an open connection
	p.conn, p.response = c, response{}
	p.stop = context.AfterFunc(p.ctx, func() { _ = c.Close() })
}

func (p *publisher) close() {
	if p.conn != nil {
		p.stop()
		_ = p.conn.Close()
		p.conn, p.rest = nil, nil
	}
}

// within bounds all reads and writes from now on.
func (p *publisher) within(d time.Duration) {
	p.deadline = time.Now().Add(d)
	if p.conn != nil {
		_ = p.conn.SetDeadline(p.deadline) // the next read or write fails if that did
	}
}

// add appends a request to those that send sends. line is method and path.
func (p *publisher) add(line, headers string, body []byte) {
	p.out = append(p.out, line...)
	p.out = append(p.out, " HTTP/1.1\r\n"...)
	p.out = append(p.out, p.target.headers()...)
	p.out = append(p.out, headers...)
	p.out = append(p.out, "Content-Length: "...)
	p.out = strconv.AppendInt(p.out, int64(len(body)), 10)
	p.out = append(p.out, "\r\n\r\n"...)
	p.out = append(p.out, body...)
	p.ends = append(p.ends, len(p.out))
}

// send sends what this connection has not got yet. A server that ends it may be
// noticed by the write first, so its answers tell what went wrong.
func (p *publisher) send() error {
	if p.conn == nil {
		if err := p.dial(); err != nil {
			return err
		}
	}
	_, p.broken = p.conn.Write(p.out[p.sent:])
	p.sent = len(p.out)
	return nil
}

// answer reads the next answer and returns its status.
func (p *publisher) answer() (int, error) {
	if p.conn == nil {
		if err := p.send(); err != nil {
			return 0, err
		}
	}
	if err := p.read(); err != nil {
		return 0, err
	}
	if p.answered++; p.response.close {
		p.close()
		p.sent = p.ends[p.answered-1]
	}
	if p.answered == len(p.ends) {
		p.out, p.ends, p.answered, p.sent = p.out[:0], p.ends[:0], 0, 0
	}
	return p.status, nil
}

func (p *publisher) read() error {
	p.offset, p.body = "", p.body[:0]
	for {
		if len(p.rest) > 0 {
			rest, done, err := p.feed(p.rest, p)
			if p.rest = rest; err != nil || done {
				return err
			}
		}
		n, err := p.conn.Read(p.in)
		switch {
		case n == 0 && p.phase == untilClose && errors.Is(err, io.EOF):
			return nil
		case n == 0 && err != nil:
			return fmt.Errorf("no answer: %w", cmp.Or(p.broken, err))
		}
		p.rest = p.in[:n]
	}
}

func (p *publisher) request(line, headers string, body []byte) (int, error) {
	p.add(line, headers, body)
	if err := p.send(); err != nil {
		return 0, err
	}
	return p.answer()
}

// refused is an answer that is an error.
func (p *publisher) refused(what string) error {
	return fmt.Errorf("%s: the server answered %d: %.300s", what, p.status, p.body)
}

func (p *publisher) gotHead(_ int, head []byte) {
	p.offset = string(header(head, "Stream-Next-Offset"))
	if p.durability == "" {
		p.durability = string(header(head, "Stream-Durability"))
	}
}

func (p *publisher) gotBody(piece []byte) {
	if len(p.body) < 4096 {
		p.body = append(p.body, piece...)
	}
}
