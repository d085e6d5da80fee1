package multi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
	"twohop/internal/transport/multi"
	"twohop/internal/transport/transporttest"
)

type mode = transporttest.Mode

var (
	piped  = transporttest.Piped
	tcp    = transporttest.TCP
	secure = transporttest.TLS
	http2  = transporttest.HTTP2

	loopModes = transporttest.Loops

	all    = append([]mode{piped, tcp, secure, http2}, loopModes...)
	plain  = append([]mode{piped, tcp, secure}, loopModes...) // those that speak HTTP/1.1
	bubble = []mode{piped}                                    // those in which time is virtual
)

// run runs a test body in each of the modes.
func run(t *testing.T, f func(t *testing.T, m mode), modes ...mode) {
	t.Helper()
	transporttest.Run(t, f, modes...)
}

const (
	asJSON = "application/json"
	asText = "text/plain"
	asRaw  = "application/octet-stream"
)

const patience = 30 * time.Second // of tests in real time

// setup is what a test wants the server to be like.
type setup struct {
	multi.Options
	hub    hub.Options
	engine engine.Engine // that is used by others, too; nil is one in memory
	site   httpstream.Options
}

// site is a running server and the way to talk to it.
type site struct {
	transporttest.Endpoint
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
	s.Endpoint = m.Serve(t, front)
	return s
}

// pause lets virtual time pass.
func pause(d time.Duration) { <-time.After(d) }

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
	req, err := http.NewRequestWithContext(context.Background(), method, s.Base+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := s.Client.Do(req)
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
