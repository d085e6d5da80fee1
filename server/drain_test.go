package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 30 * time.Second

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// peer is a connection to a server, for what no client would do.
type peer struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, r *running) *peer {
	t.Helper()
	c, err := net.Dial("tcp", r.Addr().String()) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &peer{c, bufio.NewReader(c)}
}

// ask makes a request and returns its answer and that one's body.
func (p *peer) ask(method, target, body string) (*http.Response, string, error) {
	if _, err := fmt.Fprintf(p, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body); err != nil {
		return nil, "", err
	}
	resp, err := http.ReadResponse(p.in, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// webSocket opens a WebSocket that does not answer a close: for some seconds it
// holds up a drain.
func (p *peer) webSocket(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p, "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: twohop.v1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := p.in.ReadString('\n'); err != nil || !strings.Contains(line, " 101 ") {
		t.Fatalf("%q, %v", line, err)
	}
}

// While a drain lasts every request is answered, on whatever connection and by
// whichever of the two servers, and told that the connection ends.
func TestRequestsWhileDraining(t *testing.T) {
	s := memoryServer(t, nil)
	r := run(t, s)
	do(s, http.MethodPut, "/v1/stream/a", "")
	holds := dial(t, r)
	holds.webSocket(t)
	requests := []struct {
		method, target, body string
		status               int
		says                 string
	}{
		{"GET", "/v1/stream/a?offset=now", "", 200, ""},
		{"POST", "/v1/stream/a", "hello", 204, ""},
		{"PUT", "/v1/stream/a", "", 200, ""},
		{"POST", "/v1/stream/none", "hello", 404, "not_found"},
		{"GET", "/v1/stream/none?offset=-1", "", 404, "not_found"},
		{"GET", "/health", "", 200, "healthy"},
		{"GET", "/ready", "", 503, "draining"},
	}
	open := make([]*peer, len(requests))
	for i := range open {
		open[i] = dial(t, r)
		if _, _, err := open[i].ask("GET", "/v1/stream/a?offset=now", ""); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	eventually(t, "it drains", s.draining.Load)
	for i, q := range requests {
		for name, p := range map[string]*peer{"an open": open[i], "a new": dial(t, r)} {
			resp, body, err := p.ask(q.method, q.target, q.body)
			if err != nil || resp.StatusCode != q.status || !strings.Contains(body, q.says) || !resp.Close {
				t.Errorf("%s %s on %s connection: %v, %s, %v", q.method, q.target, name, resp, body, err)
			}
		}
	}
	select {
	case err := <-r.done:
		t.Errorf("the drain did not wait: %v", err)
	default:
	}
	_ = holds.Close()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// A response whose reader is slow ends as it should, though the server ends.
func TestDrainWaitsForSlowReaders(t *testing.T) {
	for _, live := range []string{"", "&live=sse"} {
		s := memoryServer(t, nil)
		do(s, http.MethodPut, "/v1/stream/a", "")
		record := strings.Repeat("x", 6<<20)
		do(s, http.MethodPost, "/v1/stream/a", record)
		r := run(t, s)
		p := dial(t, r)
		if _, err := io.WriteString(p, "GET /v1/stream/a?offset=-1"+live+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is answered", func() bool { return s.parts.streams.Stats().Records.Load() > 0 })
		r.stop()
		eventually(t, "it drains", func() bool { return s.draining.Load() && s.parts.streams.Stats().SSE.Load() == 0 })
		resp, err := http.ReadResponse(p.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Contains(b, []byte(record)) {
			t.Errorf("%q: got %d bytes, %v", live, len(b), err)
		}
		_ = p.Close()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
	}
}

// Publishers that go on until nobody listens know of all that they published: the server takes on nothing that it does not answer.
func TestDrainUnderLoad(t *testing.T) {
	s := memoryServer(t, func(c *Config) { c.Engine, c.Data, c.Drain = "disk", t.TempDir(), time.Second })
	do(s, http.MethodPut, "/v1/stream/a", "")
	r := run(t, s)
	var acknowledged atomic.Int64
	var publishers sync.WaitGroup
	addr := r.Addr().String()
	for range 8 {
		publishers.Go(func() {
			for {
				c, err := net.Dial("tcp", addr) //nolint:noctx // loopback
				if err != nil {
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				for p := (&peer{c, bufio.NewReader(c)}); ; acknowledged.Add(1) {
					resp, _, err := p.ask("POST", "/v1/stream/a", "x")
					if err != nil {
						break
					}
					if resp.StatusCode != http.StatusNoContent {
						t.Errorf("status %d", resp.StatusCode)
					}
				}
				_ = c.Close()
			}
		})
	}
	eventually(t, "they publish", func() bool { return acknowledged.Load() > 100 })
	closeParts := s.close
	s.close = func() error { return nil } // before it was read
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	s.close = closeParts
	publishers.Wait()
	published := int64(len(do(s, http.MethodGet, "/v1/stream/a?offset=-1", "").Body.String()))
	if n := acknowledged.Load(); n != published {
		t.Errorf("%d were published and %d acknowledged", published, n)
	}
}
