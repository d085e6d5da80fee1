package hub

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"twohop"
	"twohop/internal/engine"
)

// A read at the engine's tail that the feed is faster than gives what the feed
// told, to its reader and to those that come later.
func TestOvertakenRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 0)
		h := newTester(t, e, Options{})
		h.create("c")
		c := h.open("c")
		defer c.Close()
		told := make(chan struct{})
		e.tell = func() { <-told }
		var appended sync.WaitGroup
		appended.Go(func() { h.append("c", "x") })
		synctest.Wait()
		info, err := h.Info(t.Context(), "c")
		if err != nil || info.Tail == c.Info().Tail {
			t.Fatalf("the engine's tail is %s, the hub's %s, %v", info.Tail, c.Info().Tail, err)
		}
		e.read = sync.OnceFunc(func() {
			close(told)
			appended.Wait()
			h.append("c", "y")
		})
		if v, err := c.Read(t.Context(), info.Tail); err != nil || string(v.Data) != "y" || !v.UpToDate {
			t.Errorf("read %+v, %v", v, err)
		}
		if v := c.TryRead(info.Tail); v == nil || string(v.Data) != "y" {
			t.Errorf("in memory is %+v", v)
		}
	})
}

// So does one at an offset that names the tail otherwise than the feed does, as the
// beginning of a fork's own log.
func TestOvertakenReadOfAFork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 0)
		h := newTester(t, e, Options{})
		h.create("source")
		tail := h.append("source", "s")
		if _, _, err := h.Create(t.Context(), "c", &twohop.Spec{Fork: &twohop.Fork{Source: "source", At: &tail}}); err != nil {
			t.Fatal(err)
		}
		own := twohop.Offset{Epoch: h.create("next").Epoch - 1, Pos: tail.Pos} // time stands still
		c := h.open("c")
		defer c.Close()
		if v, err := c.Read(t.Context(), own); err != nil || v.From != tail || !v.UpToDate {
			t.Fatalf("read %+v, %v: not the tail", v, err)
		}
		e.read = sync.OnceFunc(func() { h.append("c", "y") })
		if v, err := c.Read(t.Context(), own); err != nil || string(v.Data) != "y" || v.From != tail {
			t.Errorf("read %+v, %v", v, err)
		}
		if v := c.TryRead(tail); v == nil || string(v.Data) != "y" {
			t.Errorf("in memory at the tail is %+v", v)
		}
	})
}

// An engine that does not show what its feed told of is not asked for ever, and
// nobody is given an empty page for it.
func TestOvertakenForEver(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{})
	tail := h.create("c")
	c := h.open("c")
	defer c.Close()
	ahead := twohop.Offset{Epoch: tail.Epoch, Pos: tail.Pos + 1}
	e.sink.Event(0, &engine.Event{Kind: engine.Appended, Channel: "c", Tail: ahead})
	var reads atomic.Int32
	e.read = func() { reads.Add(1) }
	if v, err := c.Read(t.Context(), tail); code(err) != twohop.CodeUnavailable || reads.Load() != looks {
		t.Errorf("got %+v, %v after %d reads", v, err, reads.Load())
	}
	if v := c.TryRead(tail); v != nil {
		t.Errorf("in memory is %+v", v)
	}
	reads.Store(0)
	e.read = func() {
		if reads.Add(1) == 2 { // the channel is another one meanwhile, the feed tells late
			e.sink.Event(0, &engine.Event{Kind: engine.Deleted, Channel: "c", Tail: ahead})
		}
	}
	if v, err := c.Read(t.Context(), tail); code(err) != twohop.CodeReset || reads.Load() != 2 {
		t.Errorf("of what was deleted: %+v, %v after %d reads", v, err, reads.Load())
	}
}
