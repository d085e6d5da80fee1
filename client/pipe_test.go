package client

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// serve makes a server in memory, and a client of it that waits little between
// its tries.
func serve(t *testing.T, h http.Handler) (*pipeListener, *Client) {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{}), cut: func(int) int { return -1 }}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	go func() { _ = s.Serve(l) }() // ends at Close
	transport := &http.Transport{DialContext: l.dial}
	t.Cleanup(func() {
		l.breakAll()
		transport.CloseIdleConnections()
		_ = s.Close()
	})
	c, err := New("http://fake", Options{HTTPClient: &http.Client{Transport: transport}, BackoffMin: time.Millisecond, BackoffMax: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

// pipeListener hands out connections that live in memory, as a synctest bubble
// needs them.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	cut   func(conn int) int

	mu    sync.Mutex
	dials int
	down  bool
	open  []net.Conn
}

// breakAll breaks all connections that were made.
func (l *pipeListener) breakAll() {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "fake", Net: "pipe"} }

// setDown makes dials fail, or not.
func (l *pipeListener) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *pipeListener) dialed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dials
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	l.mu.Lock()
	n, down := l.dials, l.down
	l.dials++
	l.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: net.ErrClosed}
	}
	near, far := net.Pipe()
	if left := l.cut(n); left >= 0 {
		far = &cutConn{Conn: far, left: left}
	}
	l.mu.Lock()
	l.open = append(l.open, near)
	l.mu.Unlock()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cutConn is a connection that breaks after so many bytes were written.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	written, err := c.Conn.Write(p[:n])
	if err == nil && n < len(p) {
		_ = c.Close()
		err = io.ErrClosedPipe
	}
	return written, err
}
