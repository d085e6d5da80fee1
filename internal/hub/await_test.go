package hub

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
)

// counter counts what it is told.
type counter struct{ n atomic.Int32 }

func (c *counter) Moved() { c.n.Add(1) }

// Whoever awaits a channel is told when it comes to be, however it does, and of
// nothing else.
func TestAwait(t *testing.T) {
	e := memlog.Open(memlog.Options{})
	t.Cleanup(func() { _ = e.Close() })
	h := New(e, Options{})
	t.Cleanup(h.Close)
	var a, b, other counter
	for _, w := range []*counter{&a, &b} {
		if !h.Await("chat/1", w) {
			t.Fatal("refused")
		}
	}
	h.Await("chat/2", &other)
	h.Unawait("chat/1", &b)
	h.Unawait("chat/1", &b) // twice, and of a name that nobody awaits
	h.Unawait("nobody", &b)
	spec := &twohop.Spec{ContentType: "text/plain"}
	publish := func(name string) {
		t.Helper()
		if _, err := h.Append(context.Background(), &twohop.Append{Channel: name, Data: []byte("x"), Ends: []uint32{1}, Create: spec}); err != nil {
			t.Fatal(err)
		}
	}
	publish("chat/1")
	publish("chat/1")
	if _, _, err := h.Create(context.Background(), "chat/3", spec); err != nil {
		t.Fatal(err)
	}
	if a.n.Load() != 1 || b.n.Load() != 0 || other.n.Load() != 0 {
		t.Errorf("told %d, %d and %d times, want once, never and never", a.n.Load(), b.n.Load(), other.n.Load())
	}
	if _, _, err := h.Create(context.Background(), "chat/2", spec); err != nil {
		t.Fatal(err)
	}
	if other.n.Load() != 1 {
		t.Errorf("told %d times of a channel that was created", other.n.Load())
	}
	h.Event(0, &engine.Event{Kind: engine.Broken})
	if a.n.Load() != 2 || other.n.Load() != 2 {
		t.Error("nobody was told that the feed lost its place")
	}
	h.Unawait("chat/1", &a)
	h.Unawait("chat/2", &other)
	if h.awaited.n.Load() != 0 || len(h.awaited.names) != 0 {
		t.Errorf("%d names are left", len(h.awaited.names))
	}
}

func TestAwaitIsBounded(t *testing.T) {
	h := &Hub{}
	var w counter
	for i := range MaxAwaited {
		if !h.Await(fmt.Sprint(i), &w) {
			t.Fatalf("%d are too many", i)
		}
	}
	if h.Await("one more", &w) {
		t.Error("there is no bound")
	}
	if !h.Await("7", &w) {
		t.Error("a name that is awaited already cannot be awaited again")
	}
}
