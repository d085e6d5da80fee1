package multi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/multi"
)

// gated is an engine that keeps all that may take time waiting while its gate is
// shut.
type gated struct {
	engine.Engine
	gate atomic.Pointer[chan struct{}]
}

func (e *gated) shut() (open func()) {
	gate := make(chan struct{})
	e.gate.Store(&gate)
	return func() { close(gate) }
}

func (e *gated) wait() {
	if gate := e.gate.Load(); gate != nil {
		<-*gate
	}
}

func (e *gated) Info(ctx context.Context, name string) (twohop.Info, error) {
	e.wait()
	return e.Engine.Info(ctx, name)
}

func (e *gated) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	e.wait()
	return e.Engine.Read(ctx, name, from, maxBytes)
}

func (e *gated) Last(ctx context.Context, name string, n uint64) (twohop.Offset, error) {
	e.wait()
	return e.Engine.Last(ctx, name, n)
}

func (e *gated) Append(ctx context.Context, a *twohop.Append, done func(twohop.Ack, error)) {
	go func() {
		e.wait()
		e.Engine.Append(ctx, a, done)
	}()
}

// Whatever is under way for a client when it leaves, nothing of it is left when
// that is done: no channel that was opened, no publish that was not counted.
func TestLeavesMeanwhile(t *testing.T) {
	const made = "made"
	type leave = func() error
	for _, c := range []struct {
		name string
		// connect follows channels, begins something that needs the engine after
		// shut, and says how the client leaves.
		connect   func(s *site, e *gated, shut func()) leave
		published int64
	}{
		{"a stream opens channels", func(s *site, _ *gated, shut func()) leave {
			shut()
			return s.stream("channel=a&channel=b&tail_records=1").resp.Body.Close
		}, 0},
		{"a long poll opens a channel", func(s *site, _ *gated, shut func()) leave {
			shut()
			c, err := s.Dial()
			if err == nil {
				_, err = io.WriteString(c, "GET /v1/subscribe?live=long-poll&channel=a HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			if err != nil {
				s.t.Fatal(err)
			}
			return c.Close
		}, 0},
		{"a socket opens a channel", func(s *site, _ *gated, shut func()) leave {
			shut()
			k := s.connect()
			k.send(`{"type":"subscribe","channel":"a","tailRecords":1}`)
			return k.c.Close
		}, 0},
		{"a page is read", func(s *site, _ *gated, shut func()) leave {
			f := s.stream("channel=a")
			f.say("subscribed")
			shut()
			k := s.connect()
			k.send(`{"type":"subscribe","channel":"a","offset":"-1"}`)
			return func() error {
				return errors.Join(f.resp.Body.Close(), k.c.Close())
			}
		}, 0},
		{"a channel is awaited", func(s *site, e *gated, shut func()) leave {
			f := s.stream("channel=" + made)
			f.say("subscribed")
			shut()
			if _, _, err := e.Create(context.Background(), made, &twohop.Spec{ContentType: asJSON}); err != nil {
				s.t.Fatal(err)
			}
			return f.resp.Body.Close
		}, 0},
		{"a channel is opened again", func(s *site, e *gated, shut func()) leave {
			f := s.stream("channel=a")
			f.say("subscribed")
			shut()
			e.Engine.(*lossy).find()
			return f.resp.Body.Close
		}, 0},
		{"records are published", func(s *site, _ *gated, shut func()) leave {
			k := s.connect()
			shut()
			k.send(`{"type":"publish","channel":"a","records":[1,2]}`)
			k.send(`{"type":"publish","channel":"b","records":[3]}`)
			return k.c.Close
		}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, m mode) {
				e := &gated{Engine: &lossy{Engine: memlog.Open(memlog.Options{})}}
				t.Cleanup(func() {
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				})
				s := serve(t, m, setup{engine: e, hub: hub.Options{TailBytes: 1, IdleTime: time.Second},
					Options: multi.Options{Rules: twohop.Rules{{Match: made, Create: true}}}})
				s.create("a", asJSON)
				s.create("b", asJSON)
				s.publish("a", "0")
				open := func() {}
				leave := c.connect(s, e, func() { open = e.shut() })
				synctest.Wait()
				if err := leave(); err != nil {
					t.Error(err)
				}
				pause(time.Minute) // a socket that is not read from is found to be left by a ping
				open()
				s.idle()
				s.eventually("no channel is read", func() bool { return s.hub.Live() == 0 })
				if n := s.many.Stats().Published.Load(); n != c.published {
					t.Errorf("%d records published, want %d", n, c.published)
				}
			}, bubble...)
		})
	}
}

// A poll does not wait, so whoever sends no more after it still gets its answer,
// when that was found.
func TestPollOfTheHalfClosed(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &gated{Engine: memlog.Open(memlog.Options{})}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		s := serve(t, m, setup{engine: e})
		s.create("a", asText)
		s.publish("a", "x")
		for range 20 { // it is seen at some moment
			open := e.shut()
			c := s.dial()
			get(t, c, "subscribe?channel=a&tail_records=1")
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			s.eventually("the poll is under way", func() bool { return s.many.Stats().Polls.Load() == 1 })
			open()
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.idle()
		}
	}, tcp)
}
