package bench

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// publisher is a connection for requests that are answered in order.
type publisher struct {
	target *target
	conn   net.Conn
	stop   func() bool
	out    []byte // requests to be sent
	in     []byte
	rest   []byte // of in: what is not taken yet

	response
	offset     string // Stream-Next-Offset of the last answer
	durability string
	body       []byte
}

func (t *target) publisher(ctx context.Context) (*publisher, error) {
	c, err := t.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("no connection to the server: %w", err)
	}
	p := &publisher{target: t, conn: c, in: make([]byte, 32<<10)}
	p.stop = context.AfterFunc(ctx, func() { _ = c.Close() })
	return p, nil
}

func (p *publisher) close() {
	p.stop()
	_ = p.conn.Close()
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
}

func (p *publisher) send() error {
	_, err := p.conn.Write(p.out)
	p.out = p.out[:0]
	return err
}

// answer reads the next answer and returns its status.
func (p *publisher) answer() (int, error) {
	p.offset, p.body = "", p.body[:0]
	for {
		if len(p.rest) > 0 {
			rest, done, err := p.feed(p.rest, p)
			if p.rest = rest; err != nil {
				return 0, err
			}
			if done {
				return p.status, nil
			}
		}
		n, err := p.conn.Read(p.in)
		if n == 0 && err != nil {
			return 0, fmt.Errorf("no answer: %w", err)
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
