package multi_test

import (
	"io"
	"net"
	"testing"

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

// A WebSocket that breaks with the first that it is told, while the node leaves,
// is gone like any other.
func TestHandshakeOfAPeerThatIsGone(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.many.Drain()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		pl, err := park.Listen(ln.(*net.TCPListener), 0)
		if err != nil {
			t.Fatal(err)
		}
		loop, err := park.NewLoop(pl, park.Options{Precision: park.TickEvery})
		if err != nil {
			t.Fatal(err)
		}
		h := &brokenHost{many: s.many, taken: make(chan bool, 1)}
		loop.Handle(h)
		go loop.Run()
		defer func() {
			loop.Stop()
			if err := pl.Close(); err != nil {
				t.Error(err)
			}
		}()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
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
