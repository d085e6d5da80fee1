package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

// Readers far behind at the same offset share one read of the engine; one who
// gives up harms no other.
func TestDeepReadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 0)
		var reads atomic.Int32
		e.read = func() {
			reads.Add(1)
			<-time.After(time.Second)
		}
		h := newTester(t, e, Options{})
		start := h.create("a")
		h.append("a", "old")
		c := h.open("a") // its buffer begins at the tail
		defer c.Close()
		first := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := c.Read(ctx, start)
			first <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if v, err := c.Read(t.Context(), start); err != nil || string(v.Data) != "old" {
					t.Errorf("read %v, %v", v, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if err := <-first; err != nil {
			t.Errorf("the first reader: %v", err)
		}
		if n := reads.Load(); n != 1 {
			t.Errorf("the engine was read %d times for 101 readers", n)
		}
	})
}

// At most so many pages are read from the engine at a time.
func TestDeepReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 0)
		var now, most atomic.Int32
		e.read = func() {
			most.Store(max(most.Load(), now.Add(1)))
			<-time.After(time.Second)
			now.Add(-1)
		}
		h := newTester(t, e, Options{PageBytes: 1})
		offsets := []twohop.Offset{h.create("a")}
		for range 3 * deepReads {
			offsets = append(offsets, h.append("a", "x"))
		}
		c := h.open("a")
		defer c.Close()
		var wg sync.WaitGroup
		for _, o := range offsets[:3*deepReads] {
			wg.Go(func() {
				if v, err := c.Read(t.Context(), o); err != nil || v.Len() != 1 {
					t.Errorf("read %v, %v", v, err)
				}
			})
		}
		wg.Wait()
		if most.Load() != deepReads {
			t.Errorf("%d reads at a time, want %d", most.Load(), deepReads)
		}
	})
}
