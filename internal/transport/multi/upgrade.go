package multi

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"twohop"
	"twohop/internal/wire/websocket"
)

// serveSocket answers a handshake through net/http, and gives the connection a
// goroutine that writes and one that reads.
func (h *Handler) serveSocket(w http.ResponseWriter, r *http.Request) {
	o := websocket.OfferOf(r)
	a, refusal := o.Agree()
	if refusal != nil {
		if refusal.Header[0] != "" {
			w.Header().Set(refusal.Header[0], refusal.Header[1])
		}
		if refusal.Status == http.StatusUpgradeRequired {
			w = &withStatus{w, refusal.Status}
		}
		h.opts.Fail(w, r, refusal.Err)
		return
	}
	fields := fieldsOf(w.Header())
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.opts.Fail(w, r, &twohop.Error{Code: twohop.CodeInvalidHeader, Message: "a WebSocket needs an HTTP/1.1 connection of its own",
			Hint: "open it with HTTP/1.1", Err: err})
		return
	}
	defer func() { _ = nc.Close() }() // nobody is left who could be told
	p := newSolo()
	p.abort = nc.Close
	n := newNode(h, p)
	if !h.register(n) {
		return
	}
	defer h.retire(p, n)
	first, _ := rw.Peek(rw.Reader.Buffered()) // what is buffered is there
	l := &line{nc: nc, p: p, slow: 2 * h.opts.Heartbeat, taken: make(chan struct{}, 1)}
	_ = nc.SetDeadline(time.Time{}) // net/http's; it fails with the connection
	p.write, p.pause = l.write, l.pause
	if c, ok := nc.(interface{ CloseWrite() error }); ok {
		p.shut = func() { _ = c.CloseWrite() } // fails with the connection
	}
	s := n.newSocket(p, &a, h.opts.Heartbeat)
	l.s = s
	s.start(&a, fields, h.opts.Heartbeat)
	var reading sync.WaitGroup
	reading.Go(func() { l.read(first) })
	p.serve(s, nil)
	p.cut()
	reading.Wait()
	s.gone()
}

// withStatus answers with another status than the error's code has.
type withStatus struct {
	http.ResponseWriter
	status int
}

func (w *withStatus) WriteHeader(int) { w.ResponseWriter.WriteHeader(w.status) }

// Unwrap lets http.ResponseController reach the connection.
func (w *withStatus) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fieldsOf are the header lines that were set already.
func fieldsOf(hd http.Header) string {
	var b strings.Builder
	_ = hd.Write(&b) // a Builder takes all
	return b.String()
}

// line is the connection of a WebSocket that has goroutines.
type line struct {
	nc    net.Conn
	p     *solo
	s     *socket
	slow  time.Duration
	taken chan struct{} // of one: the reader may read on
	held  bool          // owned by the writing goroutine: the reader waits
}

const (
	writeBytes = 16 << 10 // of which each piece has the time for a slow peer
	readBytes  = 4 << 10
)

// write sends pieces. A peer that takes nothing for long is cut off.
func (l *line) write(pieces [][]byte) error {
	v := net.Buffers(pieces)
	for len(v) > 0 {
		some, size := net.Buffers(nil), 0
		for len(v) > 0 && size < writeBytes {
			b := v[0]
			if len(b) > writeBytes-size {
				v[0] = b[writeBytes-size:]
				b = b[:writeBytes-size]
			} else {
				v = v[1:]
			}
			some = append(some, b)
			size += len(b)
		}
		if err := l.nc.SetWriteDeadline(time.Now().Add(l.slow)); err != nil {
			return err
		}
		if _, err := some.WriteTo(l.nc); err != nil {
			return err
		}
	}
	return nil
}

// read reads what the client sends, and goes on when it was taken.
func (l *line) read(first []byte) {
	buf := make([]byte, readBytes)
	n := copy(buf, first)
	for first = first[n:]; ; {
		if n > 0 {
			l.p.Post(&arrival{l, buf[:n], now()})
			select {
			case <-l.taken:
			case <-l.p.stop:
				return
			}
		}
		if len(first) > 0 {
			n = copy(buf, first)
			first = first[n:]
			continue
		}
		var err error
		if n, err = l.nc.Read(buf); err != nil && n == 0 {
			l.p.Post(hangup{l})
			return
		}
	}
}

// pause implements port, for the reader.
func (l *line) pause(on bool) {
	if !on && l.held {
		l.held = false
		l.taken <- struct{}{}
	}
}

// arrival is bytes that a client sent.
type arrival struct {
	l  *line
	b  []byte
	at ticks
}

// Turn implements task.
func (a *arrival) Turn() bool {
	l := a.l
	l.held = true
	l.s.begun += now() - a.at // during a long write it could not be taken
	l.s.came(a.b)
	if l.s.stopped() {
		l.s.stop()
	} else {
		l.pause(false)
	}
	return false
}

// hangup is the end of what a client sends.
type hangup struct{ l *line }

// Turn implements task.
func (h hangup) Turn() bool {
	h.l.p.Close()
	return false
}
