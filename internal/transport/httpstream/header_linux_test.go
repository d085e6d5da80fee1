package httpstream_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"twohop/internal/transport/httpstream"
)

// A header that never ends is answered, be it slow or large, and what was there
// of it does nothing.
func TestEndlessHeaders(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{HeaderTime: time.Second, HeaderBytes: 4 << 10}})
		tail := s.create("c", "text/plain").next()
		for name, c := range map[string]struct{ head, want, code string }{
			"slow":          {"POST /v1/stream/c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n", " 408 ", `"code":"timeout"`},
			"slow, odd":     {"POST /v1/stream/%63 HTTP/1.1\r\nHost: x\r\n", " 408 ", `"code":"timeout"`},
			"large":         {"GET /v1/stream/c HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 5<<10), " 431 ", `"code":"header_too_large"`},
			"after another": {"GET /v1/stream/c HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/", " 408 ", `"code":"timeout"`},
		} {
			conn, err := s.Dial()
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(conn, c.head); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(got), "HTTP/1.1"+c.want) || !strings.Contains(string(got), c.code) ||
				!strings.Contains(string(got), `"hint":`) || !strings.Contains(string(got), "Connection: close\r\n") {
				t.Errorf("%s: %v, %s", name, err, got)
			}
			_ = conn.Close()
		}
		if got := s.must("HEAD", "stream/c", "").next(); got != tail {
			t.Errorf("the tail moved from %s to %s", tail, got)
		}
	}, loopModes...)
}

// A client may connect ahead of its first request: the time for a header begins
// with the header.
func TestConnectionAheadOfItsRequest(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{HeaderTime: time.Second}})
		s.create("c", "text/plain")
		var conns [2]net.Conn
		for i := range conns {
			c, err := s.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			conns[i] = c
		}
		slow, silent := conns[0], conns[1]
		if _, err := io.WriteString(slow, "GET "); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(slow); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
			t.Fatalf("the slow one: %v, %s", err, got)
		}
		if _, err := io.WriteString(silent, "GET /v1/stream/c HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 12)
		if _, err := io.ReadFull(silent, b); err != nil || string(b) != "HTTP/1.1 200" {
			t.Errorf("the silent one: %v, %s", err, b)
		}
	}, loopModes...)
}

// The answer to a header that is far too large is not lost with what of it was
// not read.
func TestAnswerToAnUnreadHeader(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for range 10 {
			c := s.dial()
			s.sendOn(c, "GET /v1/stream/c HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 300<<10))
			if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 431 ") {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	}, loopModes...)
}
