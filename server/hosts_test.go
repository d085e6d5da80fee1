package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A page whose name is made to stand for this machine gets nothing of a server on
// loopback, by whatever way it is answered; where the server has that name, it
// does.
func TestNamesOnLoopback(t *testing.T) {
	requests := []string{
		"GET /v1/stream/a?offset=-1 HTTP/1.1", "HEAD /v1/stream/a HTTP/1.1", "GET /v1/stream/a?offset=-1&live=sse HTTP/1.1", "POST /v1/stream/a HTTP/1.1",
		"GET /v1/subscribe?channel=a&live=sse HTTP/1.1", "GET /v1/ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: twohop.v1",
		"GET /metrics HTTP/1.1", "GET /twohop.js HTTP/1.1",
	}
	f := func(host string, refused bool, change func(*Config)) {
		t.Helper()
		s := memoryServer(t, change)
		r := run(t, s)
		do(s, http.MethodPut, "/v1/stream/a", "")
		for _, origin := range []string{"", "Origin: http://" + host + "\r\n"} {
			for _, request := range requests {
				p := dial(t, r)
				method, _, _ := strings.Cut(request, " ")
				body := map[string]string{"POST": "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"}[method]
				if body == "" {
					body = "\r\n"
				}
				if _, err := fmt.Fprintf(p, "%s\r\nHost: %s\r\n%s%s", request, host, origin, body); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(p.in, &http.Request{Method: method})
				if err != nil {
					t.Fatalf("%s: %v", request, err)
				}
				if (resp.StatusCode == http.StatusForbidden) != refused {
					t.Errorf("%s for %s, %s: %s", request, host, origin, resp.Status)
				} else if refused && method == http.MethodGet { // another answer may have no end
					if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), `"code":"host_not_allowed"`) {
						t.Errorf("%s: %s, %v", request, b, err)
					}
				}
				_ = p.Close() // before the body, which may have no end
				_ = resp.Body.Close()
			}
		}
		r.stop()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
	}
	f("evil.example:4437", true, nil)
	f("localhost:4437", false, nil)
	f("127.0.0.1", false, nil)
	f("live.example.com", false, func(c *Config) { c.PublicURL = "https://live.example.com" })
	f("evil.example", true, func(c *Config) { c.PublicURL = "https://live.example.com" })
	f("app.example.com", false, func(c *Config) { c.CORS.Origins = []string{"https://app.example.com"} })
	f("evil.example", false, func(c *Config) { c.CORS.Origins = []string{"*"} })
	f("any.example", false, func(c *Config) { c.Listen = "0.0.0.0:0" })
}
