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
	"sync"
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

// paddedGet is a request of some size.
func paddedGet() []byte {
	return []byte("GET /v1/stream/c?offset=-1 HTTP/1.1\r\nHost: x\r\nX-Padding: " + strings.Repeat("y", 7000) + "\r\n\r\n")
}

// stuff sends a request again and again until the kernel has no room for more, and
// returns how many bytes it took.
func (s *site) stuff(c net.Conn, request []byte) (sent int) {
	s.t.Helper()
	for {
		if err := c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			s.t.Fatal(err)
		}
		n, err := c.Write(bytes.Repeat(request, 100))
		if sent += n; errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			s.t.Fatal(err)
		}
		if sent > 64<<20 {
			s.t.Fatalf("%d bytes of requests were taken, and no answer was read", sent)
		}
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return sent
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
		get := paddedGet()
		sent := s.stuff(c, get)
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

const smallPost = "POST /v1/stream/c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\ny"

// statuses reads answers, and checks their statuses.
func (s *site) statuses(answers *bufio.Reader, want ...int) {
	s.t.Helper()
	for i, status := range want {
		r, err := http.ReadResponse(answers, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		if err != nil || r.StatusCode != status {
			s.t.Fatalf("answer %d of %d: %v, %v, want status %d", i, len(want), r, err, status)
		}
	}
}

// Requests behind a publish that is under way are left with the kernel as well.
func TestRequestsBehindASlowPublish(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &faultyEngine{hold: make(chan struct{})}
		goOn := sync.OnceFunc(func() { close(e.hold) })
		defer goOn()
		s := serve(t, m, setup{engine: e})
		s.create("c", asText)
		c := s.dial()
		s.sendOn(c, smallPost)
		get := paddedGet()
		before := heap()
		sent := s.stuff(c, get)
		if now := heap(); now > before+4<<20 {
			t.Fatalf("of %d bytes of requests %d kB are kept", sent, (now-before)>>10)
		}
		rest := get[(sent-1)%len(get)+1:] // of the last request
		go func() { _, _ = c.Write(rest) }()
		goOn()
		answers := bufio.NewReader(c)
		s.statuses(answers, 204)
		for range (sent + len(rest)) / len(get) {
			s.statuses(answers, 200)
		}
	}, loopModes...)
}

// A large request behind one that takes its time is answered after it, and left
// with the kernel until then.
func TestLargeRequestBehindASlowOne(t *testing.T) {
	const size = 8 << 20
	large := fmt.Appendf(nil, "POST /v1/stream/c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("y", size))
	run(t, func(t *testing.T, m mode) {
		for what, first := range map[string]struct {
			request string
			status  int
		}{
			"a read of the engine": {"GET /v1/stream/deep?offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n", 200},
			"a wait":               {"GET /v1/stream/c?offset=now&live=long-poll HTTP/1.1\r\nHost: x\r\n\r\n", 204},
		} {
			e := &faultyEngine{reading: make(chan struct{}, 10)}
			s := serve(t, m, setup{engine: e, Options: httpstream.Options{LongPoll: time.Hour}})
			s.create("c", asText)
			s.create("deep", asText)
			s.publish("deep", asText, "x")
			gate := make(chan struct{})
			read := func() error { <-gate; return nil }
			e.read.Store(&read)
			c := s.dial()
			s.sendOn(c, first.request)
			if first.status == 200 {
				<-e.reading
			} else {
				s.settle("c", 1)
			}
			before := heap()
			written := make(chan error, 1)
			go func() {
				_, err := c.Write(large)
				written <- err
			}()
			select { // it is stuck, or whoever got it has read it all or cut it off
			case err := <-written:
				if err != nil {
					t.Errorf("%s: sending: %v", what, err)
				}
			case <-time.After(300 * time.Millisecond):
			}
			if now := heap(); first.status == 200 && now > before+size/2 {
				t.Errorf("%s: of %d bytes behind it %d kB are kept", what, size, (now-before)>>10)
			}
			close(gate)
			s.statuses(bufio.NewReader(c), first.status, 204)
		}
	}, loopModes...)
}

// What comes behind the last request of a connection is not kept, and not taken
// without an end.
func TestNothingComesAfterTheLastRequest(t *testing.T) {
	const conns, size = 100, 512 << 10
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		follow := func(more string) (net.Conn, *bufio.Reader) {
			c := s.dial()
			s.sendOn(c, "GET /v1/stream/c?live=sse&offset=now HTTP/1.1\r\nHost: x\r\n\r\n"+more)
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			return c, bufio.NewReader(r.Body)
		}
		var events [conns]*bufio.Reader
		junk := strings.Repeat("junk", size/4)
		before := heap()
		for i := range events {
			_, events[i] = follow(junk)
		}
		pause(100 * time.Millisecond) // for the server to read it
		if now := heap(); now > before+4<<20 {
			t.Errorf("%d bytes on each of %d connections cost %d kB", size, conns, (now-before)>>10)
		}
		s.publish("c", asText, "news")
		for i, in := range events {
			for line := ""; line != "data:news\n"; {
				var err error
				if line, err = in.ReadString('\n'); err != nil {
					t.Fatalf("reader %d: %v", i, err)
				}
			}
		}
		c, _ := follow("")
		for sent := 0; ; sent += len(junk) {
			if _, err := io.WriteString(c, junk); err != nil {
				break
			}
			if sent > 64<<20 {
				t.Fatalf("%d bytes of nothing were taken", sent)
			}
		}
	}, loopModes...)
}

// An empty line before a request, with which some clients end a body, is none.
func TestEmptyLineBeforeARequest(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		c := s.dial()
		answers := bufio.NewReader(c)
		s.sendOn(c, smallPost+"\r\n")
		s.statuses(answers, 204)
		for _, line := range []string{"", "\r\n", "\r", "\n"} {
			s.sendOn(c, line)
			pause(20 * time.Millisecond) // for it to come alone
		}
		s.sendOn(c, "GET /v1/stream/c HTTP/1.1\r\nHost: x\r\n\r\n"+"\r\n"+smallPost)
		s.statuses(answers, 200, 204)
	}, loopModes...)
}

// Long polls behind long polls are served one by one, and not kept without an end.
func TestWaitsBehindAWait(t *testing.T) {
	const most = 16 << 20
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{LongPoll: time.Hour}})
		s.create("c", asText)
		c := s.dial()
		go func() { _, _ = io.Copy(io.Discard, c) }()
		waits := []byte(strings.Repeat("GET /v1/stream/c?offset=now&live=long-poll HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
		sent := 0
		for sent < most {
			n, err := c.Write(waits)
			if sent += n; err != nil {
				return
			}
		}
		t.Errorf("%d bytes of requests were taken", sent)
	}, loopModes...)
}
