package httpstream_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Requests that arrive in pieces, in turn on several connections, each with the
// beginning of the next one behind it, are kept as they were sent.
func TestPublishInPieces(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		const conns, requests, size = 3, 4, 150_000
		var sent [conns]string
		var conn [conns]net.Conn
		var want [conns]string
		for i := range conns {
			s.create(fmt.Sprint("c", i), asText)
			c, err := s.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			conn[i] = c
			for n := range requests {
				body := strings.Repeat(fmt.Sprintf("%d-%d ", i, n), (size-1000*i)/4)
				want[i] += body
				sent[i] += fmt.Sprintf("POST /v1/stream/c%d HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
			}
		}
		piece := 20_011
		for at := 0; at < len(sent[0]); at += piece {
			for i, c := range conn {
				if _, err := io.WriteString(c, sent[i][min(at, len(sent[i])):min(at+piece, len(sent[i]))]); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, c := range conn {
			answers := bufio.NewReader(c)
			for range requests {
				r, err := http.ReadResponse(answers, nil)
				if err != nil || r.StatusCode != http.StatusNoContent {
					t.Fatal(r, err)
				}
				_ = r.Body.Close()
			}
			if got := s.everything(fmt.Sprint("c", i)); got != want[i] {
				t.Errorf("connection %d: %d bytes are not the %d that were sent", i, len(got), len(want[i]))
			}
		}
	}, loopModes...)
}

// everything is what a channel holds.
func (s *site) everything(channel string) (all string) {
	for offset := "-1"; ; {
		r := s.read(channel, "offset="+offset)
		all += r.body
		if offset = r.next(); r.get("Stream-Up-To-Date") == "true" {
			return all
		}
	}
}
