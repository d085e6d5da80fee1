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
			h := hub.New(memlog.Open(memlog.Options{}), hub.Options{})
			defer h.Close()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			p, err := New(h, Options{}).Park(l.(*net.TCPListener), 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			if _, _, err := h.Create(t.Context(), "c", &twohop.Spec{ContentType: "text/plain"}); err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(c, "GET /v1/stream/c?offset=now&live=sse HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(c)
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
			p.loops[0].loop.Post(aside{p.loops[0], func() {
				if err := news.happens(h); err != nil {
					t.Error(err)
				}
			}})
			until(news.want)
		})
	}
}
