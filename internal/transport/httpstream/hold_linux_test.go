package httpstream_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"twohop/internal/transport/httpstream"
)

// dial is a TCP connection that ends with the test, or in 20 s.
func (s *site) dial() *net.TCPConn {
	s.t.Helper()
	c := s.wire().Conn.(*net.TCPConn)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func (s *site) sendOn(c net.Conn, text string) {
	s.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
}

// Who sends requests and does not read the answers is not read either, and gets
// all of them once it does.
func TestAnswersAreNotRead(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		page := strings.Repeat("x", 20_000)
		s.publish("c", asText, page)
		c := s.dial()
		get := []byte("GET /v1/stream/c?offset=-1 HTTP/1.1\r\nHost: x\r\nX-Padding: " + strings.Repeat("y", 7000) + "\r\n\r\n")
		sent := 0
		for { // until the kernel has no room for more
			if err := c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Write(bytes.Repeat(get, 100))
			if sent += n; errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if sent > 64<<20 {
				t.Fatalf("%d bytes of requests were taken, and no answer was read", sent)
			}
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		rest := get[(sent-1)%len(get)+1:] // of the last request
		go func() { _, _ = c.Write(rest) }()
		answers := bufio.NewReader(c)
		for i := range (sent + len(rest)) / len(get) {
			r, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("answer %d of %d: %v", i, sent/len(get), err)
			}
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != int64(len(page)) || r.StatusCode != http.StatusOK {
				t.Fatalf("answer %d has status %d and %d bytes: %v", i, r.StatusCode, n, err)
			}
		}
	}, loopModes...)
}

// A request of which the end comes while earlier answers wait for the client to
// read is answered after them. What fits into the kernel's buffers is not known,
// so there is a connection for each number of answers before.
func TestRequestEndsWhileBlocked(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.publish("c", asText, strings.Repeat("x", 60_000))
		const first, second = "GET /v1/stream/c?offset=-1 HTTP/1.1\r\n", "Host: x\r\n\r\n"
		conns := make([]net.Conn, 60)
		for i := range conns {
			conns[i] = s.narrow()
		}
		for k := range conns {
			for _, c := range conns[k:] {
				s.sendOn(c, first+second)
			}
			pause(3 * time.Millisecond) // for the answer to get into the kernel's buffers
		}
		for _, c := range conns {
			s.sendOn(c, first+second+first)
		}
		pause(20 * time.Millisecond)
		for _, c := range conns {
			s.sendOn(c, second)
		}
		pause(20 * time.Millisecond)
		for i, c := range conns {
			answers := bufio.NewReader(c)
			for k := range i + 3 {
				r, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatalf("answer %d of %d: %v", k, i+3, err)
				}
				if n, err := io.Copy(io.Discard, r.Body); err != nil || n != 60_000 {
					t.Fatalf("answer %d has %d bytes: %v", k, n, err)
				}
			}
		}
	}, loopModes...)
}

// A client that has sent all that it wanted to, and says so, gets its answers.
func TestHalfClosed(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &faultyEngine{}
		s := serve(t, m, setup{engine: e})
		s.create("large", asText)
		for range 100 {
			s.publish("large", asText, strings.Repeat("x", 250_000))
		}
		s.create("c", asText)
		get := "GET /v1/stream/%s HTTP/1.1\r\nHost: x\r\n\r\n"
		for what, c := range map[string]struct {
			requests string
			answers  int
		}{
			"a read":            {fmt.Sprintf(get, "large?offset=-1"), 1},
			"reads":             {strings.Repeat(fmt.Sprintf(get, "large?offset=-1"), 30), 30},
			"an empty channel":  {fmt.Sprintf(get, "c"), 1},
			"a wait":            {fmt.Sprintf(get, "large?offset=-1") + fmt.Sprintf(get, "c?offset=now&live=long-poll"), 1},
			"a publish":         {"POST /v1/stream/c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\ny", 1},
			"publishes, a read": {strings.Repeat("POST /v1/stream/c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\ny", 70) + fmt.Sprintf(get, "c"), 71},
		} {
			conn := s.dial()
			s.sendOn(conn, c.requests)
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(conn)
			for i := range c.answers {
				r, err := http.ReadResponse(answers, nil)
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
				}
				if err != nil {
					t.Fatalf("%s: answer %d of %d: %v", what, i, c.answers, err)
				}
			}
			if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: after the answers came %v", what, err)
			}
		}
		waiting := s.dial()
		s.sendOn(waiting, fmt.Sprintf(get, "c?offset=now&live=long-poll"))
		s.settle("c", 1)
		if err := waiting.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(waiting); err != nil || len(got) > 0 {
			t.Errorf("who waits for news and has gone got %q, %v", got, err)
		}
	}, loopModes...)
}

// An SSE response ends at its age, whatever its heartbeats are.
func TestAgeWithoutHeartbeats(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{MaxAge: time.Second, Heartbeat: time.Hour}})
		s.create("c", asText)
		f := s.follow("c", "offset=-1")
		f.say(s, "control")
		f.ends(s)
	}, loopModes...)
}

// The limits of what is sent are those of the full HTTP server.
func TestLimitsOnLoops(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{HeaderBytes: 2 << 10}})
		s.create("c", asText)
		c := s.dial()
		s.sendOn(c, "GET /v1/stream/c HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 3<<10)+"\r\n\r\n")
		got, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 431 ") || !strings.Contains(string(got), "header_too_large") {
			t.Errorf("a large header that came at once: %v, %s", err, got)
		}
		c = s.dial()
		s.sendOn(c, "POST /v1/stream/c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 3000\r\n\r\n"+strings.Repeat("x", 3000))
		if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != http.StatusNoContent {
			t.Errorf("a small header with a large body: %v, %v", r, err)
		}
	}, loopModes...)
}
