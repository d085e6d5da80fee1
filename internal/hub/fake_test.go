package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
)

// slowEngine is an engine as a remote one can be: it takes its time to answer
// about a channel, and what it answers may be old when it comes.
type slowEngine struct {
	engine.Engine
	takes time.Duration

	mu    sync.Mutex
	asked map[string]int
	sink  engine.Sink
	late  func() // is called between the engine's answer and its arrival
	read  func() // is called between a page's reading and its arrival
	tell  func() // is called between an event's happening and its arrival
}

func newSlowEngine(t testing.TB, takes time.Duration) *slowEngine {
	e := memlog.Open(memlog.Options{})
	t.Cleanup(func() { _ = e.Close() })
	return &slowEngine{Engine: e, takes: takes, asked: map[string]int{}}
}

func (e *slowEngine) Follow(s engine.Sink) {
	e.sink = s
	e.Engine.Follow(slowFeed{s, e})
}

type slowFeed struct {
	engine.Sink
	e *slowEngine
}

func (f slowFeed) Event(shard int, ev *engine.Event) {
	if f.e.tell != nil {
		f.e.tell()
	}
	f.Sink.Event(shard, ev)
}

func (e *slowEngine) Info(ctx context.Context, name string) (twohop.Info, error) {
	e.mu.Lock()
	e.asked[name]++
	late := e.late
	e.mu.Unlock()
	info, err := e.Engine.Info(ctx, name)
	if late != nil {
		late()
	}
	if e.takes > 0 {
		<-time.After(e.takes)
	}
	return info, err
}

func (e *slowEngine) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	b, err := e.Engine.Read(ctx, name, from, maxBytes)
	if e.read != nil {
		e.read()
	}
	return b, err
}

func (e *slowEngine) times(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[name]
}

// tester is a hub under test.
type tester struct {
	*Hub
	t testing.TB
}

func newTester(t testing.TB, e engine.Engine, o Options) *tester {
	h := New(e, o)
	t.Cleanup(h.Close)
	return &tester{h, t}
}

func (h *tester) create(name string) twohop.Offset {
	h.t.Helper()
	info, _, err := h.Create(h.t.Context(), name, &twohop.Spec{ContentType: "text/plain"})
	if err != nil {
		h.t.Fatal(err)
	}
	return info.Tail
}

func (h *tester) append(name, record string) twohop.Offset {
	h.t.Helper()
	ack, err := h.Append(h.t.Context(), &twohop.Append{Channel: name, Data: []byte(record), Ends: []uint32{uint32(len(record))}})
	if err != nil {
		h.t.Fatal(err)
	}
	return ack.Offset
}

func (h *tester) open(name string) *Channel {
	h.t.Helper()
	c, err := h.Open(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// readAll reads from an offset to the tail and returns the records and the
// offset after them.
func readAll(ctx context.Context, c *Channel, at twohop.Offset) (string, twohop.Offset, error) {
	got := ""
	for {
		v, err := c.Read(ctx, at)
		if err != nil {
			return got, at, err
		}
		if v.From != at {
			return got, at, fmt.Errorf("a page from %s begins at %s", at, v.From)
		}
		got += string(v.Data)
		at = v.Next
		if v.UpToDate {
			return got, at, nil
		}
	}
}

func code(err error) twohop.Code {
	if e, ok := errors.AsType[*twohop.Error](err); ok {
		return e.Code
	}
	return ""
}
