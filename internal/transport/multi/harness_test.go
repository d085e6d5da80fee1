package multi_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
	"twohop/internal/transport/multi"
)

// mode is one way to serve the handlers and to reach them. A test is one body
// that runs in several modes.
type mode struct {
	name    string
	virtual bool // in a bubble: time is exact and costs nothing
	serve   func(t testing.TB, h *httpstream.Handler) endpoint
}

// endpoint is where a mode serves.
type endpoint struct {
	base   string // URL without a path
	client *http.Client
	dial   func() (net.Conn, error) // a connection that speaks HTTP/1.1
}

var (
	piped  = mode{name: "pipe", virtual: true, serve: servePipe}
	tcp    = mode{name: "tcp", serve: serveTCP}
	secure = mode{name: "tls", serve: serveTLS}
	http2  = mode{name: "http2", serve: serveHTTP2}

	all    = append([]mode{piped, tcp, secure, http2}, loopModes...)
	plain  = append([]mode{piped, tcp, secure}, loopModes...) // those that speak HTTP/1.1
	bubble = []mode{piped}                                    // those in which time is virtual
)

const (
	asJSON = "application/json"
	asText = "text/plain"
	asRaw  = "application/octet-stream"
)

const patience = 30 * time.Second // of tests in real time

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
	multi.Options
	hub    hub.Options
	engine engine.Engine // that is used by others, too; nil is one in memory
	site   httpstream.Options
}

// site is a running server and the way to talk to it.
type site struct {
	endpoint
	t    testing.TB
	mode mode
	hub  *hub.Hub
	many *multi.Handler
}

// serve starts a server in a mode; it is stopped when the test ends.
func serve(t testing.TB, m mode, o setup) *site {
	t.Helper()
	e := o.engine
	if e == nil {
		e = memlog.Open(memlog.Options{})
	}
	h := hub.New(e, o.hub)
	s := &site{t: t, mode: m, hub: h}
	t.Cleanup(func() {
		s.many.Close()
		if o.engine == nil {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
		h.Close()
	})
	var front *httpstream.Handler
	o.Fail = func(w http.ResponseWriter, r *http.Request, err error) { front.Fail(w, r, err) }
	o.Body = func(w http.ResponseWriter, r *http.Request) ([]byte, error) { return front.Body(w, r) }
	s.many = multi.New(h, o.Options)
	o.site.Rules, o.site.Many = o.Rules, s.many
	front = httpstream.New(h, o.site)
	s.endpoint = m.serve(t, front)
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

func serveTLS(t testing.TB, h *httpstream.Handler) endpoint {
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	addr := srv.Listener.Addr().String()
	config := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "example.com"
	config.NextProtos = []string{"http/1.1"}
	return endpoint{srv.URL, srv.Client(), func() (net.Conn, error) { return tls.Dial("tcp", addr, config) }}
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

// pause lets virtual time pass.
func pause(d time.Duration) { time.Sleep(d) }

// eventually waits until something is so.
func (s *site) eventually(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// do makes a request; path is what follows /v1/, headers are names and values in
// turn.
func (s *site) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	resp := s.ask(method, path, body, headers...)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

func (s *site) ask(method, path, body string, headers ...string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.base+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

func (s *site) create(name, contentType string) {
	s.t.Helper()
	if _, _, err := s.hub.Create(context.Background(), name, &twohop.Spec{ContentType: contentType}); err != nil {
		s.t.Fatal(err)
	}
}

// publish appends one record, to a JSON channel with its comma, and returns the
// offset after it.
func (s *site) publish(name, record string) string {
	s.t.Helper()
	info, err := s.hub.Info(context.Background(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	if info.JSON() {
		record += ","
	}
	ack, err := s.hub.Append(context.Background(), &twohop.Append{Channel: name, Data: []byte(record), Ends: []uint32{uint32(len(record))}})
	if err != nil {
		s.t.Fatal(err)
	}
	return ack.Offset.String()
}

func (s *site) closeChannel(name string) {
	s.t.Helper()
	if _, err := s.hub.Append(context.Background(), &twohop.Append{Channel: name, Close: true}); err != nil {
		s.t.Fatal(err)
	}
}

// idle fails if anything of a connection is left.
func (s *site) idle() {
	s.t.Helper()
	st := s.many.Stats()
	s.eventually("no connection is left", func() bool {
		return st.WebSockets.Load() == 0 && st.SSE.Load() == 0 && st.LongPolls.Load() == 0 && st.Polls.Load() == 0 &&
			st.Subscriptions.Load() == 0 && st.Publishing.Load() == 0
	})
}

func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("c/%d", i)
	}
	return list
}
