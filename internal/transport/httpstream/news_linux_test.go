package httpstream

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
)

// parkOne serves a channel named c on one loop, and returns what follows it.
func parkOne(t *testing.T) (*hub.Hub, *parkedLoop, func() net.Conn) {
	t.Helper()
	h := hub.New(memlog.Open(memlog.Options{}), hub.Options{})
	t.Cleanup(h.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(h, Options{}).Park(l.(*net.TCPListener), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if _, _, err := h.Create(t.Context(), "c", &twohop.Spec{ContentType: "text/plain"}); err != nil {
		t.Fatal(err)
	}
	return h, p.loops[0], func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, "GET /v1/stream/c?offset=now&live=sse HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// aside takes the one reader of a channel out of its group, as for a read of what
// is deep in the log, and posts what that found, when news has come meanwhile.
type aside struct {
	p    *parkedLoop
	news func()
}

// Turn implements park.Task.
func (a aside) Turn() bool {
	for _, g := range a.p.groups {
		r := g.Last()
		g.Remove(r)
		r.state = catching
		page := &depth{r: r, g: g, at: r.at, view: g.ch.TryRead(r.at)}
		go func() {
			a.news()
			a.p.loop.Post(page)
		}()
	}
	return false
}

// What happens after a reader's page was read, and before the reader has it, is
// not missed: no news, and no end.
func TestNewsWhileCatchingUp(t *testing.T) {
	for what, news := range map[string]struct {
		happens func(h *hub.Hub) error
		want    string
	}{
		"a record": {func(h *hub.Hub) error {
			_, err := h.Append(t.Context(), &twohop.Append{Channel: "c", Data: []byte("news"), Ends: []uint32{4}})
			return err
		}, "data:news"},
		"the closure": {func(h *hub.Hub) error {
			_, err := h.Append(t.Context(), &twohop.Append{Channel: "c", Close: true})
			return err
		}, `"streamClosed":true`},
		"the deletion": {func(h *hub.Hub) error { return h.Delete(t.Context(), "c") }, `"reason":"deleted"`},
	} {
		t.Run(what, func(t *testing.T) {
			h, p, follow := parkOne(t)
			lines := bufio.NewScanner(follow())
			until := func(want string) {
				t.Helper()
				for lines.Scan() {
					if strings.Contains(lines.Text(), want) {
						return
					}
				}
				t.Fatalf("no line has %s: %v", want, lines.Err())
			}
			until(`"upToDate":true`)
			p.loop.Post(aside{p, func() {
				if err := news.happens(h); err != nil {
					t.Error(err)
				}
			}})
			until(news.want)
		})
	}
}

// firstTurn is the first turn after the channel has gone.
type firstTurn struct {
	p     *parkedLoop
	gone  func()
	ended chan int // of the readers
}

// Turn implements park.Task.
func (f firstTurn) Turn() bool {
	f.gone()
	for _, g := range f.p.groups {
		g.Moved() // at the latest now
		before := g.Len()
		if more := g.Turn(); more != (g.Len() > 0) {
			f.ended <- -1
		}
		f.ended <- before - g.Len()
	}
	return false
}

// The readers of a channel that is deleted are told in turns, so that others on
// the loop need not wait for all of them.
func TestGoneInTurns(t *testing.T) {
	const readers = 2*turnReaders + 10
	h, p, follow := parkOne(t)
	var conns [readers]net.Conn
	for i := range conns {
		conns[i] = follow()
	}
	for end := time.Now().Add(20 * time.Second); h.Readers("c") < readers; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d readers came", h.Readers("c"), readers)
		}
	}
	f := firstTurn{p, func() {
		if err := h.Delete(t.Context(), "c"); err != nil {
			t.Error(err)
		}
	}, make(chan int, 2)}
	p.loop.Post(f)
	if n := <-f.ended; n != turnReaders {
		t.Errorf("%d readers were told in one turn, want %d", n, turnReaders)
	}
	for i, c := range conns {
		got, err := io.ReadAll(c)
		if err != nil || !strings.Contains(string(got), `"reason":"deleted"`) || !strings.HasSuffix(string(got), "0\r\n\r\n") {
			t.Errorf("reader %d: %v, %s", i, err, got)
		}
	}
}
