// Package transporttest serves a server's handler in every way in which it is
// served: in memory, over TCP, TLS and HTTP/2, and on loops.
//
// Invariant: a test is one body that runs in several modes, and what it sees
// does not depend on the mode.
package transporttest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twohop/internal/transport/httpstream"
)

// Mode is one way to serve a handler and to reach it.
type Mode struct {
	Name    string
	Virtual bool // in a bubble: time is exact and costs nothing
	Serve   func(t testing.TB, h *httpstream.Handler) Endpoint
}

// Endpoint is where a mode serves.
type Endpoint struct {
	Base   string // URL without a path
	Client *http.Client
	Dial   func() (net.Conn, error) // a connection that speaks HTTP/1.1; nil if there is none
}

// The modes of every system.
var (
	Piped = Mode{Name: "pipe", Virtual: true, Serve: servePipe}
	TCP   = Mode{Name: "tcp", Serve: serveTCP}
	TLS   = Mode{Name: "tls", Serve: serveTLS}
	HTTP2 = Mode{Name: "http2", Serve: serveHTTP2}
)

// Run runs a test body in each of the modes.
func Run(t *testing.T, f func(t *testing.T, m Mode), modes ...Mode) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.Name, func(t *testing.T) {
			if m.Virtual {
				synctest.Test(t, func(t *testing.T) { f(t, m) })
				return
			}
			f(t, m)
		})
	}
}

func servePipe(t testing.TB, h *httpstream.Handler) Endpoint {
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln) // ends with ErrServerClosed
	}()
	tr := &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return ln.dial() },
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = srv.Close() // of a listener in memory
		<-done
		<-time.After(time.Second) // net/http lingers on connections that it closes
	})
	return Endpoint{"http://twohop.test", &http.Client{Transport: tr}, ln.dial}
}

func serveTCP(t testing.TB, h *httpstream.Handler) Endpoint {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	return Endpoint{srv.URL, srv.Client(), dialer(srv.Listener.Addr())}
}

func serveTLS(t testing.TB, h *httpstream.Handler) Endpoint {
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	config := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "example.com"
	config.NextProtos = []string{"http/1.1"}
	addr := srv.Listener.Addr().String()
	return Endpoint{srv.URL, srv.Client(), func() (net.Conn, error) { return tls.Dial("tcp", addr, config) }}
}

func serveHTTP2(t testing.TB, h *httpstream.Handler) Endpoint {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	return Endpoint{Base: srv.URL, Client: srv.Client()}
}

func dialer(addr net.Addr) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("tcp", addr.String()) }
}

// pipeListener is a listener in memory.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) dial() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
