package park

import (
	"errors"
	"net"
	"sync"
)

// prefixed is a connection of which some bytes were read before.
type prefixed struct {
	net.Conn
	first []byte
	leave func() // gives its place to another
}

func (p *prefixed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		if p.first = p.first[n:]; len(p.first) == 0 {
			p.first = nil
		}
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite lets net/http end a connection so that its last answer is not lost.
func (p *prefixed) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Handover is a net.Listener of connections that were taken off loops.
type Handover struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}

	mu     sync.Mutex // so that nothing is given after Close took what was left
	closed bool
}

// NewHandover makes a Handover that says it listens on an address.
func NewHandover(addr net.Addr) *Handover {
	return &Handover{addr: addr, conns: make(chan net.Conn, 1024), done: make(chan struct{})}
}

// Give hands a connection over. It never blocks: if nobody takes connections
// any more, or too few of them, the connection is closed.
func (h *Handover) Give(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		select {
		case h.conns <- c:
			return
		default:
		}
	}
	_ = c.Close()
}

// Waiting is how many connections nobody has accepted yet.
func (h *Handover) Waiting() int { return len(h.conns) }

// Accept implements net.Listener.
func (h *Handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *Handover) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	close(h.done)
	for len(h.conns) > 0 {
		_ = (<-h.conns).Close()
	}
	return nil
}

// Addr implements net.Listener.
func (h *Handover) Addr() net.Addr { return h.addr }
