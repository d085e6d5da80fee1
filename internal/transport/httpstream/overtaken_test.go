package httpstream_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
)

// lateEngine is an engine whose pages arrive late.
type lateEngine struct {
	engine.Engine
	read func() // is called between a page's reading and its arrival
}

func (e *lateEngine) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	b, err := e.Engine.Read(ctx, name, from, maxBytes)
	e.read()
	return b, err
}

// The engine shows a record before its feed tells of it. A live reader that stands
// after that record, and whose read of the engine finds nothing while the feed tells
// of this record and the next, is given the next.
func TestOvertakenRead(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		for _, live := range []string{"long-poll", "sse"} {
			mem := memlog.Open(memlog.Options{})
			happened, tell := make(chan struct{}, 2), make(chan struct{})
			e := &lateEngine{Engine: mem}
			h := hub.New(e, hub.Options{Changed: func(string, twohop.Offset) {
				happened <- struct{}{}
				<-tell
			}})
			t.Cleanup(func() {
				h.Close()
				if err := mem.Close(); err != nil {
					t.Error(err)
				}
			})
			add := func(record string) {
				if _, err := h.Append(context.Background(), &twohop.Append{Channel: "c", Data: []byte(record), Ends: []uint32{1}}); err != nil {
					t.Error(err)
				}
			}
			var first sync.WaitGroup
			e.read = sync.OnceFunc(func() {
				close(tell)
				first.Wait()
				add("y")
			})
			s := &site{t: t, mode: m, hub: h, handler: httpstream.New(h, httpstream.Options{LongPoll: time.Second})}
			s.Endpoint = m.Serve(t, s.handler)
			s.create("c", asText)
			s.expect(s.read("c", "offset=-1"), 200, "") // the hub knows it from now on
			first.Go(func() { add("x") })
			<-happened
			info, err := h.Info(t.Context(), "c")
			if err != nil {
				t.Fatal(err)
			}
			query := "offset=" + info.Tail.String()
			if live == "sse" {
				f := s.follow("c", query)
				giveUp := time.AfterFunc(patience, f.close)
				if e := f.say(s, "data"); e.data != "y" {
					t.Errorf("got %+v", e)
				}
				giveUp.Stop()
				f.close()
				continue
			}
			s.Client.Timeout = patience
			if r := s.read("c", query+"&live="+live); r.status != 200 || r.body != "y" {
				t.Errorf("got %d %q %v", r.status, r.body, r.header)
			}
		}
	}, append([]mode{tcp, http2}, loopModes...)...) // in a bubble time stands still for who never waits
}
