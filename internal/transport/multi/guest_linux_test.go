package multi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/park"
	"twohop/internal/transport/multi"
	"twohop/internal/wire"
)

// brokenHost gives the handler connections to which nothing can be written any
// more.
type brokenHost struct {
	many  *multi.Handler
	taken chan bool
}

func (h *brokenHost) Opened(*park.Conn)   {}
func (h *brokenHost) Writable(*park.Conn) {}
func (h *brokenHost) Due(*park.Conn)      {}

func (h *brokenHost) Readable(c *park.Conn) {
	b, _ := c.Read()
	c.CloseWrite()
	var r wire.Request
	wire.ParseRequest(b, &r)
	taken, _ := h.many.Take(c, &r, nil, nil, "", nil)
	h.taken <- taken
}

func (h *brokenHost) Closed(c *park.Conn) {
	if g, ok := c.State.(interface{ Closed(c *park.Conn) }); ok {
		g.Closed(c)
	}
}

// dialLoop connects to a loop of its own, which serves with a handler.
func dialLoop(t *testing.T, h park.Handler) *net.TCPConn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	pl, err := park.Listen(ln.(*net.TCPListener), 0)
	if err != nil {
		t.Fatal(err)
	}
	loop, err := park.NewLoop(pl, park.Options{Precision: park.TickEvery})
	if err != nil {
		t.Fatal(err)
	}
	loop.Handle(h)
	go loop.Run()
	t.Cleanup(func() {
		loop.Stop()
		if err := pl.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := net.DialTCP("tcp", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// A WebSocket that breaks with the first that it is told, while the node leaves,
// is gone like any other.
func TestHandshakeOfAPeerThatIsGone(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.many.Drain()
		h := &brokenHost{many: s.many, taken: make(chan bool, 1)}
		c := dialLoop(t, h)
		if _, err := io.WriteString(c, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: twohop.v1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if !<-h.taken {
			t.Fatal("the handshake was not taken")
		}
		if n := s.many.Stats().WebSockets.Load(); n != 0 {
			t.Errorf("%d WebSockets are left", n)
		}
	}, loopModes...)
}

// The pace that is set is kept on all connections; without one, it depends on
// whether a proxy shows.
func TestPaceOfHeartbeats(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		for _, c := range []struct {
			set             time.Duration
			direct, proxied string
		}{
			{0, "45s", "15s"},
			{20 * time.Second, "20s", "20s"},
		} {
			s := serve(t, m, setup{Options: multi.Options{Heartbeat: c.set}})
			s.create("c", asText)
			for via, want := range map[string]string{"": c.direct, "1.1 edge": c.proxied} {
				var headers []string
				if via != "" {
					headers = []string{"Via", via}
				}
				r := s.ask("GET", "subscribe?live=sse&channel=c&offset=now", "", headers...)
				if got := r.Header.Get("Stream-Heartbeat"); got != want {
					t.Errorf("with %v set, via %q: a heartbeat each %s, want %s", c.set, via, got, want)
				}
				_ = r.Body.Close()
			}
		}
	}, loopModes...)
}

// onlyHost gives the handler connections for a request each.
type onlyHost struct {
	many *multi.Handler
	told chan struct{} // the handler was told that something came, or ended
}

func (h *onlyHost) Opened(*park.Conn)     {}
func (h *onlyHost) Writable(c *park.Conn) { c.State.(guest).Writable(c) }
func (h *onlyHost) Due(c *park.Conn)      { c.State.(guest).Due(c) }
func (h *onlyHost) Closed(c *park.Conn)   { c.State.(guest).Closed(c) }
func (h *onlyHost) Readable(c *park.Conn) {
	if g, ok := c.State.(guest); ok {
		g.Readable(c)
		select {
		case h.told <- struct{}{}:
		default:
		}
		return
	}
	b, _ := c.Read()
	var r wire.Request
	wire.ParseRequest(b, &r)
	_, _ = h.many.Take(c, &r, nil, nil, "", nil)
}

type guest interface {
	Readable(c *park.Conn)
	Writable(c *park.Conn)
	Due(c *park.Conn)
	Closed(c *park.Conn)
}

// whole reads an answer to its end.
func whole(t *testing.T, in *bufio.Reader) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(b), err)
	}
	return resp.StatusCode, string(b)
}

// Who ends its side of the connection gets the answer that is due, also if it is
// still to be found, or does not fit into the socket.
func TestAnswersToTheHalfClosed(t *testing.T) {
	const size = 20 << 20 // more than sockets keep
	run(t, func(t *testing.T, m mode) {
		e := &gated{Engine: memlog.Open(memlog.Options{})}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		answered := make(chan struct{}, 1)
		s := serve(t, m, setup{engine: e, Options: multi.Options{LongPoll: time.Hour, Answered: func(bool, int, time.Duration) { answered <- struct{}{} }}})
		s.create("large", asText)
		s.publish("large", strings.Repeat("x", size))
		empty, _, err := s.hub.Create(context.Background(), "empty", &twohop.Spec{ContentType: asText})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(query string) (c *net.TCPConn, ended func()) {
			h := &onlyHost{many: s.many, told: make(chan struct{}, 1)}
			c = dialLoop(t, h)
			if _, err := io.WriteString(c, "GET /v1/subscribe?"+query+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			return c, func() {
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				<-h.told
			}
		}
		for _, query := range []string{"channel=large&tail_records=1", "channel=large&tail_records=1&live=long-poll"} {
			open := e.shut()
			c, ended := ask(query)
			ended()
			open()
			if status, body := whole(t, bufio.NewReader(c)); status != 200 || len(body) < size {
				t.Errorf("%s: while it was looked for: %d, %d bytes", query, status, len(body))
			}
			<-answered
			c, ended = ask(query)
			<-answered
			ended()
			if status, body := whole(t, bufio.NewReader(c)); status != 200 || len(body) < size {
				t.Errorf("%s: while it was sent: %d, %d bytes", query, status, len(body))
			}
		}
		open := e.shut()
		c, ended := ask("live=long-poll&channel=empty&offset=" + empty.Tail.String())
		ended()
		open()
		if status, _ := whole(t, bufio.NewReader(c)); status != 204 { // at once
			t.Errorf("where there is nothing: %d", status)
		}
		s.idle()
	}, loopModes...)
}

// slowReads is an engine whose reads take so long that the peer's end is seen first.
type slowReads struct{ engine.Engine }

func (e slowReads) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	<-time.After(30 * time.Millisecond)
	return e.Engine.Read(ctx, name, from, maxBytes)
}

// All that was asked for is answered, but nobody waits for news.
func TestRequestsOfTheHalfClosed(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := slowReads{memlog.Open(memlog.Options{})}
		t.Cleanup(func() { _ = e.Close() })
		s := serve(t, m, setup{engine: e, hub: hub.Options{TailBytes: 1}})
		s.create("a", asText)
		s.publish("a", "old")
		get := "GET /v1/subscribe?channel=a&offset=%s HTTP/1.1\r\nHost: x\r\n\r\n"
		poll, wait := fmt.Sprintf(get, "-1"), fmt.Sprintf(get, s.publish("a", "new")+"&live=long-poll")
		deep := func(name string) string { // whose answer is not there at once
			s.create(name, asText)
			s.publish(name, "old")
			s.publish(name, "new")
			return "GET /v1/stream/" + name + "?offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n"
		}
		for _, c := range []struct {
			requests string
			answers  int
		}{{poll, 1}, {poll + poll + poll, 3}, {poll + wait, 1}, {deep("b") + poll, 2}, {deep("c") + wait, 1}} {
			conn := s.dial().(*net.TCPConn)
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, c.requests); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			for range c.answers {
				if status, body := whole(t, in); status != 200 || !strings.Contains(body, "old") {
					t.Errorf("%d %s", status, body)
				}
			}
			if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after the answers came %v", err)
			}
		}
		s.idle()
	}, loopModes...)
}

// Nothing that is asked for behind a stream is answered: its connection ends with
// it, and says so.
func TestStreamEndsItsConnection(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		if f := s.stream("channel=c"); !f.resp.Close {
			t.Errorf("%v", f.resp.Header)
		}
	}, loopModes...)
}
