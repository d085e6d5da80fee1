package httpstream_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"twohop/internal/transport/httpstream"
)

// narrow dials a connection whose end here takes next to nothing until it is
// read from.
func (s *site) narrow() net.Conn {
	s.t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if ctl := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) }); ctl != nil {
			return ctl
		}
		return err
	}}
	c, err := d.DialContext(s.t.Context(), "tcp", strings.TrimPrefix(s.Base, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// A request that comes while the socket still has answers to take is served when
// it has taken them, be it one for the full HTTP server or one in two parts.
func TestRequestsBehindAnswersThatWait(t *testing.T) {
	const size = 60_000 // less than what counts as blocked before the socket has refused any
	const get = "GET /v1/stream/c?offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n"
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{HeaderTime: time.Hour}})
		s.create("c", asText)
		s.publish("c", asText, strings.Repeat("x", size))
		ask := func(c net.Conn, text string, answered int64) {
			t.Helper()
			want := s.handler.Stats().Records.Load() + answered
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(patience); s.handler.Stats().Records.Load() < want; pause(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("a read was not answered")
				}
			}
		}
		for name, then := range map[string][2]string{
			"an odd one":                {"HEAD /v1/stream/c HTTP/1.1\r\nHost: x\r\n\r\n", ""},
			"one of a missing channel":  {"GET /v1/stream/none HTTP/1.1\r\nHost: x\r\n\r\n", ""},
			"one whose header is split": {"HEAD /v1/stream/c HTTP/1.1\r\n", "Host: x\r\n\r\n"},
			"a body that is split":      {"POST /v1/stream/c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n", "text"},
		} {
			for before := range 2 { // answers, of which the socket takes the first one wholly
				c := s.narrow()
				for range before {
					ask(c, get, 1)
				}
				ask(c, get+then[0], 1)
				if _, err := io.WriteString(c, then[1]); err != nil {
					t.Fatal(err)
				}
				method, _, _ := strings.Cut(then[0], " ")
				in := bufio.NewReader(c)
				for i := range before + 2 {
					req := &http.Request{Method: http.MethodGet}
					if i > before {
						req.Method = method
					}
					resp, err := http.ReadResponse(in, req)
					if err != nil {
						t.Errorf("%s after %d: answer %d: %v", name, before+1, i, err)
						break
					}
					b, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if err != nil || i <= before && len(b) < size {
						t.Errorf("%s after %d: answer %d has %d bytes, %v", name, before+1, i, len(b), err)
						break
					}
				}
			}
		}
	}, loopModes...)
}
