package httpstream_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop/internal/hub"
)

// Who asks for a large page and takes nothing of it keeps the page that others
// have, not a copy of its own, whatever is special about its answer.
func TestNoPrivatePages(t *testing.T) {
	const size, conns = 1 << 20, 20
	record := `"` + strings.Repeat("x", size) + `"`
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{hub: hub.Options{PageBytes: 2 * size, TailBytes: 8 * size}})
		s.create("c", asJSON)
		s.publish("c", asJSON, record)
		for what, request := range map[string]string{
			"SSE":               "GET /v1/stream/c?live=sse&offset=-1 HTTP/1.1\r\nHost: x%d\r\n\r\n",
			"the last poll":     "GET /v1/stream/c?offset=-1 HTTP/1.1\r\nHost: x%d\r\nConnection: close\r\n\r\n",
			"a page's poll":     "GET /v1/stream/c?offset=-1 HTTP/1.1\r\nHost: x%d\r\nOrigin: http://localhost\r\n\r\n",
			"by a header":       "GET /v1/stream/c HTTP/1.1\r\nHost: x%d\r\nLast-Event-ID: -1\r\n\r\n",
			"the last wait":     "GET /v1/stream/c?offset=-1&live=long-poll HTTP/1.1\r\nHost: x%d\r\nConnection: close\r\n\r\n",
			"a poll's budget":   "GET /v1/stream/c?offset=-1&budget=%dms HTTP/1.1\r\nHost: x\r\n\r\n",
			"a wait's own time": "GET /v1/stream/c?offset=-1&live=long-poll&budget=%dms HTTP/1.1\r\nHost: x\r\n\r\n",
		} {
			ask := func(c io.Writer, i int) {
				t.Helper()
				given := s.handler.Stats().Records.Load()
				if _, err := fmt.Fprintf(c, request, i); err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(patience); s.handler.Stats().Records.Load() == given; pause(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("%s: not answered", what)
					}
				}
			}
			c := s.dial()
			ask(c, conns)
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(what, err)
			}
			page, body := "["+record+"]", io.Reader(r.Body)
			if what == "SSE" {
				page = "data:" + page + "\n"
				body = io.LimitReader(body, size+100)
			}
			if got, err := io.ReadAll(body); err != nil || what != "SSE" && string(got) != page || !strings.Contains(string(got), page) {
				t.Errorf("%s: %d bytes, %v", what, len(got), err)
			}
			before := heap()
			for i := range conns {
				ask(s.narrow(), i)
			}
			if now := heap(); now > before+conns*size/4 {
				t.Errorf("%s: %d readers who take nothing cost %d kB", what, conns, (now-before)>>10)
			}
		}
	}, loopModes...)
}
