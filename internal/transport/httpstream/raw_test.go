package httpstream_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// wire is a bare connection, for what no client would send.
type wire struct {
	net.Conn
	in *bufio.Reader
}

func (s *site) wire() *wire {
	s.t.Helper()
	c, err := s.Dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return &wire{c, bufio.NewReader(c)}
}

// send writes a request's text, of which the lines may end as in Go.
func (w *wire) send(s *site, text string) {
	s.t.Helper()
	if _, err := io.WriteString(w, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		s.t.Fatal(err)
	}
}

// answer reads the answer to a request that is no HEAD.
func (w *wire) answer(s *site) reply {
	s.t.Helper()
	return w.answerTo(s, http.MethodPost)
}

func (w *wire) answerTo(s *site, method string) reply {
	s.t.Helper()
	if !s.mode.Virtual {
		_ = w.SetReadDeadline(time.Now().Add(patience))
	}
	resp, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Close {
		resp.Header.Set("Connection", "close") // which ReadResponse takes out
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// raw sends a request as it stands on a connection of its own and reads the
// answer. The server may answer before it has read all of it.
func (s *site) raw(head, body string) reply {
	s.t.Helper()
	w := s.wire()
	go func() { _, _ = io.WriteString(w, strings.ReplaceAll(head, "\n", "\r\n")+body) }()
	method, _, _ := strings.Cut(head, " ")
	return w.answerTo(s, method)
}

// slowFollow asks for an SSE response that is not read before the test does so.
func (s *site) slowFollow(query, header string) *follower {
	s.t.Helper()
	w := s.wire()
	w.send(s, fmt.Sprintf("GET /v1/stream/c?live=sse&%s HTTP/1.1\nHost: x\n%s\n\n", query, header))
	return &follower{in: bufio.NewReaderSize(&lazyBody{wire: w}, 16), cancel: func() {}, Response: &http.Response{Header: http.Header{}}}
}

// lazyBody is the body of an answer whose head is read with it.
type lazyBody struct {
	wire *wire
	body io.Reader
}

func (b *lazyBody) Read(p []byte) (int, error) {
	if b.body == nil {
		resp, err := http.ReadResponse(b.wire.in, nil)
		if err != nil {
			return 0, err
		}
		b.body = resp.Body
	}
	return b.body.Read(p)
}
