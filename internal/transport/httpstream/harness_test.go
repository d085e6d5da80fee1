package httpstream_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
)

// mode is one way to serve the handler and to reach it. A test is one body that
// runs in several modes.
type mode struct {
	name    string
	virtual bool // in a bubble: time is exact and costs nothing
	http1   bool // dial gives a connection that speaks HTTP/1.1
	serve   func(t testing.TB, h *httpstream.Handler) endpoint
}

// endpoint is where a mode serves.
type endpoint struct {
	base   string // URL without a path
	client *http.Client
	dial   func() (net.Conn, error)
}

var (
	piped  = mode{name: "pipe", virtual: true, http1: true, serve: servePipe}
	tcp    = mode{name: "tcp", http1: true, serve: serveTCP}
	http2  = mode{name: "http2", serve: serveHTTP2}
	all    = append([]mode{piped, tcp, http2}, loopModes...)
	plain  = append([]mode{piped, tcp}, loopModes...) // those that speak HTTP/1.1
	bubble = []mode{piped}                            // those in which time is virtual
)

// run runs a test body in each of the modes.
func run(t *testing.T, f func(t *testing.T, m mode), modes ...mode) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			if m.virtual {
				synctest.Test(t, func(t *testing.T) { f(t, m) })
				return
			}
			f(t, m)
		})
	}
}

// setup is what a test wants the server to be like.
type setup struct {
	httpstream.Options
	hub    hub.Options
	memory memlog.Options
	engine *faultyEngine // nil is the memory engine itself
}

// site is a running server and the way to talk to it.
type site struct {
	endpoint
	t       testing.TB
	mode    mode
	handler *httpstream.Handler
	hub     *hub.Hub
}

// serve starts a server in a mode; it is stopped when the test ends.
func serve(t testing.TB, m mode, o setup) *site {
	t.Helper()
	var e engine.Engine = memlog.Open(o.memory)
	if o.engine != nil {
		o.engine.Engine = e
		e = o.engine
	}
	h := hub.New(e, o.hub)
	t.Cleanup(func() {
		h.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, mode: m, hub: h, handler: httpstream.New(h, o.Options)}
	s.endpoint = m.serve(t, s.handler)
	return s
}

func servePipe(t testing.TB, h *httpstream.Handler) endpoint {
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
		_ = srv.Close()
		<-done
		pause(time.Second) // net/http lingers on connections that it closes
	})
	return endpoint{"http://twohop.test", &http.Client{Transport: tr}, ln.dial}
}

func serveTCP(t testing.TB, h *httpstream.Handler) endpoint {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	addr := srv.Listener.Addr().String()
	return endpoint{srv.URL, srv.Client(), func() (net.Conn, error) { return net.Dial("tcp", addr) }}
}

func serveHTTP2(t testing.TB, h *httpstream.Handler) endpoint {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	return endpoint{base: srv.URL, client: srv.Client()}
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
