package multi_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop/internal/hub"
	"twohop/internal/transport/multi"
)

// An SSE response of which nothing at all is read is let go of, with its channel,
// when it has had twice its age.
func TestNeverReads(t *testing.T) {
	const age = 200 * time.Millisecond
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{MaxAge: age, Heartbeat: age / 2}, hub: hub.Options{IdleTime: age}})
		s.create("a", asText)
		for range 20 { // more than sockets keep
			s.publish("a", strings.Repeat("x", 1<<20))
		}
		begin := time.Now()
		resp := s.ask("GET", "subscribe?live=sse&channel=a&offset=-1", "")
		defer func() { _ = resp.Body.Close() }()
		s.idle()
		if took := time.Since(begin); m.Virtual && (took < 2*age || took > 2*age+10*time.Millisecond) {
			t.Errorf("it was let go of after %v", took)
		}
		s.eventually("no channel is read", func() bool { return s.hub.Live() == 0 })
	}, all...)
}

func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := s.Dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// get sends a request for what follows /v1/.
func get(t *testing.T, c net.Conn, path string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET /v1/"+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

// Who does not take the answer to a poll is let go of, too, but not at once.
func TestNeverReadsAnswers(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("a", asText)
		s.publish("a", strings.Repeat("x", 1<<17))
		for _, live := range []string{"", "&live=long-poll"} {
			slow, stuck := s.dial(), s.dial()
			get(t, slow, "subscribe?channel=a&offset=-1"+live)
			get(t, stuck, "subscribe?channel=a&offset=-1"+live)
			pause(time.Minute)
			resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			if err != nil {
				t.Errorf("after a minute: %v", err)
			}
			pause(3 * time.Minute)
			if n, err := stuck.Read(make([]byte, 1)); n > 0 {
				t.Errorf("after 4 minutes the answer is still there, %v", err)
			}
		}
	}, bubble...)
}

// The time for a response to be taken is over with the response: whatever is asked
// for later on the same connection is answered.
func TestAnswersLongAfterAnother(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("a", asText)
		s.publish("a", "x")
		s.closeChannel("a")
		c := s.dial()
		in := bufio.NewReader(c)
		for _, live := range []string{"&live=sse", "", "&live=long-poll"} {
			for _, path := range []string{"subscribe?channel=a&offset=-1" + live, "none"} {
				get(t, c, path)
				resp, err := http.ReadResponse(in, nil)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				pause(time.Hour)
			}
		}
	}, bubble...)
}
