package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"twohop"
)

// listen opens the address, for at most limit connections at a time; 0 is any
// number.
func listen(ctx context.Context, address string, limit int) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4,
	}}
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		e := &twohop.Error{Code: twohop.CodeUnavailable, Message: "cannot listen on " + address, Err: err,
			Hint: "listen takes HOST:PORT of an address of this machine"}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			e.Hint = "another program listens there; choose another port with --listen, for example --listen 127.0.0.1:4438"
		case errors.Is(err, syscall.EACCES):
			e.Hint = "ports below 1024 need a privilege; choose a larger one with --listen"
		}
		return nil, e
	}
	if limit > 0 {
		ln = &limitedListener{Listener: ln, places: make(chan struct{}, limit), closed: make(chan struct{})}
	}
	return ln, nil
}

// limitedListener accepts a connection only when there is a place for it, so
// that further ones wait in the kernel's queue.
type limitedListener struct {
	net.Listener
	places chan struct{} // holds a token for each open connection
	closed chan struct{}
	once   sync.Once
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
